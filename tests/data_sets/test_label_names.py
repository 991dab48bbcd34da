"""Labels find their pictures under names that differ a little, or it is said; none is lost without a word."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_makers import contents, folder, make, picture, zipped

from data import Dataset, DatasetError

NAMES = [f"{kind}/{number}.png" for kind in ("cats", "dogs") for number in range(3)]
DISTINCT = {
    name: f"{name[:4]}/{name[:3]}-{name[5:]}" for name in NAMES
}  # file names that tell the picture by themselves
Rename = Callable[[str], str]


def files(names: list[str] | None = None) -> dict[str, bytes | str]:
    return {name: picture(seed=seed) for seed, name in enumerate(names or NAMES)}


def labels(pairs: list[list[object]]) -> str:
    return json.dumps({"labels": pairs})


def labeled(rename: Rename, names: list[str] | None = None) -> dict[str, bytes | str]:
    pairs = [[rename(name), 7 if "dogs" in name else 3] for name in names or NAMES]
    return {**files(names), "dataset.json": labels(pairs)}


def made_labels(path: Path) -> list[int]:
    return [label for _, label in json.loads(contents(path)["dataset.json"])["labels"]]


FOUND: dict[str, tuple[Rename, str]] = {
    "dot and slash": (lambda name: f"./{name}", ""),
    "doubled slash": (lambda name: name.replace("/", "//"), ""),
    "another ending": (lambda name: name.replace(".png", ".jpg"), "label with another ending"),
    "no ending": (lambda name: name.replace(".png", ""), "label with another ending"),
    "capitals": (lambda name: name.upper(), "label in other letters"),
    "backslashes": (lambda name: name.replace("/", "\\"), "label with backslashes"),
    "whole paths": (lambda name: f"/home/me/photos/{name}", "label with other folders"),
    "paths of Windows": (lambda name: f"C:\\photos\\{name}".replace("/", "\\"), "label with other folders"),
    "another top folder": (lambda name: f"photos-2024/{name}", "label with other folders"),
    "all of it": (lambda name: f"D:\\X\\{name.upper()}".replace("PNG", "jpeg"), "label with other folders"),
}


@pytest.mark.parametrize("case", FOUND)
def test_labels_are_found_under_names_that_differ_a_little(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rename, told = FOUND[case]
    source = folder(tmp_path / "set", labeled(rename))
    assert make(source, tmp_path / "a.zip", "--labels", "json") == 0
    assert told in capsys.readouterr().out
    assert made_labels(tmp_path / "a.zip") == [3, 3, 3, 7, 7, 7]
    training = Dataset(source, use_labels=True)
    assert [training.class_index(index) for index in range(6)] == [3, 3, 3, 7, 7, 7]
    assert bool(training.notes) == bool(told)


def test_names_without_folders_are_found_where_each_is_of_one_picture(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", labeled(lambda name: name.split("/")[1], list(DISTINCT.values())))
    assert make(source, tmp_path / "a.zip") == 0
    assert made_labels(tmp_path / "a.zip") == [3, 3, 3, 7, 7, 7]


def test_a_renamed_class_folder_and_accents_of_a_mac_are_found(tmp_path: Path) -> None:
    names = ["cats/één.png", "cats/zwei.png", "dogs/trois.png"]
    source = folder(tmp_path / "set", labeled(lambda name: unicodedata.normalize("NFD", name), names))
    assert make(source, tmp_path / "a.zip") == 0
    assert made_labels(tmp_path / "a.zip") == [3, 3, 7]
    document = labels([["x/y/a.png", 1], ["x/y/b.png", 0]])
    moved = folder(tmp_path / "moved", {**files(["new/a.png", "new/b.png"]), "dataset.json": document})
    assert make(moved, tmp_path / "b.zip") == 0
    assert made_labels(tmp_path / "b.zip") == [1, 0]


LOST: dict[str, dict[str, bytes | str]] = {
    "two pictures of one name": labeled(lambda name: name.split("/")[1]),
    "other names": labeled(lambda name: f"img-{name[5:]}"),
    "one ending of two": {**files(["a.png", "a.jpg", "b.png"]), "dataset.json": labels([["a.webp", 0], ["b.png", 1]])},
    "two labels for one": {**files(["a.png"]), "dataset.json": labels([["a.jpg", 0], ["a.webp", 1]])},
    "folders that do not fit": {
        **files(["x/a.png", "y/a.png"]),
        "dataset.json": labels([["z/a.png", 0], ["w/a.png", 1]]),
    },  # fmt: skip
}


@pytest.mark.parametrize("case", LOST)
def test_labels_that_fit_no_picture_without_doubt_are_refused_with_an_example(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "set", LOST[case])
    for arguments in ((), ("--labels", "json")):
        assert make(source, tmp_path / "a.zip", *arguments) == 2
        said = capsys.readouterr().err
        example = json.loads(LOST[case]["dataset.json"])["labels"][0][0]
        assert "dataset.json" in said and example in said
        assert not (tmp_path / "a.zip").exists()
    with pytest.raises(DatasetError, match="Labels would be lost|twice, with the labels"):
        Dataset(source, use_labels=True)
    assert make(source, tmp_path / "a.zip", "--labels", "none") == 0


@pytest.mark.parametrize(
    "pairs",
    [
        [["cats/0.png", 0], ["cats/0.png", 1]],
        [["cats/0.png", 0], ["./cats/0.png", 1]],
        [["cats/0.png", [0, 1]], ["cats\\0.png", [1, 0]]],
    ],
)
def test_a_picture_listed_twice_with_two_labels_is_refused_with_both(
    pairs: list[list[object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "set", {**files(["cats/0.png"]), "dataset.json": labels(pairs)})
    assert make(source, tmp_path / "a.zip") == 2
    said = capsys.readouterr().err
    assert "cats/0.png twice" in said and str(pairs[0][1])[1:2] in said
    same = folder(tmp_path / "same", {**files(["cats/0.png"]), "dataset.json": labels([pairs[0], pairs[0]])})
    assert make(same, tmp_path / "b.zip", "--labels", "json") == 0


@pytest.mark.parametrize("top", ["photos/", "a/b/", "photos/train/"])
def test_labels_in_an_archives_single_top_folder_are_found(top: str, tmp_path: Path) -> None:
    inside = {top + name: content for name, content in labeled(lambda name: name).items()}
    ghosts = {f"__MACOSX/{top}{name}": b"\0\5\x16\7" for name in ("._0.png", "._dataset.json", ".DS_Store")}
    source = zipped(tmp_path / "nested.zip", {**inside, **ghosts})
    assert make(source, tmp_path / "a.zip", "--labels", "json") == 0
    assert made_labels(tmp_path / "a.zip") == [3, 3, 3, 7, 7, 7]
    assert Dataset(source, use_labels=True).class_index(5) == 7


def test_labels_in_one_of_several_folders_are_said_to_be_unused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "set", {**files(), "cats/dataset.json": labels([["0.png", 1]])})
    assert make(source, tmp_path / "a.zip") == 0
    assert "cats/dataset.json" in capsys.readouterr().out
    assert make(source, tmp_path / "b.zip", "--labels", "json") == 2
    assert "cats/dataset.json" in capsys.readouterr().err


def test_pictures_without_a_label_are_refused_where_labels_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "set", {**files(), "dataset.json": labels([["cats/0.png", 1]])})
    assert make(source, tmp_path / "a.zip", "--labels", "json") == 2
    assert "no label for cats/1.png and 4 other pictures" in capsys.readouterr().err
    assert make(source, tmp_path / "a.zip") == 0
    assert "all labels left out" in capsys.readouterr().out


def test_labels_of_pictures_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path / "set", {**files(["a.png"]), "dataset.json": labels([["a.png", 1], ["gone.png", 0]])})
    assert make(source, tmp_path / "a.zip") == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("label without a picture"))
    assert "gone.png" in line and "not used" in line


@pytest.mark.parametrize("value, expected", [(1.0, 1), (3.0, 3), (0.5, None), (-1.0, None), (1e300, None)])
def test_class_numbers_written_as_floats_are_read_and_fractions_refused(
    value: float, expected: int | None, tmp_path: Path
) -> None:
    document = labels([["a.png", 0.0], ["b.png", value]])
    source = folder(tmp_path / "set", {**files(["a.png", "b.png"]), "dataset.json": document})
    if expected is None:
        with pytest.raises(DatasetError, match=r"0, 1, 2|number classes from 0"):
            Dataset(source, use_labels=True)
    else:
        assert Dataset(source, use_labels=True).class_index(1) == expected


@pytest.mark.parametrize("numbers, empty", [((1, 7, 40), 38), ((0, 2), 1), ((0, 1), 0)])
def test_classes_without_pictures_are_told(
    numbers: tuple[int, ...], empty: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{number}.png" for number in numbers]
    pairs = [[name, number] for name, number in zip(names, numbers, strict=True)]
    source = folder(tmp_path / "set", {**files(names), "dataset.json": labels(pairs)})
    assert make(source, tmp_path / "a.zip") == 0
    told = [line.split()[3] for line in capsys.readouterr().out.splitlines() if line.startswith("class without")]
    assert told == ([str(empty)] if empty else [])
    assert len(Dataset(tmp_path / "a.zip", use_labels=True).empty_classes()) == empty
