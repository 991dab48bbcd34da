"""Spoilt runs, states, datasets and networks to begin from each get one clear sentence, and nothing is lost by them."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from small_training import begin, make_pictures, newest_state, same, small_config, train

from cli.train import main
from networks import load_network
from session.atomic_write import new_part
from training.run.checkpoint_files import list_states

SMALL = (
    "--cfg=stylegan2", "--device=cpu", "--batch=4", "--gamma=0.05", "--cbase=128", "--cmax=8", "--map_depth=2",
    "--kimg=0.008", "--tick=0.004", "--grid=2x2", "--metrics=none",
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def finished_run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, _ = begin(tmp_path_factory.mktemp("runs"), small_config(pictures, kimg=0.024, tick=0.008))
    train(folder, small_config(pictures, kimg=0.024, tick=0.008))
    return folder.path


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A finished run that may be spoilt."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def sentence(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a command which cannot be done says on its error stream."""
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said and len(said) < 400
    return said


class Hostile:
    """What a pickle that runs a command when it is loaded looks like."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("missing", "no file"), ("hostile", "nothing was run"), ("noise", "does not begin"), ("folder", "no snapshot")],
)
def test_a_network_that_cannot_be_begun_from_makes_no_run(kind, words, pictures, tmp_path, capsys) -> None:
    source = tmp_path / "network.pkl"
    if kind == "hostile":
        source.write_bytes(pickle.dumps({"G_ema": Hostile(tmp_path / "done")}))
    elif kind == "noise":
        source.write_bytes(bytes(range(256)) * 4)
    elif kind == "folder":
        source.mkdir()
    runs = tmp_path / "runs"
    assert words in sentence(capsys, f"--outdir={runs}", f"--data={pictures}", f"--resume={source}", *SMALL)
    assert not runs.exists() and not (tmp_path / "done").exists()


def test_a_network_of_another_resolution_gives_what_fits(pictures: Path, tmp_path: Path, capsys) -> None:
    larger = tmp_path / "larger"
    config = small_config(make_pictures(tmp_path / "large", size=32), kimg=0.008)
    folder, _ = begin(larger, config)
    train(folder, config)
    assert main([f"--outdir={tmp_path / 'r'}", f"--data={pictures}", f"--resume={folder.path}", *SMALL]) == 0
    assert "tensors taken over" in capsys.readouterr().out


def png(width: int, height: int) -> bytes:
    """An image that says to be of this size, and has hardly any content."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


LABELS = ["[]", '{"labels": 5}', '{"labels": [[1, 2, 3]]}', '{"labels": [["000.png", -1]]}',
          '{"labels": [["000.png", 1e999]]}', '{"labels": [["000.png", [NaN]]]}',
          '{"labels": [["000.png", 99999999999]]}',
          "[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("labels", LABELS, ids=range(len(LABELS)))
def test_absurd_labels_are_one_sentence(labels: str, pictures: Path, tmp_path: Path, capsys) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in pictures.glob("*.png"):
            archive.write(path, path.name)
        archive.writestr("dataset.json", labels)
    said = sentence(capsys, f"--outdir={tmp_path}", f"--data={tmp_path / 'data.zip'}", "--cond", *SMALL)
    assert "dataset.json" in said


@pytest.mark.parametrize("kind", ["no zip", "empty", "cut off", "huge picture", "declares too much"])
def test_a_zip_that_is_none_or_lies_is_one_sentence(kind: str, pictures: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(4):
            archive.writestr(f"{i}.png", png(65536, 65536) if kind == "huge picture" else png(16, 16))
    data = bytearray(path.read_bytes())
    if kind in ("no zip", "empty"):
        data = bytearray(b"hello" if kind == "no zip" else b"")
    elif kind == "cut off":
        data = data[: len(data) // 2]
    elif kind == "declares too much":  # both sizes in the table of contents
        at = data.find(b"PK\x01\x02") + 20
        data[at : at + 8] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    path.write_bytes(data)
    assert str(path) in sentence(capsys, f"--outdir={tmp_path}", f"--data={path}", *SMALL)


@pytest.mark.parametrize(
    ("old", "new"),
    [("batch: 8", "batch: banana"), ("batch_gpu: 4", "batch_gpu: 3"), ("resolution: 16", "resolution: -7"),
     ("network: stylegan2", "network: nonsense"), ("augpipe: bgc", "augpipe: zzz"), ("kimg: 0.024", "kimg: .nan"),
     ("seed: 0", "sead: 0"), ("kind: train", "kind: metrics"), ("cfg: stylegan2", "cfg: [")],
)  # fmt: skip
def test_a_damaged_run_yaml_is_one_sentence(old: str, new: str, run: Path, capsys) -> None:
    text = (run / "run.yaml").read_text()
    assert f"{old}\n" in text
    (run / "run.yaml").write_text(text.replace(f"{old}\n", f"{new}\n", 1))
    sentence(capsys, f"--run={run}")


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "kind: train\n", "kind: train\nconfig: 5\n", "created: 2026-99-99\n"]
)
def test_a_run_yaml_of_something_else_is_one_sentence(text: str, run: Path, capsys) -> None:
    (run / "run.yaml").write_text(text)
    assert str(run) in sentence(capsys, f"--run={run}")


def test_a_hostile_state_is_a_damaged_one_and_nothing_of_it_runs(run: Path, tmp_path: Path, capsys) -> None:
    expected = newest_state(run)
    torch.save({"version": 1, "images": Hostile(tmp_path / "done")}, list_states(run / "state")[0])
    assert main([f"--run={run}"]) == 0
    said = capsys.readouterr().out
    assert "is damaged, so the state before it serves" in said and "Continuing at 0.016 kimg" in said
    assert not (tmp_path / "done").exists()
    assert same(newest_state(run), expected)


def test_a_run_without_a_whole_state_is_not_begun_anew_over_what_it_made(run: Path, capsys) -> None:
    for path in list_states(run / "state"):
        path.write_bytes(path.read_bytes()[:5000])
    before = {path: path.read_bytes() for path in (run / "snapshots").iterdir()}
    assert "No state" in sentence(capsys, f"--run={run}")
    assert {path: path.read_bytes() for path in (run / "snapshots").iterdir()} == before
    assert load_network(run).family == "StyleGAN2"


def test_a_state_of_something_else_is_one_sentence(run: Path, capsys) -> None:
    torch.save({"version": 1, "images": 8}, list_states(run / "state")[0])
    assert "does not fit" in sentence(capsys, f"--run={run}")


def test_what_a_kill_left_half_written_goes(run: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = []
    for path in (run / "fakes000000.png", run / "snapshots" / "x.safetensors", run / "state" / "state-0000000020.pt"):
        part = new_part(path)
        left.append(part.with_name(part.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-")))
        left[-1].write_bytes(b"half")
        then = time.time() - 60
        os.utime(left[-1], (then, then))
    (run / "control.yaml").write_text("kimg: 0.032\n")
    assert main([f"--run={run}"]) == 0
    assert not any(path.exists() for path in left)


def test_absurd_requests_and_changes_are_passed_over(run: Path) -> None:
    expected = newest_state(run)
    shutil.rmtree(run / "state")
    (run / "control.yaml").write_text("kimg: .nan\ntick: -3\nsnap: x\np: 7\n")
    (run / "changes.jsonl").write_text(
        '{"images": "a"}\n[1]\n{"images": 0, "tick": -5}\n{"images": NaN}\n' + "[" * 99_999
    )
    assert main([f"--run={run}"]) == 0
    assert same(newest_state(run), expected)


@pytest.mark.parametrize("name", [".lock", "stats.jsonl", "training_options.json"])
def test_a_folder_that_cannot_be_written_is_one_sentence(name: str, run: Path, capsys) -> None:
    shutil.rmtree(run / "state")
    (run / name).unlink(missing_ok=True)
    (run / name / "x").mkdir(parents=True)
    assert "make it writable" in sentence(capsys, f"--run={run}")


def test_a_network_that_is_too_narrow_makes_no_run(pictures: Path, tmp_path: Path, capsys) -> None:
    said = sentence(capsys, f"--outdir={tmp_path / 'runs'}", f"--data={pictures}", *SMALL, "--cbase=1")
    assert "channel_base" in said and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("device", ["banana", "meta", "cuda:x", "cuda:77"])
def test_a_device_that_is_none_is_one_sentence(device: str, pictures: Path, tmp_path: Path, capsys) -> None:
    runs = tmp_path / "runs"
    sentence(capsys, f"--outdir={runs}", f"--data={pictures}", *SMALL, f"--device={device}")
    assert not runs.exists()
