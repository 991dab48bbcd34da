"""One renderer subprocess: starting it, sending to it, ending it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from renderer.openmp_env import openmp_env
from renderer.transport.frames import Arena, FrameReader


class RendererProcess:
    """A renderer subprocess with its connection and its shared frame memory. Raises OSError if it cannot be started."""

    def __init__(self, threads: int | None) -> None:
        self.arena = Arena.create()
        self.reader = FrameReader(self.arena)
        self.channel, child_end = Pipe()
        self._sending = threading.Lock()
        try:
            self.process = _start_process(child_end.fileno(), self.arena, threads)
        except OSError:
            self.channel.close()
            self.arena.close()
            raise
        finally:
            child_end.close()  # so that the channel closes when the renderer exits

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message; blocks while the pipe is full. Raises OSError if the renderer has exited."""
        with self._sending:
            self.channel.send(message)

    def reap(self) -> str:
        """Wait for the process to exit, kill it if necessary, and return how it ended, as a sentence."""
        try:
            code = self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        with self._sending:  # not while a message is being written: its descriptor could be reused
            self.channel.close()
        self.arena.close()
        if code == -getattr(signal, "SIGKILL", 9):
            return "The renderer was killed; if nobody did that, memory ran out."
        if code < 0:
            what = "was ended" if -code in (signal.SIGTERM, signal.SIGINT) else "crashed"
            return f"The renderer {what} ({signal.Signals(-code).name})."
        return f"The renderer ended by itself (exit status {code})."


def _start_process(channel: int, arena: Arena, threads: int | None) -> subprocess.Popen[Any]:
    """Start `python -m renderer.server`; unlike multiprocessing's spawn, it does not import our __main__."""
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # -P: never import from the current folder.
    command = [sys.executable, "-P", "-m", "renderer.server", str(channel), arena.handle]
    if threads:
        command += ["--threads", str(threads)]
    env = {**openmp_env(os.environ), **os.environ, "PYTHONPATH": paths}
    options: dict[str, Any] = {"env": env, "stdin": subprocess.DEVNULL}
    if sys.platform == "win32":
        os.set_handle_inheritable(channel, True)
        options["startupinfo"] = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [channel]})
    else:
        options["pass_fds"] = (channel, int(arena.handle))
        options["process_group"] = 0  # Ctrl+C in the terminal must not reach the renderer
    return subprocess.Popen(command, **options)
