"""TensorBoard shows a training where it is installed, and nobody misses it where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_training import begin, make_pictures, small_config, train

from runs.run_folder import read_lines


def test_events_hold_what_stats_hold(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = small_config(make_pictures(tmp_path / "pictures"), kimg=0.04, snap=0)
    folder, _ = begin(tmp_path / "runs", config)
    train(folder, config)
    assert len(list(folder.path.glob("events.out.tfevents.*"))) == 1
    events = accumulators.EventAccumulator(str(folder.path))
    events.Reload()
    lines = list(read_lines(folder.path / "stats.jsonl"))
    assert set(events.Tags()["scalars"]) == {name for line in lines for name in line} - {"timestamp"}
    for name in ("Loss/G/loss", "Progress/kimg"):
        shown = [event.value for event in events.Scalars(name)]
        assert shown == pytest.approx([line[name]["mean"] for line in lines])
