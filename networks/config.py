"""The configuration of each network: every constructor option of the published implementations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Self

from session.fields import Choice, FieldError, Range, Record, describe, suggest

ACTIVATIONS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")

# The upper bounds are far above any existing network; they limit what a damaged file can ask for.
Size = Range(1, 2**20)
Count = Range(0, 2**20)
Few = Range(1, 256)
FewOrNone = Range(0, 256)
Small = Range(1, 32)
Positive = Range(1e-6, 1e9)
Unit = Range(0, 1)
Activation = Choice(*ACTIVATIONS)
Architecture = Choice("orig", "skip", "resnet")

Resolution = Annotated[int, Range(4, 2**16), "Pixels a side of the picture"]
Channels = Annotated[int, Size, "Colour channels of the picture: 3, or 1 for grey"]
Classes = Annotated[int, Count, "Classes or conditioning values; 0 is unconditional"]
Clamp = Annotated[float | None, Positive, "Largest magnitude that a convolution may put out; empty: no limit"]
Half = Annotated[int, FewOrNone, "The highest this many resolutions run in half precision on CUDA"]
Taps = Annotated[tuple[float, ...], "Low-pass filter of up- and downsampling"]
ChannelBase = Annotated[int, Size, "Sets the feature maps: channel_base / resolution of them"]
ChannelMax = Annotated[int, Size, "Feature maps of any layer at most"]
Features = Annotated[int | None, Size, "Width of a part of the mapping network; empty: that of its output"]
LrMultiplier = Annotated[float, Positive, "Learning rate of the mapping network against the rest"]


@dataclass(frozen=True)
class _Config(Record):
    """Base of the three configs: validates itself (FieldError, a ValueError) and converts to and from plain data."""

    family: ClassVar[str] = ""
    _nested: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()

    def check(self) -> None:
        """Raise FieldError for values that are each within bounds, but not possible together."""

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain data for JSON, with `family` first."""
        return {"family": self.family, **asdict(self)}

    @classmethod
    def from_nvidia_kwargs(cls, options: Mapping[str, Any], *, ada: bool = False) -> Self:
        """Build from constructor arguments of NVIDIA's repositories, nested (`mapping_kwargs` ...) as stored.

        `ada=True` uses the defaults of stylegan2-ada-pytorch where they differ from those of stylegan3. Raises
        FieldError for options that this family does not have.
        """
        known = describe(cls)
        flat: dict[str, Any] = dict(_ADA_DEFAULTS.get(cls.family, {})) if ada else {}
        for name, value in options.items():
            if name == "class_name":
                continue
            if name not in cls._nested:
                flat[name] = value
                continue
            if not isinstance(value, Mapping):
                raise FieldError(f"{name} is a {type(value).__name__}, but must hold the options of a part by name.")
            for inner, inner_value in value.items():
                prefixed = cls._nested[name] + str(inner)
                flat[prefixed if prefixed in known else str(inner)] = inner_value
        fused = flat.get("fused_modconv_default")
        if isinstance(fused, bool):
            flat["fused_modconv_default"] = "always" if fused else "never"
        return cls._build(flat)

    @classmethod
    def _build(cls, flat: Mapping[str, Any]) -> Self:
        known = describe(cls)
        for name in flat:
            if name not in known:
                raise FieldError(f"A {cls.family} network has no option {name!r}: {suggest(str(name), known)}")
        if "img_resolution" not in flat:
            raise FieldError(f"The options of a {cls.family} network do not say img_resolution.")
        return cls(**flat)


@dataclass(frozen=True)
class StyleGAN3Config(_Config):
    """The alias-free generator (Karras et al. 2021). Frequencies in cycles per image width, sizes in samples."""

    family: ClassVar[str] = "stylegan3"
    _nested: ClassVar[Mapping[str, str]] = {"mapping_kwargs": "mapping_", "synthesis_kwargs": ""}

    img_resolution: Resolution
    img_channels: Channels = 3
    z_dim: Annotated[int, Size, "Length of the random input"] = 512
    c_dim: Classes = 0
    w_dim: Annotated[int, Size, "Length of each style vector"] = 512
    mapping_num_layers: Annotated[int, Few, "Layers of the mapping network"] = 2
    mapping_lr_multiplier: LrMultiplier = 0.01
    w_avg_beta: Annotated[float, Unit, "Decay of the average w in training"] = 0.998
    channel_base: Annotated[int, Size, "Sets the feature maps: channel_base / 2 / cutoff of them"] = 32768
    channel_max: ChannelMax = 512
    num_layers: Annotated[int, Few, "Layers without the input and ToRGB"] = 14
    num_critical: Annotated[int, FewOrNone, "Last layers whose cutoff is half their sampling rate"] = 2
    first_cutoff: Annotated[float, Positive, "Cutoff of the first layer, cycles per image width"] = 2.0
    first_stopband: Annotated[float, Positive, "Where the first layer's filters stop all, cycles per image width"] = (
        2**2.1
    )
    last_stopband_rel: Annotated[float, Positive, "Last layer's stopband over its cutoff"] = 2**0.3
    margin_size: Annotated[int, FewOrNone, "Samples kept outside the picture on each side"] = 10
    output_scale: Annotated[float, Positive, "Factor from ToRGB to the picture"] = 0.25
    num_fp16_res: Half = 4
    conv_kernel: Annotated[int, Small, "Width of the convolutions: 3 for T, 1 for R"] = 3
    filter_size: Annotated[int, Small, "Taps of the low-pass filters for each factor of resampling"] = 6
    lrelu_upsampling: Annotated[int, Small, "The non-linearity runs at this multiple of the layer's rate"] = 2
    use_radial_filters: Annotated[bool, "Downsample with rotationally symmetric filters (R)"] = False
    conv_clamp: Clamp = 256.0
    magnitude_ema_beta: Annotated[float, Unit, "Decay of each layer's average input power in training"] = 0.999

    def check(self) -> None:
        if self.num_critical >= self.num_layers:
            raise FieldError(f"num_critical is {self.num_critical}, but must be below num_layers, {self.num_layers}.")
        if self.conv_kernel % 2 == 0:
            raise FieldError(f"conv_kernel is {self.conv_kernel}, but must be odd (3 for T, 1 for R).")
        if self.lrelu_upsampling & (self.lrelu_upsampling - 1):
            raise FieldError(f"lrelu_upsampling is {self.lrelu_upsampling}, but must be a power of two.")
        if self.img_resolution < 2 * self.first_cutoff:
            raise FieldError(
                f"first_cutoff is {self.first_cutoff:g}, but {self.img_resolution} pixels hold at most "
                f"{self.img_resolution / 2:g} cycles."
            )
        if self.first_stopband <= self.first_cutoff or self.last_stopband_rel <= 1:
            raise FieldError("A stopband lies at or below its cutoff, but must lie above it.")

    @property
    def num_ws(self) -> int:
        """Number of ws that the synthesis network reads: one each for the input, the layers and ToRGB."""
        return self.num_layers + 2


@dataclass(frozen=True)
class StyleGAN2Config(_Config):
    """The StyleGAN2 generator (Karras et al. 2020) with the options of stylegan3 and stylegan2-ada-pytorch."""

    family: ClassVar[str] = "stylegan2"
    _nested: ClassVar[Mapping[str, str]] = {"mapping_kwargs": "mapping_", "synthesis_kwargs": ""}

    img_resolution: Resolution
    img_channels: Channels = 3
    z_dim: Annotated[int, Count, "Length of the random input; 0 where only the class speaks"] = 512
    c_dim: Classes = 0
    w_dim: Annotated[int, Size, "Length of each style vector"] = 512
    mapping_num_layers: Annotated[int, Few, "Layers of the mapping network"] = 8
    mapping_embed_features: Features = None
    mapping_layer_features: Features = None
    mapping_activation: Annotated[str, Activation] = "lrelu"
    mapping_lr_multiplier: LrMultiplier = 0.01
    w_avg_beta: Annotated[float | None, Unit, "Decay of the average w in training; empty keeps none"] = 0.998
    channel_base: ChannelBase = 32768
    channel_max: ChannelMax = 512
    num_fp16_res: Half = 4
    architecture: Annotated[str, Architecture, "How a picture leaves the blocks"] = "skip"
    resample_filter: Taps = (1.0, 3.0, 3.0, 1.0)
    conv_clamp: Clamp = 256.0
    fp16_channels_last: Annotated[bool, "Half-precision layers keep their channels together in memory"] = False
    fused_modconv_default: Annotated[
        str, Choice("always", "never", "inference_only"), "When styles are folded into the weights"
    ] = "always"
    activation: Annotated[str, Activation] = "lrelu"
    use_noise: Annotated[bool, "Layers have noise inputs"] = True

    def check(self) -> None:
        if self.z_dim == 0 and self.c_dim == 0:
            raise FieldError("z_dim and c_dim are both 0, but a generator needs an input.")
        _check_blocks(self)

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """4, 8, ... up to the image resolution."""
        return tuple(2**i for i in range(2, int(math.log2(self.img_resolution)) + 1))

    @property
    def num_ws(self) -> int:
        """Number of ws that the synthesis network reads: one per convolution, and one for the last ToRGB."""
        return 2 * len(self.block_resolutions)

    def channels(self, resolution: int) -> int:
        """Number of feature maps of the block at this resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def uses_fp16(self, resolution: int) -> bool:
        """Whether this block runs in half precision on CUDA; the 4-pixel block never does."""
        return _uses_fp16(self, resolution)


@dataclass(frozen=True)
class DiscriminatorConfig(_Config):
    """The StyleGAN2 discriminator, which StyleGAN3 shares."""

    family: ClassVar[str] = "discriminator"
    _nested: ClassVar[Mapping[str, str]] = {
        "block_kwargs": "",
        "mapping_kwargs": "mapping_",
        "epilogue_kwargs": "epilogue_",
    }

    img_resolution: Resolution
    img_channels: Channels = 3
    c_dim: Classes = 0
    architecture: Annotated[str, Architecture, "How a picture enters the blocks"] = "resnet"
    channel_base: ChannelBase = 32768
    channel_max: ChannelMax = 512
    num_fp16_res: Half = 4
    conv_clamp: Clamp = 256.0
    cmap_dim: Annotated[int | None, Count, "Length of the class projection; empty: feature maps at 4 pixels"] = None
    activation: Annotated[str, Activation] = "lrelu"
    resample_filter: Taps = (1.0, 3.0, 3.0, 1.0)
    fp16_channels_last: Annotated[bool, "Half-precision layers keep their channels together in memory"] = False
    freeze_layers: Annotated[int, Count, "First layers that do not train (Freeze-D)"] = 0
    mapping_num_layers: Annotated[int, Few, "Layers of the class network"] = 8
    mapping_embed_features: Features = None
    mapping_layer_features: Features = None
    mapping_activation: Annotated[str, Activation] = "lrelu"
    mapping_lr_multiplier: LrMultiplier = 0.01
    epilogue_activation: Annotated[str, Activation] = "lrelu"
    mbstd_group_size: Annotated[int | None, Size, "Pictures compared with each other; empty: the whole batch"] = 4
    mbstd_num_channels: Annotated[int, Count, "Feature maps of minibatch standard deviation; 0 leaves it out"] = 1

    def check(self) -> None:
        if self.img_resolution < 8:
            raise FieldError(f"img_resolution is {self.img_resolution}, but a discriminator needs 8 or more.")
        if self.c_dim and self.cmap_dim == 0:
            raise FieldError("cmap_dim is 0, but a discriminator with classes needs a class projection.")
        if self.mbstd_num_channels and self.channels(4) % self.mbstd_num_channels:
            raise FieldError(
                f"mbstd_num_channels is {self.mbstd_num_channels}, but must divide the {self.channels(4)} feature maps."
            )
        _check_blocks(self)

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """The image resolution, halved down to 8; the 4-pixel block is the epilogue."""
        return tuple(2**i for i in range(int(math.log2(self.img_resolution)), 2, -1))

    @property
    def class_dim(self) -> int:
        """Length of the class projection: cmap_dim or its default; 0 without classes."""
        if self.c_dim == 0:
            return 0
        return self.channels(4) if self.cmap_dim is None else self.cmap_dim

    def channels(self, resolution: int) -> int:
        """Number of feature maps entering the block at this resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def uses_fp16(self, resolution: int) -> bool:
        """Whether this block runs in half precision on CUDA; the epilogue never does."""
        return _uses_fp16(self, resolution)


GeneratorConfig = StyleGAN3Config | StyleGAN2Config
AnyConfig = StyleGAN3Config | StyleGAN2Config | DiscriminatorConfig


def config_from_dict(data: Mapping[str, Any]) -> AnyConfig:
    """Restore the config that `to_dict` returned. Raises FieldError for an unknown family, or an invalid option."""
    families = {kind.family: kind for kind in (StyleGAN3Config, StyleGAN2Config, DiscriminatorConfig)}
    family = data.get("family")
    kind = families.get(family) if isinstance(family, str) else None
    if kind is None:
        raise FieldError(f"The network family is {family!r}, but must be one of {', '.join(families)}.")
    return kind._build({name: value for name, value in data.items() if name != "family"})


# The defaults of stylegan2-ada-pytorch that differ from those of stylegan3 (which are the defaults above).
_ADA_DEFAULTS: dict[str, dict[str, Any]] = {
    "stylegan2": {
        "w_avg_beta": 0.995,
        "num_fp16_res": 0,
        "conv_clamp": None,
        "fused_modconv_default": "inference_only",
    },
    "discriminator": {"num_fp16_res": 0, "conv_clamp": None},
}


def _uses_fp16(config: StyleGAN2Config | DiscriminatorConfig, resolution: int) -> bool:
    return resolution >= max(config.img_resolution * 2 // 2**config.num_fp16_res, 8)


def _check_blocks(config: StyleGAN2Config | DiscriminatorConfig) -> None:
    size = config.img_resolution
    if size & (size - 1):
        raise FieldError(f"img_resolution is {size}, but must be a power of two.")
    if config.channels(size) < 1:
        raise FieldError(f"channel_base is {config.channel_base}, which leaves no feature maps at {size} pixels.")
    taps = config.resample_filter
    if not 0 < len(taps) <= 64 or sum(taps) == 0:
        raise FieldError("resample_filter must be 1 to 64 numbers that do not sum to 0.")
