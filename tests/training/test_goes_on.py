"""A run goes on where its dataset lies now, longer than first asked for, and never with other pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_training import begin, make_pictures, newest_state, same, small_config, train

from cli.train import main
from runs.run_folder import RunError, RunFolder
from training.run.content_check import ContentCheck


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a run that learned from them."""
    base = tmp_path_factory.mktemp("finished")
    pictures = make_pictures(base / "pictures")
    config = small_config(pictures, kimg=0.008, tick=0.008)
    train(begin(base / "runs", config)[0], config)
    return base


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> tuple[Path, RunFolder]:
    """A copy of them."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    folder = RunFolder(next((tmp_path / "runs").iterdir()))
    folder.move_data(str(tmp_path / "pictures"))
    return tmp_path / "pictures", folder


def replace_pixels(path: Path) -> None:
    """Write another picture of the same length."""
    length = path.stat().st_size
    Image.new("RGB", (16, 16), (200, 30, 90)).save(path)
    path.write_bytes(path.read_bytes().ljust(length, b"\0"))
    assert path.stat().st_size == length


def test_a_moved_dataset_is_accepted_and_remembered(run: tuple[Path, RunFolder], tmp_path: Path, capsys) -> None:
    pictures, folder = run
    pictures.rename(tmp_path / "elsewhere")
    assert main(["--run", str(folder.path), "--kimg=0.016"]) == 2
    assert "add --data" in capsys.readouterr().err
    assert main(["--run", str(folder.path), "--data", str(tmp_path / "elsewhere"), "--kimg=0.016"]) == 0
    out = capsys.readouterr().out
    assert "Continuing at 0.008 kimg" in out and f"The dataset is at {tmp_path / 'elsewhere'} now" in out
    assert main(["--run", str(folder.path)]) == 0


@pytest.mark.parametrize("other", ["one picture less", "other lengths", "other pixels"])
def test_another_dataset_is_refused(other: str, run: tuple[Path, RunFolder], tmp_path: Path, capsys) -> None:
    pictures, folder = run
    shutil.copytree(pictures, tmp_path / "other")
    if other == "one picture less":
        (tmp_path / "other/003.png").unlink()
    elif other == "other lengths":
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "other/003.png")
    else:
        replace_pixels(tmp_path / "other/003.png")
    before = folder.read_description()["config"]
    assert main(["--run", str(folder.path), "--data", str(tmp_path / "other")]) == 2
    assert "begin a new run with --resume" in capsys.readouterr().err
    assert folder.read_description()["config"] == before
    assert main(["--run", str(folder.path)]) == 0


def test_a_finished_run_trains_on_with_other_limits(run: tuple[Path, RunFolder], capsys) -> None:
    _, folder = run
    assert main(["--run", str(folder.path), "--kimg=0.024", "--tick=0.016", "--snap=2", "--target=0.5"]) == 0
    assert json.loads((folder.path / "status.json").read_text())["done"] == 0.024
    control = newest_state(folder.path)["control"]
    assert (control["tick"], control["snap"], control["target"]) == (0.016, 2, 0.5)


@pytest.mark.parametrize("flag", ["--batch=4", "--kimg=0", "--target=2", "--snap=-1"])
def test_what_a_run_cannot_change_is_refused_and_changes_nothing(
    flag: str, run: tuple[Path, RunFolder], capsys
) -> None:
    _, folder = run
    state = newest_state(folder.path)
    assert main(["--run", str(folder.path), flag]) == 2
    assert flag.split("=")[0].strip("-") in capsys.readouterr().err
    assert same(newest_state(folder.path), state) and not folder.requests()


def test_pictures_replaced_under_the_same_names_and_lengths_are_noticed_at_the_start(
    run: tuple[Path, RunFolder],
) -> None:
    pictures, folder = run
    replace_pixels(pictures / "017.png")
    config = small_config(pictures, kimg=0.016, tick=0.008)
    with pytest.raises(RunError, match="were replaced by others of the same names"):
        train(folder, config)


def test_pictures_that_the_sample_misses_are_noticed_before_the_next_state(tmp_path: Path) -> None:
    """Of 300 pictures the sample reads every second one."""
    pictures = make_pictures(tmp_path / "pictures", count=300)
    config = small_config(pictures, kimg=0.008, tick=0.008)
    folder, _ = begin(tmp_path / "runs", config)
    dataset = train(folder, config).dataset
    whole = ContentCheck(folder.path, dataset.archive)
    whole.start(resumed=True)
    whole.wait()
    whole.check()
    whole.save()
    replace_pixels(pictures / "151.png")
    states = sorted((folder.path / "state").iterdir())
    again = ContentCheck(folder.path, dataset.archive)
    again.start(resumed=True)
    again.wait()
    with pytest.raises(RunError, match=r"among 150.png to 154.png, so it stopped before its next state"):
        again.check()
    folder.request(kimg=0.4, tick=0.1)
    with pytest.raises(RunError, match="stopped before its next state"):
        train(folder, config)
    assert sorted((folder.path / "state").iterdir()) == states


@pytest.mark.parametrize("spoiled", [None, "", "[]", '{"sample": 3}', '{"sample": "a", "blocks": [1]}'])
def test_a_run_from_before_there_were_digests_goes_on(spoiled: str | None, run: tuple[Path, RunFolder]) -> None:
    pictures, folder = run
    (folder.path / "data.json").unlink()
    if spoiled is not None:
        (folder.path / "data.json").write_text(spoiled)
    train(folder, small_config(pictures, kimg=0.008, tick=0.008))
    replace_pixels(pictures / "000.png")
    with pytest.raises(RunError, match="replaced"):
        train(folder, small_config(pictures, kimg=0.008, tick=0.008))
