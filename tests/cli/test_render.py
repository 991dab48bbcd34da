"""`render`: the published images, every setting as a flag, errors in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_commands import NETWORKS, pixels, render

from session.png import read_session


@pytest.mark.parametrize("name", ["sg3t_64_uncond", "sg3r_32_uncond", "sg2_32_uncond"])
def test_published_files_give_the_published_images(name: str, tmp_path: Path) -> None:
    golden = np.load(NETWORKS / f"{name}.npz", allow_pickle=False)
    seeds = ",".join(str(seed) for seed in golden["seeds"])
    assert render("--network", NETWORKS / f"{name}.pkl", "--seeds", seeds, "--outdir", tmp_path) == 0
    for seed, expected in zip(golden["seeds"], golden["img_u8"], strict=True):
        difference = np.abs(pixels(tmp_path / f"seed{seed:04d}.png") - expected.transpose(1, 2, 0))
        assert difference.max() <= 1  # a value on the edge between two levels may round either way
        assert (difference > 0).mean() < 1e-3


def test_a_projected_w_gives_its_own_images(tmp_path: Path) -> None:
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


def test_a_saved_image_can_be_made_again_and_changed(tmp_path: Path) -> None:
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
        (["--network", __file__], "test_render.py"),
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


def test_a_class_is_asked_for_by_its_name_or_number(
    named_network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, word in (("a", "3"), ("b", "LAVA"), ("c", "ocean")):
        assert render("--network", named_network, "--class", word, "--out", tmp_path / f"{name}.png") == 0
    a, b, c = (pixels(tmp_path / f"{name}.png") for name in "abc")
    assert (a == b).all() and (a != c).any()
    assert read_session(tmp_path / "b.png").scene.latent.class_index == 3
    said = capsys.readouterr().out
    assert "Classes: gas giant, rocky, ocean, lava\n" in said and "seed 0, class 3 (lava) ->" in said
    assert render("--network", named_network, "--class", "larva", "--out", tmp_path / "d.png") == 2
    said = capsys.readouterr().err.strip()
    assert said == "There is no class 'larva': this network has gas giant, rocky, ocean, lava."
    assert render("--class", "lava", "--network", NETWORKS / "sg2_32_uncond.pkl", "--out", tmp_path / "d.png") == 2
    assert "no names for classes" in capsys.readouterr().err


def test_a_misspelled_flag_is_named_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--truncation.pis", "1"], ["--seeds", "1-x"], ["--noise-mode", "loud"]):
        with pytest.raises(SystemExit) as caught:
            render(*arguments)
        assert caught.value.code == 2
        assert arguments[0].lstrip("-").split(".")[0] in capsys.readouterr().err
