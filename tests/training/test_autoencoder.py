"""A training that begins as an autoencoder learns its pictures, hands its layers to D, and continues exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_training import begin, check_equal, make_pictures, small_config, train
from torch.distributions import Normal, kl_divergence

from networks.config import DiscriminatorConfig
from networks.discriminator import Discriminator
from runs.launch import stop
from runs.rundir import RunFolder, read_lines
from session.fields import FieldError
from training.autoencoder import Encoder, divergence, picture_distance
from training.loop import Training

SIZES = {"cbase": 128, "cmax": 8, "map_depth": 2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures", classes=2)


COLOURS = np.random.RandomState(0).randint(0, 255, (24, 3))


def plain_colours(folder: Path) -> Path:
    """Pictures of one colour each, which a code of three numbers says."""
    folder.mkdir()
    for i, colour in enumerate(COLOURS):
        Image.new("RGB", (16, 16), tuple(map(int, colour))).save(folder / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize("cfg", ["cpu-t", "cpu"])
def test_it_learns_to_redraw_each_picture_and_then_d_judges(cfg: str, tmp_path: Path) -> None:
    """Nearer to each than one picture for all could be."""
    pictures = plain_colours(tmp_path / "pictures")
    config = small_config(pictures, cfg=cfg, **SIZES, vae_kimg=1.608, kimg=1.7, tick=0.4, snap=0)
    folder, _ = begin(tmp_path, config)
    train(folder, config)
    lines = list(read_lines(folder.path / "stats.jsonl"))
    away = [line["Loss/VAE/distance"]["mean"] for line in lines if "Loss/VAE/distance" in line]
    blind = 4 * float(np.abs(COLOURS - np.median(COLOURS, axis=0)).mean()) / 127.5
    assert away[-1] < 0.9 * blind
    assert ["Loss/VAE/distance" in line for line in lines] == [True] * 5 + [False]
    assert ["Loss/D/loss" in line for line in lines] == [False] * 5 + [True]


def test_d_takes_over_all_layers_but_the_last_and_its_classes() -> None:
    config = DiscriminatorConfig(img_resolution=16, c_dim=3, channel_base=128, channel_max=8, freeze_layers=2)
    encoder, D = Encoder(config, z_dim=5), Discriminator(config)
    mean, log_variance = encoder(torch.randn(4, 3, 16, 16))
    assert mean.shape == log_variance.shape == (4, 5)
    before = {name: tensor.clone() for name, tensor in D.state_dict().items()}
    encoder.give_to(D)
    own = encoder.trunk.state_dict()
    for name, tensor in D.state_dict().items():
        kept = name.startswith(("b4.out", "mapping"))
        assert torch.equal(tensor, before[name] if kept else own[name]), name


def test_the_divergence_is_that_of_two_normal_distributions() -> None:
    mean, log_variance = torch.randn(2, 6, 5)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    assert torch.allclose(divergence(mean, log_variance), expected, rtol=1e-5)


def test_a_distance_counts_what_is_large_more_than_what_is_fine() -> None:
    """Both differ by 1 everywhere; the fine one is gone once halved."""
    nothing = torch.zeros(1, 1, 16, 16)
    fine = torch.ones(16, 16)
    fine[::2, ::2] = fine[1::2, 1::2] = -1
    assert picture_distance(nothing, nothing + 1).item() == 4
    assert picture_distance(nothing, nothing + fine).item() == 1


@pytest.mark.parametrize("stopped_at", [1, 2, 3])
def test_a_stop_changes_nothing(stopped_at: int, pictures: Path, tmp_path: Path) -> None:
    """Stopped while it is an autoencoder, where D begins to judge, and after that."""
    config = small_config(pictures, cfg="cpu-t", **SIZES, vae_kimg=0.08, tick=0.04, kimg=0.16)
    whole, _ = begin(tmp_path / "whole", config)
    train(whole, config)
    parted, _ = begin(tmp_path / "parted", config)

    def listen(line: str) -> None:
        if line.startswith(f"tick {stopped_at}"):
            stop(parted.path)

    assert Training(parted, config, say=listen).run() == "stopped"
    assert Training(RunFolder(parted.path), config, say=lambda line: None).run() == "done"
    check_equal(whole.path, parted.path)


def test_it_is_for_networks_that_begin_from_nothing(pictures: Path) -> None:
    with pytest.raises(FieldError, match="leave it out with --resume"):
        small_config(pictures, cfg="cpu-t", vae_kimg=1.0, resume="somewhere.safetensors")
