"""What saves memory changes no number: layers computed again in the backward pass, Adam and G_ema off the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import begin, make_pictures, newest_snapshot, small_config, train
from torch.profiler import ProfilerActivity, profile

from networks.architectures import stylegan2, stylegan3
from networks.architectures.discriminator import Discriminator
from networks.config import DiscriminatorConfig, StyleGAN2Config, StyleGAN3Config
from training.engine.keyed_rng import KeyedRng
from training.engine.offload import OffloadedAdam, parameter_slices
from training.objectives.losses import PHASES, Batch, Generator, Losses, LossSettings
from training.run.reporting import write_image_grid
from training.step import lazy_adam

SAVING = {"gradient_checkpointing": True, "offload_adam": True, "offload_ema": True}


def networks(family: str, size: int, width: int) -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    common: dict[str, Any] = {
        "z_dim": 8, "w_dim": 8, "mapping_num_layers": 2, "channel_base": width * size, "channel_max": width,
    }  # fmt: skip
    if family == "stylegan2":
        G = stylegan2.Generator(StyleGAN2Config(img_resolution=size, **common))
    else:
        radial: dict[str, Any] = {"use_radial_filters": True, "conv_kernel": 1} if family == "stylegan3-r" else {}
        G = stylegan3.Generator(StyleGAN3Config(img_resolution=size, num_layers=4, **common, **radial))
    D = Discriminator(DiscriminatorConfig(size, channel_base=width * size, channel_max=width, mbstd_group_size=4))
    return G.train(), D.train()


def learn(family: str, phase: str, checkpointing: bool, size: int = 16, width: int = 8) -> list[torch.Tensor]:
    """The gradients of one phase, every part of the loss at work."""
    G, D = networks(family, size, width)
    own, other = (G, D) if phase.startswith("G") else (D, G)
    other.requires_grad_(False)
    settings = LossSettings(
        style_mixing_prob=0.9,
        pl_weight=2,
        equivariance_weight=float(family != "stylegan2"),
        gradient_checkpointing=checkpointing,
    )
    rng = KeyedRng(3, phase, range(4))
    real = rng.normal("real", 3, size, size)
    none = real[:, :0, 0, 0]
    Losses(G, D, settings).accumulate(phase, Batch(real, none, rng.normal("z", 8), none, rng), 1, 0)
    return [parameter.grad for parameter in own.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("family", ["stylegan2", "stylegan3-t", "stylegan3-r"])
def test_layers_computed_again_give_the_same_gradients_bit_for_bit(family: str, phase: str) -> None:
    """Also through R1 and path length, which differentiate twice."""
    kept, again = (learn(family, phase, checkpointing) for checkpointing in (False, True))
    assert len(kept) == len(again) > 10
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


def peak(family: str, phase: str, checkpointing: bool) -> int:
    """Bytes of tensors at the worst moment of a phase."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
        learn(family, phase, checkpointing, size=32, width=32)
    assert seen.profiler is not None
    now = worst = 0
    for event in seen.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            now += event.nbytes()  # type: ignore[attr-defined]
            worst = max(worst, now)
    return worst


@pytest.mark.parametrize(("family", "phase", "share"), [("stylegan2", "Gmain", 0.7), ("stylegan3-t", "Gmain", 0.6),
                                                        ("stylegan2", "Dreg", 0.9)])  # fmt: skip
def test_layers_computed_again_need_less_memory(family: str, phase: str, share: float) -> None:
    assert peak(family, phase, True) < share * peak(family, phase, False)


def test_an_offloaded_adam_takes_the_same_steps_and_shares_its_state() -> None:
    stream = torch.Generator().manual_seed(0)
    start = [torch.randn(n, generator=stream) for n in (5, 1, 7, 3)]
    runs = []
    for offload in (False, True):
        parameters = [torch.nn.Parameter(value.clone()) for value in start]
        runs.append((parameters, lazy_adam(parameters, 0.01, (0.0, 0.99), 1e-8, 16, offload)))
    for step in range(4):
        if step == 2:  # each goes on with the other's state
            first, second = (adam.state_dict() for _, adam in runs)
            runs[0][1].load_state_dict(second)
            runs[1][1].load_state_dict(first)
        for a, b in zip(runs[0][0], runs[1][0], strict=True):
            a.grad = torch.randn(a.shape, generator=stream)
            b.grad = a.grad.clone()
        for _, adam in runs:
            adam.step()
        assert all(torch.equal(a, b) for a, b in zip(runs[0][0], runs[1][0], strict=True))
    assert isinstance(runs[1][1], OffloadedAdam)


def test_slices_hold_everything_once_and_no_more_than_wished() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(n)) for n in (5, 1, 7, 30, 2, 2)]
    found = list(parameter_slices(parameters, 8))
    assert [[p.numel() for p in part] for part in found] == [[5, 1], [7], [30], [2, 2]]
    assert list(parameter_slices([], 8)) == []


def test_a_training_that_saves_memory_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """On a CPU offloading has nothing to do, and says so in one sentence."""
    pictures = make_pictures(tmp_path / "pictures")
    made = []
    for name, options in (("plain", {}), ("saving", SAVING)):
        config = small_config(pictures, kimg=0.04, **options)
        folder, said = begin(tmp_path / name, config)
        training = train(folder, config, said)
        made.append(newest_snapshot(folder.path))
        assert sum("change nothing on a CPU" in line for line in said) == (name == "saving")
        write_image_grid(training, "again.png")
        assert (folder.path / "again.png").read_bytes() == (folder.path / "fakes000000_040.png").read_bytes()
    assert made[0] == made[1]


def test_a_run_that_saves_memory_continues_exactly(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    config = small_config(pictures, kimg=0.024, tick=0.008, snap=0, cfg="stylegan3-t", equivariance=1.0, **SAVING)
    whole, _ = begin(tmp_path / "whole", config)
    train(whole, config)
    folder, _ = begin(tmp_path / "stopped", config)
    folder.request(kimg=0.016)
    train(folder, config)
    folder.request(kimg=0.024)
    train(folder, config)
    assert newest_snapshot(whole.path) == newest_snapshot(folder.path)
