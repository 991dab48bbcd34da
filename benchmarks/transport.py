"""How long a finished picture takes to the window's process: slots of shared memory against a pickled queue."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.measure import ROOT, pairs
from renderer.transport.frames import Arena, FrameReader, FrameWriter

SENDER = "from benchmarks.transport import send_slots; send_slots()"


def frames(size: int, seconds: float) -> dict[str, Any]:
    """Time from asking for a picture of size x size until all of it was read here, both ways in turn."""
    arena = Arena.create()
    reader = FrameReader(arena)
    ours, theirs = Pipe()
    command = [sys.executable, "-c", SENDER, str(theirs.fileno()), arena.handle, str(size)]
    sender = subprocess.Popen(command, cwd=ROOT, pass_fds=(theirs.fileno(), int(arena.handle)))
    theirs.close()
    context = multiprocessing.get_context("spawn")
    asked, answers = context.Queue(), context.Queue()
    other = context.Process(target=send_pickles, args=(asked, answers, size), daemon=True)
    other.start()
    target = np.empty([size, size, 4], np.uint8)
    last: list[Any] = []

    def by_slot() -> None:
        ours.send(last.pop() if last else None)
        place = ours.recv()
        np.copyto(target, reader.array(place))  # stands for the upload
        last.append((place.view, place.slot))

    def by_pickle() -> None:
        asked.put(True)
        np.copyto(target, answers.get())

    try:
        return asdict(pairs(by_slot, by_pickle, seconds, least=5, most=2000))
    finally:
        ours.send("end")
        asked.put(False)
        sender.wait(timeout=10)
        other.join(timeout=10)


def send_slots() -> None:
    """The renderer's side of the slots."""
    handle, arena, size = sys.argv[1:]
    channel, writer = Connection(int(handle)), FrameWriter(Arena(arena))
    picture = np.random.default_rng(0).integers(0, 255, [int(size), int(size), 4], np.uint8)
    while (message := channel.recv()) != "end":
        if message is not None:
            writer.give_back(*message)
        place, slot = writer.take("canvas", int(size), int(size))
        np.copyto(slot, picture)
        channel.send(place)


def send_pickles(asked: Any, answers: Any, size: int) -> None:
    """The renderer's side of the queue."""
    picture = np.random.default_rng(0).integers(0, 255, [size, size, 4], np.uint8)
    while asked.get():
        answers.put(picture.copy())
