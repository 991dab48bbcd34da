"""Presets, options, checks and names of runs are those that people know (reference: peers.md 3.2, 3.3, 3.5)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from session.fields import FieldError
from training.config import PIPES, DatasetInfo, Options, TrainingConfig, resolve, suggest_gamma
from training.presets import PRESETS
from training.run.options_json import to_nvidia_options

FACTS = DatasetInfo("/d/ffhq-256.zip", "ffhq-256", 70000, 256, 3, 0)


def config(facts: DatasetInfo = FACTS, **options) -> TrainingConfig:
    return resolve(Options(data=facts.path, **options), facts)


def sized(resolution: int, label_dim: int = 0) -> DatasetInfo:
    return replace(FACTS, resolution=resolution, label_dim=label_dim)


@pytest.mark.parametrize(
    ("resolution", "batch", "gamma", "ema", "cbase", "lr"),
    [(128, 32, 0.1024, 10, 16384, 0.0025), (256, 16, 0.8192, 5, 16384, 0.0025), (512, 8, 6.5536, 2.5, 32768, 0.0025),
     (1024, 4, 52.4288, 1.25, 32768, 0.002)],
)  # fmt: skip
def test_auto_gives_the_published_numbers_on_one_gpu(resolution, batch, gamma, ema, cbase, lr) -> None:
    made = config(sized(resolution))
    assert (made.batch, made.ema_kimg, made.cbase, made.g_lr, made.d_lr) == (batch, ema, cbase, lr, lr)
    assert made.gamma == pytest.approx(gamma)
    assert (made.map_depth, made.mbstd_group, made.style_mixing, made.pl_weight) == (2, 4, 0.9, 2)
    assert (made.g_reg_interval, made.d_reg_interval, made.ema_rampup, made.kimg) == (4, 16, 0.05, 25000)


def test_auto_grows_with_the_number_of_gpus() -> None:
    assert config(gpus=8).batch == 64
    assert config(sized(1024), gpus=8).batch == 32
    assert config(sized(1024), gpus=8).mbstd_group == 4


@pytest.mark.parametrize(
    ("name", "gpus", "kimg", "batch", "mbstd", "cbase", "lr", "gamma", "ema", "rampup", "mapping"),
    [("stylegan2-ada", 8, 25000, 32, 4, 32768, 0.002, 10, 10, None, 8),
     ("paper256", 8, 25000, 64, 8, 16384, 0.0025, 1, 20, None, 8),
     ("paper512", 8, 25000, 64, 8, 32768, 0.0025, 0.5, 20, None, 8),
     ("paper1024", 8, 25000, 32, 4, 32768, 0.002, 2, 10, None, 8),
     ("cifar", 2, 100000, 64, 32, 32768, 0.0025, 0.01, 500, 0.05, 2)],
)  # fmt: skip
def test_the_older_presets_are_as_published(
    name, gpus, kimg, batch, mbstd, cbase, lr, gamma, ema, rampup, mapping
) -> None:
    made = config(cfg=name, gpus=gpus)
    assert (made.kimg, made.batch, made.mbstd_group, made.cbase) == (kimg, batch, mbstd, cbase)
    assert (made.g_lr, made.d_lr, made.gamma, made.ema_kimg) == (lr, lr, gamma, ema)
    assert (made.ema_rampup, made.map_depth, made.g_reg_interval) == (rampup, mapping, 4)
    assert (made.style_mixing, made.pl_weight) == ((0, 0) if name == "cifar" else (0.9, 2))


@pytest.mark.parametrize(
    ("name", "g_lr", "mapping", "blur", "mixing", "pl", "every"),
    [("stylegan3-t", 0.0025, 2, 0, 0, 0, None), ("stylegan3-r", 0.0025, 2, 10, 0, 0, None),
     ("stylegan2", 0.002, 8, 0, 0.9, 2, 4)],
)  # fmt: skip
def test_the_newer_presets_are_as_published(name, g_lr, mapping, blur, mixing, pl, every) -> None:
    made = config(cfg=name, gpus=8, batch=32, gamma=2)
    assert (made.g_lr, made.d_lr, made.map_depth, made.blur) == (g_lr, 0.002, mapping, blur)
    assert (made.style_mixing, made.pl_weight, made.g_reg_interval, made.ema_kimg) == (mixing, pl, every, 10)
    assert (made.kimg, made.tick, made.snap, made.seed, made.workers) == (25000, 4, 50, 0, 3)
    assert (made.aug, made.augpipe, made.target, made.ada_kimg, made.metrics) == (
        "ada", "bgc", 0.6, 500, ("fid50k_full",)
    )  # fmt: skip
    assert made.blur_fade_kimg == (200 if blur else 0)
    resumed = config(cfg=name, batch=32, gamma=2, resume="x.pkl")
    assert (resumed.ada_kimg, resumed.ema_rampup, resumed.blur) == (100, None, 0)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_configuration_that_can_be_kept(name: str) -> None:
    gpus = 1 if name not in ("paper256", "paper512") else 8
    made = config(cfg=name, gpus=gpus, batch=64, gamma=1, batch_gpu=64 // gpus)
    assert TrainingConfig.from_dict(json.loads(json.dumps(asdict(made)))) == made
    kept = json.loads(json.dumps(to_nvidia_options(made, Path("/r/00000-x"))))
    assert kept["batch_size"] == 64 and kept["loss_kwargs"]["r1_gamma"] == 1
    assert {"G_kwargs", "D_kwargs", "training_set_kwargs", "total_kimg", "ema_kimg", "run_dir"} <= kept.keys()
    radial = kept["G_kwargs"].get("use_radial_filters", False)
    assert kept["G_kwargs"]["channel_base"] == kept["D_kwargs"]["channel_base"] * (2 if radial else 1)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"cfg": "stylegan3-t", "gpus": 8, "batch": 32, "gamma": 8.2}, "stylegan3-t-ffhq-256-gpus8-batch32-gamma8.2"),
        ({"cfg": "stylegan3-r", "batch": 32, "gamma": 2, "desc": "try"},
         "stylegan3-r-ffhq-256-gpus1-batch32-gamma2-try"),
        ({}, "ffhq-256-auto1"),
        ({"cfg": "paper256", "gpus": 8, "mirror": True, "gamma": 3}, "ffhq-256-mirror-paper256-gamma3"),
        ({"subset": 1000, "aug": "fixed", "p": 0.5, "kimg": 100, "resume": "a.pkl"},
         "ffhq-256-subset1000-auto1-kimg100-fixed-p0.5-resumecustom"),
    ],
)  # fmt: skip
def test_runs_are_called_as_people_know_them(options, name: str) -> None:
    assert config(**options).name == name


@pytest.mark.parametrize(
    ("facts", "options", "word"),
    [
        (FACTS, {"cfg": "stylegan3-t"}, "--batch is missing"),
        (FACTS, {"cfg": "stylegan3-t", "batch": 32}, "--gamma is missing.*0.4096"),
        (FACTS, {"batch": 30, "gpus": 4}, "multiple of --gpus"),
        (FACTS, {"batch": 32, "batch_gpu": 12}, "--gpus times --batch-gpu"),
        (FACTS, {"batch": 32, "batch_gpu": 2}, "--mbstd-group"),
        (FACTS, {"cond": True}, "labels"),
        (FACTS, {"metrics": "fid50"}, "did you mean"),
        (FACTS, {"p": 0.5}, "--aug fixed"),
        (FACTS, {"aug": "fixed"}, "needs --p"),
        (FACTS, {"aug": "noaug", "target": 0.5}, "--aug ada"),
        (FACTS, {"cfg": "stylgan3-t"}, "must be one of"),
        (FACTS, {"grid": "8"}, "columns x rows"),
        (sized(100), {}, "power of two"),
        (replace(FACTS, channels=4), {}, "4 channels"),
    ],
)
def test_what_does_not_fit_together_is_one_clear_sentence(facts, options, word: str) -> None:
    with pytest.raises(FieldError, match=word) as caught:
        config(facts, **options)
    assert str(caught.value).count("\n") == 0


def test_labels_are_used_when_asked_for() -> None:
    assert config(sized(256, 7)).label_dim == 0
    made = config(sized(256, 7), cond=True)
    assert made.label_dim == 7 and made.name == "ffhq-256-cond-auto1"


def test_the_suggested_gamma_follows_pixels_and_batch() -> None:
    assert suggest_gamma(256, 16) == pytest.approx(0.8192)


def test_the_names_of_pipelines_are_told_without_torch() -> None:
    from training.augmentation.pipeline import PIPELINES

    assert PIPES == PIPELINES
    code = "import sys, training.config, runs.run_folder, runs.run_status, runs.launch; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "False"


def test_a_run_of_an_earlier_version_continues_and_one_that_does_not_fit_is_refused() -> None:
    kept = asdict(config())
    later = ("gradient_checkpointing", "offload_adam", "offload_ema", "equivariance")
    assert TrainingConfig.from_dict({name: value for name, value in kept.items() if name not in later}) == config()
    with pytest.raises(FieldError, match="another version of this program: gamma"):
        TrainingConfig.from_dict({name: value for name, value in kept.items() if name != "gamma"})
    with pytest.raises(FieldError, match="workers cannot be 'many'"):
        TrainingConfig.from_dict({**kept, "workers": "many"})
