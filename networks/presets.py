"""Presets: the options of generator and discriminator of published configurations, by name."""

from __future__ import annotations

from typing import Any

from networks.config import DiscriminatorConfig, GeneratorConfig, StyleGAN2Config, StyleGAN3Config
from session.fields import FieldError, suggest

# Three of stylegan3, then those of stylegan2-ada-pytorch. The channel_base of both networks is `fmaps` * 32768 (for the
# generator of R doubled, like its channel_max); "auto" halves it below 512 pixels.
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
    """Return the configs of generator and discriminator of a preset, for one dataset.

    `stylegan2` is the preset of the stylegan3 repository, `stylegan2-ada` that of stylegan2-ada-pytorch's
    `--cfg=stylegan2`. `batch` (images per step, over all devices) sets StyleGAN3's magnitude_ema_beta, to a half-life
    of 20,000 images. Raises FieldError for an unknown name.
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
    multiplier = 2 if radial else 1
    generator = StyleGAN3Config(
        **shared,
        channel_base=base * multiplier,
        channel_max=512 * multiplier,
        conv_kernel=kernel,
        use_radial_filters=radial,
        magnitude_ema_beta=0.5 ** (batch / 20e3),
    )
    return generator, discriminator
