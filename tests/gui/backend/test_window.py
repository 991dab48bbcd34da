"""The real window on a virtual display: it opens, takes keys and mouse, is resized, and remembers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gui import preferences

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool (apt install xvfb xdotool)"
)


@pytest.fixture
def display() -> Iterator[str]:
    """A screen that nobody looks at."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def test_the_window_works_under_the_hand_and_remembers(display, home, network):
    env = {**os.environ, "DISPLAY": display, "BANDLIMIT_HOME": str(home), "OMP_NUM_THREADS": "1"}
    env.pop("WAYLAND_DISPLAY", None)

    def do(*words: str) -> str:
        return subprocess.run(["xdotool", *words], env=env, capture_output=True, text=True).stdout

    def key(name: str, *held: str) -> None:
        for word in (*held, name):  # slowly: an input method may let a release overtake a press
            do("keydown", word)
            time.sleep(0.1)
        for word in (name, *reversed(held)):
            do("keyup", word)
            time.sleep(0.1)

    program = subprocess.Popen([sys.executable, "visualizer.py", str(network)], cwd=ROOT, env=env)
    try:
        window = wait_for(lambda: windows(env)[:1])[0]
        do("windowfocus", window)
        do("windowsize", window, "1000", "700")
        wait_for(lambda: "sg3t" in do("getwindowname", window))
        do("mousemove", "480", "350", "mousedown", "1")
        for _ in range(5):
            do("mousemove_relative", "16", "4")
            time.sleep(0.05)
        do("mouseup", "1")
        key("t")
        key("q", "ctrl")
        assert program.wait(20) == 0
    finally:
        program.kill()
        program.wait()
    remembered, session, notes = preferences.load(home)
    assert notes == []
    assert (remembered.width, remembered.height) == (1000, 700)
    assert remembered.recents == (str(network),)
    assert session is not None
    assert session.scene.model.path == str(network)
    assert session.scene.latent.x > 0.1


def windows(env: dict[str, str]) -> list[str]:
    result = subprocess.run(
        ["xdotool", "search", "--onlyvisible", "--name", "Bandlimit"], env=env, capture_output=True, text=True
    )
    return result.stdout.split()


def wait_for(what: Callable[[], Any], seconds: float = 40) -> Any:
    end = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return result
