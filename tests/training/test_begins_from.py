"""What a training begins from is what was asked for, or it is said: networks, layers of D, classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_training import begin, make_pictures, small_config, train

from cli.train import main

TINY = ["--device=cpu", "--batch=4", "--gamma=0.05", "--cbase=128", "--cmax=8", "--map-depth=2", "--kimg=0.004",
        "--tick=0.004", "--grid=2x2", "--metrics=none", "--workers=1", "--mbstd-group=4"]  # fmt: skip


@pytest.mark.parametrize(
    "made, asked", [("stylegan2", "stylegan3-t"), ("stylegan3-r", "stylegan3-t"), ("stylegan3-t", "stylegan2")]
)
def test_a_network_of_another_kind_is_refused_with_the_cfg_that_fits(
    made: str, asked: str, tmp_path: Path, capsys
) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    config = small_config(pictures, cfg=made, kimg=0.008, tick=0.008)
    folder, _ = begin(tmp_path / "old", config)
    train(folder, config)
    words = [f"--outdir={tmp_path / 'new'}", f"--data={pictures}", f"--resume={folder.path}", f"--cfg={asked}", *TINY]
    assert main(words) == 2
    assert f"choose --cfg {made}" in capsys.readouterr().err


@pytest.mark.parametrize("cfg, layers", [("stylegan2", 7), ("cifar", 5), ("cpu-t", 7)])
def test_freezing_more_layers_than_d_has_is_refused(cfg: str, layers: int, tmp_path: Path, capsys) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    assert main([f"--outdir={tmp_path / 'o'}", f"--data={pictures}", f"--cfg={cfg}", "--freezed=64", *TINY]) == 2
    said = capsys.readouterr().err
    assert f"D has {layers} layers" in said
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", ["ffhq512", "afhqv2", "celebahq256"])
def test_a_name_of_a_published_network_says_what_to_give(name: str, tmp_path: Path, capsys) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    words = [f"--outdir={tmp_path / 'o'}", f"--data={pictures}", "--cfg=stylegan2", f"--resume={name}", *TINY]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert name in said and "a path, a URL or a run folder" in said


@pytest.mark.parametrize(
    "classes, told", [((1, 7, 40), "38 classes have no picture"), ((0, 2), "1 class has no picture")]
)
def test_classes_without_pictures_and_renamed_labels_are_told(
    classes: tuple[int, ...], told: str, tmp_path: Path
) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    pairs = [[f"sub\\{i:03d}.PNG", float(classes[i % len(classes)])] for i in range(24)]
    (pictures / "dataset.json").write_text(json.dumps({"labels": pairs}))
    config = small_config(pictures, cond=True, kimg=0.008, tick=0.008)
    folder, said = begin(tmp_path / "runs", config)
    train(folder, config, said)
    assert any(told in line for line in said)
    assert any("Labels of dataset.json matched" in line for line in said)
