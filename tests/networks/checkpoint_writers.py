"""Writes small networks in every file format that we read, as the original programs write them.

The pickles are written by Python's pickle from stand-in classes with the published names, so that they contain what
published files contain: nested records, storages in torch's legacy format, numpy scalars, EasyDict.
"""

from __future__ import annotations

import collections
import contextlib
import io
import math
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from networks import load_network, save_networks
from networks.architectures.discriminator import Discriminator
from networks.architectures.stylegan2 import Generator as Generator2
from networks.architectures.stylegan3 import Generator as Generator3
from networks.config import DiscriminatorConfig, StyleGAN2Config, StyleGAN3Config

TINY3 = StyleGAN3Config(
    img_resolution=16, z_dim=6, w_dim=8, num_layers=3, channel_base=64, channel_max=4, margin_size=2, filter_size=4
)
TINY2 = StyleGAN2Config(
    img_resolution=8, z_dim=6, w_dim=8, mapping_num_layers=2, channel_base=32, channel_max=4, w_avg_beta=0.995
)
TINY_D = DiscriminatorConfig(img_resolution=8, channel_base=32, channel_max=4, mbstd_group_size=2)


def random_net(config: Any, seed: int = 0) -> Any:
    """Build a network with random weights, and no bias or average left at its initial value."""
    kind = {StyleGAN3Config: Generator3, StyleGAN2Config: Generator2, DiscriminatorConfig: Discriminator}[type(config)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(config)
        for name, value in network.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_avg")):
                value.add_(torch.randn_like(value) * 0.2)
            if name.endswith("magnitude_ema"):
                value.add_(torch.rand_like(value))
    return network.eval().requires_grad_(False)


def load(source: Any, **options: Any) -> Any:
    """`load_network` without a declared type, since a test fails anyway where a network is None."""
    return load_network(source, **options)


def generate(generator: Any, seed: int = 3) -> torch.Tensor:
    """Generate two images [2, C, H, W] of fixed latents."""
    stream = np.random.RandomState(seed)
    z = torch.from_numpy(stream.randn(2, generator.z_dim)).float()
    c = torch.eye(generator.c_dim)[:2] if generator.c_dim else None
    with torch.no_grad():
        return generator(z, c, truncation_psi=0.8)


# The PyTorch repositories


def write_nvidia(
    path: Path,
    networks: dict[str, Any],
    *,
    ada: bool = False,
    unsaid: tuple[str, ...] = (),
    alone: bool = False,
    **others: Any,
) -> Path:
    """Write a snapshot as stylegan3 (or, with `ada`, stylegan2-ada-pytorch) does.

    The options in `unsaid` are left out, as if left to defaults. With `alone` the file is the first network, not a
    dict.
    """
    with _stand_ins():
        value: Any = {
            role: None if network is None else _module(network, ada, unsaid) for role, network in networks.items()
        }
        value |= {"training_set_kwargs": {"path": "/data/x.zip", "use_labels": False}, **others}
        path.write_bytes(pickle.dumps(next(iter(value.values())) if alone else value, protocol=4))
    return path


def _module(module: nn.Module, ada: bool, unsaid: tuple[str, ...] = (), top: bool = True) -> Any:
    config = getattr(module, "config", None) if top else None
    state: dict[str, Any] = {
        "training": False,
        "_parameters": collections.OrderedDict(module._parameters),
        "_buffers": collections.OrderedDict(module._buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": collections.OrderedDict(),
        "_modules": collections.OrderedDict(
            (name, None if child is None else _module(child, ada, top=False)) for name, child in module._modules.items()
        ),
        "weight_gain": np.float64(0.25),
        "size": np.asarray([4, 4]),
        "_init_args": (),
        "_init_kwargs": _EasyDict(),
    }
    for name in ("conv_clamp", "use_fp16"):
        if hasattr(module, name):
            state[name] = getattr(module, name)
    if config is not None:
        state |= {name: getattr(config, name) for name in ("z_dim", "c_dim", "w_dim") if hasattr(config, name)}
        state |= {"img_resolution": config.img_resolution, "img_channels": config.img_channels}
        state["_init_kwargs"] = _published_options(config, ada)
        for name in unsaid:
            del state["_init_kwargs"][name]
    return _Persistent(type(module).__name__, state)


def _published_options(config: Any, ada: bool) -> dict[str, Any]:
    """Nest a config as the published programs do: mapping_kwargs, and for ADA also synthesis_kwargs."""
    flat = {name: list(value) if type(value) is tuple else value for name, value in config.to_dict().items()}
    flat.pop("family")
    nested = _EasyDict()
    for name in list(flat):
        for group in ("mapping", "epilogue", "mbstd"):
            if name.startswith(f"{group}_"):
                key = name if group == "mbstd" else name.removeprefix(f"{group}_")
                nested.setdefault(f"{'epilogue' if group == 'mbstd' else group}_kwargs", _EasyDict())[key] = flat.pop(
                    name
                )
    if isinstance(config, DiscriminatorConfig):
        nested["block_kwargs"] = _EasyDict(freeze_layers=flat.pop("freeze_layers"))
    elif "w_avg_beta" in flat:
        nested["mapping_kwargs"]["w_avg_beta"] = flat.pop("w_avg_beta")
    if ada and isinstance(config, StyleGAN2Config):
        flat.pop("fused_modconv_default")
        outer = {"z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"}
        nested["synthesis_kwargs"] = _EasyDict({name: flat.pop(name) for name in list(flat) if name not in outer})
    return _EasyDict({"class_name": "training.networks.Generator", **flat, **nested})


class _EasyDict(dict[str, Any]):
    pass


class _Persistent:
    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": "import os\n",
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> Any:
        return _reconstruct_persistent_obj, (self.meta,)


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("a reader called something")


# TensorFlow's


class _Network:
    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


def write_tensorflow(path: Path, networks: list[Any], *, version: int = 4) -> Path:
    """Write (G, D, Gs) as TensorFlow's StyleGAN2 and StyleGAN2-ADA do, or a single network."""
    with _stand_ins():
        packed = [
            _tf_discriminator(network, version)
            if isinstance(network, Discriminator)
            else _tf_generator(network, version)
            for network in networks
        ]
        path.write_bytes(pickle.dumps(tuple(packed) if len(packed) > 1 else packed[0], protocol=3))
    return path


def _tf_state(name: str, version: int, variables: dict[str, np.ndarray], components: Any, **kwargs: Any) -> _Network:
    return _Network(
        {
            "version": version,
            "name": name,
            "static_kwargs": kwargs,
            "components": components,
            "build_module_src": "import os\nos.system('touch canary')\n",
            "build_func_name": f"{name}_stylegan2",
            "variables": list(variables.items()),
        }
    )


def _tf_generator(G: Generator2, version: int) -> _Network:
    state = {name: value.numpy() for name, value in G.state_dict().items()}
    mapping: dict[str, np.ndarray] = {}
    if "mapping.embed.weight" in state:
        _tf_dense(mapping, "LabelEmbed", state, "mapping.embed")
    for i in range(G.config.mapping_num_layers):
        _tf_dense(mapping, f"Dense{i}", state, f"mapping.fc{i}")
    synthesis = {"4x4/Const/const": state["synthesis.b4.const"][None]}
    for size in G.config.block_resolutions:
        block, scope = f"synthesis.b{size}", f"{size}x{size}"
        order = int(math.log2(size)) * 2
        layers = [("conv1", "Conv" if size == 4 else "Conv1", order - 4), ("torgb", "ToRGB", None)]
        if size > 4:
            layers.insert(0, ("conv0", "Conv0_up", order - 5))
        for ours, theirs, noise in layers:
            if f"{block}.{ours}.weight" not in state:
                continue
            _tf_convolution(synthesis, f"{scope}/{theirs}", state, f"{block}.{ours}", flip=ours == "conv0")
            synthesis[f"{scope}/{theirs}/mod_weight"] = state[f"{block}.{ours}.affine.weight"].T.copy()
            synthesis[f"{scope}/{theirs}/mod_bias"] = state[f"{block}.{ours}.affine.bias"] - 1
            if noise is not None and G.config.use_noise:
                synthesis[f"{scope}/{theirs}/noise_strength"] = state[f"{block}.{ours}.noise_strength"]
                synthesis[f"noise{noise}"] = state[f"{block}.{ours}.noise_const"][None, None]
        if f"{block}.skip.weight" in state:
            _tf_convolution(synthesis, f"{scope}/Skip", state, f"{block}.skip", flip=True)
    components = _EasyDict(
        synthesis=_tf_state("G_synthesis", version, synthesis, _EasyDict(), fmap_base=G.config.channel_base // 2),
        mapping=_tf_state("G_mapping", version, mapping, _EasyDict(), mapping_lrmul=0.01),
    )
    own = {"lod": np.float32(0), "dlatent_avg": state["mapping.w_avg"]}
    own["lod"] = np.asarray(own["lod"])
    kwargs = {"num_channels": 3, "resolution": G.config.img_resolution, "resample_kernel": [1, 3, 3, 1]}
    return _tf_state("G", version, own, components, conv_clamp=G.config.conv_clamp, **kwargs)


def _tf_discriminator(D: Discriminator, version: int) -> _Network:
    state = {name: value.numpy() for name, value in D.state_dict().items()}
    found: dict[str, np.ndarray] = {}
    for size in (*D.config.block_resolutions, 4):
        for ours, theirs in (("fromrgb", "FromRGB"), ("conv0", "Conv0"), ("conv1", "Conv1_down"), ("skip", "Skip")):
            if f"b{size}.{ours}.weight" in state:
                _tf_convolution(found, f"{size}x{size}/{theirs}", state, f"b{size}.{ours}")
    _tf_convolution(found, "4x4/Conv", state, "b4.conv")
    _tf_dense(found, "4x4/Dense0", state, "b4.fc")
    _tf_dense(found, "Output", state, "b4.out")
    if "mapping.embed.weight" in state:
        _tf_dense(found, "LabelEmbed", state, "mapping.embed")
        for i in range(D.config.mapping_num_layers):
            _tf_dense(found, f"Mapping{i}", state, f"mapping.fc{i}")
    kwargs = {
        "mbstd_group_size": D.config.mbstd_group_size,
        "conv_clamp": D.config.conv_clamp,
        "mapping_lrmul": D.config.mapping_lr_multiplier,
    }
    return _tf_state("D", version, found, _EasyDict(), **kwargs)


def _tf_dense(found: dict[str, np.ndarray], theirs: str, state: dict[str, np.ndarray], ours: str) -> None:
    found[f"{theirs}/weight"] = state[f"{ours}.weight"].T.copy()
    found[f"{theirs}/bias"] = state[f"{ours}.bias"]


def _tf_convolution(
    found: dict[str, np.ndarray], theirs: str, state: dict[str, np.ndarray], ours: str, flip: bool = False
) -> None:
    weight = state[f"{ours}.weight"].transpose(2, 3, 1, 0)
    found[f"{theirs}/weight"] = np.ascontiguousarray(weight[::-1, ::-1] if flip else weight)
    if f"{ours}.bias" in state:
        found[f"{theirs}/bias"] = state[f"{ours}.bias"]


# OpenMMLab's


def write_openmmlab(path: Path, networks: dict[str, Any], *, zipped: bool = True) -> Path:
    """Write a .pth of MMGeneration: tensors by name under `state_dict`, and information on the training in `meta`."""
    state: dict[str, torch.Tensor] = collections.OrderedDict()
    for role, prefix in (("G", "generator."), ("G_ema", "generator_ema.")):
        if role in networks:
            for name, value in networks[role].state_dict().items():
                state[prefix + name.replace("mapping.", "style_mapping.", 1)] = value
    state["discriminator.convs.0.conv.weight"] = torch.zeros(2, 3)
    state._metadata = collections.OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    meta = {"mmgen_version": "0.6.0", "iter": 1, "env": "linux"}
    torch.save({"meta": meta, "state_dict": state}, path, _use_new_zipfile_serialization=zipped)
    return path


# One tiny file of each kind


def tiny_stylegan3_pickle(folder: Path) -> Path:
    networks = {"G": random_net(TINY3, 1), "D": random_net(TINY_D, 2), "G_ema": random_net(TINY3, 3)}
    return write_nvidia(folder / "alias-free.pkl", networks, augment_pipe=None)


def tiny_stylegan2_pickle(folder: Path) -> Path:
    networks = {"G": random_net(TINY2, 1), "D": random_net(TINY_D, 2), "G_ema": random_net(TINY2, 3)}
    return write_nvidia(folder / "ada.pkl", networks, ada=True, augment_pipe=None)


def tiny_tensorflow_pickle(folder: Path) -> Path:
    return write_tensorflow(
        folder / "tensorflow.pkl", [random_net(TINY2, 1), random_net(TINY_D, 2), random_net(TINY2, 3)]
    )


def tiny_pth(folder: Path) -> Path:
    config = StyleGAN3Config(img_resolution=16, z_dim=6, w_dim=8, channel_base=64, channel_max=4)
    return write_openmmlab(folder / "openmmlab.pth", {"G": random_net(config, 1), "G_ema": random_net(config, 3)})


def tiny_safetensors(folder: Path) -> Path:
    return save_networks(folder / "ours.safetensors", {"D": random_net(TINY_D, 2), "G_ema": random_net(TINY3, 3)})


TINY_FILES: dict[str, Callable[[Path], Path]] = {
    "stylegan3 pickle": tiny_stylegan3_pickle,
    "stylegan2 pickle": tiny_stylegan2_pickle,
    "tensorflow pickle": tiny_tensorflow_pickle,
    "openmmlab pth": tiny_pth,
    "safetensors": tiny_safetensors,
}


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Make the published classes importable under their names, which pickle needs to write them."""
    places = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": _EasyDict},
        "dnnlib.tflib": {},
        "dnnlib.tflib.network": {"Network": _Network},
    }
    before = {name: sys.modules.get(name) for name in places}
    names = [
        (item, item.__module__, item.__name__, item.__qualname__)
        for group in places.values()
        for item in group.values()
    ]
    try:
        for module_name, members in places.items():
            module = types.ModuleType(module_name)
            for name, member in members.items():
                member.__module__, member.__name__, member.__qualname__ = module_name, name, name
                setattr(module, name, member)
            sys.modules[module_name] = module
        yield
    finally:
        for module_name, module in before.items():
            if module is None:
                del sys.modules[module_name]
            else:
                sys.modules[module_name] = module
        for item, module_name, name, qualified in names:
            item.__module__, item.__name__, item.__qualname__ = module_name, name, qualified


def old_storage(tensor: torch.Tensor) -> bytes:
    """Return a storage in torch.save's legacy format, as it is embedded in published pickles."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that typed storages are deprecated
        torch.save(tensor.storage(), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()
