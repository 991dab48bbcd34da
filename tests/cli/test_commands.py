"""The commands as people type them: the published pictures, every setting as a flag, mistakes in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cli
from networks import load_network, save_networks
from networks.architectures.stylegan2 import Generator
from networks.config import StyleGAN2Config
from session.png import read_session

ROOT = Path(__file__).resolve().parent.parent.parent
NETWORKS = ROOT / "tests" / "data" / "networks"


def render(*arguments: object) -> int:
    return cli.run("render", [str(argument) for argument in arguments])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize("name", ["sg3t_64_uncond", "sg3r_32_uncond", "sg2_32_uncond"])
def test_published_files_give_the_published_pictures(name: str, tmp_path: Path) -> None:
    golden = np.load(NETWORKS / f"{name}.npz", allow_pickle=False)
    seeds = ",".join(str(seed) for seed in golden["seeds"])
    assert render("--network", NETWORKS / f"{name}.pkl", "--seeds", seeds, "--outdir", tmp_path) == 0
    for seed, expected in zip(golden["seeds"], golden["img_u8"], strict=True):
        difference = np.abs(pixels(tmp_path / f"seed{seed:04d}.png") - expected.transpose(1, 2, 0))
        assert difference.max() <= 1  # a value on the edge between two levels may round either way
        assert (difference > 0).mean() < 1e-3


def test_a_projected_w_gives_its_own_pictures(tmp_path: Path) -> None:
    golden = np.load(NETWORKS / "sg2_32_uncond.npz", allow_pickle=False)
    np.savez(tmp_path / "projected_w.npz", w=golden["ws_all_different"])
    network = NETWORKS / "sg2_32_uncond.pkl"
    assert render("--network", network, "--projected_w", tmp_path / "projected_w.npz", "--outdir", tmp_path) == 0
    expected = np.clip(golden["img_all_different"][0] * 127.5 + 128, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    assert np.abs(pixels(tmp_path / "proj00.png") - expected).max() <= 1


def test_a_transform_by_flags_is_the_published_transform(tmp_path: Path) -> None:
    golden = np.load(NETWORKS / "sg3t_64_uncond.npz", allow_pickle=False)
    flags = ["--network", NETWORKS / "sg3t_64_uncond.pkl", "--seeds", int(golden["seeds"][0])]
    assert render(*flags, "--translate=0.13,-0.07", "--rotate", 17, "--out", tmp_path / "a.png") == 0
    expected = np.clip(golden["img_transform"][0] * 127.5 + 128, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    assert np.abs(pixels(tmp_path / "a.png") - expected).max() <= 1


def test_a_saved_picture_can_be_made_again_and_changed(tmp_path: Path) -> None:
    network = NETWORKS / "sg3r_32_uncond.pkl"
    flags = ["--latent.seed", 5, "--mixing.layers", "0-3", "--truncation.psi", 0.5, "--transform.at_input=off"]
    assert render("--network", network, *flags, "--out", tmp_path / "a.png") == 0
    scene = read_session(tmp_path / "a.png").scene
    assert (scene.latent.seed, scene.mixing.layers, scene.truncation.psi) == (5, (0, 1, 2, 3), 0.5)
    assert not scene.transform.at_input
    assert render(tmp_path / "a.png", "--out", tmp_path / "b.png") == 0
    assert (pixels(tmp_path / "a.png") == pixels(tmp_path / "b.png")).all()
    assert render(tmp_path / "a.png", "--trunc", 0.9, "--out", tmp_path / "c.png") == 0
    assert (pixels(tmp_path / "a.png") != pixels(tmp_path / "c.png")).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "nowhere.pkl"], "nowhere.pkl"),
        (["--network", __file__], "test_commands.py"),
        (["--truncation.psi", "7"], "truncation.psi is 7.0, but must be between -1 and 2"),
        (["--class", "9"], "classes 0 to 3"),
        (["--seeds", "0,1", "--out", "a.png"], "--outdir"),
        (["--projected-w", "no.npz"], "no.npz"),
        (["--device", "cuda:77"], "cuda:77"),
        (["nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert render("--outdir", tmp_path / "out", *arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said
    assert not (tmp_path / "out").exists()


NAMES = ("gas giant", "rocky", "ocean", "lava")


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A network of four classes with names."""
    torch.manual_seed(0)
    config = StyleGAN2Config(img_resolution=16, z_dim=8, w_dim=8, c_dim=4, channel_base=128, channel_max=8)
    return save_networks(tmp_path / "named.safetensors", {"G_ema": Generator(config).eval()}, classes=NAMES)


def test_a_class_is_asked_for_by_its_name_or_number(
    named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, word in (("a", "3"), ("b", "LAVA"), ("c", "ocean")):
        assert render("--network", named, "--class", word, "--out", tmp_path / f"{name}.png") == 0
    a, b, c = (pixels(tmp_path / f"{name}.png") for name in "abc")
    assert (a == b).all() and (a != c).any()
    assert read_session(tmp_path / "b.png").scene.latent.class_index == 3
    said = capsys.readouterr().out
    assert "Classes: gas giant, rocky, ocean, lava\n" in said and "seed 0, class 3 (lava) ->" in said
    assert render("--network", named, "--class", "larva", "--out", tmp_path / "d.png") == 2
    said = capsys.readouterr().err.strip()
    assert said == "There is no class 'larva': this network has gas giant, rocky, ocean, lava."
    assert render("--class", "lava", "--network", NETWORKS / "sg2_32_uncond.pkl", "--out", tmp_path / "d.png") == 2
    assert "no names for classes" in capsys.readouterr().err


def test_converting_keeps_and_prints_the_names_of_classes(
    named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run("convert", ["--source", str(named), "--dest", str(tmp_path / "y.safetensors")]) == 0
    assert "Classes: gas giant, rocky, ocean, lava\n" in capsys.readouterr().out
    assert (tmp_path / "y.safetensors").read_bytes() == named.read_bytes()


def test_a_misspelt_flag_is_said_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--truncation.pis", "1"], ["--seeds", "1-x"], ["--noise-mode", "loud"]):
        with pytest.raises(SystemExit) as caught:
            render(*arguments)
        assert caught.value.code == 2
        assert arguments[0].lstrip("-").split(".")[0] in capsys.readouterr().err


def test_converting_keeps_the_pictures(tmp_path: Path) -> None:
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
    from_a_run: bool, link: str, named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "snapshots" / "network-snapshot-000001.safetensors"
    file.parent.mkdir()
    file.write_bytes(named.read_bytes())
    dest = tmp_path / "x.safetensors" if link else file
    if link:
        dest.hardlink_to(file) if link == "hard" else dest.symlink_to(file)
    source = str(tmp_path if from_a_run else file)
    assert cli.run("convert", ["--source", source, "--dest", str(dest), "--half", "--picture-only"]) == 2
    assert capsys.readouterr().err == f"{dest} is the source itself; choose another --dest.\n"
    assert file.read_bytes() == dest.read_bytes() == named.read_bytes()


def test_a_network_to_give_away_is_small_and_paints_the_same(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("display", [{}, {"DISPLAY": ":4711"}], ids=["none", "one that cannot be opened"])
def test_without_a_display_the_program_leaves_a_screenshot_and_a_film(tmp_path: Path, display: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= display
    command = [sys.executable, ROOT / "visualizer.py", NETWORKS / "sg3r_32_uncond.pkl", "--out", tmp_path / "out"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Running off-screen instead" in done.stdout.splitlines()[0]
    assert done.stderr == ""
    shot = pixels(tmp_path / "out" / "screenshot.png")
    assert shot.shape == (800, 1280, 3) and shot.std() > 5
    frames = film(tmp_path / "out" / "demo.mp4")
    assert len(frames) >= 48
    assert np.abs(frames[0] - frames[len(frames) // 2]).mean() > 1  # something moved
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["demo.mp4", "screenshot.png"]


def film(path: Path) -> list[np.ndarray]:
    """The frames of a film, small, decoded by ffmpeg itself."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, "-vf", "scale=160:100"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return list(np.frombuffer(data, np.uint8).reshape(-1, 100, 160, 3).astype(int))
