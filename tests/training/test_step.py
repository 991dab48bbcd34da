"""Whole steps (all phases, lazy Adam, G_ema) and the scalar rules agree with the reference's numbers."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from recorded import DATA, Recorded, recorded_networks, tensor

from networks.architectures import stylegan2
from networks.architectures.discriminator import Discriminator
from networks.config import DiscriminatorConfig, StyleGAN2Config
from networks.presets import preset
from training.augmentation.ada import adjust_p
from training.engine.ema import ema_decay
from training.objectives.losses import Batch, LossSettings
from training.step import Diverged, LossScaler, Phase, StepSettings, Trainer, build_phases, lazy_adam

FORMULAS = json.loads((DATA / "training" / "formulas.json").read_text())


@pytest.mark.parametrize("name", ["sg2_32_uncond", "sg3r_32_uncond"])
def test_three_whole_steps_agree_with_the_reference(name: str) -> None:
    """State to 1e-3 as the numbers' README allows; elements with hardly any gradient move like its sign, so of the
    first eight of each tensor 97 % must agree."""
    data = np.load(DATA / "training" / f"steps_{name}.npz")
    given = json.loads(str(data["train/config"]))
    network = recorded_networks(name)
    assert network.G is not None and network.D is not None
    reports: dict[str, list[np.ndarray]] = {}
    trainer = Trainer(
        network.G,
        network.D,
        LossSettings(r1_gamma=given["r1_gamma"], pl_weight=given["pl_weight"], noise_mode="const"),
        StepSettings(
            batch=given["batch_size"],
            g_lr=given["G_lr"],
            d_lr=given["D_lr"],
            g_reg_interval=given["G_reg_interval"],
            d_reg_interval=given["D_reg_interval"],
            ema_kimg=given["ema_kimg"],
            ema_rampup=given["ema_rampup"],
        ),
        report=lambda stat, values: reports.setdefault(stat, []).append(values.detach().numpy().copy()),
    )
    trainer.losses.update_w_avg_always = False
    assert [phase.name for phase in trainer.phases] == given["phases"]
    start = {"G": copy.deepcopy(network.G.state_dict()), "D": copy.deepcopy(network.D.state_dict())}
    start["G_ema"] = start["G"]
    for i in range(given["iterations"]):

        def micro_batches(phase: Phase, i: int = i) -> list[Batch]:
            at = f"train/it{i}"
            path_noise = data.get(f"{at}/{phase.name}/pl_noise_randn")
            z, c = (tensor(data[f"{at}/{phase.name}/{key}"]) for key in "zc")
            return [Batch(tensor(data[f"{at}/real"]), tensor(data[f"{at}/real_c"]), z, c, Recorded(path_noise))]

        reports.clear()
        images = given["cur_nimg_start"] + i * given["batch_size"]
        trainer.step(i, images, micro_batches)
        assert ema_decay(4, given["ema_kimg"], given["ema_rampup"], images) == pytest.approx(given["ema_betas"][i])
        for phase in given["phases"]:
            key = f"train/it{i}/{phase}/report/Loss/{phase[0]}/loss"
            if key in data:
                ours = reports[f"Loss/{phase[0]}/loss"][0].flatten()
                np.testing.assert_allclose(ours, data[key], rtol=2e-3, atol=1e-4)

    assert float(trainer.losses.pl_mean) == pytest.approx(float(data["train/pl_mean_final"]), rel=1e-3)
    near, all_ = 0, 0
    for role, module in (("G", trainer.G), ("D", trainer.D), ("G_ema", trainer.G_ema)):
        state = module.state_dict()
        keys = ("names", "norm", "delta_norm", "first8")
        for key, norm, moved, first in zip(*(data[f"train/final/{role}/{k}"] for k in keys), strict=True):
            ours = state[key].flatten().double()
            assert float(ours.norm()) == pytest.approx(norm, rel=1e-3, abs=1e-5), (role, key)
            change = float((ours - start[role][key].flatten()).norm())
            assert change == pytest.approx(moved, rel=2e-2, abs=1e-5), (role, key)
            expected = first[: len(ours)]
            near += int(np.isclose(ours[:8], expected, rtol=1e-3, atol=2e-4).sum())
            all_ += len(expected)
    assert near > 0.97 * all_
    with torch.no_grad():
        image = trainer.G_ema(tensor(data["train/final/z"]), noise_mode="const")
        np.testing.assert_allclose(image, data["train/final/img_G_ema"], atol=2e-3)
        logits = trainer.D(tensor(data["train/it0/real"]))
        np.testing.assert_allclose(logits, data["train/final/logits_real"], rtol=2e-3, atol=2e-3)


def test_the_scalar_rules_are_the_published_ones() -> None:
    for row in FORMULAS["ada"]:
        p = adjust_p(row["p"], row["sign_mean"], row["target"], row["batch"], row["interval"], row["ada_kimg"])
        assert p == pytest.approx(row["p_new"], abs=1e-12)
    for row in FORMULAS["lazy_adam"]:
        adam = lazy_adam([torch.nn.Parameter(torch.zeros(1))], row["lr"], (0, row["beta2"]), 1e-8, row["interval"])
        group = adam.param_groups[0]
        assert (group["lr"], *group["betas"]) == pytest.approx((row["lr_eff"], row["beta1_eff"], row["beta2_eff"]))
    for row in FORMULAS["ema_beta"]:
        ours = ema_decay(row["batch"], row["ema_kimg"], row["rampup"], row["cur_nimg"])
        assert ours == pytest.approx(row["beta"], abs=1e-12)
    for row in FORMULAS["magnitude_ema_beta"]:
        config, _ = preset("stylegan3-t", 64, batch=row["batch"])
        assert config.magnitude_ema_beta == pytest.approx(row["beta"])  # type: ignore[union-attr]


def test_regularization_has_phases_of_its_own_where_it_is_lazy() -> None:
    assert [p.name for p in build_phases(StepSettings(4))] == ["Gboth", "Dmain", "Dreg"]
    assert [p.interval for p in build_phases(StepSettings(4, g_reg_interval=4))] == [1, 4, 1, 16]


def tiny(settings: StepSettings, **losses) -> Trainer:
    torch.manual_seed(0)
    G = stylegan2.Generator(
        StyleGAN2Config(img_resolution=16, z_dim=8, w_dim=8, mapping_num_layers=2, channel_base=128, channel_max=8)
    )
    D = Discriminator(DiscriminatorConfig(16, channel_base=128, channel_max=8, freeze_layers=2))
    return Trainer(G, D, LossSettings(noise_mode="const", **losses), settings)


def plain(phase: Phase) -> list[Batch]:
    empty = torch.zeros(4, 0)
    stream = torch.Generator().manual_seed(len(phase.name))
    real = torch.randn(4, 3, 16, 16, generator=stream)
    return [Batch(real, empty, torch.randn(4, 8, generator=stream), empty, Recorded())]


def test_frozen_parts_stay_as_they_are() -> None:
    trainer = tiny(StepSettings(4, freeze_mapping=True))
    before = copy.deepcopy(trainer.G.state_dict()), copy.deepcopy(trainer.D.state_dict())
    trainer.step(0, 1000, plain)
    for old, module in zip(before, (trainer.G, trainer.D), strict=True):
        for name, value in module.named_parameters():
            frozen = name.startswith("mapping.")
            unused = name.endswith("noise_const")
            assert torch.equal(value, old[name]) == (frozen and module is trainer.G) or unused, name
    assert torch.equal(trainer.D.b16.conv0.weight, before[1]["b16.conv0.weight"])  # type: ignore[union-attr]


def test_a_gradient_that_is_not_a_number_stops_the_step() -> None:
    trainer = tiny(StepSettings(4))
    with torch.no_grad():
        trainer.G.get_parameter("synthesis.b16.conv1.bias").fill_(torch.nan)
    before = copy.deepcopy(trainer.G.mapping.state_dict())
    with pytest.raises(Diverged):
        trainer.step(0, 1000, plain)
    for name, value in trainer.G.mapping.named_parameters():
        assert torch.equal(value, before[name])


def test_scaled_losses_give_the_same_step() -> None:
    one, two = tiny(StepSettings(4)), tiny(StepSettings(4, grad_scale=True))
    for trainer in (one, two):
        trainer.step(0, 1000, plain)
    for a, b in zip(one.G.parameters(), two.G.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    scale = LossScaler()
    scale.update(False)
    assert scale.value == 2.0**15


def test_a_clipped_gradient_is_as_long_as_asked_for() -> None:
    trainer = tiny(StepSettings(4, clip_grad=0.5))
    grads = [torch.full([10], 3.0), torch.full([6], 4.0)]
    assert trainer._sanitize_grads(grads)
    assert float(torch.cat(grads).norm()) == pytest.approx(0.5)
