"""What the benchmarks print can be trusted: fair pairs, honest failures, peaks that are real, readable plots."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import __main__ as command
from benchmarks.measure import apart, pairs
from benchmarks.networks import CASES, need
from benchmarks.report import Section, bars, curves, page


def test_pairs_alternate_and_say_how_many_times_slower_the_plain_way_is() -> None:
    order: list[str] = []

    def ours() -> None:
        order.append("ours")
        time.sleep(0.025)

    def plain() -> None:
        order.append("plain")
        time.sleep(0.075)

    result = pairs(ours, plain, seconds=0, least=4)
    assert result.count == 4
    assert order[2:] == ["ours", "plain", "plain", "ours"] * 2  # after one each to warm up
    assert result.ours <= result.ours_median <= result.plain <= result.plain_median
    assert 1.5 < result.ratio < 4


def test_what_takes_less_than_a_turn_is_repeated_in_it() -> None:
    done = {"ours": 0, "plain": 0}

    def work(who: str, seconds: float) -> None:
        done[who] += 1
        time.sleep(seconds)

    result = pairs(lambda: work("ours", 0.002), lambda: work("plain", 0.006), seconds=0, least=3)
    assert result.count == 3
    assert done["ours"] > done["plain"] > 3 + 1  # 20 ms a turn, after one each to warm up
    assert 0.002 <= result.ours < result.plain


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_the_peak_of_a_plain_picture_is_what_its_largest_signal_takes_and_more() -> None:
    case = "T 128, 2048/64 (demo)"
    ours, plain = (apart("speed:memory", case=case, plain=way) for way in (False, True))
    raised = 4 * 64 * (2 * 148) ** 2  # the widest layer at the doubled rate, float32
    assert raised < plain < 30 * raised
    assert ours < raised * 2


def test_a_measurement_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"speed:generator ended with status 1: KeyError: 'T 7'"):
        apart("speed:generator", case="T 7", batch=1, seconds=0, least=1)
    with pytest.raises(RuntimeError, match="took longer than 0 s"):
        apart("measure:surroundings", timeout=0.01)


def test_the_arithmetic_of_the_published_networks_is_counted_as_known() -> None:
    """GFLOP and GB which were worked out independently, by hand."""
    known = {"T 256": (463, 13.7, 1.05), "R 256": (199, 59.7, 2.07), "T 1024": (570, 44.6, 3.39)}
    for name, figures in known.items():
        counted = need(CASES[name].config)
        assert (counted.convolution, counted.filters, counted.traffic) == pytest.approx(figures, rel=5e-3)


def test_a_page_has_its_tables_and_what_was_not_run() -> None:
    section = Section("Ops", "Alone.", ["layer", "ratio"], [["L2", "**15**"]], ["L9 was not measured."])
    assert page("Head.", [section]) == (
        "# Benchmarks\n\nHead.\n\n## Ops\n\nAlone.\n\n| layer | ratio |\n| --- | --- |\n| L2 | **15** |\n\n"
        "- L9 was not measured.\n"
    )


def test_plots_show_longer_bars_for_larger_values(tmp_path: Path) -> None:
    bars(tmp_path / "bars.png", "Times faster", [("T", [10.0, 5.0]), ("R", [None, 2.5])], ["kept", "as shipped"])
    with Image.open(tmp_path / "bars.png") as image:
        pixels = np.asarray(image).astype(int)
    lengths = []
    for colour in ((0x0B, 0x6E, 0x99), (0xD9, 0x73, 0x0D)):
        lengths.append((np.abs(pixels - colour).sum(2) == 0).sum(1).max())
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=3)
    curves(tmp_path / "curves.png", "Time", [1, 2, 4], [("ours", [1.0, 2.0, None]), ("plain", [5.0, 9.0, 40.0])], "ms")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (640, 420)


def test_an_unknown_section_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SystemExit, match="There is no section speed; there are generators, memory"):
        command.main(["--only", "speed"])
