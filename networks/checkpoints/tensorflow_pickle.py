"""Networks as the TensorFlow programs of StyleGAN2 and StyleGAN2-ADA pickled them, read without TensorFlow.

A file is (G, D, Gs) or a single network. Each is an object of dnnlib's Network class whose state is plain data:
version, name, static_kwargs, components (networks inside it) and variables, a list of (name, array). Convolution
weights are [height, width, in, out], dense ones [in, out]; the kernels of upsampling convolutions are stored the other
way round; a style's bias is stored without the 1 that is added to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from networks.checkpoints.contents import (
    CheckpointContents,
    Role,
    StoredNetwork,
    TensorSource,
    TransformedTensor,
    make_config,
)
from networks.checkpoints.tensorflow_variables import (
    add_conv,
    add_dense,
    add_modulated_conv,
    block_sizes,
    get_variable,
    layer_count,
)
from networks.config import DiscriminatorConfig, StyleGAN2Config
from networks.errors import FormatError
from networks.safe_pickle.lazy_tensor import LazyTensor
from networks.safe_pickle.values import OpaqueObject

_MAX_VARIABLES = 2_000
_MIN_VERSION = 4  # the version number in the state; StyleGAN and Progressive GAN have smaller ones


def read_tensorflow(value: Any) -> CheckpointContents | None:
    """The networks in what a pickle held; None where they are not TensorFlow's.

    Raises ValueError where they are, but make no sense or are older than StyleGAN2.
    """
    if _is_network(value):
        value = (value,)
    if type(value) not in (tuple, list) or not value or not all(item is None or _is_network(item) for item in value):
        return None
    if len(value) > 3:
        raise FormatError(f"it holds {len(value)} networks, where (G, D, Gs) was expected")
    networks: dict[Role, StoredNetwork] = {}
    single = len(value) == 1
    for role, item in zip(("G", "D", "G_ema"), value, strict=False):
        if item is None:
            continue
        state = _collect_state(item)
        if "Output/weight" in state.variables:
            networks["D"] = _discriminator(state)
        else:
            networks["G_ema" if single else role] = _generator(state)  # type: ignore[index]
    return CheckpointContents("TensorFlow pickle", networks) if networks else None


@dataclass(frozen=True)
class _NetworkState:
    options: Mapping[str, Any]  # what the network was built with, its components' own options included
    variables: dict[str, LazyTensor]  # by "mapping/Dense0/weight", "synthesis/4x4/Const/const", "Output/weight"


def _is_network(value: Any) -> bool:
    return (
        isinstance(value, OpaqueObject)
        and value.name.module.startswith("dnnlib.tflib")
        and value.name.name == "Network"
    )


def _collect_state(network: OpaqueObject) -> _NetworkState:
    """The variables of a network and of its components (one level of them, as published)."""
    options: dict[str, Any] = {}
    variables: dict[str, LazyTensor] = {}
    waiting = [("", network, 0)]
    while waiting:
        prefix, part, depth = waiting.pop()
        state = part.state
        if type(state) is not dict or depth > 2 or len(variables) > _MAX_VARIABLES:
            raise FormatError("a network in it has no state")
        version = state.get("version")
        if type(version) is not int or version < _MIN_VERSION:
            raise FormatError("it is of TensorFlow's StyleGAN or Progressive GAN, which are not read yet")
        named = state.get("static_kwargs", {})
        rows = state.get("variables", [])
        components = state.get("components", {})
        if type(named) is not dict or type(rows) is not list or type(components) is not dict:
            raise FormatError("the state of a network in it makes no sense")
        options = {**named, **options}
        for row in rows:
            if type(row) not in (tuple, list) or len(row) != 2 or type(row[0]) is not str:
                raise FormatError("a variable in it has no name")
            if isinstance(row[1], LazyTensor):
                variables[_normalize_name(prefix + row[0])] = row[1]
        for name, component in components.items():
            if not _is_network(component) or type(name) is not str:
                raise FormatError("a component in it is no network")
            waiting.append((f"{prefix}{name}/", component, depth + 1))
    return _NetworkState(options, variables)


def _normalize_name(name: str) -> str:
    """Some files name components G_mapping and G_synthesis in their variables as well."""
    name = re.sub(r"^(?:G_mapping|mapping/G_mapping)/", "mapping/", name)
    return re.sub(r"^(?:G_synthesis|synthesis/G_synthesis)/", "synthesis/", name)


def _generator(state: _NetworkState) -> StoredNetwork:
    found = state.variables
    if "mapping/LabelConcat/weight" in found:
        raise FormatError("it is class-conditional in the way of the first StyleGAN2, which later ones do not share")
    sizes = block_sizes(found, r"synthesis/(\d+)x\1/")
    resolution = sizes[-1]
    layers = layer_count(found, r"mapping/Dense(\d+)/weight")
    first = get_variable(found, "mapping/Dense0/weight", 2)
    const = get_variable(found, "synthesis/4x4/Const/const", 4)
    label = found.get("mapping/LabelEmbed/weight")
    last_rgb = _image_channels(found, sizes)
    w_dim = get_variable(found, f"mapping/Dense{layers - 1}/weight", 2).shape[1]
    channels = {
        size: _out_channels(found, f"synthesis/{size}x{size}/{'Conv' if size == 4 else 'Conv1'}/weight")
        for size in sizes
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
    tensors: dict[str, TensorSource] = {"synthesis.b4.const": TransformedTensor(const, const.shape[1:], lambda x: x[0])}
    if "dlatent_avg" in found:
        tensors["mapping.w_avg"] = found["dlatent_avg"]
    if label is not None:
        add_dense(tensors, found, "mapping.embed", "mapping/LabelEmbed")
    for i in range(layers):
        add_dense(tensors, found, f"mapping.fc{i}", f"mapping/Dense{i}")
    for size in sizes:
        block, place = f"synthesis.b{size}", f"synthesis/{size}x{size}"
        if size > 4:
            add_modulated_conv(tensors, found, f"{block}.conv0", f"{place}/Conv0_up", flip=True)
        add_modulated_conv(tensors, found, f"{block}.conv1", f"{place}/{'Conv' if size == 4 else 'Conv1'}")
        if config.use_noise:
            for layer, index in (("conv0", 2 * int(math.log2(size)) - 5), ("conv1", 2 * int(math.log2(size)) - 4)):
                noise = found.get(f"synthesis/noise{index}")
                if index >= 0 and noise is not None:
                    tensors[f"{block}.{layer}.noise_const"] = TransformedTensor(
                        noise, noise.shape[2:], lambda x: x[0, 0]
                    )
        if f"{place}/ToRGB/weight" in found:
            add_modulated_conv(tensors, found, f"{block}.torgb", f"{place}/ToRGB")
        if f"{place}/Skip/weight" in found:
            add_conv(tensors, found, f"{block}.skip", f"{place}/Skip", flip=True, bias=False)
    return StoredNetwork(config, tensors)


def _discriminator(state: _NetworkState) -> StoredNetwork:
    found = state.variables
    sizes = block_sizes(found, r"(\d+)x\1/")
    resolution = sizes[-1]
    rgb = get_variable(found, f"{resolution}x{resolution}/FromRGB/weight", 4)
    label = found.get("LabelEmbed/weight")
    group = layer_count(found, r"Mapping(\d+)/weight")
    architecture = "skip" if f"{resolution // 2}x{resolution // 2}/FromRGB/weight" in found else "orig"
    if f"{resolution}x{resolution}/Skip/weight" in found:
        architecture = "resnet"
    inputs = {size: _in_channels(found, f"{size}x{size}/Conv0/weight") for size in sizes if size > 4}
    inputs[4] = _out_channels(found, "4x4/Conv/weight")
    output = get_variable(found, "Output/weight", 2)
    after = _in_channels(found, "4x4/Conv/weight") - _out_channels(found, "4x4/Conv/weight")
    options: dict[str, Any] = {
        **_channel_options(inputs, state.options),
        "c_dim": _class_count(state, label, output),
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
            "layer_features": _out_channels(found, "Mapping0/weight", 2) if group > 1 else None,
            "lr_multiplier": state.options.get("mapping_lrmul", 0.1),
        }
    config = make_config(DiscriminatorConfig, options)
    tensors: dict[str, TensorSource] = {}
    for size in sizes:
        block, place = f"b{size}", f"{size}x{size}"
        if f"{place}/FromRGB/weight" in found:
            add_conv(tensors, found, f"{block}.fromrgb", f"{place}/FromRGB")
        if size > 4:
            add_conv(tensors, found, f"{block}.conv0", f"{place}/Conv0")
            add_conv(tensors, found, f"{block}.conv1", f"{place}/Conv1_down")
        if f"{place}/Skip/weight" in found:
            add_conv(tensors, found, f"{block}.skip", f"{place}/Skip", bias=False)
    add_conv(tensors, found, "b4.conv", "4x4/Conv")
    add_dense(tensors, found, "b4.fc", "4x4/Dense0")
    add_dense(tensors, found, "b4.out", "Output")
    if label is not None:
        add_dense(tensors, found, "mapping.embed", "LabelEmbed")
        for i in range(group):
            add_dense(tensors, found, f"mapping.fc{i}", f"Mapping{i}")
    return StoredNetwork(config, tensors)


def _class_count(state: _NetworkState, label: LazyTensor | None, output: LazyTensor) -> int:
    if label is not None:
        return label.shape[0]
    if output.shape[1] != 1:
        raise FormatError("its D is class-conditional in the way of the first StyleGAN2, which later ones do not share")
    return 0


def _shared_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of both networks that leave no trace in the shapes; TensorFlow's defaults are those given here."""
    taps = options.get("resample_kernel") or [1, 3, 3, 1]
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
    raise FormatError("the numbers of its channels follow no known rule")


def _out_channels(found: Mapping[str, LazyTensor], name: str, dimensions: int = 4) -> int:
    return get_variable(found, name, dimensions).shape[-1]


def _in_channels(found: Mapping[str, LazyTensor], name: str) -> int:
    return get_variable(found, name, 4).shape[2]


def _image_channels(found: Mapping[str, LazyTensor], sizes: list[int]) -> int:
    return _out_channels(found, f"synthesis/{sizes[-1]}x{sizes[-1]}/ToRGB/weight")
