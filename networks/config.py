"""What a network is built from: every constructor option of the published networks, and the published presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

ACTIVATIONS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")
ARCHITECTURES = ("orig", "skip", "resnet")


@dataclass(frozen=True)
class _Config:
    """What the three kinds of config share: they check themselves, and travel as plain data.

    Raises ValueError, naming the field and what it may hold, where an option makes no network.
    """

    family: ClassVar[str] = ""
    _nested: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        """Bring plain data (JSON lists) to the declared types, then check every value."""
        taps = getattr(self, "resample_filter", None)
        if isinstance(taps, list):
            object.__setattr__(self, "resample_filter", tuple(taps))
        self.check()

    def check(self) -> None:
        """Raise ValueError where a value makes no network."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The options as plain data for JSON, with `family` first."""
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_published(cls, options: Mapping[str, Any], *, ada: bool = False) -> Self:
        """Build from a published network's constructor arguments, nested (`mapping_kwargs` ...) as they come.

        `ada=True` starts from the defaults of stylegan2-ada-pytorch where they differ from those of stylegan3.
        Raises ValueError for options that this family does not have.
        """
        flat: dict[str, Any] = dict(_ADA_DEFAULTS.get(cls.family, {})) if ada else {}
        known = {field.name for field in fields(cls)}

        def take(name: str, value: Any) -> None:
            if name not in known:
                raise ValueError(f"A {cls.family} network has no option {name!r}; it has {', '.join(sorted(known))}.")
            flat[name] = value

        for name, value in options.items():
            if name == "class_name":
                continue
            if name in cls._nested:
                if not isinstance(value, Mapping):
                    raise ValueError(f"{name} holds the options of a part by name, not {type(value).__name__}.")
                for inner, inner_value in value.items():
                    prefixed = cls._nested[name] + str(inner)
                    take(prefixed if prefixed in known else str(inner), inner_value)
            else:
                take(str(name), value)
        return cls(**flat)


@dataclass(frozen=True)
class StyleGAN3Config(_Config):
    """The alias-free generator (Karras et al. 2021). Frequencies are in cycles per image width, sizes in samples."""

    family: ClassVar[str] = "stylegan3"
    _nested: ClassVar[Mapping[str, str]] = {"mapping_kwargs": "mapping_", "synthesis_kwargs": ""}

    img_resolution: int
    img_channels: int = 3
    z_dim: int = 512
    c_dim: int = 0  # number of classes or conditioning values; 0 is unconditional
    w_dim: int = 512
    mapping_num_layers: int = 2
    mapping_lr_multiplier: float = 0.01
    w_avg_beta: float = 0.998  # decay of the average w in training
    channel_base: int = 32768  # a layer has channel_base / 2 / cutoff channels ...
    channel_max: int = 512  # ... but at most this many
    num_layers: int = 14  # without the input and ToRGB
    num_critical: int = 2  # last layers whose cutoff is half their sampling rate
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3  # last stopband over last cutoff
    margin_size: int = 10  # samples kept outside the picture on each side
    output_scale: float = 0.25
    num_fp16_res: int = 4  # the highest this many resolutions run in half precision on CUDA
    conv_kernel: int = 3  # 3 for T, 1 for R
    filter_size: int = 6  # low-pass taps = filter_size * factor
    lrelu_upsampling: int = 2  # the non-linearity runs at this multiple of the layer's rate
    use_radial_filters: bool = False  # R: rotationally symmetric downsampling
    conv_clamp: float | None = 256.0
    magnitude_ema_beta: float = 0.999  # decay of each layer's input power in training

    def check(self) -> None:
        _check_sizes(self, "img_resolution", "img_channels", "z_dim", "w_dim", "channel_base", "channel_max")
        _check_sizes(self, "num_layers", "mapping_num_layers", at_most=256)
        _check_sizes(self, "conv_kernel", "filter_size", "lrelu_upsampling", at_most=32)
        _check_sizes(self, "c_dim", at_least=0)
        _check_sizes(self, "num_critical", "margin_size", "num_fp16_res", at_least=0, at_most=256)
        _check_positive(self, "mapping_lr_multiplier", "first_cutoff", "first_stopband", "last_stopband_rel")
        _check_positive(self, "output_scale")
        _check_unit(self, "w_avg_beta", "magnitude_ema_beta")
        _check_clamp(self)
        if self.img_resolution < 4:
            raise ValueError(
                f"img_resolution is {self.img_resolution}; a StyleGAN3 picture has at least 4 pixels a side."
            )
        if self.num_critical >= self.num_layers:
            raise ValueError(f"num_critical is {self.num_critical}; it must be below num_layers, {self.num_layers}.")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel is {self.conv_kernel}; kernels have an odd size (3 for T, 1 for R).")
        if self.lrelu_upsampling & (self.lrelu_upsampling - 1):
            raise ValueError(f"lrelu_upsampling is {self.lrelu_upsampling}; it must be a power of two.")
        if self.img_resolution / 2 < self.first_cutoff:
            raise ValueError(
                f"first_cutoff is {self.first_cutoff}, above the {self.img_resolution / 2} cycles that "
                f"{self.img_resolution} pixels can hold."
            )

    @property
    def num_ws(self) -> int:
        """How many w the synthesis network reads: one for the input, each layer and ToRGB."""
        return self.num_layers + 2


@dataclass(frozen=True)
class StyleGAN2Config(_Config):
    """The StyleGAN2 generator (Karras et al. 2020) with the options of stylegan3 and stylegan2-ada-pytorch."""

    family: ClassVar[str] = "stylegan2"
    _nested: ClassVar[Mapping[str, str]] = {"mapping_kwargs": "mapping_", "synthesis_kwargs": ""}

    img_resolution: int
    img_channels: int = 3
    z_dim: int = 512
    c_dim: int = 0  # number of classes or conditioning values; 0 is unconditional
    w_dim: int = 512
    mapping_num_layers: int = 8
    mapping_embed_features: int | None = None  # None: w_dim
    mapping_layer_features: int | None = None  # None: w_dim
    mapping_activation: str = "lrelu"
    mapping_lr_multiplier: float = 0.01
    w_avg_beta: float | None = 0.998  # decay of the average w in training; None keeps none
    channel_base: int = 32768  # a block has channel_base / resolution channels ...
    channel_max: int = 512  # ... but at most this many
    num_fp16_res: int = 4  # the highest this many resolutions run in half precision on CUDA
    architecture: str = "skip"
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = 256.0
    fp16_channels_last: bool = False
    fused_modconv_default: bool | str = True  # "inference_only": only outside of training mode
    activation: str = "lrelu"
    use_noise: bool = True

    def check(self) -> None:
        _check_sizes(self, "img_resolution", "img_channels", "z_dim", "w_dim", "channel_base", "channel_max")
        _check_sizes(self, "c_dim", at_least=0)
        _check_sizes(self, "num_fp16_res", at_least=0, at_most=256)
        _check_mapping(self)
        _check_power_of_two(self)
        _check_architecture(self, "activation")
        _check_clamp(self)
        if self.w_avg_beta is not None:
            _check_unit(self, "w_avg_beta")
        if self.fused_modconv_default not in (True, False, "inference_only"):
            raise ValueError(
                f"fused_modconv_default is {self.fused_modconv_default!r}; it may be true, false or 'inference_only'."
            )

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the picture's resolution."""
        return tuple(2**i for i in range(2, int(math.log2(self.img_resolution)) + 1))

    @property
    def num_ws(self) -> int:
        """How many w the synthesis network reads: one a convolution, and one for the last ToRGB."""
        return 2 * len(self.block_resolutions)

    def channels(self, resolution: int) -> int:
        """Feature maps of the block at this resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def half_precision(self, resolution: int) -> bool:
        """Whether this block runs in half precision on CUDA; the 4-pixel block never does."""
        return resolution >= max(self.img_resolution * 2 // 2**self.num_fp16_res, 8)


@dataclass(frozen=True)
class DiscriminatorConfig(_Config):
    """The StyleGAN2 discriminator, which StyleGAN3 shares."""

    family: ClassVar[str] = "discriminator"
    _nested: ClassVar[Mapping[str, str]] = {
        "block_kwargs": "",
        "mapping_kwargs": "mapping_",
        "epilogue_kwargs": "epilogue_",
    }

    img_resolution: int
    img_channels: int = 3
    c_dim: int = 0  # number of classes or conditioning values; 0 is unconditional
    architecture: str = "resnet"
    channel_base: int = 32768
    channel_max: int = 512
    num_fp16_res: int = 4
    conv_clamp: float | None = 256.0
    cmap_dim: int | None = None  # length of the class projection; None: channels at 4 pixels, or 0 without classes
    activation: str = "lrelu"
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    fp16_channels_last: bool = False
    freeze_layers: int = 0  # first layers that do not train (Freeze-D)
    mapping_num_layers: int = 8
    mapping_embed_features: int | None = None  # None: cmap_dim
    mapping_layer_features: int | None = None  # None: cmap_dim
    mapping_activation: str = "lrelu"
    mapping_lr_multiplier: float = 0.01
    epilogue_activation: str = "lrelu"
    mbstd_group_size: int | None = 4  # None: the whole batch is one group
    mbstd_num_channels: int = 1  # 0 leaves minibatch standard deviation out

    def check(self) -> None:
        _check_sizes(self, "img_resolution", "img_channels", "channel_base", "channel_max")
        _check_sizes(self, "c_dim", "freeze_layers", "mbstd_num_channels", at_least=0)
        _check_sizes(self, "num_fp16_res", at_least=0, at_most=256)
        if self.mbstd_group_size is not None:
            _check_sizes(self, "mbstd_group_size")
        if self.cmap_dim is not None:
            _check_sizes(self, "cmap_dim", at_least=0)
        if self.c_dim and self.cmap_dim == 0:
            raise ValueError("cmap_dim is 0, but a discriminator with classes needs a class projection.")
        _check_mapping(self)
        _check_power_of_two(self)
        _check_architecture(self, "activation", "epilogue_activation")
        _check_clamp(self)

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """The picture's resolution, halved down to 8; the 4-pixel block is the epilogue."""
        return tuple(2**i for i in range(int(math.log2(self.img_resolution)), 2, -1))

    @property
    def class_dim(self) -> int:
        """Length of the class projection: cmap_dim, or its default."""
        if self.c_dim == 0:
            return 0
        return self.channels(4) if self.cmap_dim is None else self.cmap_dim

    def channels(self, resolution: int) -> int:
        """Feature maps entering the block at this resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def half_precision(self, resolution: int) -> bool:
        """Whether this block runs in half precision on CUDA; the epilogue never does."""
        return resolution >= max(self.img_resolution * 2 // 2**self.num_fp16_res, 8)


GeneratorConfig = StyleGAN3Config | StyleGAN2Config
AnyConfig = StyleGAN3Config | StyleGAN2Config | DiscriminatorConfig


def config_from_dict(data: Mapping[str, Any]) -> AnyConfig:
    """The config that `to_dict` wrote. Raises ValueError where the family or an option is unknown or wrong."""
    families = {kind.family: kind for kind in (StyleGAN3Config, StyleGAN2Config, DiscriminatorConfig)}
    family = data.get("family")
    kind = families.get(family) if isinstance(family, str) else None
    if kind is None:
        raise ValueError(f"The network family is {family!r}; it may be {', '.join(families)}.")
    options = {name: value for name, value in data.items() if name != "family"}
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"A {family} network has no option {', '.join(map(repr, unknown))}.")
    if "img_resolution" not in options:
        raise ValueError(f"The options of a {family} network do not say img_resolution.")
    return kind(**options)


# The published presets: stylegan3's three, then stylegan2-ada-pytorch's. Both networks have `fmaps` * 32768 as
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
    Raises ValueError for an unknown name.
    """
    if name not in _PRESETS:
        raise ValueError(f"There is no preset {name!r}; choose one of {', '.join(_PRESETS)}.")
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


# Where the defaults of stylegan2-ada-pytorch differ from those of stylegan3 (which are the defaults above).
_ADA_DEFAULTS: dict[str, dict[str, Any]] = {
    "stylegan2": {
        "w_avg_beta": 0.995,
        "num_fp16_res": 0,
        "conv_clamp": None,
        "fused_modconv_default": "inference_only",
    },
    "discriminator": {"num_fp16_res": 0, "conv_clamp": None},
}


def _check_sizes(config: _Config, *names: str, at_least: int = 1, at_most: int = 2**20) -> None:
    """Whole numbers; the bound above keeps a damaged file from asking for the impossible."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
            raise ValueError(f"{name} is {value!r}; it must be a whole number from {at_least} to {at_most}.")


def _check_positive(config: _Config, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0 < value < 1e9:
            raise ValueError(f"{name} is {value!r}; it must be a number above 0.")


def _check_unit(config: _Config, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}; it must be a number from 0 to 1.")


def _check_clamp(config: StyleGAN3Config | StyleGAN2Config | DiscriminatorConfig) -> None:
    value = config.conv_clamp
    if value is not None and not (_is_number(value) and 0 < value < math.inf):
        raise ValueError(f"conv_clamp is {value!r}; it must be a number above 0, or none.")


def _check_mapping(config: StyleGAN2Config | DiscriminatorConfig) -> None:
    _check_sizes(config, "mapping_num_layers", at_most=256)
    _check_positive(config, "mapping_lr_multiplier")
    for name in ("mapping_embed_features", "mapping_layer_features"):
        if getattr(config, name) is not None:
            _check_sizes(config, name)
    _check_choice("mapping_activation", config.mapping_activation, ACTIVATIONS)


def _check_power_of_two(config: StyleGAN2Config | DiscriminatorConfig) -> None:
    size = config.img_resolution
    smallest = 8 if isinstance(config, DiscriminatorConfig) else 4
    if size < smallest or size & (size - 1):
        raise ValueError(f"img_resolution is {size}; it must be a power of two, {smallest} or more.")
    if config.channels(size) < 1:
        raise ValueError(f"channel_base is {config.channel_base}, which leaves no channels at {size} pixels.")


def _check_architecture(config: StyleGAN2Config | DiscriminatorConfig, *activations: str) -> None:
    _check_choice("architecture", config.architecture, ARCHITECTURES)
    for name in activations:
        _check_choice(name, getattr(config, name), ACTIVATIONS)
    taps = config.resample_filter
    if not isinstance(taps, tuple) or not 0 < len(taps) <= 64 or not all(map(_is_number, taps)) or sum(taps) == 0:
        raise ValueError(f"resample_filter is {taps!r}; it must be a row of 1 to 64 numbers that do not sum to 0.")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it may be {', '.join(choices)}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
