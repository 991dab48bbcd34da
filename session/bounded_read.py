"""Reading files of others within bounds: plain files only, never more bytes than asked for, YAML without surprises.

A path may lead to a device that never ends, a pipe that nobody writes to, or a file that grows while it is read; a
small YAML may unfold to gigabytes. Each costs one sentence here instead of a program that hangs.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import yaml

MAX_YAML_BYTES = 2**20
MAX_YAML_NODES = 20_000
KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)  # fmt: skip
_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser is ten times as fast


class NotPlainFileError(OSError):
    """What is at a path is no plain file, or too large; `strerror` says which, to stand in a sentence."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(None, reason, str(path))
        self.strerror = reason


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return all bytes of a plain file.

    Raises:
        NotPlainFileError: it is a folder, device, pipe or socket (also behind a link), or holds more than `max_bytes`.
        OSError: it cannot be read.
    """
    check_plain(path)  # a device may do something when it is opened
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        _check_mode(path, os.fstat(file.fileno()).st_mode)
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise NotPlainFileError(path, f"it holds more than {max_bytes / 2**20:.3g} MB")
    return data


def check_plain(path: Path) -> None:
    """Raise NotPlainFileError where a path is no plain file, OSError where it cannot be looked at."""
    _check_mode(path, path.stat().st_mode)


def load_yaml(text: str, *, aliases: bool = False) -> Any:
    """Return the plain data of a YAML text of at most MAX_YAML_BYTES and MAX_YAML_NODES.

    Without `aliases` those are refused: whoever walks through data that refers to itself may never end.
    Raises yaml.YAMLError, ValueError or RecursionError.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_YAML_BYTES:
        raise ValueError(f"it holds more than {MAX_YAML_BYTES // 2**20} MB of text")
    loader = yaml.SafeLoader if "\\u" in text else _FAST_LOADER  # libyaml refuses names of files that are no text
    nodes = depth = 0
    for event in yaml.parse(text, Loader=loader):
        if not aliases and getattr(event, "anchor", None) is not None:
            raise yaml.YAMLError("anchors and aliases are not used here")
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > 50:
            raise yaml.YAMLError("it is nested too deep")
        if nodes > MAX_YAML_NODES:
            raise ValueError(f"it holds more than {MAX_YAML_NODES} values")
    return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader


def _check_mode(path: Path, mode: int) -> None:
    for is_kind, name in KINDS:
        if is_kind(mode):
            raise NotPlainFileError(path, f"it is {name}, not a plain file")
