"""The commands of visualizer.py, one file each; heavy imports happen inside them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

COMMANDS = {  # name -> description for --help
    "window": "the window, or the same program off-screen (what happens without a command)",
    "render": "pictures from a network or a session, without a window",
    "convert": "a published network file into a safe .safetensors file",
    "dataset": "pictures into a dataset to train on; also the built-in planets",
    "train": "a network on your own pictures, and continuing a training exactly",
    "doctor": "what this machine offers: Python, torch, devices, OpenGL, ffmpeg",
}


def run(command: str, arguments: Sequence[str]) -> int:
    """Run one command and return its exit status. User errors are one sentence on standard error and status 2."""
    return importlib.import_module(f"cli.{command}").main(arguments)
