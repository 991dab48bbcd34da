"""Command-line flags: one for every field of a Scene, accepting `_` and `-` alike."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from session import Scene
from session.field_paths import with_path
from session.fields import Field, FieldError, leaf_fields


class Parser(argparse.ArgumentParser):
    """Accepts `--noise_mode` for `--noise-mode` and negative numbers as values; errors are one sentence."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        args = sys.argv[1:] if args is None else args
        return super().parse_known_args([normalize_flag(word) for word in args], namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def normalize_flag(word: str) -> str:
    """Convert `--projected_w=a_b.npz` to `--projected-w=a_b.npz`: only the option's name changes."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def add_scene_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every field of a Scene, e.g. `--truncation.psi 0.7`, `--mixing.layers 0-3`."""
    group = parser.add_argument_group("every setting of the window, by its place in a session file")
    for path, field in leaf_fields(Scene):
        bounds = (
            f" ({field.range.low:g} to {field.range.high:g} {field.unit})".replace(" )", ")") if field.range else ""
        )
        choices = f" ({', '.join(field.choice.values)})" if field.choice else ""
        meaning = (field.meaning + bounds + choices).replace("%", "%%")
        flag = "--" + path.replace("_", "-")
        keywords: dict[str, Any] = {"dest": f"scene {path}", "metavar": field.kind.__name__.upper(), "help": meaning}
        keywords |= {"type": flag_parser(field), "default": argparse.SUPPRESS}
        if field.kind is bool:
            keywords |= {"nargs": "?", "const": True}
        group.add_argument(flag, **keywords)


def apply_scene_flags(scene: Scene, options: argparse.Namespace) -> Scene:
    """Return the scene with all given flags applied. Raises FieldError, naming the field and the bound."""
    for name, value in vars(options).items():
        if name.startswith("scene "):
            scene = with_path(scene, name.removeprefix("scene "), value)
    return scene


def flag_parser(field: Field) -> Callable[[str], Any]:
    """Return the function that parses a flag's text into the field's value."""

    def read(text: str) -> Any:
        if field.optional and text.lower() in ("none", "auto", ""):
            return None
        if field.is_tuple:
            return tuple(parse_int_list(text))
        if field.kind is bool:
            return parse_bool(text)
        return field.kind(text)

    read.__name__ = {int: "whole number", float: "number", bool: "true or false"}.get(field.kind, "text")
    return read


def parse_bool(text: str) -> bool:
    """Parse 1/0, true/false, yes/no or on/off. Raises ValueError."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def parse_int_list(text: str) -> list[int]:
    """Parse `1,2,5-10` into a list of integers; an empty text gives an empty list. Raises ArgumentTypeError."""
    numbers: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers and ranges like 1,2,5-10")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > 1_000_000:
            raise argparse.ArgumentTypeError(f"{part!r} is not a range from a smaller to a larger number")
        numbers += range(first, last + 1)
    return numbers


def parse_pair(text: str) -> tuple[float, float]:
    """Parse `0.3,1` into two numbers. Raises ArgumentTypeError."""
    try:
        x, y = (float(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers like 0.3,1") from None
    return x, y


def is_same_file(first: Path, second: Path) -> bool:
    """Whether both paths, links or not, lead to the same file or folder."""
    try:
        return first.samefile(second)
    except OSError:  # missing or inaccessible
        return False


def fail(message: str) -> int:
    """Print a message on standard error; return the exit status of a user error."""
    print(message, file=sys.stderr)
    return 2


__all__ = [
    "FieldError",
    "Parser",
    "add_scene_flags",
    "apply_scene_flags",
    "fail",
    "parse_int_list",
    "parse_pair",
    "is_same_file",
]
