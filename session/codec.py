"""Session <-> YAML: files that a person can read and mend; every complaint names the place and the bound."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from session.atomic_write import atomic_write
from session.bounded_read import MAX_YAML_BYTES, load_yaml, read_bounded
from session.document import Session
from session.fields import Field, FieldError, Record, describe, suggest, validate

VERSION = 1


class SessionError(ValueError):
    """A session that cannot be read: one sentence with the file and the place."""


def to_yaml(session: Session) -> str:
    """The whole document as text; equal documents give equal text."""
    return yaml.safe_dump({"bandlimit": VERSION, **to_dict(session)}, sort_keys=False, allow_unicode=True)


def from_yaml(text: str, where: str = "session") -> Session:
    """The document that a text describes; what is left out has its default. Raises SessionError."""
    try:
        tree = load_yaml(text)
    except ValueError as error:
        raise SessionError(f"{where} is no session that can be read ({error}): choose another file.") from error
    except (yaml.YAMLError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" at line {line + 1}" if line is not None else ""
        raise SessionError(f"{where} is not readable YAML{place}: mend it, or start from a new session.") from error
    if not isinstance(tree, dict) or "bandlimit" not in tree:
        raise SessionError(f"{where} is not a Bandlimit session: its first line should be 'bandlimit: {VERSION}'.")
    tree = dict(tree)
    tree = upgrade(tree, tree.pop("bandlimit"), where)
    try:
        return from_dict(Session, tree, "")
    except FieldError as error:
        raise SessionError(f"{where}: {error}") from error


def upgrade(tree: dict[str, Any], version: Any, where: str) -> dict[str, Any]:
    """A tree of an older version as one of this version. There is one version so far."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SessionError(f"{where} has version {version!r}, but a session's version is a whole number from 1.")
    if version > VERSION:
        raise SessionError(
            f"{where} was written by a newer Bandlimit (version {version}, here {VERSION}): update to open it."
        )
    return tree


def save(path: Path, session: Session) -> None:
    """Write the document, atomically; missing folders are created. Raises OSError."""
    text = to_yaml(session)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        part.write_bytes(text.encode())


def load(path: Path) -> Session:
    """Read a document. Raises SessionError, also where the file cannot be read."""
    try:
        text = read_bounded(path, MAX_YAML_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SessionError(f"{path} is not a text file, so not a session: choose a .yaml file.") from error
    except OSError as error:
        raise SessionError(f"{path} cannot be read ({error.strerror}): choose another file.") from error
    return from_yaml(text, path.name)


def to_dict(part: Record) -> dict[str, Any]:
    """A part as dicts, lists and scalars."""
    return {field.name: _to_plain(getattr(part, field.name)) for field in dataclasses.fields(part)}


def from_dict(kind: type, tree: Any, place: str) -> Any:
    """A part from dicts, lists and scalars. Raises FieldError with the dotted place of what does not fit."""
    if not isinstance(tree, dict):
        raise FieldError(f"{place or 'the session'} must be a group of fields, not {tree!r:.60}.")
    fields, prefix = describe(kind), f"{place}." if place else ""
    for name in tree:
        if name not in fields:
            raise FieldError(f"There is no field {prefix}{name}: {suggest(str(name), tuple(fields))}")
    values = {name: _value(fields[name], value, prefix + name) for name, value in tree.items()}
    return kind(**values)


def _to_plain(value: Any) -> Any:
    if isinstance(value, Record):
        return to_dict(value)
    return [_to_plain(item) for item in value] if isinstance(value, tuple) else value


def _value(field: Field, value: Any, place: str) -> Any:
    if not issubclass(field.kind, Record):
        return validate(field, value, place)
    if not field.is_tuple:
        return from_dict(field.kind, value, place)
    if not isinstance(value, list):
        raise FieldError(f"{place} must be a list.")
    return tuple(from_dict(field.kind, item, f"{place}[{i}]") for i, item in enumerate(value))
