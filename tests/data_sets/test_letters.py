"""Letters from fonts: a class a character, one scale and baseline a font, styles that can be found again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from dataset_makers import contents, folder, make
from font_makers import ROBOTO, Box, boxes, collection, font, forget_style_names

import cli
from data import Dataset, DatasetError
from data.letters import characters_of
from data.letters.face import family_and_style

BOLD = ROBOTO.with_name("Roboto-Bold.ttf")


def letters(path: Path, fonts: Mapping[str, bytes], *arguments: object, name: str = "a.zip") -> Dataset:
    """A dataset made of these fonts."""
    source = folder(path / "fonts", fonts)
    words = ["letters", "--source", source, "--dest", path / name, *arguments]
    assert cli.run("dataset", [str(word) for word in words]) == 0
    return Dataset(path / name, use_labels=True)


def ink(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is white in uint8 [1,H,W], by half of full white."""
    rows, columns = np.flatnonzero(picture[0].max(1) > 127), np.flatnonzero(picture[0].max(0) > 127)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_each_character_is_a_class_named_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = letters(tmp_path, {"a.ttf": ROBOTO.read_bytes()}, "--resolution", "32x32", "--characters", "A-C0-1é")
    assert made.classes == ("A", "B", "C", "0", "1", "é")
    assert made.image_shape == (1, 32, 32) and made.label_shape == (6,)
    assert [made.class_index(index) for index in range(6)] == list(range(6))
    assert "6 pictures of 32x32, grey, 6 classes (A, B, C, 0, 1, é)" in capsys.readouterr().out


def test_equal_fonts_give_equal_bytes_by_any_number_of_processes(tmp_path: Path) -> None:
    fonts = {f"{number}.ttf": font(family=f"Font {number}", weight=number) for number in range(1, 9)}
    for number in range(9, 19):
        fonts[f"{number}.woff2"] = font(family=f"Font {number}", weight=number, flavor="woff2")
    for workers in (1, 2):
        letters(tmp_path, fonts, "--resolution", "16", "--workers", workers, name=f"{workers}.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_letters_of_a_font_keep_their_sizes_and_stand_on_one_line(tmp_path: Path) -> None:
    """Two boxes, one twice as high and both on the baseline, and one that hangs below it."""
    shapes: dict[str, list[Box]] = {"A": [(0, 0, 400, 700)], "B": [(50, 0, 250, 350)], "C": [(0, -200, 300, 350)]}
    made = letters(tmp_path, {"a.ttf": font("ABC", draw=lambda c: shapes[c])}, "--resolution", "64", "--characters=A-C")
    large, small, hanging = (ink(made.image(index)) for index in range(3))
    assert (large[1], large[3]) == (4, 48)  # 900 units fill 56 pixels of 64: 700 above the line, 200 below
    assert large[3] == small[3] and abs((small[3] - small[1]) * 2 - (large[3] - large[1])) <= 1
    assert (hanging[1], hanging[3]) == (small[1], 60)
    for left, _, right, _ in (large, small, hanging):
        assert abs(left - (64 - right)) <= 1


def test_nothing_is_cut_off_and_fonts_fill_the_picture_alike(tmp_path: Path) -> None:
    fonts = {"a.ttf": ROBOTO.read_bytes(), "b.ttf": font(family="Em of 4096", units=4096)}
    made = letters(tmp_path, fonts, "--resolution", "64")
    for style in range(2):
        pictures = np.stack([made.image(int(index))[0] for index in made.of_style(style)])
        reach = pictures.max(0) > 127
        assert not reach[:3].any() and not reach[-3:].any() and not reach[:, :3].any() and not reach[:, -3:].any()
        assert max(reach.any(0).sum(), reach.any(1).sum()) >= 54


def test_edges_are_as_grey_as_the_outline_covers_them(tmp_path: Path) -> None:
    """A slanted edge: every pixel is the share of it that is inside, apart from the filter's small overshoot."""
    made = letters(tmp_path, {"a.ttf": ROBOTO.read_bytes()}, "--resolution", "32", "--characters", "AV")
    large = letters(tmp_path, {"a.ttf": ROBOTO.read_bytes()}, "--resolution", "256", "--characters", "AV", name="b.zip")
    for index in range(2):
        picture, fine = made.image(index)[0] / 255, large.image(index)[0] / 255
        covered = fine.reshape(32, 8, 32, 8).mean((1, 3))
        assert abs(picture.mean() - covered.mean()) < 0.004
        assert np.abs(picture - covered).max() < 0.2
        assert ((picture > 0.1) & (picture < 0.9)).mean() > 0.08


def test_pictures_of_one_typeface_can_be_found(tmp_path: Path) -> None:
    made = letters(tmp_path, {"a.ttf": ROBOTO.read_bytes(), "b/b.ttf": BOLD.read_bytes()}, "--resolution", "16")
    assert made.styles == (("Roboto", "Bold"), ("Roboto", "Regular")) and made.has_styles
    for number in range(2):
        found = made.of_style(number)
        assert [made.class_index(int(index)) for index in found] == list(range(26))
        assert {made.style_index(int(index)) for index in found} == {number}
    mirrored = Dataset(made.path, use_labels=True, xflip=True, max_size=40)
    for index in range(80):
        other = mirrored.random_of_same_style(index, 0.7)
        assert mirrored.style_index(other) == mirrored.style_index(index)
        assert mirrored.is_flipped(other) == mirrored.is_flipped(index)


def test_styles_stay_when_a_dataset_is_made_smaller(tmp_path: Path) -> None:
    made = letters(tmp_path, {"a.ttf": ROBOTO.read_bytes(), "b.ttf": BOLD.read_bytes()}, "--resolution", "32")
    assert make(made.path, tmp_path / "b", "--resolution", "16x16", "--max-images", 30) == 0
    smaller = Dataset(tmp_path / "b", use_labels=True)
    assert [smaller.style_index(index) for index in range(30)] == [made.style_index(index) for index in range(30)]


@pytest.mark.parametrize("styles", [{"a": 1}, [["a.png", "Roboto"]], [["a.png", "Roboto", 3]], 7])
def test_styles_that_are_none_cost_a_sentence(styles: object, tmp_path: Path) -> None:
    made = letters(tmp_path, {"a.ttf": font("AB")}, "--resolution", "16", "--characters=AB")
    files = contents(made.path)
    document = json.loads(files["dataset.json"]) | {"styles": styles}
    broken = folder(tmp_path / "broken", {**files, "dataset.json": json.dumps(document)})
    with pytest.raises(DatasetError, match=r'where \["a.png", "family", "style"\] should be'):
        Dataset(broken, use_labels=True)


def test_of_a_large_family_the_regular_and_the_most_different_styles_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["Thin", "Light", "Book", "Regular", "Medium", "Bold", "Heavy"]
    fonts = {f"{name}.ttf": font(style=name, weight=place + 1) for place, name in enumerate(names)}
    made = letters(tmp_path, fonts, "--resolution", "16", "--max-styles", 3)
    assert {style for _, style in made.styles} == {"Regular", "Heavy", "Thin"}
    told = next(line for line in capsys.readouterr().out.splitlines() if "--max-styles" in line)
    assert " 4 " in told and "Bold.ttf (Test Sans)" in told


def test_variable_fonts_and_collections_give_all_their_styles(tmp_path: Path) -> None:
    together = collection(font(family="Zoo", weight=2), font(family="Zoo", style="Bold", weight=6))
    fonts = {
        "v.woff2": font(family="Variable", weight=4, instances=["Light", "Black"], flavor="woff2"),
        "z.ttc": together,
    }
    made = letters(tmp_path, fonts, "--resolution", "32")
    assert made.styles == (("Variable", "Black"), ("Variable", "Light"), ("Zoo", "Bold"), ("Zoo", "Regular"))
    weights = [np.mean([made.image(int(index)).mean() for index in made.of_style(number)]) for number in range(4)]
    assert weights[0] > 1.1 * weights[1] and weights[2] > 1.1 * weights[3]


def test_styles_of_one_name_are_told_apart_by_numbers(tmp_path: Path) -> None:
    """As a family of optical sizes has them, and a variable font whose styles have lost their names."""
    nameless = font(family="Lost", weight=4, instances=["Light", "Black"], change=forget_style_names)
    fonts = {"10.ttf": font(family="Text"), "72.ttf": font(family="Text", weight=2), "v.ttf": nameless}
    made = letters(tmp_path, fonts, "--resolution", "16")
    assert made.styles == (("Lost", "Regular"), ("Lost", "Regular 2"), ("Text", "Regular"), ("Text", "Regular 2"))
    assert [len(made.of_style(number)) for number in range(4)] == [26] * 4


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Cabin SemiBold", "Italic"), ("Cabin", "SemiBold Italic")),
        (("Cabin Semi Bold", "Regular"), ("Cabin", "Semi Bold")),
        (("Roboto Condensed", "Bold"), ("Roboto Condensed", "Bold")),
        (("Black", "Regular"), ("Black", "Regular")),
        (("Fira Sans Light", "Light"), ("Fira Sans", "Light")),
        (("", ""), ("file", "Regular")),
    ],
)
def test_families_are_told_from_styles(names: tuple[str, str], expected: tuple[str, str]) -> None:
    assert family_and_style(*names, "folder/file.ttf") == expected


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("A-C", "ABC"),
        ("A-Ca-b0-1", "ABCab01"),
        ("+-", "+-"),
        ("-9-7", None),
        ("-A", "-A"),
        ("AAB-BA", "AB"),
        ("α-γЖ", "αβγЖ"),
        ("!-#", '!"#'),
        ("漢字", "漢字"),
    ],
)
def test_characters_are_given_as_people_write_them(text: str, characters: str | None) -> None:
    if characters is None:
        with pytest.raises(DatasetError, match="runs backwards: write 7-9"):
            characters_of(text)
    else:
        assert "".join(characters_of(text)) == characters


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--resolution", "64x32"], "square"),
        (["--resolution", "48x48"], "no power of two"),
        (["--resolution", "4x4"], "choose 8 to 1024"),
        (["--max-styles", "0"], "at least one"),
        (["--characters", ""], "--characters is empty"),
        (["--characters", "A B"], "SPACE, which is nothing to draw"),
        (["--characters", "\udc80"], "nothing to draw"),
        (["--characters", "Z-A"], "runs backwards"),
        (["--characters", "!-\U0010ffff"], "more than 20,000"),
        (["--max-images", "0"], "at least one picture"),
        (["--source", "nowhere"], "nowhere is no folder"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "fonts", {"a.ttf": font()})
    dest = tmp_path / "a.zip"
    assert cli.run("dataset", ["letters", "--source", str(source), "--dest", str(dest), *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said
    assert not dest.exists()


def test_a_folder_is_needed_and_must_hold_fonts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("dataset", ["letters", "--dest", str(tmp_path / "a.zip")]) == 2
    assert "Give the folder of your fonts with --source." in capsys.readouterr().err
    assert cli.run("dataset", ["letters", "--source", str(tmp_path), "--dest", str(tmp_path / "a.zip")]) == 2
    assert "holds no fonts: put .ttf, .otf, .ttc, .woff or .woff2 files into it." in capsys.readouterr().err


def test_fonts_that_change_while_they_are_drawn_are_told(tmp_path: Path) -> None:
    from data.letters import Letters

    source = folder(tmp_path / "fonts", {"a.ttf": font("AB", draw=lambda c: boxes(c))})
    drawn = Letters(source, 16, ("A", "B"))
    (source / "a.ttf").write_bytes(b"")
    with pytest.raises(DatasetError):
        drawn.read(0, None)
