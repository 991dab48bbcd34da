"""A training that begins as an autoencoder learns its images, hands its layers to D, and continues exactly."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_training import begin, check_equal, make_pictures, small_config, train
from torch.distributions import Normal, kl_divergence

from networks import load_network
from networks.architectures.discriminator import Discriminator
from networks.config import DiscriminatorConfig
from runs.launch import stop
from runs.run_folder import RunFolder, read_lines
from session.fields import FieldError
from training.config import TrainingConfig
from training.loop import Training
from training.objectives.vae_warmup import Encoder, WarmupSchedule, kl_to_standard_normal, multiscale_l1
from training.presets import VAE_FADING, VAE_KL
from training.step import VAE_PHASE, Phase

SIZES = {"cbase": 128, "cmax": 8, "map_depth": 2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two classes; 12 styles have one image of each."""
    folder = make_pictures(tmp_path_factory.mktemp("data") / "pictures", classes=2)
    document = json.loads((folder / "dataset.json").read_text())
    document["styles"] = [[name, "Family", f"Style {i // 2}"] for i, (name, _) in enumerate(document["labels"])]
    (folder / "dataset.json").write_text(json.dumps(document))
    return folder


COLORS = np.random.RandomState(0).randint(0, 255, (24, 3))


def plain_colors(folder: Path) -> Path:
    """Images of one color each, which a code of three numbers says."""
    folder.mkdir()
    for i, color in enumerate(COLORS):
        Image.new("RGB", (16, 16), tuple(map(int, color))).save(folder / f"{i:02d}.png")
    return folder


@pytest.mark.parametrize("cfg", ["cpu-t", "cpu"])
def test_it_learns_to_redraw_each_image_and_then_d_judges(cfg: str, tmp_path: Path) -> None:
    """Nearer to each than one image for all could be."""
    pictures = plain_colors(tmp_path / "pictures")
    config = small_config(pictures, cfg=cfg, **SIZES, vae_kimg=1.608, kimg=1.7, tick=0.4, snap=0)
    folder, _ = begin(tmp_path, config)
    train(folder, config)
    lines = list(read_lines(folder.path / "stats.jsonl"))
    away = [line["Loss/VAE/distance"]["mean"] for line in lines if "Loss/VAE/distance" in line]
    blind = 4 * float(np.abs(COLORS - np.median(COLORS, axis=0)).mean()) / 127.5
    assert away[-1] < 0.9 * blind
    assert ["Loss/VAE/distance" in line for line in lines] == [True] * 5 + [False]
    assert ["Loss/D/loss" in line for line in lines] == [False] * 5 + [True]


def test_d_takes_over_all_layers_but_the_last_and_its_classes() -> None:
    config = DiscriminatorConfig(img_resolution=16, c_dim=3, channel_base=128, channel_max=8, freeze_layers=2)
    encoder, D = Encoder(config, z_dim=5), Discriminator(config)
    mean, log_variance = encoder(torch.randn(4, 3, 16, 16))
    assert mean.shape == log_variance.shape == (4, 5)
    before = {name: tensor.clone() for name, tensor in D.state_dict().items()}
    encoder.copy_to_discriminator(D)
    own = encoder.trunk.state_dict()
    for name, tensor in D.state_dict().items():
        kept = name.startswith(("b4.out", "mapping"))
        assert torch.equal(tensor, before[name] if kept else own[name]), name


def test_the_divergence_is_that_of_two_normal_distributions() -> None:
    mean, log_variance = torch.randn(2, 6, 5)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    assert torch.allclose(kl_to_standard_normal(mean, log_variance), expected, rtol=1e-5)


def test_a_distance_counts_what_is_large_more_than_what_is_fine() -> None:
    """Both differ by 1 everywhere; the fine one is gone once halved."""
    nothing = torch.zeros(1, 1, 16, 16)
    fine = torch.ones(16, 16)
    fine[::2, ::2] = fine[1::2, 1::2] = -1
    assert multiscale_l1(nothing, nothing + 1).item() == 4
    assert multiscale_l1(nothing, nothing + fine).item() == 1


FADING = {"cfg": "cpu-t", **SIZES, "cond": True, "vae_kimg": 0.048, "vae_d_kimg": 0.04, "vae_fade_kimg": 0.08,
          "vae_styles": True, "tick": 0.04, "kimg": 0.2}  # fmt: skip


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run through all parts of such a start that was left alone."""
    config = small_config(pictures, **FADING)
    folder, _ = begin(tmp_path_factory.mktemp("whole"), config)
    train(folder, config)
    return folder.path


def test_d_trains_alone_and_then_the_loss_of_the_autoencoder_fades_out(whole: Path) -> None:
    lines = [line for line in read_lines(whole / "stats.jsonl") if line["Progress/tick"]["mean"] > 0]
    assert ["Loss/D/loss" in line for line in lines] == [False, True, True, True, True]
    assert ["Loss/G/loss" in line for line in lines] == [False, False, True, True, True]
    weights = [line["Loss/VAE/weight"] for line in lines if "Loss/VAE/weight" in line]
    assert [(weight["num"], weight["mean"] / VAE_FADING) for weight in weights] == [
        (10, pytest.approx(0.8)),
        (10, pytest.approx(0.3)),
    ]


def test_half_of_what_g_draws_are_reals_whose_distance_counts_with_the_weight(pictures: Path, tmp_path: Path) -> None:
    """Halfway through the fading, G's gradient is of D's judgement and of the distance, at half of its first weight."""
    config = small_config(pictures, **FADING)
    training = Training(begin(tmp_path, config)[0], config, say=lambda line: None)
    trainer, halfway = training.trainer, 128
    G, encoder, losses = trainer.G.requires_grad_(True), trainer.encoder, trainer.losses
    assert encoder is not None
    (batch,) = training.batches(Phase("Gmain", 1), training.loader.next()[:1])
    assert batch.encoder_images is not None
    losses.accumulate("Gmain", batch, 1.0, halfway)
    both = [p.grad.clone() for p in G.parameters() if p.grad is not None]
    G.zero_grad()
    mean, log_variance = encoder(batch.encoder_images[:2])
    codes = mean + batch.rng.normal("code", 64)[:2] * (log_variance / 2).exp()
    z, c = torch.cat([codes.detach(), batch.z[2:]]), torch.cat([batch.real_c[:2], batch.c[2:]])
    images = G(z, c)
    judged = torch.nn.functional.softplus(-trainer.D(images, c)).mean()
    (judged + multiscale_l1(images[:2], batch.real[:2]).mean() * VAE_FADING / 2).backward()
    wanted = [p.grad for p in G.parameters() if p.grad is not None]
    assert len(both) == len(wanted) > 20
    for one, other in zip(both, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
    training.loader.close()


def test_what_d_learns_alone_leaves_g_as_it_is(whole: Path) -> None:
    snapshots = sorted((whole / "snapshots").iterdir())
    before, after = load_network(str(snapshots[1])), load_network(str(snapshots[2]))
    for role, learns in (("G", False), ("D", True)):
        pairs = zip(getattr(before, role).parameters(), getattr(after, role).parameters(), strict=True)
        assert any(not torch.equal(one, other) for one, other in pairs) == learns


@pytest.mark.parametrize("stopped_at", [1, 2, 3, 4, 5])
def test_a_stop_changes_nothing(stopped_at: int, pictures: Path, whole: Path, tmp_path: Path) -> None:
    """Stopped while it is an autoencoder, where D begins, where G learns from it, while the autoencoder's loss fades,
    and where it is gone."""
    config = small_config(pictures, **FADING)
    parted, _ = begin(tmp_path, config)

    def listen(line: str) -> None:
        if line.startswith(f"tick {stopped_at}"):
            stop(parted.path)

    assert Training(parted, config, say=listen).run() == ("stopped" if stopped_at < 5 else "done")
    assert Training(RunFolder(parted.path), config, say=lambda line: None).run() == "done"
    check_equal(whole, parted.path)


def test_it_is_for_networks_that_begin_from_nothing(pictures: Path) -> None:
    with pytest.raises(FieldError, match="leave it out with --resume"):
        small_config(pictures, cfg="cpu-t", vae_kimg=1.0, resume="somewhere.safetensors")
    with pytest.raises(FieldError, match="go with --vae-kimg"):
        small_config(pictures, cfg="cpu-t", vae_fade_kimg=1.0)


def test_the_encoder_sees_other_images_of_the_same_styles(pictures: Path, tmp_path: Path) -> None:
    config = small_config(pictures, **FADING)
    training = Training(begin(tmp_path, config)[0], config, say=lambda line: None)
    micro_batches = training.loader.next()
    own, other = [], []
    for one, batch in zip(micro_batches, training.batches(VAE_PHASE, micro_batches), strict=True):
        assert batch.encoder_images is not None
        for index, real, shown in zip(one.dataset_indices, batch.real, batch.encoder_images, strict=True):
            partner = index + 1 if index % 2 == 0 else index - 1
            for pixels, found in ((real, own), (shown, other)):
                images = ((pixels + 1) * 127.5).round().to(torch.uint8).numpy()
                found.append([np.array_equal(images, training.dataset.image(i)) for i in (index, partner)])
    assert own == [[True, False]] * 8
    assert sorted(map(tuple, set(map(tuple, other)))) == [(False, True), (True, False)]
    training.loader.close()


def test_styles_are_for_datasets_that_have_them(tmp_path: Path) -> None:
    plain = make_pictures(tmp_path / "plain", classes=2)
    with pytest.raises(FieldError, match="needs --cond"):
        small_config(plain, cfg="cpu-t", vae_kimg=1.0, vae_styles=True)
    with pytest.raises(FieldError, match="needs styles in dataset.json"):
        small_config(plain, cfg="cpu-t", vae_kimg=1.0, vae_styles=True, cond=True)


def test_z_and_w_are_as_long_as_asked_for(pictures: Path, tmp_path: Path) -> None:
    """As people's scripts draw 512 numbers."""
    config = small_config(pictures, cfg="cpu-t", **SIZES, cond=True, z_dim=512, w_dim=128, vae_kimg=0.008, kimg=0.016)
    folder, _ = begin(tmp_path, config)
    generator = train(folder, config).trainer.G_ema
    assert (generator.z_dim, generator.w_dim) == (512, 128)
    assert generator(torch.randn(1, 512), torch.eye(2)[:1]).shape == (1, 3, 16, 16)


def test_what_was_begun_before_keeps_its_weights(pictures: Path) -> None:
    """Runs of versions that did not write them: 0.01 for the nats, and nothing that fades."""
    config = asdict(small_config(pictures, cfg="cpu-t", vae_kimg=1.0))
    assert (config.pop("vae_kl"), config.pop("vae_fading")) == (VAE_KL, VAE_FADING)
    old = WarmupSchedule(1.0, kl=TrainingConfig.from_dict(config).vae_kl)
    assert [old.kl_weight(images) for images in (0, 250, 500, 900)] == [0, 0.005, 0.01, 0.01]
