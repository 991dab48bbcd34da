"""`convert`: a file that renders the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_commands import NETWORKS, pixels, render

import cli
from networks import load_network


def test_converting_keeps_and_prints_the_names_of_classes(
    named_network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run("convert", ["--source", str(named_network), "--dest", str(tmp_path / "y.safetensors")]) == 0
    assert "Classes: gas giant, rocky, ocean, lava\n" in capsys.readouterr().out
    assert (tmp_path / "y.safetensors").read_bytes() == named_network.read_bytes()


def test_converting_keeps_the_images(tmp_path: Path) -> None:
    source, dest = NETWORKS / "sg2_32_uncond.pkl", tmp_path / "x.safetensors"
    assert cli.run("convert", ["--source", str(source), "--dest", str(dest)]) == 0
    assert render("--network", source, "--seeds", 3, "--out", tmp_path / "a.png") == 0
    assert render("--network", dest, "--seeds", 3, "--out", tmp_path / "b.png") == 0
    assert (pixels(tmp_path / "a.png") == pixels(tmp_path / "b.png")).all()
    assert cli.run("convert", ["--source", str(source), "--dest", str(tmp_path / "x.pkl")]) == 2
    assert cli.run("convert", ["--source", __file__, "--dest", str(dest)]) == 2


@pytest.mark.parametrize("link", ["", "hard", "soft"])
@pytest.mark.parametrize("from_a_run", [False, True], ids=["file", "run"])
def test_the_source_of_a_conversion_is_never_written_over(
    from_a_run: bool, link: str, named_network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "snapshots" / "network-snapshot-000001.safetensors"
    file.parent.mkdir()
    file.write_bytes(named_network.read_bytes())
    dest = tmp_path / "x.safetensors" if link else file
    if link:
        dest.hardlink_to(file) if link == "hard" else dest.symlink_to(file)
    source = str(tmp_path if from_a_run else file)
    assert cli.run("convert", ["--source", source, "--dest", str(dest), "--half", "--picture-only"]) == 2
    assert capsys.readouterr().err == f"{dest} is the source itself; choose another --dest.\n"
    assert file.read_bytes() == dest.read_bytes() == named_network.read_bytes()


def test_a_network_to_give_away_is_small_and_renders_the_same(tmp_path: Path) -> None:
    source, whole, small = (
        NETWORKS / "sg2_32_uncond.pkl",
        tmp_path / "whole.safetensors",
        tmp_path / "small.safetensors",
    )
    assert cli.run("convert", ["--source", str(source), "--dest", str(whole)]) == 0
    assert cli.run("convert", ["--source", str(source), "--dest", str(small), "--half", "--picture-only"]) == 0
    assert small.stat().st_size < whole.stat().st_size / 3
    assert load_network(small).roles == ("G_ema",)
    for network, name in ((whole, "a.png"), (small, "b.png")):
        assert render("--network", network, "--seeds", 3, "--out", tmp_path / name) == 0
    apart = pixels(tmp_path / "a.png").astype(float) - pixels(tmp_path / "b.png")
    assert abs(apart).mean() < 1  # grey levels
