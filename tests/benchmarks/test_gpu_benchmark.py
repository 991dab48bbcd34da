"""The GPU benchmark on a machine without a GPU: it says so, and everything that can run on a CPU works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_frames, gpu_kernels, gpu_networks
from benchmarks.gpu_timing import CheckFailed, copy_bandwidth, median_seconds
from benchmarks.networks import TRAINING
from benchmarks.report import Section

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and that takes minutes")
SMALL = replace(TRAINING, img_resolution=32, channel_base=512, channel_max=16)
SCOPE = gpu.Scope(repeats=1, images=1, copy_bandwidth=1e9)


@without_gpu
def test_without_a_gpu_it_prints_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    page = tmp_path / "page.md"
    assert gpu.main(["--quick", "--out", str(page)]) == 2
    assert capsys.readouterr().out.count("\n") == 1
    assert not page.exists()


def test_unknown_sections_are_refused(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="no section frame; there are generators, frames"):
        gpu.main(["--only", "generators,frame"])
    with pytest.raises(SystemExit):
        gpu.main(["--help"])
    assert "--quick" in capsys.readouterr().out


def test_a_section_that_fails_reports_its_error_and_the_others_go_on(capsys: pytest.CaptureFixture) -> None:
    def fail(_: gpu.Scope) -> Section:
        raise RuntimeError("CUDA error:\nan illegal memory access was encountered")

    def wrong(_: gpu.Scope) -> Section:
        raise CheckFailed(Section("Kernels", "**Not right:** upfirdn2d."))

    parts: dict[str, gpu.MakeSection] = {
        "first": fail,
        "second": lambda _: Section("Second", "Well.", ("a", "b"), [["1", "2"]], ["a note"]),
        "third": wrong,
    }
    right, sections = gpu.run_sections(parts, SCOPE)
    assert not right
    page = gpu.render_page("Machine: **none**.", sections, 1.2)
    assert "## First\n\n**Failed:** RuntimeError: CUDA error: an illegal memory access was encountered" in page
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in page
    assert "**Not right:** upfirdn2d." in page
    assert gpu.run_sections({"second": parts["second"]}, SCOPE)[0]
    capsys.readouterr()


@without_gpu
def test_generators_and_training_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    section = gpu_networks.generators(1, {"T 32": SMALL})
    assert [row[:2] for row in section.rows] == [["T 32", "fp16"], ["T 32", "float32"]]
    assert all(len(row) == len(section.columns) for row in section.rows)
    assert "Not repeated as a graph: there are no graphs here." in section.notes
    monkeypatch.setattr(gpu_networks, "CHECK_CONFIGS", {"T 32": SMALL})
    assert {row[-1] for row in gpu_networks.check_against_cpu().rows} == {"yes"}
    monkeypatch.setattr(gpu_networks, "MAX_ERROR_FP32", -1.0)
    with pytest.raises(CheckFailed):
        gpu_networks.check_against_cpu()
    section = gpu_networks.training(1, ["T 32"], batch=2)
    assert len(section.rows[0]) == len(section.columns)


@without_gpu
def test_kernels_are_compared_and_timed_and_unused_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU its own implementations are compared, and the section reports that NVIDIA's are not in use."""
    case = replace(gpu_kernels.CASES["T 1024"], config=SMALL)
    monkeypatch.setitem(gpu_kernels.CASES, "T 32", case)
    with pytest.raises(CheckFailed) as refused:
        gpu_kernels.check_kernels(["T 32"])
    section = refused.value.section
    assert section.text.startswith("**Not right, or not used:** filtered_lrelu: it is for NVIDIA GPUs")
    assert {row[-1] for row in section.rows} == {"yes"}
    section = gpu_kernels.kernel_times(1, 1e9, ["T 32"])
    assert all(len(row) == len(section.columns) for row in section.rows)
    assert [row[0] for row in section.rows][-5:] == ["**T 32, sum**", *["upfirdn2d"] * 2, *["bias_act"] * 2]


@without_gpu
def test_the_path_to_the_texture_is_measured_off_screen() -> None:
    section = gpu_frames.frames(1, {"T 32": SMALL}, timeout=60)
    by_path = {row[1]: row for row in section.rows}
    assert by_path[gpu_frames.GPU][2] == "not used"
    assert float(by_path[gpu_frames.HOST][2]) > 0
    assert section.notes == ["T 32: pictures came through main memory."]


def test_without_opengl_the_section_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from gui.backend import headless
    from gui.backend.base import ScreenError

    def refuse(*_: object) -> None:
        raise ScreenError("EGL gives none here: install libegl1.")

    monkeypatch.setattr(headless, "EglContext", refuse)
    assert gpu_frames.frames(1).text == "Not measured: EGL gives none here: install libegl1."


def test_times_and_bandwidth_are_plausible() -> None:
    assert median_seconds(lambda: torch.ones(8), 3) < 1
    assert 1e6 < copy_bandwidth(1 << 16) < 1e14
