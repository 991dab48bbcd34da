"""Snapshots are named as people's scripts expect, and every part of the program reads the names alike."""

from __future__ import annotations

import pytest

from runs import snapshot_names
from runs.snapshot_names import Progress, make_file_name, make_label


def test_a_snapshot_has_the_published_name_unless_that_is_taken() -> None:
    assert make_label(32, None) == "000000"
    assert make_label(200_032, 196_032) == "000200"
    assert make_label(1000, 500) == "000001"
    assert make_label(1500, 1000) == "000001_500"
    assert make_file_name("000200") == "network-snapshot-000200.safetensors"
    ends = list(range(64, 5000, 48))
    labels = [make_label(now, before) for before, now in zip([None, *ends], ends, strict=False)]
    assert labels == sorted(set(labels))


def test_the_progress_in_a_name_sorts_as_the_training_went() -> None:
    ends = list(range(64, 5000, 48))
    names = [make_file_name(make_label(now, before)) for before, now in zip([None, *ends], ends, strict=False)]
    progress = [snapshot_names.parse(name) for name in names]
    assert None not in progress
    assert progress == sorted(progress)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("name", "progress"),
    [
        ("network-snapshot-025000.pkl", Progress(25000)),
        ("network-snapshot-000001_500.safetensors", Progress(1, 500)),
        ("network-snapshot-000200", Progress(200)),
        ("network-snapshot-000200.pkl.part", None),
        (".network-snapshot-000200.safetensors.77.part", None),
        ("ffhq-1024.pkl", None),
        ("", None),
    ],
)
def test_names_of_snapshots_are_told_from_others(name: str, progress: Progress | None) -> None:
    assert snapshot_names.parse(name) == progress
