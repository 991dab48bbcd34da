"""Preferences: recent networks, window, theme, speed, folders, layout; and the files that hold them.

They are separate from the document. A damaged file is renamed, and the program starts with defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import yaml

from gui import platform_dirs
from session import Session, codec
from session.atomic_write import atomic_write
from session.bounded_read import MAX_YAML_BYTES, load_yaml, read_bounded
from session.fields import Choice, FieldError, Range, Record, describe, validate

SETTINGS, SESSION = "settings.yaml", "session.yaml"
MAX_RECENTS = 12
DAMAGED = "{what} could not be read and was set aside as {name}; starting with the defaults."


@dataclass(frozen=True)
class Preferences(Record):
    """Everything that is remembered between starts; each field says what it means."""

    recents: Annotated[tuple[str, ...], "Networks opened last, newest first"] = ()
    theme: Annotated[str, Choice("dark", "light"), "Colours of the window"] = "dark"
    scale: Annotated[float, Range(0.5, 3.0, "×", step=0.05), "Size of text and controls"] = 1.0
    greet: Annotated[bool, "What the program opens with moves gently until it is touched"] = True
    frame_limit: Annotated[int, Range(5, 240, "fps"), "Redraws the window at most this often"] = 60
    vsync: Annotated[bool, "Waits for the display before showing a frame"] = True
    smooth: Annotated[bool, "Above 200 % image pixels are blended; off: each is a crisp square"] = False
    preview: Annotated[bool, "While a hand is moving, a slow network may show a quicker, less exact picture"] = True
    capture_folder: Annotated[str, "Where pictures are saved; empty: Pictures/Bandlimit, or ./out"] = ""
    browse_folder: Annotated[str, "Where the file browser opens"] = ""
    width: Annotated[int, Range(320, 16384), "Width of the window"] = 1280
    height: Annotated[int, Range(240, 16384), "Height of the window"] = 800
    left: Annotated[int | None, Range(-32768, 32768), "Place of the window; empty: where the system puts it"] = None
    top: Annotated[int | None, Range(-32768, 32768), "Place of the window"] = None
    closed: Annotated[tuple[str, ...], "Panels that are folded up"] = ("Noise",)
    floating: Annotated[tuple[str, ...], "Panels in a window of their own"] = ()
    drawer: Annotated[str, "Panel that stands open at the bottom; empty: none"] = ""
    drawer_height: Annotated[float, Range(4, 60, "em"), "Height of the open panel at the bottom"] = 16.0
    layout_em: Annotated[float | None, Range(1, 200), "Height of the text, in pixels, that the layout was made for"] = (
        None
    )
    layout: Annotated[str, "Where the columns are docked, as Dear ImGui writes it; empty: as at the first start"] = ""

    @property
    def capture_path(self) -> Path:
        """The folder of saved images."""
        return (
            platform_dirs.expand_home(self.capture_folder) if self.capture_folder else platform_dirs.pictures_folder()
        )


def add_recent(prefs: Preferences, path: str) -> Preferences:
    """Move a network to the head of the recent ones."""
    others = tuple(other for other in prefs.recents if other != path)
    return replace(prefs, recents=(path, *others)[:MAX_RECENTS]) if path else prefs


def load(folder: Path) -> tuple[Preferences, Session | None, list[str]]:
    """Load settings and last session of a folder, with a sentence for each file that was damaged and renamed."""
    notes: list[str] = []
    prefs, session = Preferences(), None
    try:
        prefs = _read_settings(folder / SETTINGS)
    except FileNotFoundError:
        pass
    except (ValueError, OSError, RecursionError):
        notes.append(_set_aside(folder / SETTINGS, "The settings"))
    if (folder / SESSION).exists():
        try:
            session = codec.load(folder / SESSION)
        except codec.SessionError:
            notes.append(_set_aside(folder / SESSION, "The last session"))
    return prefs, session, notes


def save(folder: Path, prefs: Preferences) -> None:
    """Write the settings atomically. Raises OSError where the folder cannot be written."""
    text = yaml.safe_dump(codec.to_dict(prefs), sort_keys=False, allow_unicode=True)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / SETTINGS) as part:
        part.write_bytes(text.encode())


def save_session(folder: Path, session: Session) -> None:
    """Write the document as the last session. Raises OSError where the folder cannot be written."""
    codec.save(folder / SESSION, session)


def _read_settings(path: Path) -> Preferences:
    """Read a settings file, skipping what is invalid, so that one bad line does not cost the others.

    Raises ValueError where the file is not YAML.
    """
    try:
        tree = load_yaml(read_bounded(path, MAX_YAML_BYTES).decode("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(tree, dict):
        raise ValueError("not a group of settings")
    known = describe(Preferences)
    values: dict[str, Any] = {}
    for field in fields(Preferences):
        if field.name in tree:
            try:
                values[field.name] = validate(known[field.name], tree[field.name], field.name)
            except FieldError:
                continue  # of an older or newer version, or mistyped: keep the default
    return Preferences(**values)


def _set_aside(path: Path, what: str) -> str:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        path.replace(aside)
    except OSError:
        return f"{what} could not be read; starting with the defaults."
    return DAMAGED.format(what=what, name=aside.name)
