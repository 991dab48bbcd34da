"""What a field may hold and what it means, said once: for the slider, the tooltip, the file check and the flag.

    @dataclass(frozen=True)
    class Truncation(Part):
        psi: Annotated[float, Range(-1, 2), "0 is the average image, 1 leaves w alone"] = 1.0

A Part checks itself when it is made, so no document with a value out of bounds can exist.
`describe(Truncation)["psi"]` gives the same facts to whoever needs them.
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
    """A value that a field cannot hold; the text names the field, the value and the bound."""


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included; `unit` is shown behind it, `fine` is the usual step of a drag."""

    low: float
    high: float
    unit: str = ""
    step: float | None = None
    log: bool = False


@dataclass(frozen=True, init=False)
class Choice:
    """One of a few words."""

    values: tuple[str, ...]

    def __init__(self, *values: str) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Field:
    """All that is known of one field."""

    name: str
    kind: type  # bool, int, float, str, or a Part
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
    """Base of every frozen dataclass of the document: checks its fields when it is made."""

    def __post_init__(self) -> None:
        for name, field in describe(type(self)).items():
            value = getattr(self, name)
            checked = validate(field, value, name)
            if checked is not value:
                object.__setattr__(self, name, checked)


@cache
def describe(part: type) -> Mapping[str, Field]:
    """The fields of a Part in their order."""
    hints = get_type_hints(part, include_extras=True)
    return {field.name: _field(field, hints[field.name]) for field in dataclasses.fields(part)}


def leaf_fields(part: type, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Every plain field below a Part with its dotted place: ("truncation.psi", Field). No tuples of Parts."""
    for name, field in describe(part).items():
        if not issubclass(field.kind, Record):
            yield prefix + name, field
        elif not field.is_tuple:
            yield from leaf_fields(field.kind, f"{prefix}{name}.")


def validate(field: Field, value: Any, place: str) -> Any:
    """The value as the field keeps it (an int becomes a float where the field is one). Raises FieldError."""
    if field.is_tuple:
        if not isinstance(value, (tuple, list)):
            raise FieldError(f"{place} is {_show(value)}, but must be a list.")
        return tuple(_validate_one(field, item, f"{place}[{i}]") for i, item in enumerate(value))
    if value is None and field.optional:
        return None
    return _validate_one(field, value, place)


def suggest(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """A sentence's end that helps with a misspelt name: "did you mean psi?" or the list of what is known."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."


def clamp(field: Field, value: Any) -> Any:
    """The nearest value within the field's bounds; what a slider or a drag may do, a file may not."""
    if field.range is None or value is None:
        return value
    return field.kind(min(max(value, field.range.low), field.range.high))


def _validate_one(field: Field, value: Any, place: str) -> Any:
    kind = field.kind
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            raise FieldError(f"{place} is {_show(value)}, but must be a finite number.") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FieldError(f"{place} is {_show(value)}, but must be {_NAMES.get(kind, kind.__name__)}.")
    if kind is float and not math.isfinite(value):
        raise FieldError(f"{place} is {value}, but must be a finite number.")
    if field.range and not field.range.low <= value <= field.range.high:
        low, high = (f"{bound:g}" for bound in (field.range.low, field.range.high))
        unit = f" {field.range.unit}" if field.range.unit else ""
        raise FieldError(f"{place} is {_show(value)}, but must be between {low} and {high}{unit}.")
    if field.choice and value not in field.choice.values:
        raise FieldError(f"{place} is {_show(value)}, but must be one of {', '.join(field.choice.values)}.")
    return value


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _field(field: dataclasses.Field[Any], hint: Any) -> Field:
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
