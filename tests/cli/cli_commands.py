"""Running commands and reading what they wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import cli

ROOT = Path(__file__).resolve().parent.parent.parent


NETWORKS = ROOT / "tests" / "data" / "networks"


def render(*arguments: object) -> int:
    return cli.run("render", [str(argument) for argument in arguments])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


NAMES = ("gas giant", "rocky", "ocean", "lava")
