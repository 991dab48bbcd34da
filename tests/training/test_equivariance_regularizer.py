"""The equivariance regularizer measures what it says, and following its gradient makes a network more equivariant."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_training import begin, make_pictures, small_config, train

from networks.architectures.stylegan3 import Generator
from networks.config import StyleGAN3Config
from runs.run_folder import read_lines
from session.fields import FieldError
from training.engine.keyed_rng import KeyedRng
from training.objectives.equivariance import Motion, equivariance_error, sample_motion

MOVE, TURN = Motion(x=0.1, y=-0.07), Motion(angle=0.7)


def generator(**options) -> Generator:
    torch.manual_seed(0)
    return Generator(
        StyleGAN3Config(
            img_resolution=32, z_dim=8, w_dim=8, mapping_num_layers=1, num_layers=5, channel_base=256, channel_max=8,
            **options,
        )
    ).train()  # fmt: skip


def error(G: Generator, motion: Motion, real: Motion | None = None) -> float:
    """Relative to how much the images vary; `real` is what the input is moved by, where that is another motion."""
    ws = G.mapping(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)))
    first: list[torch.Tensor] = []

    def synthesize() -> torch.Tensor:
        first.append(G.synthesis(ws))
        return first[-1]

    with torch.no_grad():
        found = equivariance_error(G, motion, synthesize).mean()
    return float(found / first[0].var())


def test_the_error_is_small_for_the_right_motion_alone() -> None:
    T, R = generator(), generator(use_radial_filters=True, conv_kernel=1)
    assert error(T, MOVE) < 0.05
    assert error(R, MOVE) < 0.05 and error(R, TURN) < 0.05
    assert error(T, TURN) > 4 * error(R, TURN)  # T is not made for turns


def test_following_the_gradient_lowers_the_error() -> None:
    """Of a network with 3x3 kernels, under turns that it was not trained with. Contrast is held, as D holds it."""
    G = generator(use_radial_filters=True)
    before = error(G, TURN), error(G, Motion(angle=-1.9))
    adam = torch.optim.Adam(G.synthesis.parameters(), lr=0.003)
    for step in range(20):
        rng = KeyedRng(0, "Gmain", range(4 * step, 4 * step + 4))
        ws = G.mapping(rng.normal("z", 8)).detach()
        loss = equivariance_error(G, sample_motion(rng, G), lambda ws=ws: G.synthesis(ws)).mean()
        loss = loss / G.synthesis(ws).var()
        adam.zero_grad()
        loss.backward()
        adam.step()
    after = error(G, TURN), error(G, Motion(angle=-1.9))
    assert after[0] < before[0] / 2 and after[1] < before[1] / 2
    assert torch.equal(G.synthesis.input.transform, torch.eye(3))


def test_only_r_is_turned() -> None:
    motions = [sample_motion(KeyedRng(0, "Gmain", [i]), generator()) for i in range(20)]
    assert all(motion.angle == 0 and abs(motion.x) <= 0.125 and abs(motion.y) <= 0.125 for motion in motions)
    R = generator(use_radial_filters=True, conv_kernel=1)
    assert 0 < sum(sample_motion(KeyedRng(0, "Gmain", [i]), R).angle != 0 for i in range(20)) < 20


def test_it_is_asked_for_reported_and_for_stylegan3_only(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    with pytest.raises(FieldError, match="choose stylegan3-t or"):
        small_config(pictures, equivariance=2.0)
    for weight in (0.0, 2.0):
        config = small_config(pictures, cfg="stylegan3-t", kimg=0.016, equivariance=weight)
        folder, _ = begin(tmp_path / str(weight), config)
        train(folder, config)
        lines = list(read_lines(folder.path / "stats.jsonl"))
        assert all(("Loss/equivariance" in line) == (weight > 0) for line in lines)
