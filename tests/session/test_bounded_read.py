"""What others' files may do: never end, never begin, unfold, grow. Each costs one sentence at once."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from runs.run_folder import RunError, RunFolder
from session import Scene, Session
from session.bounded_read import load_yaml
from session.codec import SessionError, from_yaml, load, to_yaml
from session.png import next_free_path, read_session


def odd_files(folder: Path, suffix: str) -> dict[str, Path]:
    """Paths that are no plain file, links to such, and a sparse file of a gigabyte."""
    kinds = ("device", "pipe", "socket", "folder", "link", "huge", "gone")
    paths = {kind: folder / f"{kind}{suffix}" for kind in kinds}
    paths["device"].symlink_to("/dev/zero")
    os.mkfifo(paths["pipe"])
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(paths["socket"]))
    paths["folder"].mkdir()
    paths["link"].symlink_to(paths["pipe"])
    with paths["huge"].open("wb") as file:
        file.truncate(2**30)
    return paths


@pytest.mark.parametrize(("suffix", "read"), [(".yaml", load), (".png", read_session)])
def test_no_path_keeps_a_session_from_being_refused_in_a_sentence(tmp_path: Path, suffix: str, read) -> None:
    for kind, path in odd_files(tmp_path, suffix).items():
        began = time.monotonic()
        with pytest.raises(SessionError) as caught:
            read(path)
        assert path.name in str(caught.value), kind
        assert time.monotonic() - began < 1


def test_a_run_described_by_a_device_or_a_pipe_is_refused(tmp_path: Path) -> None:
    for kind, path in odd_files(tmp_path, "").items():
        run = tmp_path / f"run of {kind}"
        run.mkdir()
        (run / "run.yaml").symlink_to(path)
        (run / "control.yaml").symlink_to(path)
        with pytest.raises(RunError):
            RunFolder(run).read_description()
        assert RunFolder(run).requests() == {}


@pytest.mark.parametrize(
    "text",
    [
        "bandlimit: 1\nscenes: [" + "{}," * 30_000 + "]",
        "bandlimit: 1\nscenes: " + "[" * 60 + "]" * 60,
        "bandlimit: 1\nactive: " + "9" * 100_000,
        "bandlimit: 1\n# " + "x" * 2**20,
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    ],
    ids=["scenes", "depth", "digits", "bytes", "aliases"],
)
def test_a_session_of_any_size_is_refused_within_a_second(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(SessionError):
        from_yaml(text, "walk.yaml")
    assert time.monotonic() - began < 1


def test_a_session_of_many_scenes_still_opens() -> None:
    session = Session(scenes=(Scene(),) * 100)
    assert from_yaml(to_yaml(session)) == session


def test_a_session_of_the_next_version_is_refused() -> None:
    with pytest.raises(SessionError, match="newer Bandlimit"):
        from_yaml("bandlimit: 2\nscenes: [{}]", "walk.yaml")


def test_aliases_of_a_run_are_read_and_do_not_unfold() -> None:
    assert load_yaml("a: &x [1]\nb: *x", aliases=True) == {"a": [1], "b": [1]}


def test_only_names_of_plain_digits_count_as_saved_images(tmp_path: Path) -> None:
    for name in ("²", "٣", "9" * 200, "00041"):
        (tmp_path / f"{name}.png").touch()
    assert next_free_path(tmp_path).name == "00042.png"
