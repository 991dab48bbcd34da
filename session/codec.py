"""Session <-> YAML: readable files; every error names the field and its bounds."""

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
    """A session that cannot be read; one sentence with the file and the field."""


def to_yaml(session: Session) -> str:
    """Serialize a document; equal documents give equal text."""
    return yaml.safe_dump({"bandlimit": VERSION, **to_dict(session)}, sort_keys=False, allow_unicode=True)


def from_yaml(text: str, source: str = "session") -> Session:
    """Parse a document; missing fields have their defaults. Raises SessionError, which names `source`."""
    try:
        tree = load_yaml(text)
    except ValueError as error:
        raise SessionError(f"{source} is no session that can be read ({error}): choose another file.") from error
    except (yaml.YAMLError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f" at line {line + 1}" if line is not None else ""
        raise SessionError(f"{source} is not readable YAML{place}: mend it, or start from a new session.") from error
    if not isinstance(tree, dict) or "bandlimit" not in tree:
        raise SessionError(f"{source} is not a Bandlimit session: its first line should be 'bandlimit: {VERSION}'.")
    tree = dict(tree)
    tree = upgrade(tree, tree.pop("bandlimit"), source)
    try:
        return from_dict(Session, tree, "")
    except FieldError as error:
        raise SessionError(f"{source}: {error}") from error


def upgrade(tree: dict[str, Any], version: Any, source: str) -> dict[str, Any]:
    """Convert the data of an older version to this one (only one exists). Raises SessionError for a newer one."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SessionError(f"{source} has version {version!r}, but a session's version is a whole number from 1.")
    if version > VERSION:
        raise SessionError(
            f"{source} was written by a newer Bandlimit (version {version}, here {VERSION}): update to open it."
        )
    return tree


def save(path: Path, session: Session) -> None:
    """Write the document, atomically; missing folders are created. Raises OSError."""
    text = to_yaml(session)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        part.write_bytes(text.encode())


def load(path: Path) -> Session:
    """Read a document. Raises SessionError, also if the file cannot be read."""
    try:
        text = read_bounded(path, MAX_YAML_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SessionError(f"{path} is not a text file, so not a session: choose a .yaml file.") from error
    except OSError as error:
        raise SessionError(f"{path} cannot be read ({error.strerror}): choose another file.") from error
    return from_yaml(text, path.name)


def to_dict(record: Record) -> dict[str, Any]:
    """Convert a record to dicts, lists and scalars."""
    return {field.name: _to_plain(getattr(record, field.name)) for field in dataclasses.fields(record)}


def from_dict(kind: type, tree: Any, path: str) -> Any:
    """Convert dicts, lists and scalars to a record of type `kind`.

    Raises FieldError with the dotted path of the invalid field; `path` is the path of this record.
    """
    if not isinstance(tree, dict):
        raise FieldError(f"{path or 'the session'} must be a group of fields, not {tree!r:.60}.")
    fields, prefix = describe(kind), f"{path}." if path else ""
    for name in tree:
        if name not in fields:
            raise FieldError(f"There is no field {prefix}{name}: {suggest(str(name), tuple(fields))}")
    values = {name: _from_plain(fields[name], value, prefix + name) for name, value in tree.items()}
    return kind(**values)


def _to_plain(value: Any) -> Any:
    if isinstance(value, Record):
        return to_dict(value)
    return [_to_plain(item) for item in value] if isinstance(value, tuple) else value


def _from_plain(field: Field, value: Any, path: str) -> Any:
    if not issubclass(field.kind, Record):
        return validate(field, value, path)
    if not field.is_tuple:
        return from_dict(field.kind, value, path)
    if not isinstance(value, list):
        raise FieldError(f"{path} must be a list.")
    return tuple(from_dict(field.kind, item, f"{path}[{i}]") for i, item in enumerate(value))
