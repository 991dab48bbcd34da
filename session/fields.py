"""Field declarations: type, bounds and meaning, stated once for slider, tooltip, file check and command-line flag.

    @dataclass(frozen=True)
    class Truncation(Record):
        psi: Annotated[float, Range(-1, 2), "0 is the average image, 1 leaves w alone"] = 1.0

A Record validates itself on construction, so no document with a value out of bounds can exist.
`describe(Truncation)["psi"]` returns the declaration as a `Field`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints


class FieldError(ValueError):
    """An invalid value of a field; the message names the field, the value and the bound."""


@dataclass(frozen=True)
class Range:
    """Inclusive bounds of a number, its unit, the step of a drag, and whether its slider is logarithmic."""

    low: float
    high: float
    unit: str = ""
    step: float | None = None
    log: bool = False


@dataclass(frozen=True, init=False)
class Choice:
    """The allowed values of a text field."""

    values: tuple[str, ...]

    def __init__(self, *values: str) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Field:
    """The declaration of one field."""

    name: str
    kind: type  # bool, int, float, str, or a Record
    default: Any
    meaning: str
    range: Range | None
    choice: Choice | None
    optional: bool  # None is allowed
    is_tuple: bool  # a tuple of `kind`

    @property
    def unit(self) -> str:
        return self.range.unit if self.range else ""


@dataclass(frozen=True)
class Record:
    """Base class of the document's frozen dataclasses; validates its fields on construction (FieldError)."""

    def __post_init__(self) -> None:
        for name, field in describe(type(self)).items():
            value = getattr(self, name)
            validated = validate(field, value, name)
            if validated is not value:
                object.__setattr__(self, name, validated)


@cache
def describe(kind: type) -> Mapping[str, Field]:
    """Return the fields of a record type by name, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: _create_field(field, hints[field.name]) for field in dataclasses.fields(kind)}


def leaf_fields(kind: type, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield every scalar field below a record type with its path, e.g. ("truncation.psi", Field).

    Tuples of records are skipped.
    """
    for name, field in describe(kind).items():
        if not issubclass(field.kind, Record):
            yield prefix + name, field
        elif not field.is_tuple:
            yield from leaf_fields(field.kind, f"{prefix}{name}.")


def validate(field: Field, value: Any, path: str) -> Any:
    """Return the value as stored in the field (an int is converted for a float field). Raises FieldError."""
    if field.is_tuple:
        if not isinstance(value, (tuple, list)):
            raise FieldError(f"{path} is {_repr(value)}, but must be a list.")
        return tuple(_validate_one(field, item, f"{path}[{i}]") for i, item in enumerate(value))
    if value is None and field.optional:
        return None
    return _validate_one(field, value, path)


def suggest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Return the end of an error about an unknown name: "did you mean psi?", or the list of known names."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."


def clamp(field: Field, value: Any) -> Any:
    """Clamp a value to the field's bounds. For sliders and drags; files with such values are refused."""
    if field.range is None or value is None:
        return value
    return field.kind(min(max(value, field.range.low), field.range.high))


def _validate_one(field: Field, value: Any, path: str) -> Any:
    kind = field.kind
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise FieldError(f"{path} is {_repr(value)}, but must be a finite number.") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FieldError(f"{path} is {_repr(value)}, but must be {_NAMES.get(kind, kind.__name__)}.")
    if kind is float and not math.isfinite(value):
        raise FieldError(f"{path} is {value}, but must be a finite number.")
    if field.range and not field.range.low <= value <= field.range.high:
        low, high = (f"{bound:g}" for bound in (field.range.low, field.range.high))
        unit = f" {field.range.unit}" if field.range.unit else ""
        raise FieldError(f"{path} is {_repr(value)}, but must be between {low} and {high}{unit}.")
    if field.choice and value not in field.choice.values:
        raise FieldError(f"{path} is {_repr(value)}, but must be one of {', '.join(field.choice.values)}.")
    return value


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _repr(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _create_field(field: dataclasses.Field[Any], hint: Any) -> Field:
    meaning, range_, choice = "", None, None
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Range):
                range_ = note
            elif isinstance(note, Choice):
                choice = note
            elif isinstance(note, str):
                meaning = note
    optional = many = False
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
        optional = True
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
        many = True
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        default = None
    return Field(field.name, hint, default, meaning, range_, choice, optional, many)
