"""Where a part lives in a Scene: get and put by dotted name, or by type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from session.fields import Field, FieldError, Record, describe, suggest, validate
from session.scene import Scene

P = TypeVar("P", bound=Record)


def get_path(part: Any, place: str) -> Any:
    """The value at a dotted place: get(scene, "truncation.psi"). Raises FieldError where there is no such place."""
    for name in place.split("."):
        _require_field(part, name, place)
        part = getattr(part, name)
    return part


def with_path(part: P, place: str, value: Any) -> P:
    """The part with the value at that place. Raises FieldError, naming the place, where it does not fit."""
    return _with_path(part, place, value, place)


def find_field(part: type, place: str) -> Field:
    """The description of the field at a dotted place below a Part."""
    name, _, rest = place.partition(".")
    fields = describe(part)
    if name not in fields:
        raise FieldError(f"There is no field {place}: {suggest(name, tuple(fields))}")
    return find_field(fields[name].kind, rest) if rest else fields[name]


def path_of(kind: type) -> str:
    """The name of the Scene's part of a type: place_of(Truncation) is "truncation"; of Scene itself, ""."""
    if kind is Scene:
        return ""
    for name, field in describe(Scene).items():
        if field.kind is kind:
            return name
    raise FieldError(f"A Scene has no part of type {kind.__name__}.")


def _with_path(part: P, rest: str, value: Any, place: str) -> P:
    name, _, below = rest.partition(".")
    field = _require_field(part, name, place)
    changed = _with_path(getattr(part, name), below, value, place) if below else validate(field, value, place)
    return replace(part, **{name: changed})


def _require_field(part: Any, name: str, place: str) -> Field:
    if not isinstance(part, Record) or name not in describe(type(part)):
        known = tuple(describe(type(part))) if isinstance(part, Record) else ()
        raise FieldError(f"There is no field {place}: {suggest(name, known)}")
    return describe(type(part))[name]
