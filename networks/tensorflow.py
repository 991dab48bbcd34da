"""Networks as the TensorFlow programs of StyleGAN2 and StyleGAN2-ADA pickled them, read without TensorFlow.

A file is (G, D, Gs) or a single network. Each is an object of dnnlib's Network class whose state is plain data:
version, name, static_kwargs, components (networks inside it) and variables, a list of (name, array). Convolution
weights are [height, width, in, out], dense ones [in, out]; the kernels of upsampling convolutions are stored the other
way round; a style's bias is stored without the 1 that is added to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from networks.config import DiscriminatorConfig, StyleGAN2Config
from networks.contents import Changed, Contents, Numbers, Role, StoredNetwork, make_config
from networks.errors import plain
from networks.pickled import Thing
from networks.stored import StoredTensor

_MOST_VARIABLES = 2_000
_FIRST_STYLEGAN2 = 4  # the version number in the state; StyleGAN and Progressive GAN have smaller ones


def read_tensorflow(value: Any) -> Contents | None:
    """The networks in what a pickle held; None where they are not TensorFlow's.

    Raises ValueError where they are, but make no sense or are older than StyleGAN2.
    """
    if _is_network(value):
        value = (value,)
    if type(value) not in (tuple, list) or not value or not all(item is None or _is_network(item) for item in value):
        return None
    if len(value) > 3:
        raise ValueError(f"it holds {len(value)} networks, where (G, D, Gs) was expected")
    networks: dict[Role, StoredNetwork] = {}
    single = len(value) == 1
    for role, item in zip(("G", "D", "G_ema"), value, strict=False):
        if item is None:
            continue
        state = _collect(item)
        if "Output/weight" in state.variables:
            networks["D"] = _discriminator(state)
        else:
            networks["G_ema" if single else role] = _generator(state)  # type: ignore[index]
    return Contents("TensorFlow pickle", networks) if networks else None


@dataclass(frozen=True)
class _State:
    options: Mapping[str, Any]  # what the network was built with, its components' own options included
    variables: dict[str, StoredTensor]  # by "mapping/Dense0/weight", "synthesis/4x4/Const/const", "Output/weight"


def _is_network(value: Any) -> bool:
    return isinstance(value, Thing) and value.name.module.startswith("dnnlib.tflib") and value.name.name == "Network"


def _collect(network: Thing) -> _State:
    """The variables of a network and of its components (one level of them, as published)."""
    options: dict[str, Any] = {}
    variables: dict[str, StoredTensor] = {}
    waiting = [("", network, 0)]
    while waiting:
        prefix, part, depth = waiting.pop()
        state = part.state
        if type(state) is not dict or depth > 2 or len(variables) > _MOST_VARIABLES:
            raise ValueError("a network in it has no state")
        version = state.get("version")
        if type(version) is not int or version < _FIRST_STYLEGAN2:
            raise ValueError("it is of TensorFlow's StyleGAN or Progressive GAN, which are not read yet")
        named = state.get("static_kwargs", {})
        rows = state.get("variables", [])
        components = state.get("components", {})
        if type(named) is not dict or type(rows) is not list or type(components) is not dict:
            raise ValueError("the state of a network in it makes no sense")
        options = {**named, **options}
        for row in rows:
            if type(row) not in (tuple, list) or len(row) != 2 or type(row[0]) is not str:
                raise ValueError("a variable in it has no name")
            if isinstance(row[1], StoredTensor):
                variables[_usual(prefix + row[0])] = row[1]
        for name, component in components.items():
            if not _is_network(component) or type(name) is not str:
                raise ValueError("a component in it is no network")
            waiting.append((f"{prefix}{name}/", component, depth + 1))
    return _State(options, variables)


def _usual(name: str) -> str:
    """Some files name components G_mapping and G_synthesis in their variables as well."""
    name = re.sub(r"^(?:G_mapping|mapping/G_mapping)/", "mapping/", name)
    return re.sub(r"^(?:G_synthesis|synthesis/G_synthesis)/", "synthesis/", name)


def _generator(state: _State) -> StoredNetwork:
    found = state.variables
    if "mapping/LabelConcat/weight" in found:
        raise ValueError("it is class-conditional in the way of the first StyleGAN2, which later ones do not share")
    sizes = _sizes(found, r"synthesis/(\d+)x\1/")
    resolution = sizes[-1]
    layers = _count(found, r"mapping/Dense(\d+)/weight")
    first = _shaped(found, "mapping/Dense0/weight", 2)
    const = _shaped(found, "synthesis/4x4/Const/const", 4)
    label = found.get("mapping/LabelEmbed/weight")
    last_rgb = _last_rgb(found, sizes)
    w_dim = _shaped(found, f"mapping/Dense{layers - 1}/weight", 2).shape[1]
    channels = {
        size: _out(found, f"synthesis/{size}x{size}/{'Conv' if size == 4 else 'Conv1'}/weight") for size in sizes
    }
    architecture = "skip" if "synthesis/4x4/ToRGB/weight" in found else "orig"
    if "synthesis/8x8/Skip/weight" in found:
        architecture = "resnet"
    options: dict[str, Any] = {
        **_channel_options(channels, state.options),
        "z_dim": first.shape[0] - (0 if label is None else label.shape[-1]),
        "c_dim": 0 if label is None else label.shape[0],
        "w_dim": w_dim,
        "img_resolution": resolution,
        "img_channels": last_rgb,
        "mapping_kwargs": {
            "num_layers": layers,
            "lr_multiplier": state.options.get("mapping_lrmul", 0.01),
            "w_avg_beta": 0.995 if "dlatent_avg" in found else None,
            "embed_features": None if label is None else label.shape[-1],
            "layer_features": first.shape[1] if layers > 1 else None,
            "activation": state.options.get("mapping_nonlinearity", "lrelu"),
        },
        "synthesis_kwargs": {
            "architecture": architecture,
            "use_noise": "synthesis/noise0" in found,
            **_shared_options(state.options),
        },
    }
    config = make_config(StyleGAN2Config, options, ada=True)
    tensors: dict[str, Numbers] = {"synthesis.b4.const": Changed(const, const.shape[1:], lambda x: x[0])}
    if "dlatent_avg" in found:
        tensors["mapping.w_avg"] = found["dlatent_avg"]
    if label is not None:
        _dense(tensors, found, "mapping.embed", "mapping/LabelEmbed")
    for i in range(layers):
        _dense(tensors, found, f"mapping.fc{i}", f"mapping/Dense{i}")
    for size in sizes:
        block, place = f"synthesis.b{size}", f"synthesis/{size}x{size}"
        if size > 4:
            _styled(tensors, found, f"{block}.conv0", f"{place}/Conv0_up", flip=True)
        _styled(tensors, found, f"{block}.conv1", f"{place}/{'Conv' if size == 4 else 'Conv1'}")
        if config.use_noise:
            for layer, index in (("conv0", 2 * int(math.log2(size)) - 5), ("conv1", 2 * int(math.log2(size)) - 4)):
                noise = found.get(f"synthesis/noise{index}")
                if index >= 0 and noise is not None:
                    tensors[f"{block}.{layer}.noise_const"] = Changed(noise, noise.shape[2:], lambda x: x[0, 0])
        if f"{place}/ToRGB/weight" in found:
            _styled(tensors, found, f"{block}.torgb", f"{place}/ToRGB")
        if f"{place}/Skip/weight" in found:
            _convolution(tensors, found, f"{block}.skip", f"{place}/Skip", flip=True, bias=False)
    return StoredNetwork(config, tensors)


def _discriminator(state: _State) -> StoredNetwork:
    found = state.variables
    sizes = _sizes(found, r"(\d+)x\1/")
    resolution = sizes[-1]
    rgb = _shaped(found, f"{resolution}x{resolution}/FromRGB/weight", 4)
    label = found.get("LabelEmbed/weight")
    group = _count(found, r"Mapping(\d+)/weight")
    architecture = "skip" if f"{resolution // 2}x{resolution // 2}/FromRGB/weight" in found else "orig"
    if f"{resolution}x{resolution}/Skip/weight" in found:
        architecture = "resnet"
    inputs = {size: _in(found, f"{size}x{size}/Conv0/weight") for size in sizes if size > 4}
    inputs[4] = _out(found, "4x4/Conv/weight")
    output = _shaped(found, "Output/weight", 2)
    after = _in(found, "4x4/Conv/weight") - _out(found, "4x4/Conv/weight")
    options: dict[str, Any] = {
        **_channel_options(inputs, state.options),
        "c_dim": _labels(state, label, output),
        "img_resolution": resolution,
        "img_channels": rgb.shape[2],
        "architecture": architecture,
        **_shared_options(state.options),
        "epilogue_kwargs": {
            "mbstd_group_size": state.options.get("mbstd_group_size", 4),
            "mbstd_num_channels": after,
        },
    }
    if label is not None:
        options["cmap_dim"] = output.shape[1]
        options["mapping_kwargs"] = {
            "num_layers": group,
            "embed_features": label.shape[-1],
            "layer_features": _out(found, "Mapping0/weight", 2) if group > 1 else None,
            "lr_multiplier": state.options.get("mapping_lrmul", 0.1),
        }
    config = make_config(DiscriminatorConfig, options)
    tensors: dict[str, Numbers] = {}
    for size in sizes:
        block, place = f"b{size}", f"{size}x{size}"
        if f"{place}/FromRGB/weight" in found:
            _convolution(tensors, found, f"{block}.fromrgb", f"{place}/FromRGB")
        if size > 4:
            _convolution(tensors, found, f"{block}.conv0", f"{place}/Conv0")
            _convolution(tensors, found, f"{block}.conv1", f"{place}/Conv1_down")
        if f"{place}/Skip/weight" in found:
            _convolution(tensors, found, f"{block}.skip", f"{place}/Skip", bias=False)
    _convolution(tensors, found, "b4.conv", "4x4/Conv")
    _dense(tensors, found, "b4.fc", "4x4/Dense0")
    _dense(tensors, found, "b4.out", "Output")
    if label is not None:
        _dense(tensors, found, "mapping.embed", "LabelEmbed")
        for i in range(group):
            _dense(tensors, found, f"mapping.fc{i}", f"Mapping{i}")
    return StoredNetwork(config, tensors)


def _labels(state: _State, label: StoredTensor | None, output: StoredTensor) -> int:
    if label is not None:
        return label.shape[0]
    if output.shape[1] != 1:
        raise ValueError("its D is class-conditional in the way of the first StyleGAN2, which later ones do not share")
    return 0


def _shared_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of both networks that leave no trace in the shapes; TensorFlow's defaults are those given here."""
    taps = options.get("resample_kernel", [1, 3, 3, 1])
    return {
        "num_fp16_res": options.get("num_fp16_res", 0),
        "conv_clamp": options.get("conv_clamp"),
        "resample_filter": tuple(taps) if type(taps) in (list, tuple) else taps,
        "activation": options.get("nonlinearity", "lrelu"),
    }


def _channel_options(channels: Mapping[int, int], options: Mapping[str, Any]) -> dict[str, int]:
    """channel_base and channel_max that give these channels at these resolutions."""
    largest = max(channels.values())
    below = [size * count for size, count in channels.items() if count < largest]
    named = options.get("fmap_base")
    guesses = [below[0] if below else largest * max(channels)]
    if type(named) is int:
        guesses = [named * 2, named, *guesses]
    for base in guesses:
        if all(min(base // size, largest) == count for size, count in channels.items()):
            return {"channel_base": base, "channel_max": largest}
    raise ValueError("the numbers of its channels follow no known rule")


# Variables to tensors


def _dense(tensors: dict[str, Numbers], found: Mapping[str, StoredTensor], ours: str, theirs: str) -> None:
    tensors[f"{ours}.weight"] = _shaped(found, f"{theirs}/weight", 2).transposed()
    tensors[f"{ours}.bias"] = _shaped(found, f"{theirs}/bias", 1)


def _convolution(
    tensors: dict[str, Numbers],
    found: Mapping[str, StoredTensor],
    ours: str,
    theirs: str,
    *,
    flip: bool = False,
    bias: bool = True,
) -> None:
    stored = _shaped(found, f"{theirs}/weight", 4)
    k, _, inputs, outputs = stored.shape
    order: Callable[[torch.Tensor], torch.Tensor] = _flipped if flip else _unflipped
    tensors[f"{ours}.weight"] = Changed(stored, (outputs, inputs, k, k), order)
    if bias:
        tensors[f"{ours}.bias"] = _shaped(found, f"{theirs}/bias", 1)


def _styled(
    tensors: dict[str, Numbers], found: Mapping[str, StoredTensor], ours: str, theirs: str, *, flip: bool = False
) -> None:
    """A modulated convolution: its weight, its style's affine map, and its noise strength where it has one."""
    _convolution(tensors, found, ours, theirs, flip=flip)
    tensors[f"{ours}.affine.weight"] = _shaped(found, f"{theirs}/mod_weight", 2).transposed()
    bias = _shaped(found, f"{theirs}/mod_bias", 1)
    tensors[f"{ours}.affine.bias"] = Changed(bias, bias.shape, lambda x: x + 1)
    if f"{theirs}/noise_strength" in found:
        tensors[f"{ours}.noise_strength"] = _shaped(found, f"{theirs}/noise_strength", 0)


def _unflipped(weight: torch.Tensor) -> torch.Tensor:
    return weight.permute(3, 2, 0, 1)


def _flipped(weight: torch.Tensor) -> torch.Tensor:
    return weight.flip(0, 1).permute(3, 2, 0, 1)


def _shaped(found: Mapping[str, StoredTensor], name: str, dimensions: int) -> StoredTensor:
    tensor = found.get(name)
    if tensor is None:
        raise ValueError(f"its variable {plain(name)} is missing")
    if len(tensor.shape) != dimensions:
        raise ValueError(f"its variable {plain(name)} has {len(tensor.shape)} dimensions instead of {dimensions}")
    return tensor


def _out(found: Mapping[str, StoredTensor], name: str, dimensions: int = 4) -> int:
    return _shaped(found, name, dimensions).shape[-1]


def _in(found: Mapping[str, StoredTensor], name: str) -> int:
    return _shaped(found, name, 4).shape[2]


def _last_rgb(found: Mapping[str, StoredTensor], sizes: list[int]) -> int:
    return _out(found, f"synthesis/{sizes[-1]}x{sizes[-1]}/ToRGB/weight")


def _sizes(found: Mapping[str, StoredTensor], pattern: str) -> list[int]:
    """The resolutions of the blocks, which must be 4, 8, 16 ... without a gap."""
    sizes = sorted({int(match[1][:7]) for name in found if (match := re.match(pattern, name))})
    if len(sizes) < 2 or sizes != [4 << i for i in range(len(sizes))]:
        raise ValueError("it has not the blocks of a StyleGAN2")
    return sizes


def _count(found: Mapping[str, StoredTensor], pattern: str) -> int:
    """How many variables of this pattern there are, numbered from 0 without a gap."""
    numbers = {int(match[1][:4]) for name in found if (match := re.fullmatch(pattern, name))}
    if numbers != set(range(len(numbers))):
        raise ValueError("the layers of its mapping network are not numbered in order")
    return len(numbers)
