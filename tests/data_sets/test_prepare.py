"""Datasets made from what people have equal the published tool's; mistakes and interruptions cost a sentence."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from dataset_makers import contents, folder, make, picture, pixels, zipped

from data import Dataset, DatasetError
from data.prepare import PrepareOptions, prepare
from data.sources import Lmdb, class_folders, open_source

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "data" / "dataset"


PUBLISHED = {
    "golden-32": ("source_golden-32", []),
    "crop-32": ("source_mixed_sizes", ["--transform", "center-crop", "--resolution", "32x32"]),
    "scale-16": ("source_mixed_sizes", ["--width", 16, "--height", 16, "--resize_filter", "lanczos"]),
    "cropwide-32": ("source_wide", ["--transform=center-crop-wide", "--resolution=32x24"]),
}


@pytest.mark.parametrize("unpacked", [False, True], ids=["zip", "folder"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_archives_equal_the_published_ones(name: str, unpacked: bool, tmp_path: Path) -> None:
    source_name, arguments = PUBLISHED[name]
    source, dest = GOLDEN / f"{source_name}.zip", tmp_path / "made.zip"
    labels = "json" if name == "golden-32" else "none"
    if unpacked:
        source, dest = folder(tmp_path / "source", contents(source)), tmp_path / "made"
    assert make(source, dest, *arguments, "--labels", labels) == 0
    made, expected = contents(dest), contents(GOLDEN / f"{name}.zip")
    assert made["dataset.json"] == expected["dataset.json"]
    assert list(made) == list(expected) if not unpacked else sorted(made) == sorted(expected)
    for file in expected:
        if file != "dataset.json":  # another Pillow may round one gray level differently
            assert len(made[file]) == len(expected[file])
            assert np.abs(pixels(made[file]) - pixels(expected[file])).max() <= 1, file
    if not unpacked:
        entries = zipfile.ZipFile(dest).infolist()
        assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


def test_class_folders_become_labels(tmp_path: Path) -> None:
    arguments = ["--transform", "center-crop", "--resolution", "16"]
    assert make(GOLDEN / "source_mixed_sizes.zip", tmp_path / "a.zip", *arguments) == 0
    dataset = Dataset(tmp_path / "a.zip", use_labels=True)
    assert dataset.classes == ("cat", "dog", "owl")
    assert [dataset.class_index(index) for index in range(8)] == [0, 0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a/1.png", "b/1.png"], ["a", "b"]),
        (["set/a/1.png", "set/b/x/1.png"], ["a", "b"]),
        (["a/1.png", "2.png"], None),
        (["a/1.png", "a/2.png"], None),
        (["00000/1.png", "00001/2.png"], None),
        (["0/1.png", "1/2.png"], ["0", "1"]),
    ],
)
def test_which_folders_are_classes(names: list[str], classes: list[str] | None) -> None:
    assert class_folders(names) == classes


def test_a_written_dataset_can_be_made_again_smaller_with_its_labels(tmp_path: Path) -> None:
    assert make(GOLDEN / "golden-32.zip", tmp_path / "a", "--resolution", "16x16", "--max_images", 25) == 0
    dataset = Dataset(tmp_path / "a", use_labels=True)
    assert len(dataset) == 25 and dataset.image_shape == (3, 16, 16)
    counted = Counter(dataset.class_index(index) for index in range(25))
    assert counted == {0: 9, 1: 11, 2: 5}


def test_equal_sources_give_equal_bytes_by_any_number_of_processes(tmp_path: Path) -> None:
    files = {f"{index % 3}/{index}.png": picture(size=(20, 18), seed=index) for index in range(120)}
    source = folder(tmp_path / "source", files)
    arguments = ["--resolution", "16x16", "--transform", "center-crop"]
    assert make(source, tmp_path / "a.zip", *arguments, "--workers", 1) == 0
    assert make(source, tmp_path / "b.zip", *arguments, "--workers", 2) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("link", ["", "hard", "soft"])
def test_a_source_is_never_written_over(link: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = zipped(tmp_path / "a.zip", GOOD)
    dest, before = source, source.read_bytes()
    if link:
        dest = tmp_path / "b.zip"
        dest.hardlink_to(source) if link == "hard" else dest.symlink_to(source)
    assert make(source, dest) == 2
    assert "is the source itself; choose another --dest." in capsys.readouterr().err
    assert make(dest, source) == 2
    assert source.read_bytes() == dest.read_bytes() == before


def test_cifar_is_read_without_running_its_pickles(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    expected, labels = [], []
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for batch in (2, 1, 3):
            data = random.randint(0, 256, (4, 3072)).astype(np.uint8)
            numbers = random.randint(0, 10, 4).tolist()
            content = {b"data": data, b"labels": numbers, b"batch_label": b"x", b"filenames": [b"a.png"] * 4}
            coded = pickle.dumps(content, protocol=2 if batch != 3 else 4)
            entry = tarfile.TarInfo(f"cifar-10-batches-py/data_batch_{batch}")
            entry.size = len(coded)
            archive.addfile(entry, io.BytesIO(coded))
            expected.append((batch, data, numbers))
    for _, data, numbers in sorted(expected, key=lambda item: item[0]):
        labels += [(row.reshape(3, 32, 32), number) for row, number in zip(data, numbers, strict=True)]
    assert make(path, tmp_path / "a.zip") == 0
    dataset = Dataset(tmp_path / "a.zip", use_labels=True)
    assert len(dataset) == 12
    for index, (image, label) in enumerate(labels):
        assert (dataset.image(index) == image).all() and dataset.class_index(index) == label
    assert set(dataset.classes) >= {"airplane", "truck"}


def test_a_hostile_cifar_file_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        entry.size = len(code)
        archive.addfile(entry, io.BytesIO(code))
    assert make(path, tmp_path / "a.zip") == 2
    assert not marker.exists()


def idx(array: np.ndarray) -> bytes:
    return gzip.compress(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


def test_mnist_is_padded_to_32_and_labeled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.RandomState(0).randint(0, 256, (5, 28, 28)).astype(np.uint8)
    source = tmp_path / "train-images-idx3-ubyte.gz"
    source.write_bytes(idx(images))
    assert make(source, tmp_path / "a.zip") == 2
    assert "train-labels-idx1-ubyte.gz is not beside" in capsys.readouterr().err
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.array([3, 0, 9, 1, 3], np.uint8)))
    assert make(source, tmp_path / "a.zip") == 0
    dataset = Dataset(tmp_path / "a.zip", use_labels=True)
    assert dataset.image_shape == (1, 32, 32) and dataset.label_dim == 10
    assert (dataset.image(4)[0, 2:30, 2:30] == images[4]).all() and not dataset.image(4)[0, :2].any()
    assert [dataset.class_index(index) for index in range(5)] == [3, 0, 9, 1, 3]


def test_lmdb_is_read_or_says_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "church_lmdb"
    path.mkdir()
    try:
        import lmdb  # type: ignore[import-not-found]
    except ImportError:
        with pytest.raises(DatasetError, match="pip install lmdb"):
            open_source(path)
        return
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for index in range(3):
            transaction.put(f"{index}".encode(), picture(size=(20, 16), seed=index, kind="webp"))
    assert isinstance(open_source(path), Lmdb)
    assert make(path, tmp_path / "a.zip", "--resolution", "16x16", "--transform", "center-crop") == 0
    assert len(Dataset(tmp_path / "a.zip")) == 3


GOOD = {"a.png": picture(), "b.png": picture(seed=1)}
MISTAKES: dict[str, tuple[Mapping[str, bytes | str], list[str], str]] = {
    "empty": ({}, [], "holds no pictures"),
    "all broken": ({"a.png": b"x", "b.png": b""}, [], "None of the 2 pictures can be read"),
    "mixed sizes": ({**GOOD, "c.png": picture(size=(20, 20))}, [], "2 sizes (2 of 16x16, 1 of 20x20"),
    "not square": ({"a.png": picture(size=(32, 16))}, [], "32x16 are not square"),
    "no power of two": ({"a.png": picture(size=(20, 20))}, [], "choose 16 or 32, or add --any-size"),
    "odd size asked": (GOOD, ["--resolution", "100x100"], "choose 64 or 128"),
    "not square asked": (GOOD, ["--resolution", "32x16"], "not square"),
    "width alone": (GOOD, ["--width", "16"], "give both"),
    "crop alone": (GOOD, ["--transform", "center-crop"], "needs a size"),
    "high letterbox": (GOOD, ["--transform", "center-crop-wide", "--resolution", "16x32"], "would not be wide"),
    "no labels": (GOOD, ["--labels", "json"], "no dataset.json with labels"),
    "no folders": (GOOD, ["--labels", "folders"], "no class folders"),
    "none asked": (GOOD, ["--max-images", "0"], "at least one picture"),
    "both": (GOOD, ["--resolution", "16x16", "--width", "16"], "not both"),
    "mixed labels": (
        {**GOOD, "dataset.json": '{"labels": [["a.png", 1], ["b.png", [1]]]}'},
        [],
        "mixes class numbers and vectors",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_sentence_and_nothing_is_left(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, arguments, words = MISTAKES[case]
    (tmp_path / "source").mkdir()
    assert make(folder(tmp_path / "source", files), tmp_path / "out" / "a.zip", *arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_places_that_cannot_be_written_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path / "source", GOOD)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    (tmp_path / "file").write_text("")
    cases = {
        tmp_path / "full": "is not empty",
        tmp_path / "a.tar": "should end in .zip",
        tmp_path / "file" / "a.zip": "cannot be written",
        source / "in.png": "should end in .zip",
        tmp_path / ("x" * 300) / "a.zip": "cannot be written, File name too long",
        tmp_path / ("x" * 300): "cannot be written, File name too long",
    }
    for dest, words in cases.items():
        assert make(source, dest) == 2
        assert words in capsys.readouterr().err
    assert make(tmp_path / "nowhere", tmp_path / "a.zip") == 2
    assert make(tmp_path / ("x" * 300), tmp_path / "a.zip") == 2
    assert "cannot be looked at" in capsys.readouterr().err
    assert make(tmp_path / "file", tmp_path / "a.zip") == 2
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep me"
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("dest", ["a.zip", "a"])
def test_a_full_disk_is_said_and_leaves_what_was_there(dest: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    assert resource
    source = folder(tmp_path / "source", {f"{index}.png": picture(size=(64, 64), seed=index) for index in range(9)})
    out = tmp_path / "out"
    out.mkdir()
    if dest.endswith(".zip"):
        (out / dest).write_bytes(b"what was there")
    room = 40_000 if dest.endswith(".zip") else 5_000  # bytes that a file may have
    code = (
        f"import resource, signal, cli; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"raise SystemExit(cli.run('dataset', ['--source', {str(source)!r}, '--dest', {str(out / dest)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    if dest.endswith(".zip"):
        assert (out / dest).read_bytes() == b"what was there"
    assert len(list(out.iterdir())) == dest.endswith(".zip")


def test_a_dataset_with_vectors_keeps_them(tmp_path: Path) -> None:
    labels = {"labels": [["a.png", [0.5, 1.0]], ["b.png", [2.0, -1.0]]]}
    source = zipped(tmp_path / "s.zip", {**GOOD, "dataset.json": json.dumps(labels)})
    assert make(source, tmp_path / "a.zip") == 0
    assert Dataset(tmp_path / "a.zip", use_labels=True).label(1).tolist() == [2, -1]


def begun(dest: Path, *, group: bool) -> subprocess.Popen[str]:
    """A command at work on far more planets than it will draw, with two workers."""
    command = [sys.executable, ROOT / "visualizer.py", "dataset", "planets", "--dest", dest, "--max-images", 200_000]
    command += ["--resolution", "64x64", "--workers", 2]
    streams: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Whoever runs the tests in the background has Ctrl-C ignored, and commands would inherit that.
    streams["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([str(word) for word in command], text=True, start_new_session=group, **streams)  # type: ignore[call-overload]
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size > 100_000 for part in dest.parent.glob(".*.part")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_ctrl_c_stops_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    process = begun(tmp_path / "p.zip", group=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "Stopped; nothing was written." and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_workers_end_when_their_command_is_killed(tmp_path: Path) -> None:
    process = begun(tmp_path / "p.zip", group=True)
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline, "workers live on"
        time.sleep(0.1)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_end_in_a_sentence_and_nothing_else(seed: int, tmp_path: Path) -> None:
    labels = '{"labels": [["0.png", 0], ["1.jpg", 1], ["2.gif", 1]]}'
    files = {"0.png": picture("RGBA"), "1.jpg": picture(kind="jpeg"), "2.gif": picture("P", kind="gif")}
    whole = zipped(tmp_path / "whole.zip", {**files, "dataset.json": labels}).read_bytes()
    random = np.random.RandomState(seed)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.randint(0, len(whole), 1 + random.randint(6)):
            damaged[place] = random.randint(256)
        if random.rand() < 0.2:
            del damaged[random.randint(len(whole)) :]
        (tmp_path / "a.zip").write_bytes(damaged)
        try:
            dataset = Dataset(tmp_path / "a.zip", use_labels=True)
            dataset.check()
        except DatasetError as error:
            assert "\n" not in str(error)
        try:
            prepare(open_source(tmp_path / "a.zip"), tmp_path / "b.zip", PrepareOptions(16, 16))
        except DatasetError as error:
            assert "\n" not in str(error)
