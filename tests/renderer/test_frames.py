"""Frames in shared memory: complete, valid while they are used, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from renderer.transport.frames import SLOTS_PER_VIEW, Arena, FrameHandle, FrameReader, FrameWriter

SHM = Path("/dev/shm")


def fill(writer: FrameWriter, view: str, size: int, value: int) -> FrameHandle:
    place, frame = writer.acquire(view, size, size)
    frame[:] = value
    return place


def test_a_frame_arrives_whole_and_stays_until_its_slot_is_released() -> None:
    arena = Arena.create()
    writer, reader = FrameWriter(arena), FrameReader(arena)
    places = [fill(writer, "canvas", 64, value) for value in range(SLOTS_PER_VIEW)]
    shown = [reader.array(place) for place in places]
    assert not writer.has_free_slot("canvas")
    with pytest.raises(LookupError):
        writer.acquire("canvas", 64, 64)
    assert writer.has_free_slot("other")
    fill(writer, "other", 64, 9)
    assert [int(frame.min()) for frame in shown] == [int(frame.max()) for frame in shown] == list(range(SLOTS_PER_VIEW))
    writer.release("canvas", places[0].slot)
    fill(writer, "canvas", 64, 77)
    assert shown[0].min() == 77
    assert shown[1].max() == 1
    arena.close()
    assert shown[2].max() == 2  # a mapped frame outlives the arena
    with pytest.raises(ValueError, match="read-only"):
        shown[2][0] = 0


def test_slots_grow_with_the_image_and_their_old_memory_is_reused() -> None:
    arena = Arena.create()
    writer, reader = FrameWriter(arena), FrameReader(arena)
    small = fill(writer, "canvas", 16, 1)
    writer.release("canvas", small.slot)
    large = fill(writer, "canvas", 1024, 2)
    assert reader.array(large).shape == (1024, 1024, 4)
    assert reader.array(large).min() == 2
    assert fill(writer, "thumbnail", 16, 3).offset == small.offset
    sizes = [fill(writer, "canvas", 1024, 4).length for _ in range(2)]
    assert sizes == [1024 * 1024 * 4] * 2
    arena.close()


def test_in_one_process_a_frame_is_never_overwritten() -> None:
    writer = FrameWriter()
    place, frame = writer.acquire("canvas", 8, 8)
    frame[:] = 5
    shown = writer.array(place)
    writer.release("canvas", place.slot)
    fill(writer, "canvas", 8, 6)
    assert shown.min() == shown.max() == 5


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux has nameless memory")
def test_the_memory_has_no_name_that_could_be_left_behind() -> None:
    before = set(SHM.iterdir())
    code = (
        "import os, sys\n"
        "from renderer.transport.frames import Arena, FrameWriter\n"
        "writer = FrameWriter(Arena.create())\n"
        "writer.acquire('canvas', 512, 512)[1][:] = 3\n"
        "print(len(os.listdir('/dev/shm')), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    assert int(done.stdout) == len(before)
    assert done.stderr == ""
    assert set(SHM.iterdir()) == before


def test_frames_can_have_any_size() -> None:
    arena = Arena.create()
    writer, reader = FrameWriter(arena), FrameReader(arena)
    for height, width in ((1, 1), (513, 301), (3, 4096), (2, 2)):
        place, frame = writer.acquire("canvas", height, width)
        frame[:] = np.arange(height * width * 4, dtype=np.uint32).reshape(height, width, 4) % 251
        assert np.array_equal(reader.array(place), frame)
        writer.release("canvas", place.slot)
    arena.close()
