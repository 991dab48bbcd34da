"""A dataset of 16-pixel images and trainings small enough to be real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from data import Dataset
from runs.run_folder import RunFolder, read_lines
from training.config import DatasetInfo, Options, TrainingConfig, resolve
from training.loop import Training
from training.run.start import create_run

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL: dict[str, Any] = {
    "cfg": "stylegan2",
    "device": "cpu",
    "batch": 8,
    "batch_gpu": 4,
    "gamma": 0.05,
    "cbase": 128,
    "cmax": 8,
    "map_depth": 2,
    "kimg": 0.112,
    "tick": 0.032,
    "snap": 1,
    "grid": "4x2",
    "metrics": "none",
    "workers": 2,
}


def make_pictures(folder: Path, count: int = 24, size: int = 16, classes: int = 0) -> Path:
    """Soft random images, with a dataset.json of classes where asked for."""
    folder.mkdir(parents=True)
    stream = np.random.RandomState(0)
    labels = []
    for i in range(count):
        small = Image.fromarray(stream.randint(0, 255, (4, 4, 3)).astype(np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{i:03d}.png")
        labels.append(f'["{i:03d}.png", {i % max(classes, 1)}]')
    if classes:
        (folder / "dataset.json").write_text(f'{{"labels": [{", ".join(labels)}]}}')
    return folder


def small_config(pictures: Path, **options: Any) -> TrainingConfig:
    given = {**SMALL, **options}
    dataset = Dataset(pictures, use_labels=given.get("cond", False))
    facts = DatasetInfo(
        str(pictures),
        dataset.name,
        len(dataset),
        dataset.resolution,
        dataset.channels,
        dataset.label_dim,
        dataset.has_styles,
    )
    return resolve(Options(data=str(pictures), **given), facts)


def begin(outdir: Path, config: TrainingConfig) -> tuple[RunFolder, list[str]]:
    """A new run's folder, and what it will say."""
    return create_run(config, outdir, ["train"]), []


def train(folder: RunFolder, config: TrainingConfig, said: list[str] | None = None) -> Training:
    training = Training(folder, config, say=(said if said is not None else []).append)
    training.outcome = training.run()  # type: ignore[attr-defined]
    return training


def command(*words: str | Path) -> subprocess.Popen[str]:
    """`visualizer.py train` with these words, begun."""
    return subprocess.Popen(
        [sys.executable, "visualizer.py", "train", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def told_folder(process: subprocess.Popen[str]) -> Path:
    """The folder that a training says first; torch's launcher may speak before it."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if (path := Path(line.strip())).is_dir() and line.strip():
            return path
        said.append(line)
    raise AssertionError("".join(said))


def wait_for_tick(process: subprocess.Popen[str], number: int = 0) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"tick {number}"):
            return
    raise AssertionError(f"tick {number} never came")


def finished(process: subprocess.Popen[str]) -> str:
    """What a training says to its end, which must be a good one."""
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    return said


def newest_snapshot(folder: Path) -> bytes:
    return sorted((folder / "snapshots").glob("*.safetensors"))[-1].read_bytes()


def newest_state(folder: Path) -> dict[str, Any]:
    """All of the newest state but the times, which a clock makes."""
    state = torch.load(sorted((folder / "state").glob("state-*.pt"))[-1], weights_only=True)
    return {key: value for key, value in state.items() if key != "seconds"}


def same(a: Any, b: Any) -> bool:
    """Whether two states are equal, bit by bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def check_equal(one: Path, two: Path) -> None:
    """Two runs have ended with the same bytes, states and statistics."""
    assert newest_snapshot(one) == newest_snapshot(two)
    assert same(newest_state(one), newest_state(two))
    lines = [[line["Progress/kimg"]["mean"] for line in read_lines(run / "stats.jsonl")] for run in (one, two)]
    assert lines[0] == lines[1]
    for name in ("Loss/G/loss", "Loss/scores/real"):
        values = [[line.get(name) for line in read_lines(run / "stats.jsonl")] for run in (one, two)]
        assert values[0] == values[1]
