"""Datasets as people have them are read as the published tools read them, from any process; broken ones say why."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_makers import folder, picture, zipped
from PIL import Image

from data import Dataset, DatasetError

GOLDEN = Path(__file__).resolve().parent.parent / "data" / "dataset"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
ARCHIVES = [(name, case) for name in EXPECTED if name.endswith(".zip") for case in EXPECTED[name]]


@pytest.mark.parametrize("unpacked", [False, True], ids=["zip", "folder"])
@pytest.mark.parametrize(("name", "case"), ARCHIVES, ids=lambda value: value if isinstance(value, str) else "")
def test_published_archives_give_the_published_images_and_labels(
    name: str, case: dict, unpacked: bool, tmp_path: Path
) -> None:
    path = GOLDEN / name
    if unpacked:
        path = tmp_path / Path(name).stem
        with zipfile.ZipFile(GOLDEN / name) as archive:
            archive.extractall(path)
    dataset = Dataset(path, **case["kwargs"])
    assert dataset.name == case["name"]
    assert len(dataset) == case["len"]
    assert list(dataset.image_shape) == case["image_shape"]
    assert list(dataset.label_shape) == case["label_shape"]
    assert dataset.has_labels == case["has_labels"]
    indices = range(len(dataset))
    assert [dataset.raw_index(index) for index in indices] == case["raw_idx"]
    assert [dataset.is_flipped(index) for index in indices] == case["xflip"]
    assert [hashlib.sha256(dataset.image(index).tobytes()).hexdigest() for index in indices] == case["image_sha256"]
    labels = [dataset.label(index) for index in indices]
    assert [int(label.argmax()) if label.size else -1 for label in labels] == case["label_argmax"]
    assert all(label.dtype == np.float32 and label.sum() == (label.size > 0) for label in labels)
    images, together = dataset.batch([0, len(dataset) - 1])
    assert (images[1] == dataset.image(len(dataset) - 1)).all() and (together[0] == labels[0]).all()


def test_vectors_are_labels_as_they_are(tmp_path: Path) -> None:
    files = {"b.png": picture(seed=1), "a.png": picture(seed=2)}
    labels = {"labels": [["b.png", [1, 2.5]], ["a.png", [-3.0, 4]]]}
    dataset = Dataset(folder(tmp_path, {**files, "dataset.json": json.dumps(labels)}), use_labels=True)
    assert dataset.label_dim == 2 and not dataset.has_onehot_labels
    assert dataset.label(0).tolist() == [-3, 4] and dataset.label(1).tolist() == [1, 2.5]
    assert dataset.class_index(0) is None


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "P", "RGB"])
def test_a_plain_folder_of_any_color_images_is_rgb(mode: str, tmp_path: Path) -> None:
    kind = "tiff" if mode == "CMYK" else "png"
    path = folder(
        tmp_path, {f"a.{kind}": picture(mode, kind=kind), "z.png": picture("L"), "notes.txt": "not a picture"}
    )
    dataset = Dataset(path)
    assert dataset.image_shape == (3, 16, 16) and len(dataset) == 2
    dataset.check()
    gray = dataset.image(1)
    assert (gray[0] == gray[1]).all()


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_one_color_image_among_gray_ones_keeps_its_colors(packed: bool, tmp_path: Path) -> None:
    files = {"a.png": picture("L"), "b.png": picture("I;16"), "c.png": picture(seed=3)}
    dataset = Dataset(zipped(tmp_path / "a.zip", files) if packed else folder(tmp_path / "a", files))
    assert dataset.image_shape == (3, 16, 16)
    assert (dataset.image(2) == Dataset(folder(tmp_path / "c", {"c.png": files["c.png"]})).image(0)).all()


def test_sixteen_bits_become_eight_without_wrapping(tmp_path: Path) -> None:
    dataset = Dataset(folder(tmp_path, {"a.png": picture("I;16", seed=5), "b.png": picture("L", seed=5)}))
    assert dataset.image_shape == (1, 16, 16)
    assert (dataset.image(0) == dataset.image(1)).all()


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(buffer, "png")
    assert (Dataset(folder(tmp_path, {"a.png": buffer.getvalue()})).image(0) == 255).all()


def test_what_macos_puts_into_a_zip_is_no_image(tmp_path: Path) -> None:
    files = {"a.png": picture(), "__MACOSX/._a.png": b"\0\5\26\7", ".thumb.png": b""}
    assert len(Dataset(zipped(tmp_path / "a.zip", files))) == 1


def digests(dataset: Dataset, queue, start: int) -> None:
    queue.put((start, [hashlib.sha256(dataset.image(i).tobytes()).hexdigest() for i in range(start, len(dataset), 2)]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_one_zip_at_once(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} is not offered here")
    context: Any = multiprocessing.get_context(method)
    dataset = Dataset(GOLDEN / "golden-32.zip")
    dataset.image(0)  # the zip is open before the fork
    queue = context.Queue()
    workers = [context.Process(target=digests, args=(dataset, queue, start)) for start in (0, 1)]
    for worker in workers:
        worker.start()
    mine = [hashlib.sha256(dataset.image(i).tobytes()).hexdigest() for i in range(len(dataset))]
    theirs = dict(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert mine == EXPECTED["golden-32.zip"][0]["image_sha256"]
    assert theirs == {0: mine[0::2], 1: mine[1::2]}


def test_threads_read_one_dataset_at_once() -> None:
    dataset = Dataset(GOLDEN / "golden-32.zip")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: hashlib.sha256(dataset.image(n % 40).tobytes()).hexdigest(), range(2000)))
    assert found == EXPECTED["golden-32.zip"][0]["image_sha256"] * 50


GOOD = {"a.png": picture(), "b.png": picture(seed=1)}
BROKEN: dict[str, tuple[Mapping[str, bytes | str], dict, str]] = {
    "empty": ({}, {}, "holds no pictures"),
    "no pictures": ({"readme.txt": "hello"}, {}, "holds no pictures"),
    "mixed sizes": ({**GOOD, "c.png": picture(size=(8, 8))}, {}, "c.png .* is 8x8, but the first picture is 16x16"),
    "not square": ({"a.png": picture(size=(16, 8))}, {}, "16x8, but pictures to train on are square"),
    "first broken": ({**GOOD, "a.png": b"\x89PNG\r\n\x1a\n nothing"}, {}, "a.png .* cannot be read"),
    "empty file": ({**GOOD, "b.png": b""}, {}, "b.png .* cannot be read"),
    "no labels": (GOOD, {"use_labels": True}, "has no labels"),
    "null labels": ({**GOOD, "dataset.json": '{"labels": null}'}, {"use_labels": True}, "has no labels"),
    "not JSON": ({**GOOD, "dataset.json": "{labels"}, {"use_labels": True}, "dataset.json .* is not JSON"),
    "a list": ({**GOOD, "dataset.json": "[]"}, {"use_labels": True}, "should look like"),
    "one missing": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", 0]]}'},
        {"use_labels": True},
        "has no label for b.png: label all",
    ),
    "mixed labels": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", 0], ["b.png", [1.0]]]}'},
        {"use_labels": True},
        "mixes class numbers and vectors",
    ),
    "two lengths": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", [1]], ["b.png", [1, 2]]]}'},
        {"use_labels": True},
        "vectors of different lengths",
    ),
    "below zero": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", -1], ["b.png", 0]]}'},
        {"use_labels": True},
        "number classes from 0",
    ),
    "a huge class": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", 1000000000], ["b.png", 0]]}'},
        {"use_labels": True},
        "number classes from 0",
    ),
    "a word": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", "cat"], ["b.png", "dog"]]}'},
        {"use_labels": True},
        "labels a.png with cat",
    ),
    "not a number": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", [NaN]], ["b.png", [0.0]]]}'},
        {"use_labels": True},
        "a label is a class number or a list of numbers",
    ),
    "another size": (GOOD, {"resolution": 32}, "pictures of 16 pixels, but 32 are asked for"),
    "no subset": (GOOD, {"max_size": 0}, "at least one picture"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_dataset_is_said_in_one_sentence(case: str, packed: bool, tmp_path: Path) -> None:
    files, settings, words = BROKEN[case]
    (tmp_path / "set").mkdir()
    path = zipped(tmp_path / "set.zip", files) if packed else folder(tmp_path / "set", files)
    with pytest.raises(DatasetError, match=words) as caught:
        Dataset(path, **settings)
    assert "\n" not in str(caught.value)


def test_a_missing_dataset_and_a_broken_zip_are_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        Dataset(tmp_path / "nowhere.zip")
    with pytest.raises(DatasetError, match="cannot be looked at .*: check the path"):
        Dataset(tmp_path / ("x" * 300) / "a.zip")
    whole = (GOLDEN / "golden-32.zip").read_bytes()
    for content in (b"", b"PK", b"not a zip at all", whole[: len(whole) // 2]):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(DatasetError, match="is not a zip that can be read"):
            Dataset(tmp_path / "a.zip")


def test_a_damaged_image_in_a_good_zip_is_named(tmp_path: Path) -> None:
    damaged = bytearray((GOLDEN / "golden-32.zip").read_bytes())
    at = damaged.find(b"img00000007.png") + 1000
    damaged[at : at + 50] = bytes(50)
    (tmp_path / "a.zip").write_bytes(damaged)
    dataset = Dataset(tmp_path / "a.zip")
    dataset.image(6)
    with pytest.raises(DatasetError, match="img00000007.png in .* cannot be read"):
        dataset.image(7)
    with pytest.raises(DatasetError, match=r"img00000007\.png"):
        dataset.check()


def damaged_zip(path: Path, kind: str) -> Path:
    """A zip of two images of which the second cannot be unpacked."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA if kind == "packing" else zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", GOOD["a.png"])
        archive.writestr("bä.png", GOOD["b.png"])
    data = bytearray(path.read_bytes())
    name = data.rindex("bä.png".encode(), 0, data.index(b"PK\x01\x02"))
    if kind == "packing":
        at = name + len("bä.png".encode()) + 4
        data[at : at + 5] = b"\xff" * 5  # the properties of LZMA
    else:
        data[name : name + 3] = b"b\xff\xff"  # no UTF-8
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["packing", "name"])
def test_what_a_damaged_zip_cannot_unpack_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"bä\.png in .* cannot be read .*: make the archive again") as caught:
        Dataset(damaged_zip(tmp_path / "a.zip", kind)).check()
    assert "\n" not in str(caught.value)


def test_colors_that_cannot_be_made_gray_are_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("LAB", (16, 16)).save(buffer, "tiff")
    with pytest.raises(DatasetError, match=r"b\.tif in .* cannot be read \(damaged \(conversion from LAB"):
        Dataset(folder(tmp_path, {"a.png": picture("L"), "b.tif": buffer.getvalue()}), channels=1).check()


def test_a_cut_off_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"b\.png in .* cannot be read \(cut off\)"):
        Dataset(folder(tmp_path, {**GOOD, "b.png": picture(seed=1)[:-200]})).check()


def test_a_dataset_that_changes_while_open_is_said(tmp_path: Path) -> None:
    dataset = Dataset(folder(tmp_path / "set", dict(GOOD)))
    (tmp_path / "set" / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"b\.png has gone"):
        dataset.image(1)
    (tmp_path / "set" / "a.png").write_bytes(picture(size=(32, 32)))
    with pytest.raises(DatasetError, match="is 32x32, but the first picture is 16x16"):
        dataset.image(0)

    dataset = Dataset(zipped(tmp_path / "a.zip", dict(GOOD)))
    dataset.close()
    zipped(tmp_path / "a.zip", {"a.png": picture(seed=9)})
    os.utime(tmp_path / "a.zip", (1, 1))
    with pytest.raises(DatasetError, match="changed while it was being read"):
        dataset.image(0)


def test_a_fingerprint_knows_the_data(tmp_path: Path) -> None:
    one = zipped(tmp_path / "1.zip", dict(GOOD))
    two = zipped(tmp_path / "2.zip", {**GOOD, "b.png": picture(seed=2)})
    assert Dataset(one).fingerprint() == Dataset(one).fingerprint()
    assert len({Dataset(one).fingerprint(), Dataset(two).fingerprint(), Dataset(one, xflip=True).fingerprint()}) == 3


@pytest.mark.parametrize("other", ["[['0.png', 1], ['1.png', 0]]", "[['0.png', 0], ['1.png', 2]]"])
def test_a_fingerprint_knows_the_labels(other: str, tmp_path: Path) -> None:
    prints = []
    for number, pairs in enumerate(("[['0.png', 0], ['1.png', 1]]", other)):
        document = f'{{"labels": {pairs}}}'.replace("'", '"')
        files = {"0.png": picture(), "1.png": picture(seed=1), "dataset.json": document}
        prints.append(Dataset(folder(tmp_path / str(number), files), use_labels=True).fingerprint())
    assert prints[0] != prints[1]
