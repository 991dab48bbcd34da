"""What the window is told about a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_networks import CONFIGS, make_network, scene_of

from networks import save_networks
from renderer.engine import Engine
from session import Model, Scene


def write_network(path: Path, seed: int = 1, family: str = "T") -> Path:
    return save_networks(path, {"G_ema": make_network(CONFIGS[family], seed)})


def test_the_window_gets_the_networks_properties(networks: dict[str, Path]) -> None:
    info = Engine().render(scene_of(networks["R"])).model
    assert (info.family, info.name, info.resolution, info.num_ws) == ("StyleGAN3-R", "R", 16, 8)
    assert info.row_names[:2] == ("input 24²", "L0 24²")
    assert info.row_names[-1] == "L6 16²"
    assert (info.device, info.precision, info.has_transform, info.has_noise) == ("cpu", "float32", True, False)
    assert [layer.rows for layer in info.layers] == [(row,) for row in range(8)]
    inner = info.layers[1]
    assert inner.cutoff is not None and inner.stopband is not None and inner.sampling_rate is not None
    assert 2 * inner.cutoff < inner.sampling_rate
    assert inner.cutoff < inner.stopband
    assert info.note == ""
    blocks = Engine().render(scene_of(networks["SG2"])).model
    assert blocks.row_names[:2] == ("b4.conv1 4²", "b8.conv0 + b4.torgb 8²")
    assert blocks.has_noise and not blocks.has_transform


def test_the_window_gets_the_names_of_the_classes(networks: dict[str, Path], tmp_path: Path) -> None:
    names = ("gas giant", "rocky", "ocean", "lava", "ice")
    path = save_networks(tmp_path / "x.safetensors", {"G_ema": make_network(CONFIGS["classes"])}, classes=names)
    assert Engine().render(scene_of(path)).model.classes == names
    assert Engine().render(scene_of(networks["classes"])).model.classes == ()


def test_notes_say_what_is_worth_knowing(tmp_path: Path) -> None:
    network = make_network(CONFIGS["T"])
    network.mapping.w_avg.zero_()
    path = save_networks(tmp_path / "fresh.safetensors", {"G": network})
    scene = Scene(model=Model(path=str(path), digest="0" * 64))
    note = Engine().render(scene).model.note
    assert "not trained yet" in note
    assert "not the one that this scene was made with" in note
    assert "holds no G_ema, so G is shown" in note
    info = Engine().render(scene_of(path)).model
    assert Engine().render(Scene(model=Model(path=str(path), digest=info.digest))).model.note == info.note


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_note_says_why_a_network_with_nan_weights_is_gray(number: float, tmp_path: Path) -> None:
    network = make_network(CONFIGS["T"])
    with torch.no_grad():
        network.mapping.get_parameter("fc1.bias")[3] = number
    path = save_networks(tmp_path / "diverged.safetensors", {"G_ema": network})
    assert "not numbers" in Engine().render(scene_of(path)).model.note
