"""Reads the network pickles of the TensorFlow programs StyleGAN2 and StyleGAN2-ADA, without TensorFlow.

A file is (G, D, Gs) or a single network. Each is an object of dnnlib's Network class whose state is plain data:
version, name, static_kwargs, components (networks inside it) and variables, a list of (name, array). Convolution
weights are [height, width, in, out], dense ones [in, out]; the kernels of upsampling convolutions are flipped; a
style's bias is stored without the 1 that is added to it.
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
    """Find the networks in an unpickled value; None where it has no TensorFlow networks.

    Raises FormatError for networks that are malformed or older than StyleGAN2.
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
    """Options and variables of one network, collected from its components."""

    options: Mapping[str, Any]  # with which the network was built, including those of its components
    variables: dict[str, LazyTensor]  # by "mapping/Dense0/weight", "synthesis/4x4/Const/const", "Output/weight"


def _is_network(value: Any) -> bool:
    return (
        isinstance(value, OpaqueObject)
        and value.name.module.startswith("dnnlib.tflib")
        and value.name.name == "Network"
    )


def _collect_state(network: OpaqueObject) -> _NetworkState:
    """Collect the options and variables of a network and its components."""
    options: dict[str, Any] = {}
    variables: dict[str, LazyTensor] = {}
    pending = [("", network, 0)]
    while pending:
        prefix, part, depth = pending.pop()
        state = part.state
        if type(state) is not dict or depth > 2 or len(variables) > _MAX_VARIABLES:
            raise FormatError("a network in it has no state")
        version = state.get("version")
        if type(version) is not int or version < _MIN_VERSION:
            raise FormatError("it is of TensorFlow's StyleGAN or Progressive GAN, which are not read yet")
        kwargs = state.get("static_kwargs", {})
        rows = state.get("variables", [])
        components = state.get("components", {})
        if type(kwargs) is not dict or type(rows) is not list or type(components) is not dict:
            raise FormatError("the state of a network in it makes no sense")
        options = {**kwargs, **options}
        for row in rows:
            if type(row) not in (tuple, list) or len(row) != 2 or type(row[0]) is not str:
                raise FormatError("a variable in it has no name")
            if isinstance(row[1], LazyTensor):
                variables[_normalize_name(prefix + row[0])] = row[1]
        for name, component in components.items():
            if not _is_network(component) or type(name) is not str:
                raise FormatError("a component in it is no network")
            pending.append((f"{prefix}{name}/", component, depth + 1))
    return _NetworkState(options, variables)


def _normalize_name(name: str) -> str:
    """Remove the component names G_mapping and G_synthesis, which some files repeat in their variables' names."""
    name = re.sub(r"^(?:G_mapping|mapping/G_mapping)/", "mapping/", name)
    return re.sub(r"^(?:G_synthesis|synthesis/G_synthesis)/", "synthesis/", name)


def _generator(state: _NetworkState) -> StoredNetwork:
    variables = state.variables
    if "mapping/LabelConcat/weight" in variables:
        raise FormatError("it is class-conditional in the way of the first StyleGAN2, which later ones do not share")
    sizes = block_sizes(variables, r"synthesis/(\d+)x\1/")
    resolution = sizes[-1]
    layers = layer_count(variables, r"mapping/Dense(\d+)/weight")
    first = get_variable(variables, "mapping/Dense0/weight", 2)
    const = get_variable(variables, "synthesis/4x4/Const/const", 4)
    label = variables.get("mapping/LabelEmbed/weight")
    img_channels = _image_channels(variables, sizes)
    w_dim = get_variable(variables, f"mapping/Dense{layers - 1}/weight", 2).shape[1]
    channels = {
        size: _out_channels(variables, f"synthesis/{size}x{size}/{'Conv' if size == 4 else 'Conv1'}/weight")
        for size in sizes
    }
    architecture = "skip" if "synthesis/4x4/ToRGB/weight" in variables else "orig"
    if "synthesis/8x8/Skip/weight" in variables:
        architecture = "resnet"
    options: dict[str, Any] = {
        **_channel_options(channels, state.options),
        "z_dim": first.shape[0] - (0 if label is None else label.shape[-1]),
        "c_dim": 0 if label is None else label.shape[0],
        "w_dim": w_dim,
        "img_resolution": resolution,
        "img_channels": img_channels,
        "mapping_kwargs": {
            "num_layers": layers,
            "lr_multiplier": state.options.get("mapping_lrmul", 0.01),
            "w_avg_beta": 0.995 if "dlatent_avg" in variables else None,
            "embed_features": None if label is None else label.shape[-1],
            "layer_features": first.shape[1] if layers > 1 else None,
            "activation": state.options.get("mapping_nonlinearity", "lrelu"),
        },
        "synthesis_kwargs": {
            "architecture": architecture,
            "use_noise": "synthesis/noise0" in variables,
            **_shared_options(state.options),
        },
    }
    config = make_config(StyleGAN2Config, options, ada=True)
    tensors: dict[str, TensorSource] = {"synthesis.b4.const": TransformedTensor(const, const.shape[1:], lambda x: x[0])}
    if "dlatent_avg" in variables:
        tensors["mapping.w_avg"] = variables["dlatent_avg"]
    if label is not None:
        add_dense(tensors, variables, "mapping.embed", "mapping/LabelEmbed")
    for i in range(layers):
        add_dense(tensors, variables, f"mapping.fc{i}", f"mapping/Dense{i}")
    for size in sizes:
        block, scope = f"synthesis.b{size}", f"synthesis/{size}x{size}"
        if size > 4:
            add_modulated_conv(tensors, variables, f"{block}.conv0", f"{scope}/Conv0_up", flip=True)
        add_modulated_conv(tensors, variables, f"{block}.conv1", f"{scope}/{'Conv' if size == 4 else 'Conv1'}")
        if config.use_noise:
            for layer, index in (("conv0", 2 * int(math.log2(size)) - 5), ("conv1", 2 * int(math.log2(size)) - 4)):
                noise = variables.get(f"synthesis/noise{index}")
                if index >= 0 and noise is not None:
                    tensors[f"{block}.{layer}.noise_const"] = TransformedTensor(
                        noise, noise.shape[2:], lambda x: x[0, 0]
                    )
        if f"{scope}/ToRGB/weight" in variables:
            add_modulated_conv(tensors, variables, f"{block}.torgb", f"{scope}/ToRGB")
        if f"{scope}/Skip/weight" in variables:
            add_conv(tensors, variables, f"{block}.skip", f"{scope}/Skip", flip=True, bias=False)
    return StoredNetwork(config, tensors)


def _discriminator(state: _NetworkState) -> StoredNetwork:
    variables = state.variables
    sizes = block_sizes(variables, r"(\d+)x\1/")
    resolution = sizes[-1]
    rgb = get_variable(variables, f"{resolution}x{resolution}/FromRGB/weight", 4)
    label = variables.get("LabelEmbed/weight")
    group = layer_count(variables, r"Mapping(\d+)/weight")
    architecture = "skip" if f"{resolution // 2}x{resolution // 2}/FromRGB/weight" in variables else "orig"
    if f"{resolution}x{resolution}/Skip/weight" in variables:
        architecture = "resnet"
    inputs = {size: _in_channels(variables, f"{size}x{size}/Conv0/weight") for size in sizes if size > 4}
    inputs[4] = _out_channels(variables, "4x4/Conv/weight")
    output = get_variable(variables, "Output/weight", 2)
    mbstd_channels = _in_channels(variables, "4x4/Conv/weight") - _out_channels(variables, "4x4/Conv/weight")
    options: dict[str, Any] = {
        **_channel_options(inputs, state.options),
        "c_dim": _class_count(state, label, output),
        "img_resolution": resolution,
        "img_channels": rgb.shape[2],
        "architecture": architecture,
        **_shared_options(state.options),
        "epilogue_kwargs": {
            "mbstd_group_size": state.options.get("mbstd_group_size", 4),
            "mbstd_num_channels": mbstd_channels,
        },
    }
    if label is not None:
        options["cmap_dim"] = output.shape[1]
        options["mapping_kwargs"] = {
            "num_layers": group,
            "embed_features": label.shape[-1],
            "layer_features": _out_channels(variables, "Mapping0/weight", 2) if group > 1 else None,
            "lr_multiplier": state.options.get("mapping_lrmul", 0.1),
        }
    config = make_config(DiscriminatorConfig, options)
    tensors: dict[str, TensorSource] = {}
    for size in sizes:
        block, scope = f"b{size}", f"{size}x{size}"
        if f"{scope}/FromRGB/weight" in variables:
            add_conv(tensors, variables, f"{block}.fromrgb", f"{scope}/FromRGB")
        if size > 4:
            add_conv(tensors, variables, f"{block}.conv0", f"{scope}/Conv0")
            add_conv(tensors, variables, f"{block}.conv1", f"{scope}/Conv1_down")
        if f"{scope}/Skip/weight" in variables:
            add_conv(tensors, variables, f"{block}.skip", f"{scope}/Skip", bias=False)
    add_conv(tensors, variables, "b4.conv", "4x4/Conv")
    add_dense(tensors, variables, "b4.fc", "4x4/Dense0")
    add_dense(tensors, variables, "b4.out", "Output")
    if label is not None:
        add_dense(tensors, variables, "mapping.embed", "LabelEmbed")
        for i in range(group):
            add_dense(tensors, variables, f"mapping.fc{i}", f"Mapping{i}")
    return StoredNetwork(config, tensors)


def _class_count(state: _NetworkState, label: LazyTensor | None, output: LazyTensor) -> int:
    if label is not None:
        return label.shape[0]
    if output.shape[1] != 1:
        raise FormatError("its D is class-conditional in the way of the first StyleGAN2, which later ones do not share")
    return 0


def _shared_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of both networks that do not affect shapes, with the TensorFlow programs' defaults."""
    taps = options.get("resample_kernel") or [1, 3, 3, 1]
    return {
        "num_fp16_res": options.get("num_fp16_res", 0),
        "conv_clamp": options.get("conv_clamp"),
        "resample_filter": tuple(taps) if type(taps) in (list, tuple) else taps,
        "activation": options.get("nonlinearity", "lrelu"),
    }


def _channel_options(channels: Mapping[int, int], options: Mapping[str, Any]) -> dict[str, int]:
    """Return channel_base and channel_max that give these numbers of channels at these resolutions.

    Raises FormatError where no values do.
    """
    largest = max(channels.values())
    below = [size * count for size, count in channels.items() if count < largest]
    fmap_base = options.get("fmap_base")
    guesses = [below[0] if below else largest * max(channels)]
    if type(fmap_base) is int:
        guesses = [fmap_base * 2, fmap_base, *guesses]
    for base in guesses:
        if all(min(base // size, largest) == count for size, count in channels.items()):
            return {"channel_base": base, "channel_max": largest}
    raise FormatError("the numbers of its channels follow no known rule")


def _out_channels(variables: Mapping[str, LazyTensor], name: str, dimensions: int = 4) -> int:
    return get_variable(variables, name, dimensions).shape[-1]


def _in_channels(variables: Mapping[str, LazyTensor], name: str) -> int:
    return get_variable(variables, name, 4).shape[2]


def _image_channels(variables: Mapping[str, LazyTensor], sizes: list[int]) -> int:
    return _out_channels(variables, f"synthesis/{sizes[-1]}x{sizes[-1]}/ToRGB/weight")
