"""Bandlimit: see, drag and look into alias-free GANs.

python visualizer.py                     opens the window on the demo network
python visualizer.py x.pkl               opens a network: path, URL or run folder
python visualizer.py --offscreen         the same program without a display: leaves out/screenshot.png and a film
python visualizer.py render --help       pictures without a window; also: convert, dataset, train, doctor
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from renderer.openmp_env import openmp_env

os.environ.update(openmp_env(os.environ))  # before torch is imported


def main(arguments: Sequence[str]) -> int:
    import cli

    for stream in (sys.stdout, sys.stderr):  # names that the terminal cannot encode are escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if arguments and arguments[0] in cli.COMMANDS:
        return cli.run(arguments[0], arguments[1:])
    return cli.run("window", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
