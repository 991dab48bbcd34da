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

from networks.checkpoints.contents import Changed, Contents, Numbers, Role, StoredNetwork, make_config
from networks.checkpoints.tensorflow_variables import block_sizes, convolution, dense, layer_count, shaped, styled
from networks.config import DiscriminatorConfig, StyleGAN2Config
from networks.errors import Flaw
from networks.safe_pickle.lazy_tensor import StoredTensor
from networks.safe_pickle.values import Thing

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
        raise Flaw(f"it holds {len(value)} networks, where (G, D, Gs) was expected")
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
            raise Flaw("a network in it has no state")
        version = state.get("version")
        if type(version) is not int or version < _FIRST_STYLEGAN2:
            raise Flaw("it is of TensorFlow's StyleGAN or Progressive GAN, which are not read yet")
        named = state.get("static_kwargs", {})
        rows = state.get("variables", [])
        components = state.get("components", {})
        if type(named) is not dict or type(rows) is not list or type(components) is not dict:
            raise Flaw("the state of a network in it makes no sense")
        options = {**named, **options}
        for row in rows:
            if type(row) not in (tuple, list) or len(row) != 2 or type(row[0]) is not str:
                raise Flaw("a variable in it has no name")
            if isinstance(row[1], StoredTensor):
                variables[_usual(prefix + row[0])] = row[1]
        for name, component in components.items():
            if not _is_network(component) or type(name) is not str:
                raise Flaw("a component in it is no network")
            waiting.append((f"{prefix}{name}/", component, depth + 1))
    return _State(options, variables)


def _usual(name: str) -> str:
    """Some files name components G_mapping and G_synthesis in their variables as well."""
    name = re.sub(r"^(?:G_mapping|mapping/G_mapping)/", "mapping/", name)
    return re.sub(r"^(?:G_synthesis|synthesis/G_synthesis)/", "synthesis/", name)


def _generator(state: _State) -> StoredNetwork:
    found = state.variables
    if "mapping/LabelConcat/weight" in found:
        raise Flaw("it is class-conditional in the way of the first StyleGAN2, which later ones do not share")
    sizes = block_sizes(found, r"synthesis/(\d+)x\1/")
    resolution = sizes[-1]
    layers = layer_count(found, r"mapping/Dense(\d+)/weight")
    first = shaped(found, "mapping/Dense0/weight", 2)
    const = shaped(found, "synthesis/4x4/Const/const", 4)
    label = found.get("mapping/LabelEmbed/weight")
    last_rgb = _last_rgb(found, sizes)
    w_dim = shaped(found, f"mapping/Dense{layers - 1}/weight", 2).shape[1]
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
        dense(tensors, found, "mapping.embed", "mapping/LabelEmbed")
    for i in range(layers):
        dense(tensors, found, f"mapping.fc{i}", f"mapping/Dense{i}")
    for size in sizes:
        block, place = f"synthesis.b{size}", f"synthesis/{size}x{size}"
        if size > 4:
            styled(tensors, found, f"{block}.conv0", f"{place}/Conv0_up", flip=True)
        styled(tensors, found, f"{block}.conv1", f"{place}/{'Conv' if size == 4 else 'Conv1'}")
        if config.use_noise:
            for layer, index in (("conv0", 2 * int(math.log2(size)) - 5), ("conv1", 2 * int(math.log2(size)) - 4)):
                noise = found.get(f"synthesis/noise{index}")
                if index >= 0 and noise is not None:
                    tensors[f"{block}.{layer}.noise_const"] = Changed(noise, noise.shape[2:], lambda x: x[0, 0])
        if f"{place}/ToRGB/weight" in found:
            styled(tensors, found, f"{block}.torgb", f"{place}/ToRGB")
        if f"{place}/Skip/weight" in found:
            convolution(tensors, found, f"{block}.skip", f"{place}/Skip", flip=True, bias=False)
    return StoredNetwork(config, tensors)


def _discriminator(state: _State) -> StoredNetwork:
    found = state.variables
    sizes = block_sizes(found, r"(\d+)x\1/")
    resolution = sizes[-1]
    rgb = shaped(found, f"{resolution}x{resolution}/FromRGB/weight", 4)
    label = found.get("LabelEmbed/weight")
    group = layer_count(found, r"Mapping(\d+)/weight")
    architecture = "skip" if f"{resolution // 2}x{resolution // 2}/FromRGB/weight" in found else "orig"
    if f"{resolution}x{resolution}/Skip/weight" in found:
        architecture = "resnet"
    inputs = {size: _in(found, f"{size}x{size}/Conv0/weight") for size in sizes if size > 4}
    inputs[4] = _out(found, "4x4/Conv/weight")
    output = shaped(found, "Output/weight", 2)
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
            convolution(tensors, found, f"{block}.fromrgb", f"{place}/FromRGB")
        if size > 4:
            convolution(tensors, found, f"{block}.conv0", f"{place}/Conv0")
            convolution(tensors, found, f"{block}.conv1", f"{place}/Conv1_down")
        if f"{place}/Skip/weight" in found:
            convolution(tensors, found, f"{block}.skip", f"{place}/Skip", bias=False)
    convolution(tensors, found, "b4.conv", "4x4/Conv")
    dense(tensors, found, "b4.fc", "4x4/Dense0")
    dense(tensors, found, "b4.out", "Output")
    if label is not None:
        dense(tensors, found, "mapping.embed", "LabelEmbed")
        for i in range(group):
            dense(tensors, found, f"mapping.fc{i}", f"Mapping{i}")
    return StoredNetwork(config, tensors)


def _labels(state: _State, label: StoredTensor | None, output: StoredTensor) -> int:
    if label is not None:
        return label.shape[0]
    if output.shape[1] != 1:
        raise Flaw("its D is class-conditional in the way of the first StyleGAN2, which later ones do not share")
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
    raise Flaw("the numbers of its channels follow no known rule")


def _out(found: Mapping[str, StoredTensor], name: str, dimensions: int = 4) -> int:
    return shaped(found, name, dimensions).shape[-1]


def _in(found: Mapping[str, StoredTensor], name: str) -> int:
    return shaped(found, name, 4).shape[2]


def _last_rgb(found: Mapping[str, StoredTensor], sizes: list[int]) -> int:
    return _out(found, f"synthesis/{sizes[-1]}x{sizes[-1]}/ToRGB/weight")
