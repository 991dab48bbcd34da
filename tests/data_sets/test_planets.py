"""The built-in planets: the same for a seed, of four kinds that differ, at any resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from data import Dataset, DatasetError
from data.planets.render import CLASSES, render
from data.planets.source import Planets


def planets(*arguments: object) -> int:
    return cli.run("dataset", ["planets", *(str(argument) for argument in arguments)])


def test_planets_are_the_same_for_a_seed_whatever_draws_them(tmp_path: Path) -> None:
    size = ("--resolution", "16x16", "--max-images", 100)
    assert planets("--dest", tmp_path / "a.zip", *size, "--workers", 1) == 0
    assert planets("--dest", tmp_path / "b.zip", *size, "--workers", 2) == 0
    assert planets("--dest", tmp_path / "c.zip", *size, "--workers", 1, "--seed", 1) == 0
    first = (tmp_path / "a.zip").read_bytes()
    assert first == (tmp_path / "b.zip").read_bytes()
    assert first != (tmp_path / "c.zip").read_bytes()


def test_an_image_depends_on_seed_and_number_alone() -> None:
    few, many = Planets(3, 32, seed=5), Planets(50, 32, seed=5)
    assert (few.read(2, None) == many.read(2, None)).all()
    assert (few.read(2, None) != Planets(3, 32, seed=6).read(2, None)).any()


def test_planets_train_as_four_classes(tmp_path: Path) -> None:
    assert planets("--dest", tmp_path / "p.zip", "--resolution", "16x16", "--max-images", 60) == 0
    dataset = Dataset(tmp_path / "p.zip", use_labels=True)
    assert dataset.image_shape == (3, 16, 16) and dataset.label_shape == (4,)
    assert dataset.classes == CLASSES == ("gas giant", "rocky", "ocean", "lava")
    assert {dataset.class_index(index) for index in range(60)} == {0, 1, 2, 3}
    assert [dataset.class_index(index) for index in range(60)] == list(Planets(60, 16).labels or ())


@pytest.mark.parametrize("resolution", [16, 32, 96, 256])
@pytest.mark.parametrize("kind", range(4))
def test_a_planet_is_a_bright_thing_in_a_dark_sky(kind: int, resolution: int) -> None:
    for seed in range(3):
        picture = render(np.random.default_rng(seed), kind, resolution)
        assert picture.shape == (resolution, resolution, 3) and picture.dtype == np.uint8
        bright = picture.max(2).astype(int)
        assert 0.02 < (bright > 60).mean() < 0.75
        edge = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
        assert np.median(edge) < 60


def test_kinds_differ_by_color_at_a_glance() -> None:
    def warmth(kind: int) -> float:
        pictures = [render(np.random.default_rng(seed), kind, 32).astype(float) for seed in range(24)]
        return float(np.mean([picture[..., 0].sum() / picture[..., 2].sum() for picture in pictures]))

    gas, rocky, ocean, lava = (warmth(kind) for kind in range(4))
    assert lava > 2 * rocky and lava > 2 * gas and ocean < 0.8 * rocky


def test_a_planet_is_the_same_planet_at_another_resolution() -> None:
    for seed in (1, 2, 5):  # small changes of detail are meant: finer images show more
        large = render(np.random.default_rng(seed), 0, 128)
        small = render(np.random.default_rng(seed), 0, 64).astype(int)
        halved = np.asarray(Image.fromarray(large).resize((64, 64), Image.Resampling.BOX)).astype(int)
        covered = halved.max(2) > 60
        assert np.abs(halved - small)[covered].mean() < 22


def test_fine_textures_reach_the_finest_pixels() -> None:
    pictures = [render(np.random.default_rng(seed), 1, 64)[..., 1].astype(float) for seed in range(8)]
    spectra = [np.abs(np.fft.fft2(picture - picture.mean())) for picture in pictures]
    fine = np.mean([spectrum[20:29, 20:29].mean() / spectrum[2:6, 2:6].mean() for spectrum in spectra])
    assert fine > 0.005  # detail at 20 to 28 of 32 cycles per image width, where sticking shows


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--resolution", "64x32"], "square"),
        (["--resolution", "48x48"], "no power of two"),
        (["--resolution", "4x4"], "choose 8 to 4096"),
        (["--max-images", "-3"], "at least one"),
        (["--max-images", "99999999999", "--resolution", "1024x1024"], "GB are free there"),
        (["--seed", "-1"], "must not be negative"),
        (["--source", "here"], "not both"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planets("--dest", tmp_path / "p.zip", *arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_planets_that_cannot_be_drawn_are_said() -> None:
    with pytest.raises(DatasetError, match="at least one"):
        Planets(0, 64)
