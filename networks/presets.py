"""The networks that people know by name: options of generator and discriminator, as they were published."""

from __future__ import annotations

from typing import Any

from networks.config import DiscriminatorConfig, GeneratorConfig, StyleGAN2Config, StyleGAN3Config
from session.fields import FieldError, suggest

# stylegan3's three, then stylegan2-ada-pytorch's. Both networks have `fmaps` * 32768 as
# channel_base (R's generator: doubled, as is its channel_max); "auto" halves it below 512 pixels.
# fmt: off
_PRESETS: dict[str, tuple[str, int, bool, float, int, str, int, float]] = {
    #                family       kernel radial fmaps map  D arch    mbstd  w_avg_beta
    "stylegan3-t": ("stylegan3",  3,     False, 1.0,  2,  "resnet",   4,    0.998),
    "stylegan3-r": ("stylegan3",  1,     True,  1.0,  2,  "resnet",   4,    0.998),
    "stylegan2":   ("stylegan2",  3,     False, 1.0,  8,  "resnet",   4,    0.998),
    "auto":        ("stylegan2",  3,     False, 1.0,  2,  "resnet",   4,    0.995),
    "stylegan2-ada": ("stylegan2", 3,    False, 1.0,  8,  "resnet",   4,    0.995),
    "paper256":    ("stylegan2",  3,     False, 0.5,  8,  "resnet",   8,    0.995),
    "paper512":    ("stylegan2",  3,     False, 1.0,  8,  "resnet",   8,    0.995),
    "paper1024":   ("stylegan2",  3,     False, 1.0,  8,  "resnet",   4,    0.995),
    "cifar":       ("stylegan2",  3,     False, 1.0,  2,  "orig",    32,    0.995),
}
# fmt: on
PRESETS = tuple(_PRESETS)


def preset(
    name: str, img_resolution: int, *, img_channels: int = 3, c_dim: int = 0, batch: int = 32
) -> tuple[GeneratorConfig, DiscriminatorConfig]:
    """Generator and discriminator of a published preset for one data set.

    `stylegan2` is the stylegan3 repository's, `stylegan2-ada` the one that ADA's `--cfg=stylegan2` gives. `batch`
    (images a step, over all devices) sets how slowly StyleGAN3's magnitudes are averaged: half-life 20,000 images.
    Raises FieldError for an unknown name.
    """
    if name not in _PRESETS:
        raise FieldError(f"There is no preset {name!r}: {suggest(name, PRESETS)}")
    family, kernel, radial, fmaps, depth, architecture, mbstd, w_avg_beta = _PRESETS[name]
    if name == "auto" and img_resolution < 512:
        fmaps = 0.5
    base = int(fmaps * 32768)
    data: dict[str, Any] = {"img_resolution": img_resolution, "img_channels": img_channels, "c_dim": c_dim}
    shared: dict[str, Any] = {**data, "mapping_num_layers": depth, "w_avg_beta": w_avg_beta}
    discriminator = DiscriminatorConfig(**data, channel_base=base, architecture=architecture, mbstd_group_size=mbstd)
    if family == "stylegan2":
        fused: dict[str, Any] = {"fused_modconv_default": "inference_only"}
        return StyleGAN2Config(**shared, channel_base=base, **fused), discriminator
    double = 2 if radial else 1
    generator = StyleGAN3Config(
        **shared,
        channel_base=base * double,
        channel_max=512 * double,
        conv_kernel=kernel,
        use_radial_filters=radial,
        magnitude_ema_beta=0.5 ** (batch / 20e3),
    )
    return generator, discriminator
