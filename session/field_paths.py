"""Access to fields by dotted path, e.g. "truncation.psi"."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from session.fields import Field, FieldError, Record, describe, suggest, validate
from session.scene import Scene

R = TypeVar("R", bound=Record)


def get_path(record: Any, path: str) -> Any:
    """Return the value at a path: get_path(scene, "truncation.psi"). Raises FieldError for an unknown path."""
    for name in path.split("."):
        _require_field(record, name, path)
        record = getattr(record, name)
    return record


def with_path(record: R, path: str, value: Any) -> R:
    """Return a copy with the value at a path. Raises FieldError, naming the path, if the value is invalid."""
    return _with_path(record, path, value, path)


def find_field(kind: type, path: str) -> Field:
    """Return the description of the field at a path below a record type. Raises FieldError for an unknown path."""
    name, _, rest = path.partition(".")
    fields = describe(kind)
    if name not in fields:
        raise FieldError(f"There is no field {path}: {suggest(name, tuple(fields))}")
    return find_field(fields[name].kind, rest) if rest else fields[name]


def path_of(kind: type) -> str:
    """Return the path of a Scene's part by its type: path_of(Truncation) is "truncation", path_of(Scene) is ""."""
    if kind is Scene:
        return ""
    for name, field in describe(Scene).items():
        if field.kind is kind:
            return name
    raise FieldError(f"A Scene has no part of type {kind.__name__}.")


def _with_path(record: R, rest: str, value: Any, path: str) -> R:
    name, _, below = rest.partition(".")
    field = _require_field(record, name, path)
    changed = _with_path(getattr(record, name), below, value, path) if below else validate(field, value, path)
    return replace(record, **{name: changed})


def _require_field(record: Any, name: str, path: str) -> Field:
    if not isinstance(record, Record) or name not in describe(type(record)):
        known = tuple(describe(type(record))) if isinstance(record, Record) else ()
        raise FieldError(f"There is no field {path}: {suggest(name, known)}")
    return describe(type(record))[name]
