"""Describes a loaded network for the window."""

from __future__ import annotations

import torch

import ops
from networks.architectures.layerwise import Step
from networks.architectures.stylegan3 import SynthesisNetwork as AliasFree
from renderer.messages import LayerInfo, ModelInfo
from renderer.models.model_cache import LoadedModel, short_name
from session import Model


def get_model_info(loaded: LoadedModel, model: Model, force_fp32: bool) -> ModelInfo:
    """Return the network's properties; the same object while they are unchanged."""
    key = (model, force_fp32, ops.kernels.active_backend(), loaded.graphs.status)
    if key not in loaded.infos:
        loaded.infos[key] = _build(loaded, model, force_fp32)
    return loaded.infos[key]


def _build(loaded: LoadedModel, model: Model, force_fp32: bool) -> ModelInfo:
    network, file = loaded.network, loaded.file
    layers = tuple(_layer(loaded, step, force_fp32) for step in loaded.steps)
    return ModelInfo(
        path=model.path,
        name=short_name(model.path),
        file=str(file.path),
        digest=file.digest,
        family=file.family,
        z_dim=network.z_dim,
        c_dim=network.c_dim,
        w_dim=network.w_dim,
        num_ws=network.num_ws,
        resolution=network.img_resolution,
        channels=network.img_channels,
        parameters=sum(weight.numel() for weight in network.parameters()),
        layers=layers,
        row_names=tuple(_row_name(loaded, row) for row in range(network.num_ws)),
        has_noise=loaded.has_noise,
        has_transform=loaded.has_transform,
        device=str(loaded.device),
        device_name=_device_name(loaded.device),
        precision="mixed" if any(layer.dtype == "float16" for layer in layers) else "float32",
        kernels=", ".join(filter(None, (ops.describe(loaded.device), loaded.graphs.status))),
        channel_order=loaded.channel_order(model),
        weights=loaded.available_weights,
        note=" ".join(_notes(loaded, model)),
        classes=file.classes,
    )


def _layer(loaded: LoadedModel, step: Step, force_fp32: bool) -> LayerInfo:
    half = step.dtype == torch.float16 and loaded.device.type == "cuda" and not force_fp32
    stopband = None
    if isinstance(loaded.network.synthesis, AliasFree) and step.index > 0:
        spec = loaded.network.synthesis.layer(step.name).spec
        stopband = spec.out_cutoff + spec.out_half_width
    return LayerInfo(
        name=step.name,
        width=step.size,
        height=step.size,
        channels=step.channels,
        dtype="float16" if half else "float32",
        rows=step.w_indices,
        sampling_rate=step.sampling_rate,
        cutoff=step.cutoff,
        stopband=stopband,
    )


def _row_name(loaded: LoadedModel, row: int) -> str:
    """Name a row of w+ by the layers that read it and their size: "L3 52²", "b8.conv0 + b4.torgb 8²"."""
    readers = sorted((step for step in loaded.steps if row in step.w_indices), key=lambda step: step.is_torgb)
    if not readers:
        return f"row {row}"
    names = [step.name.split("_")[0] for step in readers]
    return f"{' + '.join(names)} {readers[0].size}²"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _notes(loaded: LoadedModel, model: Model) -> list[str]:
    """Remarks about the file for the user."""
    notes = []
    average = dict(loaded.network.mapping.named_buffers()).get("w_avg")
    if average is not None and not average.any():  # the first training step changes it
        notes.append("Random weights: not trained yet.")
    bounds = [bound for t in loaded.network.state_dict().values() if t.numel() for bound in t.aminmax()]
    if not torch.stack(bounds).isfinite().all():
        notes.append(
            "Some of its weights are not numbers (NaN or infinite), so it may show plain grey: try another file."
        )
    if model.digest and model.digest.lower() != loaded.file.digest:
        notes.append(
            "The file is not the one that this scene was made with, so the picture may differ: its SHA-256 is "
            f"{loaded.file.digest[:12]}, not {model.digest[:12]}."
        )
    if model.weights not in loaded.available_weights:
        notes.append(f"The file holds no {model.weights}, so {loaded.weights} is shown.")
    return [*notes, *loaded.file.notes]
