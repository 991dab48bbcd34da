"""Time an image's way to the window's process: slots of shared memory against a queue of pickles."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.measure import ROOT, time_pairs
from renderer.transport.frames import Arena, FrameReader, FrameWriter

SENDER = "from benchmarks.transport import send_slots; send_slots()"


def frames(size: int, seconds: float) -> dict[str, Any]:
    """Time from requesting an image of size x size until it is copied here, both ways alternating."""
    arena = Arena.create()
    reader = FrameReader(arena)
    ours, theirs = Pipe()
    command = [sys.executable, "-c", SENDER, str(theirs.fileno()), arena.handle, str(size)]
    sender = subprocess.Popen(command, cwd=ROOT, pass_fds=(theirs.fileno(), int(arena.handle)))
    theirs.close()
    context = multiprocessing.get_context("spawn")
    requests, answers = context.Queue(), context.Queue()
    pickling_process = context.Process(target=send_pickles, args=(requests, answers, size), daemon=True)
    pickling_process.start()
    target = np.empty([size, size, 4], np.uint8)
    last: list[Any] = []

    def through_slots() -> None:
        ours.send(last.pop() if last else None)
        place = ours.recv()
        np.copyto(target, reader.array(place))  # stands for the upload
        last.append((place.view, place.slot))

    def through_queue() -> None:
        requests.put(True)
        np.copyto(target, answers.get())

    try:
        return asdict(time_pairs(through_slots, through_queue, seconds, min_count=5, max_count=2000))
    finally:
        ours.send("end")
        requests.put(False)
        sender.wait(timeout=10)
        pickling_process.join(timeout=10)


def send_slots() -> None:
    """Play the renderer: send images through slots."""
    handle, arena, size = sys.argv[1:]
    channel, writer = Connection(int(handle)), FrameWriter(Arena(arena))
    image = np.random.default_rng(0).integers(0, 255, [int(size), int(size), 4], np.uint8)
    while (message := channel.recv()) != "end":
        if message is not None:
            writer.release(*message)
        place, slot = writer.acquire("canvas", int(size), int(size))
        np.copyto(slot, image)
        channel.send(place)


def send_pickles(requests: Any, answers: Any, size: int) -> None:
    """Play the renderer: send images through the queue."""
    image = np.random.default_rng(0).integers(0, 255, [size, size, 4], np.uint8)
    while requests.get():
        answers.put(image.copy())
