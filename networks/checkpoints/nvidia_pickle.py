"""Reads the .pkl files of NVIDIA's PyTorch repositories: StyleGAN3 and StyleGAN2-ADA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from networks.checkpoints.contents import ROLES, CheckpointContents, Role, StoredNetwork, detect_family, make_config
from networks.config import AnyConfig, DiscriminatorConfig, StyleGAN2Config
from networks.errors import FormatError, sanitize
from networks.safe_pickle.lazy_tensor import LazyTensor
from networks.safe_pickle.values import ModuleState

_MAX_MODULES = 5_000
_MAX_DEPTH = 16
_POSITIONAL_OPTIONS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")  # in the constructors' order


def read_nvidia_pickle(value: Any) -> CheckpointContents | None:
    """Find the networks in an unpickled value; None where it has none in this layout.

    `value` is a dict with G, D and G_ema (other items, such as augment_pipe, are ignored), or a single network. Raises
    FormatError for a malformed network.
    """
    if isinstance(value, ModuleState):
        value = {"G_ema": value}
    if type(value) is not dict or not any(isinstance(value.get(role), ModuleState) for role in ROLES):
        return None
    networks: dict[Role, StoredNetwork] = {}
    notes: list[str] = []
    for role in ROLES:
        module = value.get(role)
        if not isinstance(module, ModuleState):
            continue
        tensors, attributes = flatten_module(module)
        kind = detect_family(tensors)
        if kind is None or (kind is DiscriminatorConfig) != (role == "D"):
            notes.append(
                f"Its {role} ({sanitize(module.class_name, 40)}) is of a kind that is not known and was left aside."
            )
            continue
        networks[role] = StoredNetwork(_make_config(role, kind, attributes, tensors), tensors)
    return CheckpointContents("NVIDIA pickle", networks, notes=tuple(notes))


def flatten_module(module: ModuleState) -> tuple[dict[str, LazyTensor], dict[str, dict[Any, Any]]]:
    """Return all tensors by dotted name, and each submodule's attributes by its dotted name ("" is the whole).

    Raises FormatError for a malformed module or one of far more parts than a network has.
    """
    tensors: dict[str, LazyTensor] = {}
    attributes: dict[str, dict[Any, Any]] = {}
    pending = [("", module, 0)]
    while pending:
        prefix, part, depth = pending.pop()
        if depth > _MAX_DEPTH or len(attributes) > _MAX_MODULES or len(tensors) > 4 * _MAX_MODULES:
            raise FormatError("it has far more parts than a network has")
        attributes[prefix.removesuffix(".")] = part.state
        # Freeze-D stores frozen weights as buffers, so parameters and buffers are treated alike.
        for group in ("_parameters", "_buffers"):
            for name, tensor in _group_items(part, group):
                if isinstance(tensor, LazyTensor):
                    tensors[prefix + name] = tensor
                elif tensor is not None:
                    raise FormatError(f"its {sanitize(prefix + name)} is no tensor")
        for name, child in _group_items(part, "_modules"):
            if isinstance(child, ModuleState):
                pending.append((f"{prefix}{name}.", child, depth + 1))
    return tensors, attributes


def _group_items(part: ModuleState, group: str) -> list[tuple[str, Any]]:
    items = part.state.get(group, {})
    if type(items) is not dict or not all(type(name) is str and 0 < len(name) <= 200 for name in items):
        raise FormatError(f"a part of it has no {group.removeprefix('_')}")
    return list(items.items())


def _make_config(
    role: Role,
    kind: type[AnyConfig],
    attributes: Mapping[str, Mapping[Any, Any]],
    tensors: Mapping[str, LazyTensor],
) -> AnyConfig:
    """Build the config from the constructor's arguments and, for those left to defaults, from the modules' attributes.

    The repositories have different defaults, so a default is used only where no attribute shows the value.
    """
    top = attributes[""]
    keyword = top.get("_init_kwargs", {})
    positional = top.get("_init_args", ())
    if type(keyword) is not dict or type(positional) is not tuple:
        raise FormatError(f"the options of its {role} make no sense")
    names = [name for name in _POSITIONAL_OPTIONS if kind is not DiscriminatorConfig or name not in ("z_dim", "w_dim")]
    options: dict[str, Any] = {name: top[name] for name in names if name in top}
    options |= dict(zip(names, positional, strict=False))
    options |= _options_from_state(kind, attributes)
    options |= {name: value for name, value in keyword.items() if name != "class_name"}
    ada = kind is StyleGAN2Config and "synthesis_kwargs" in keyword
    return make_config(kind, options, ada=ada)  # type: ignore[type-var]


def _options_from_state(kind: type[AnyConfig], attributes: Mapping[str, Mapping[Any, Any]]) -> dict[str, Any]:
    """Return the options whose defaults differ between the two repositories, from the submodules' attributes."""
    if kind is StyleGAN2Config:
        blocks = {
            name: part for name, part in attributes.items() if name.startswith("synthesis.b") and "use_fp16" in part
        }
        layer = attributes.get("synthesis.b4.conv1", {})
    elif kind is DiscriminatorConfig:
        blocks = {name: part for name, part in attributes.items() if "." not in name and "use_fp16" in part}
        layer = attributes.get("b8.conv0", {})
    else:
        return {}
    options: dict[str, Any] = {}
    if blocks:
        options["num_fp16_res"] = sum(part["use_fp16"] is True for part in blocks.values())
    if "conv_clamp" in layer:
        options["conv_clamp"] = layer["conv_clamp"]
    return options
