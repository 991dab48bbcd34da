"""Files are replaced as a whole; what a killed writer leaves half written is removed by the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from session.atomic_write import MIN_AGE, MIN_AGE_ELSEWHERE, atomic_write, new_part, sweep_parts

ROOT = Path(__file__).resolve().parent.parent.parent

KILLED_WRITER = """
import sys, time
from pathlib import Path
from session.atomic_write import atomic_write
with atomic_write(Path(sys.argv[1])) as part:
    if sys.argv[2] == "folder":
        part.mkdir()
        (part / "half").write_bytes(b"half")
    else:
        part.write_bytes(b"half")
    print(part, flush=True)
    time.sleep(60)
"""


def start_writer(path: Path, kind: str = "file") -> tuple[subprocess.Popen[str], Path]:
    """A process in the middle of writing `path`, and its part."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, path, kind], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def set_age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_writer_leaves_the_old_file_whole_and_its_part_goes_with_the_next_write(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"old")
    process, part = start_writer(path, kind)
    process.kill()
    process.communicate()
    assert path.read_bytes() == b"old" and part.exists()
    set_age(part, MIN_AGE + 1)
    with atomic_write(tmp_path / "another file") as new:
        new.write_bytes(b"new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.yaml", "another file"]


def test_the_part_of_a_writer_that_lives_stays_however_old_it_is(tmp_path: Path) -> None:
    process, part = start_writer(tmp_path / "a.mp4")
    try:
        set_age(part, 10 * MIN_AGE_ELSEWHERE)
        sweep_parts(tmp_path)
        assert part.read_bytes() == b"half"
    finally:
        process.kill()
        process.communicate()
    set_age(part, 0)
    sweep_parts(tmp_path)
    assert part.exists()  # not a moment old
    set_age(part, MIN_AGE + 1)
    sweep_parts(tmp_path)
    assert not part.exists()


def test_parts_of_other_machines_stay_for_a_day_and_files_of_other_names_for_good(tmp_path: Path) -> None:
    machine = new_part(tmp_path / "x").name.split(".")[2].split("-")[0]
    elsewhere = tmp_path / f".a.yaml.{'0' * 6 if machine != '0' * 6 else '1' * 6}-1234567-abcd.part"
    others = [tmp_path / name for name in (".a.part", "a.yaml.part", ".download.tag.part", f"a.{machine}-1-abcd.part")]
    for path in (elsewhere, *others):
        path.write_bytes(b"half")
        set_age(path, MIN_AGE_ELSEWHERE / 2)
    sweep_parts(tmp_path)
    assert elsewhere.exists()
    for path in (elsewhere, *others):
        set_age(path, MIN_AGE_ELSEWHERE + 1)
    sweep_parts(tmp_path)
    assert not elsewhere.exists() and all(path.exists() for path in others)


def test_a_failure_inside_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), atomic_write(path) as part:
        part.write_bytes(b"half")
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_threads_that_write_the_same_file_never_mix_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"

    def write(value: int) -> None:
        for _ in range(30):
            with atomic_write(path, sync=False) as part:
                part.write_bytes(bytes([value]) * 50_000)
            content = path.read_bytes()
            assert len(content) == 50_000 and len(set(content)) == 1

    threads = [threading.Thread(target=write, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(tmp_path.iterdir()) == [path]
    assert len(set(path.read_bytes())) == 1


def test_a_folder_that_is_not_there_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(OSError), atomic_write(tmp_path / "removed" / "status.json") as part:
        part.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []
