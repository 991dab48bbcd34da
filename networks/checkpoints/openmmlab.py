"""Reads StyleGAN3 .pth files of OpenMMLab's MMGeneration: tensors by name, without the constructor's options.

The options are inferred from the shapes. Those that do not affect shapes (clamp, output scale, which layers run in half
precision) are assumed to be the published ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from networks.architectures.stylegan3 import layer_table
from networks.checkpoints.contents import ChannelOrder, CheckpointContents, Role, StoredNetwork, make_config
from networks.config import StyleGAN3Config
from networks.errors import FormatError, sanitize
from networks.safe_pickle.lazy_tensor import LazyTensor

_PREFIXES: tuple[tuple[str, Role], ...] = (("generator_ema.", "G_ema"), ("generator.", "G"), ("", "G_ema"))


def read_openmmlab(value: Any, channel_order: ChannelOrder) -> CheckpointContents | None:
    """Find the networks in an unpickled value; None where it has none in this layout.

    Raises FormatError for a malformed network.
    """
    if type(value) is not dict:
        return None
    tensors = value.get("state_dict", value)
    if type(tensors) is not dict:
        return None
    networks: dict[Role, StoredNetwork] = {}
    for prefix, role in _PREFIXES:
        if role not in networks and f"{prefix}synthesis.input.freqs" in tensors:
            networks[role] = _generator(tensors, prefix)
    return CheckpointContents("OpenMMLab .pth", networks, channel_order) if networks else None


def _generator(tensors: Mapping[Any, Any], prefix: str) -> StoredNetwork:
    own: dict[str, LazyTensor] = {}
    for theirs, ours in ((f"{prefix}style_mapping.", "mapping."), (f"{prefix}synthesis.", "synthesis.")):
        for name, tensor in tensors.items():
            if type(name) is str and name.startswith(theirs):
                if not isinstance(tensor, LazyTensor):
                    raise FormatError(f"its {sanitize(name)} is no tensor")
                own[ours + name.removeprefix(theirs)] = tensor
    return StoredNetwork(infer_config({name: tensor.shape for name, tensor in own.items()}), own)


def infer_config(shapes: Mapping[str, tuple[int, ...]]) -> StyleGAN3Config:
    """Return the config of the StyleGAN3 whose tensors have these names and shapes.

    Raises FormatError where no config has them that differs from a published one in sizes and channels only.
    """
    layers = sorted(
        (int(match[1]), int(match[2]), int(match[3]), match[0])
        for name in shapes
        if (match := re.fullmatch(r"synthesis\.(?:L(\d{1,3})_(\d{1,5})_(\d{1,5}))\.weight", name))
    )
    if len(layers) < 4 or [layer[0] for layer in layers] != list(range(len(layers))):
        raise FormatError("its layers are not numbered in order")
    count = len(layers) - 1
    resolution, image_channels = layers[-1][1], layers[-1][2]
    depth = sum(1 for name in shapes if re.fullmatch(r"mapping\.fc\d+\.weight", name))
    embed = _require_shape(shapes, "mapping.embed.weight", 2) if "mapping.embed.weight" in shapes else None
    w_dim = _require_shape(shapes, f"mapping.fc{depth - 1}.weight", 2)[0]
    kernel = _require_shape(shapes, layers[0][3], 4)[2]
    down_filters = [shape for name, shape in shapes.items() if name.endswith(".down_filter")]
    options: dict[str, Any] = {
        "img_resolution": resolution,
        "img_channels": image_channels,
        "z_dim": _require_shape(shapes, "mapping.fc0.weight", 2)[1] - (0 if embed is None else embed[0]),
        "c_dim": 0 if embed is None else embed[1],
        "w_dim": w_dim,
        "mapping_kwargs": {"num_layers": depth, "w_avg_beta": 0.998},
        "num_layers": count,
        "conv_kernel": kernel,
        "use_radial_filters": any(len(shape) == 2 for shape in down_filters),
    }
    names = [layer[3].removeprefix("synthesis.").removesuffix(".weight") for layer in layers]
    largest = max(layer[2] for layer in layers[:-1])
    bases = _candidate_bases(make_config(StyleGAN3Config, options), [layer[2] for layer in layers[:-1]])
    for base in bases:
        config = make_config(StyleGAN3Config, {**options, "channel_base": base, "channel_max": largest})
        if [spec.name for spec in layer_table(config)[1]] == names:
            return config
    raise FormatError("the sizes of its layers follow no plan of StyleGAN3 that can be told without its options")


def _candidate_bases(config: StyleGAN3Config, channels: list[int]) -> list[int]:
    """Return values of channel_base that may give these numbers of channels, most likely first.

    A layer below the maximum has round(base / 2 / cutoff) channels, which bounds base from both sides.
    """
    table = layer_table(config)[1]
    low, high = 1.0, float(2**20)
    for spec, count in zip(table[:-1], channels, strict=True):
        if count < max(channels):
            low, high = max(low, (count - 0.5) * 2 * spec.out_cutoff), min(high, (count + 0.5) * 2 * spec.out_cutoff)
        else:
            low = max(low, (count - 0.5) * 2 * spec.out_cutoff)
    usual = [32768, 65536, 16384]
    powers = [1 << i for i in range(21)]
    return [
        base for base in (*usual, *powers, round(low), round(low) + 1, round((low + high) / 2)) if low <= base <= high
    ]


def _require_shape(shapes: Mapping[str, tuple[int, ...]], name: str, dimensions: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None or len(shape) != dimensions:
        raise FormatError(f"its {name} is missing or has a wrong shape")
    return shape
