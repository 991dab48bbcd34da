"""What stands around the demo network is made by commands: figures, judgement, bookmarks, records of a training."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

import cli
from networks import save_networks
from networks.architectures.stylegan2 import Generator as Generator2
from networks.architectures.stylegan3 import Generator as Generator3
from networks.config import StyleGAN2Config, StyleGAN3Config
from session.bookmarks import bookmarks, presets
from tools import collect_run, demo_bookmarks, demo_figures, judge_demo, keep_training

SMALL3 = StyleGAN3Config(16, z_dim=8, w_dim=8, c_dim=4, num_layers=4, channel_base=64, channel_max=4)
SMALL2 = StyleGAN2Config(16, z_dim=8, w_dim=8, c_dim=4, mapping_num_layers=2, channel_base=64, channel_max=4)


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> tuple[Path, Path]:
    """A StyleGAN3 and a StyleGAN2 with four classes, untrained."""
    folder = tmp_path_factory.mktemp("demo")
    made = {"three": Generator3(SMALL3), "two": Generator2(SMALL2)}
    return tuple(save_networks(folder / f"{name}.safetensors", {"G_ema": G.eval()}) for name, G in made.items())  # type: ignore[return-value]


@pytest.fixture(scope="module")
def planets(tmp_path_factory) -> Path:
    """120 planets of 16 pixels."""
    path = tmp_path_factory.mktemp("data") / "planets.zip"
    cli.run("dataset", ["planets", "--dest", str(path), "--resolution", "16x16", "--max-images", "120"])
    return path


def run(monkeypatch: pytest.MonkeyPatch, tool, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", [tool.__name__, *map(str, arguments)])
    return tool.main()


def test_networks_are_judged_into_one_table_that_says_how_it_was_made(networks, planets, tmp_path, monkeypatch):
    page = tmp_path / "demo.md"
    flags = ["--data", planets, "--dest", page, "--cache", tmp_path, "--pictures", 32, "--asked", 16, "--moves", 2]
    assert run(monkeypatch, judge_demo, *networks, *flags) == 0
    text = page.read_text()
    table = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert len({len(cells) for cells in table}) == 1
    assert [cell.strip() for cell in table[0][3:]] == ["three.safetensors", "two.safetensors"]
    for measure in ("Asked class named", "Sliced Wasserstein", "Diversity of pictures", "EQ-T, dB", "EQ-R, dB"):
        row = next(cells for cells in table if measure in cells[0])
        assert all(cell.strip() for cell in row[3:]), measure
    assert "python tools/judge_demo.py" in text
    kept = next(tmp_path.glob("planet-classifier-*.pt"))
    made = kept.stat().st_mtime_ns
    assert run(monkeypatch, judge_demo, *networks, *flags) == 0
    assert kept.stat().st_mtime_ns == made, "the classifier is trained once"
    assert page.read_text() == text, "the same figures every time"


def test_a_network_of_another_size_is_not_judged_but_named(planets, tmp_path, monkeypatch, capsys):
    other = save_networks(tmp_path / "other.safetensors", {"G_ema": Generator3(replace(SMALL3, c_dim=0)).eval()})
    assert run(monkeypatch, judge_demo, other, "--data", planets, "--pictures", 8, "--cache", tmp_path) == 2
    assert "other.safetensors paints 16 pixels and has 0 classes" in capsys.readouterr().err


def test_all_figures_are_made_and_without_a_stylegan2_all_but_one(networks, tmp_path, monkeypatch, capsys):
    three, two = networks
    flags = ["--side", 32, "--stylegan3", three, "--dest", tmp_path]
    run(monkeypatch, demo_figures, *flags, "--stylegan2", tmp_path / "nowhere.safetensors")
    names = {path.stem for path in tmp_path.glob("demo-*.jpg")}
    assert names == {"demo-hero", "demo-grid", "demo-mixing", "demo-truncation"}
    assert "nowhere.safetensors is not there, so demo-sticking.jpg is left out" in capsys.readouterr().out
    run(monkeypatch, demo_figures, *flags, "--stylegan2", two)
    assert (tmp_path / "demo-sticking.jpg").exists()
    for path in tmp_path.glob("demo-*.jpg"):
        with Image.open(path) as figure:
            assert len(figure.getcolors(figure.width * figure.height) or ()) > 20, path.name


def test_bookmarks_and_presets_are_written_as_the_program_reads_them(networks, tmp_path, monkeypatch):
    run(monkeypatch, demo_bookmarks, "--dest", tmp_path)
    assert {kept.name: kept.scene for kept in bookmarks(tmp_path)} == demo_bookmarks.BOOKMARKS
    assert {kept.name: kept.scene for kept in presets(tmp_path)} == demo_bookmarks.PRESETS
    assert [kept.scene for kept in bookmarks()] == list(demo_bookmarks.BOOKMARKS.values()), "run the tool again"
    run(monkeypatch, demo_bookmarks, "--sheet", tmp_path / "choose.png", "--network", networks[0], "--seeds", "3-5")
    with Image.open(tmp_path / "choose.png") as sheet:
        assert sheet.height == 4 * (16 + 16), "a row for each class"


def test_what_is_kept_of_a_training_names_no_machine_and_no_folder_of_it(tmp_path, monkeypatch):
    run_folder, dest = tmp_path / "00003-run", tmp_path / "demo"
    run_folder.mkdir()
    facts = {
        "command": ["--data", "/home/me/p.zip"],
        "config": {"resolution": 16, "data": "/home/me/p.zip"},
        "host": "h",
    }
    (run_folder / "run.yaml").write_text(yaml.safe_dump(facts))
    ticks = [
        {
            "Progress/kimg": {"mean": kimg},
            "Loss/G/loss": {"mean": 1.5 - kimg / 10},
            "Loss/D/loss": {"mean": 0.5},
            "Timing/total_hours": {"mean": kimg / 4},
        }
        for kimg in (0.008, 1.0, 2.0)
    ]
    (run_folder / "stats.jsonl").write_text("\n".join(map(json.dumps, ticks)))
    for kimg in (0, 1, 2):
        Image.new("RGB", (64, 64), (kimg * 90, 40, 40)).save(run_folder / f"fakes{kimg:06d}.png")
    assert run(monkeypatch, collect_run, run_folder, "--dest", dest) == 0
    kept = yaml.safe_load((dest / "stylegan3-run.yaml").read_text())
    assert kept["command"] == ["--data", "p.zip"]
    assert kept["config"]["data"] == "p.zip"
    assert "host" not in kept
    assert kept["trained"] == {"kimg": 2.0, "hours": 0.5}
    with Image.open(dest / "stylegan3-samples.jpg") as strip:
        assert strip.width == 3 * 64 + 2 * 8
    with Image.open(dest / "stylegan3-curves.png") as page:
        assert page.size[1] == collect_run.HEIGHT, "what has no numbers has no plot"


def test_a_folder_that_is_no_run_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, collect_run, tmp_path, "--dest", tmp_path) == 2
    assert "is not a run folder that can be read" in capsys.readouterr().err


def test_a_training_that_is_kept_can_go_on_elsewhere(planets, tmp_path, monkeypatch, capfd):
    """Its last line is the command; a try of it takes over all of G_ema and D."""
    flags = ["--cfg=cpu-t", "--cbase=64", "--cmax=4", "--cond", "1", "--batch=8", "--gamma=0.1", "--device", "cpu"]
    some = [*flags, "--metrics", "none", "--grid=4x2"]
    start = ["--outdir", str(tmp_path), "--data", str(planets), "--vae-kimg", "0.008", "--kimg", "0.016"]
    assert cli.run("train", [*start, *some]) == 0
    folder = next(tmp_path.glob("00000-*"))
    assert run(monkeypatch, keep_training, folder, "--name", "small", "--dest", tmp_path / "kept") == 0
    text = (tmp_path / "kept" / "README.md").read_text()
    assert "| small | 0.016 |" in text
    *_, command = (line.strip() for line in text.splitlines() if line.strip())
    words = shlex.split(command)
    assert words[:3] == ["python", "visualizer.py", "train"]
    assert "--vae-kimg" not in words
    monkeypatch.chdir(planets.parent)
    capfd.readouterr()
    assert cli.run("train", [*words[3:], "--kimg", "0.008", "--outdir", str(tmp_path / "later")]) == 0
    taken = re.findall(r"(G|D|G_ema): (\d+) of (\d+) tensors taken over", capfd.readouterr().out)
    assert {role for role, some, every in taken if some == every} == {"G", "D", "G_ema"}
