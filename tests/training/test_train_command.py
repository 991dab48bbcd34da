"""`visualizer.py train`: options as people know them, one sentence for every mistake, transfer, classes, gray."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_training import begin, make_pictures, small_config, train

from cli.train import main
from data import Dataset
from networks import inspect_checkpoint, load_network
from runs.run_folder import RunFolder
from training.presets import PRESETS

SMALL = (
    "--cfg=stylegan2", "--device=cpu", "--batch=4", "--gamma=0.05", "--cbase=128", "--cmax=8", "--map_depth=2",
    "--kimg=0.008", "--tick=0.004", "--grid=2x2", "--metrics=none",
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures", classes=3)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_looked_at_before_it_trains(name: str, pictures: Path, capsys) -> None:
    assert main(["--dry-run", f"--data={pictures}", f"--cfg={name}", "--batch=64", "--batch-gpu=64", "--gamma=2"]) == 0
    said = capsys.readouterr().out
    shown = json.loads(said[: said.rindex("}") + 1])
    assert shown["loss_kwargs"]["r1_gamma"] == 2 and shown["batch_size"] == 64
    assert shown["total_kimg"] == PRESETS[name].kimg
    assert "nothing was trained" in said


def test_a_run_is_made_trained_and_begun_from(pictures: Path, tmp_path: Path, capsys) -> None:
    assert main([f"--outdir={tmp_path}", f"--data={pictures}", "--cond=1", *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = Path(lines[0])
    assert first.name == "00000-stylegan2-pictures-gpus1-batch4-gamma0.05"
    assert any(line.startswith("tick 0") for line in lines)
    network = load_network(first)
    assert network.generator.c_dim == 3

    assert main([f"--outdir={tmp_path}", f"--data={pictures}", "--cond=1", f"--resume={first}", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "00001-" in said.splitlines()[0]
    for role in ("G", "D", "G_ema"):
        assert f"{role}: " in said
    assert "of another kind" not in said

    assert main(["--run", str(first)]) == 0  # done already
    assert "Continuing at 0.008 kimg" in capsys.readouterr().out


def test_a_run_goes_on_without_the_network_that_it_began_from(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Its states hold every tensor; before the first one, the source is known from any folder."""
    config = small_config(pictures, kimg=0.008, tick=0.008)
    source, _ = begin(tmp_path / "old", config)
    train(source, config)
    monkeypatch.chdir(tmp_path)
    near = source.path.relative_to(tmp_path)
    assert main(["--outdir=new", f"--data={pictures}", f"--resume={near}", *SMALL]) == 0
    folder = next((tmp_path / "new").iterdir())
    began_from = RunFolder.open(folder).read_description()["config"]["resume"]
    assert began_from == str(source.path / "snapshots" / "network-snapshot-000000.safetensors")
    shutil.rmtree(source.path)
    capsys.readouterr()
    assert main(["--run", str(folder)]) == 0
    assert "Continuing at 0.008 kimg" in capsys.readouterr().out
    shutil.rmtree(folder / "state")
    assert main(["--run", str(folder)]) == 2
    assert began_from in capsys.readouterr().err


def with_names(folder: Path, names: list[str]) -> Path:
    """A dataset of three classes whose dataset.json has these names."""
    make_pictures(folder, classes=3)
    labels = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**labels, "classes": names}))
    return folder


def test_snapshots_name_the_classes_as_the_dataset_does_also_after_a_stop(tmp_path: Path) -> None:
    pictures = with_names(tmp_path / "pictures", ["gas giant", "x" * 100, "two\nlines", "of which there is no picture"])
    config = small_config(pictures, kimg=0.016, tick=0.008, cond=True)
    folder, said = begin(tmp_path, config)
    folder.request(kimg=0.008)
    train(folder, config, said)
    folder.request(kimg=0.016)
    train(folder, config)
    snapshots = sorted((folder.path / "snapshots").glob("*.safetensors"))
    assert len(snapshots) > 1
    for path in snapshots:  # a file takes 64 printable characters of a name
        assert inspect_checkpoint(path).classes == ("gas giant", "x" * 61 + "...", "two?lines")
    assert any("3 classes (gas giant, " in line for line in said)


@pytest.mark.parametrize(("names", "cond"), [(["only", "two"], True), (["a", "b", "c"], False)])
def test_names_that_are_of_no_use_are_left_out(names: list[str], cond: bool, tmp_path: Path) -> None:
    config = small_config(with_names(tmp_path / "pictures", names), kimg=0.008, cond=cond)
    folder, said = begin(tmp_path, config)
    train(folder, config, said)
    assert inspect_checkpoint(folder.path).classes == ()
    assert any("2 names in dataset.json do not fit 3 classes" in line for line in said) == cond


def test_a_network_of_another_kind_cannot_be_begun_from(pictures: Path, tmp_path: Path, capsys) -> None:
    other = Path(__file__).resolve().parent.parent / "data" / "networks" / "sg3t_64_uncond.pkl"
    assert main([f"--outdir={tmp_path}", f"--data={pictures}", f"--resume={other}", *SMALL]) == 2
    assert "of another kind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--data=x.zip"], "Say either --outdir"),
        (["--outdir=o", "--run=r"], "Say either --outdir"),
        (["--outdir=o"], "--data is missing"),
        (["--run=nowhere"], "not a run"),
        (["--run=nowhere", "--batch=4"], "--batch cannot change"),
        (["--outdir=o", "--data=nowhere.zip"], "nowhere.zip"),
    ],
)
def test_a_command_that_makes_no_sense_is_one_sentence(words, sentence, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def write(path: Path, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 100 if mode in ("L", "I;16") else None).save(path)


def broken(kind: str, folder: Path) -> list[str]:
    """Make a broken dataset; the options that go with it."""
    folder.mkdir()
    for i in range(12):
        if kind != "empty":
            write(folder / f"{i}.png")
    if kind == "mixed sizes":
        write(folder / "a.png", (32, 32))
    if kind == "not square":
        for i in range(12):
            write(folder / f"{i}.png", (16, 24))
    if kind == "damaged":
        (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:40])
    if kind == "no power of two":
        for i in range(12):
            write(folder / f"{i}.png", (20, 20))
    if kind == "too small":
        for i in range(12):
            write(folder / f"{i}.png", (4, 4))
    if kind == "labels missing":
        return ["--cond=1"]
    if kind == "labels of other pictures":
        (folder / "dataset.json").write_text('{"labels": [["zzz.png", 1]]}')
        return ["--cond=1"]
    if kind == "labels damaged":
        (folder / "dataset.json").write_text('{"labels": [')
        return ["--cond=1"]
    return []


@pytest.mark.parametrize(
    "kind",
    ["empty", "mixed sizes", "not square", "damaged", "no power of two", "too small", "labels missing",
     "labels of other pictures", "labels damaged"],
)  # fmt: skip
def test_a_broken_dataset_is_one_clear_sentence(kind: str, tmp_path: Path, capsys) -> None:
    options = broken(kind, tmp_path / "pictures")
    assert main([f"--outdir={tmp_path / 'runs'}", f"--data={tmp_path / 'pictures'}", *options, *SMALL]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path) in said and said.count("\n") == 1 and "Traceback" not in said


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "CMYK"])
def test_images_of_every_mode_train(mode: str, tmp_path: Path) -> None:
    """Ten images, fewer than a batch needs in three steps: they come round again."""
    for i in range(10):
        path = tmp_path / "pictures" / f"{i}.{'tif' if mode == 'CMYK' else 'png'}"
        path.parent.mkdir(exist_ok=True)
        Image.new(mode, (16, 16), (i,) * len(Image.new(mode, (1, 1)).getbands()) if mode != "I;16" else i).save(path)
    config = small_config(tmp_path / "pictures", kimg=0.024)
    folder, said = begin(tmp_path / "runs", config)
    training = train(folder, config, said)
    assert training.images == 24
    assert training.trainer.G.img_channels == (1 if mode in ("L", "I;16") else 3)
    assert any("Only 10 pictures" in line for line in said)


def test_one_gray_image_does_not_make_a_training_gray(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures", count=8)
    write(pictures / "000.png", mode="L")
    config = small_config(pictures, kimg=0.008)
    assert config.channels == 3
    folder, said = begin(tmp_path / "runs", config)
    assert train(folder, config, said).trainer.G.img_channels == 3
    assert any("16 pixels, RGB, no classes" in line for line in said)


def test_a_run_that_was_begun_in_gray_goes_on_in_gray(tmp_path: Path) -> None:
    """Runs of before took the kind of their first image."""
    pictures = make_pictures(tmp_path / "pictures", count=8)
    write(pictures / "000.png", mode="L")
    config = replace(small_config(pictures, kimg=0.008), channels=1)
    folder, said = begin(tmp_path / "runs", config)
    assert train(folder, config, said).dataset.image_shape == (1, 16, 16)
    assert any("16 pixels, grey, no classes" in line for line in said)
    assert Dataset(pictures, channels=3).image(0).shape == (3, 16, 16)


def test_a_second_process_in_the_same_run_is_refused(pictures: Path, tmp_path: Path, capsys) -> None:
    config = small_config(pictures, kimg=0.008)
    folder, _ = begin(tmp_path, config)
    with folder.lock():
        assert main(["--run", str(folder.path)]) == 2
    assert "another process" in capsys.readouterr().err


def test_a_metric_that_is_not_there_does_not_stop_a_training(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures, kimg=0.008, metrics="fid50k_full")
    folder, said = begin(tmp_path, config)
    assert train(folder, config, said).outcome == "done"  # type: ignore[attr-defined]
    assert sum("fid50k_full" in line for line in said) == 1


def test_images_of_a_run_show_its_dataset(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures, kimg=0.008)
    folder, _ = begin(tmp_path, config)
    train(folder, config)
    sheet = np.asarray(Image.open(folder.path / "reals.png"))
    tiles = {sheet[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in range(0, 64, 16)}
    own = {np.asarray(Image.open(path)).tobytes() for path in pictures.glob("*.png")}
    assert sheet.shape == (32, 64, 3) and tiles <= own
    assert RunFolder(folder.path).read_description()["kind"] == "train"
