"""A network's options survive JSON, and invalid ones are refused in one sentence."""

from __future__ import annotations

import json

import pytest
import torch

from networks.architectures.stylegan2 import Generator
from networks.config import ACTIVATIONS, DiscriminatorConfig, StyleGAN2Config, StyleGAN3Config, config_from_dict
from networks.presets import PRESETS, preset
from ops import ACTIVATIONS as OPS_ACTIVATIONS


@pytest.mark.parametrize("name", PRESETS)
def test_options_survive_json(name):
    for config in preset(name, 256, c_dim=7):
        assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_every_activation_can_be_chosen():
    assert set(ACTIVATIONS) == set(OPS_ACTIVATIONS)
    for activation in ACTIVATIONS:
        config = StyleGAN2Config(
            8, activation=activation, mapping_activation=activation, channel_max=4, w_dim=4, z_dim=4
        )
        with torch.no_grad():
            assert Generator(config)(torch.randn(1, 4)).isfinite().all()


def test_constructor_arguments_of_both_repositories_are_understood():
    """stylegan3 stores synthesis options flat, stylegan2-ada-pytorch nested and with other defaults."""
    flat = {"class_name": "training.networks_stylegan2.Generator", "img_resolution": 64, "c_dim": 0}
    flat |= {"mapping_kwargs": {"num_layers": 2}, "channel_max": 64, "fused_modconv_default": "inference_only"}
    config = StyleGAN2Config.from_nvidia_kwargs(flat)
    assert (config.mapping_num_layers, config.channel_max, config.num_fp16_res) == (2, 64, 4)
    assert config.fused_modconv_default == "inference_only"
    nested = {"img_resolution": 64, "mapping_kwargs": {"num_layers": 2, "w_avg_beta": 0.9}}
    nested["synthesis_kwargs"] = {"channel_max": 64, "num_fp16_res": 3, "architecture": "resnet", "use_noise": False}
    ada = StyleGAN2Config.from_nvidia_kwargs(nested, ada=True)
    assert (ada.w_avg_beta, ada.num_fp16_res, ada.conv_clamp) == (0.9, 3, None)
    assert (ada.architecture, ada.use_noise) == ("resnet", False)
    assert StyleGAN2Config.from_nvidia_kwargs({"img_resolution": 64}, ada=True).w_avg_beta == 0.995
    judge = {"img_resolution": 64, "block_kwargs": {"freeze_layers": 2}, "mapping_kwargs": {"num_layers": 4}}
    judge["epilogue_kwargs"] = {"mbstd_group_size": None, "activation": "relu"}
    D = DiscriminatorConfig.from_nvidia_kwargs(judge)
    assert (D.freeze_layers, D.mapping_num_layers, D.mbstd_group_size) == (2, 4, None)
    assert (D.activation, D.epilogue_activation) == ("lrelu", "relu")
    assert StyleGAN2Config.from_nvidia_kwargs({"img_resolution": 8, "fused_modconv_default": False}) == StyleGAN2Config(
        8, fused_modconv_default="never"
    )


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: StyleGAN2Config(24), "img_resolution is 24, but must be a power of two"),
        (lambda: DiscriminatorConfig(4), "img_resolution is 4, but a discriminator needs 8 or more"),
        (lambda: StyleGAN2Config(64, architecture="unet"), "architecture is 'unet', but must be one of orig, skip"),
        (lambda: StyleGAN2Config(64, conv_clamp="x"), "conv_clamp is 'x', but must be a number"),  # pyright: ignore
        (lambda: StyleGAN2Config(64, channel_base=32), "channel_base is 32, which leaves no feature maps"),
        (lambda: StyleGAN3Config(64, num_critical=14), "num_critical is 14, but must be below num_layers, 14"),
        (lambda: StyleGAN3Config(64, conv_kernel=2), "conv_kernel is 2, but must be odd"),
        (lambda: StyleGAN3Config(64, w_dim=10**9), "w_dim is 1000000000, but must be between"),
        (lambda: StyleGAN3Config(4, first_cutoff=3), "first_cutoff is 3, but 4 pixels hold at most 2 cycles"),
        (lambda: config_from_dict({"family": "stylegan9"}), "family is 'stylegan9', but must be one of stylegan3"),
        (lambda: config_from_dict({"family": "stylegan2"}), "do not say img_resolution"),
        (
            lambda: StyleGAN2Config.from_nvidia_kwargs({"img_resolution": 8, "z_dmi": 4}),
            "no option 'z_dmi': did you mean",
        ),
        (lambda: StyleGAN2Config.from_nvidia_kwargs({"mapping_kwargs": 4}), "mapping_kwargs is a int"),
        (lambda: preset("stylegan4", 64), "no preset 'stylegan4': did you mean stylegan"),
    ],
)
def test_invalid_options_are_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
