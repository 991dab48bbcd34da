"""Benchmarks alternate fairly, report failures, measure real memory peaks and draw readable plots."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import __main__ as command
from benchmarks.measure import run_in_process, time_pairs
from benchmarks.networks import CASES, count_workload
from benchmarks.report import Section, plot_bars, plot_curves, render_page


def test_pairs_alternate_and_report_the_ratio_to_the_plain_path() -> None:
    order: list[str] = []

    def ours() -> None:
        order.append("ours")
        time.sleep(0.025)

    def plain() -> None:
        order.append("plain")
        time.sleep(0.075)

    result = time_pairs(ours, plain, seconds=0, min_count=4)
    assert result.count == 4
    assert order[2:] == ["ours", "plain", "plain", "ours"] * 2  # after one each to warm up
    assert result.ours <= result.ours_median <= result.plain <= result.plain_median
    assert 1.5 < result.ratio < 4


def test_work_that_takes_very_little_time_is_repeated() -> None:
    done = {"ours": 0, "plain": 0}

    def work(who: str, seconds: float) -> None:
        done[who] += 1
        time.sleep(seconds)

    result = time_pairs(lambda: work("ours", 0.002), lambda: work("plain", 0.006), seconds=0, min_count=3)
    assert result.count == 3
    assert done["ours"] > done["plain"] > 3 + 1  # 20 ms a turn, after one each to warm up
    assert 0.002 <= result.ours < result.plain


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_the_peak_memory_of_the_plain_path_exceeds_its_largest_signal() -> None:
    case = "T 128, 2048/64 (demo)"
    ours, plain = (run_in_process("speed:memory", case=case, plain=way) for way in (False, True))
    upsampled = 4 * 64 * (2 * 148) ** 2  # the widest layer at twice the sampling rate, float32
    assert upsampled < plain < 30 * upsampled
    assert ours < upsampled * 2


def test_a_measurement_that_fails_reports_the_reason() -> None:
    with pytest.raises(RuntimeError, match=r"speed:generator ended with status 1: KeyError: 'T 7'"):
        run_in_process("speed:generator", case="T 7", batch=1, seconds=0, min_count=1)
    with pytest.raises(RuntimeError, match="took longer than 0 s"):
        run_in_process("measure:describe_environment", timeout=0.01)


def test_the_workload_of_the_published_networks_is_counted_correctly() -> None:
    """Against GFLOP and GB that were computed independently, by hand."""
    known = {"T 256": (463, 13.7, 1.05), "R 256": (199, 59.7, 2.07), "T 1024": (570, 44.6, 3.39)}
    for name, figures in known.items():
        counted = count_workload(CASES[name].config)
        assert (counted.convolution, counted.filters, counted.traffic) == pytest.approx(figures, rel=5e-3)


def test_a_page_shows_its_tables_and_what_was_not_run() -> None:
    section = Section("Ops", "Alone.", ["layer", "ratio"], [["L2", "**15**"]], ["L9 was not measured."])
    assert render_page("Head.", [section]) == (
        "# Benchmarks\n\nHead.\n\n## Ops\n\nAlone.\n\n| layer | ratio |\n| --- | --- |\n| L2 | **15** |\n\n"
        "- L9 was not measured.\n"
    )


def test_bars_are_proportional_to_their_values(tmp_path: Path) -> None:
    plot_bars(tmp_path / "bars.png", "Times faster", [("T", [10.0, 5.0]), ("R", [None, 2.5])], ["kept", "as shipped"])
    with Image.open(tmp_path / "bars.png") as image:
        pixels = np.asarray(image).astype(int)
    lengths = []
    for color in ((0x0B, 0x6E, 0x99), (0xD9, 0x73, 0x0D)):
        lengths.append((np.abs(pixels - color).sum(2) == 0).sum(1).max())
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=3)
    plot_curves(
        tmp_path / "curves.png", "Time", [1, 2, 4], [("ours", [1.0, 2.0, None]), ("plain", [5.0, 9.0, 40.0])], "ms"
    )
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (640, 420)


def test_an_unknown_section_is_refused_with_a_list_of_the_known_ones() -> None:
    with pytest.raises(SystemExit, match="There is no section speed; there are generators, memory"):
        command.main(["--only", "speed"])
