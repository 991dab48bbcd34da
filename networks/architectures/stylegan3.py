"""The alias-free generator StyleGAN3, T and R: Fourier features, then layers whose signals stay band-limited."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from networks.architectures.generator import BaseGenerator
from networks.architectures.layers import FullyConnected
from networks.architectures.layerwise import LayerwiseSynthesis, RunOptions, Step, SynthesisState
from networks.config import StyleGAN3Config
from networks.inference.cuda_layer import PreparedCudaLayer, supports
from networks.inference.prepared import PreparedCache, PreparedInput, prepare_layer
from ops import design_lowpass_filter, filtered_lrelu, modulated_conv2d_stylegan3


class Generator(BaseGenerator):
    """A generator with this synthesis network."""

    config: StyleGAN3Config
    synthesis: SynthesisNetwork

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__(config, SynthesisNetwork(config))


@dataclass(frozen=True)
class LayerSpec:
    """One layer of the network. Rates in samples, cutoffs and widths in cycles per image width; sizes in samples."""

    name: str
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int

    out_sampling_rate: int
    tmp_sampling_rate: int  # of the upsampled signal, where the non-linearity runs
    in_cutoff: float
    out_cutoff: float
    in_half_width: float  # half the transition band of the low-pass filter
    out_half_width: float
    conv_kernel: int
    up_factor: int
    down_factor: int
    up_taps: int
    down_taps: int
    padding: tuple[int, int, int, int]  # of the upsampled signal: left, right, top, bottom
    down_radial: bool
    is_torgb: bool

    use_fp16: bool


@dataclass(frozen=True)
class InputSpec:
    """The Fourier features: number, grid size in samples, sampling rate, and largest frequency in cycles per width."""

    channels: int
    size: int
    sampling_rate: int
    bandwidth: float


def layer_table(config: StyleGAN3Config, max_rate: int | None = None) -> tuple[InputSpec, tuple[LayerSpec, ...]]:
    """Compute the parameters of every layer from the config: Karras et al. 2021, Section 3.2, Appendix C, Figure 4c.

    Cutoff and stopband grow geometrically up to the last `num_critical` layers. The sampling rate is twice the
    stopband, at most the image resolution, rounded up to a power of two. `max_rate`, a power of two, limits the rate
    of every layer and of the image, and clips cutoffs to it (used by networks/inference/half_rate_preview.py).
    Raises ValueError for a config that leaves a layer without feature maps.
    """
    count, resolution = config.num_layers, config.img_resolution
    last_cutoff = resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    progress = np.minimum(np.arange(count + 1) / (count - config.num_critical), 1)
    cutoffs = config.first_cutoff * (last_cutoff / config.first_cutoff) ** progress
    stopbands = config.first_stopband * (last_stopband / config.first_stopband) ** progress
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, resolution)))).astype(int)
    channels = np.rint(np.minimum(config.channel_base / 2 / cutoffs, config.channel_max)).astype(int)
    channels[-1] = config.img_channels
    if max_rate is not None:
        rates, cutoffs = np.minimum(rates, max_rate), np.minimum(cutoffs, max_rate / 2)
        stopbands = np.minimum(stopbands, max_rate / 2 * config.last_stopband_rel)
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 2 * config.margin_size
    sizes[-2:] = max_rate or resolution
    if channels.min() < 1:
        raise ValueError(f"channel_base is {config.channel_base}, which leaves a layer without feature maps.")

    layers = []
    for i in range(count + 1):
        previous, is_torgb = max(i - 1, 0), i == count
        in_rate, out_rate = int(rates[previous]), int(rates[i])
        tmp_rate = max(in_rate, out_rate) * (1 if is_torgb else config.lrelu_upsampling)
        up, down = tmp_rate // in_rate, tmp_rate // out_rate
        critical = i >= count - config.num_critical
        kernel = 1 if is_torgb else config.conv_kernel
        up_taps = config.filter_size * up if up > 1 and not is_torgb else 1
        down_taps = config.filter_size * down if down > 1 and not is_torgb else 1
        in_size, out_size = int(sizes[previous]), int(sizes[i])
        # Pad the upsampled output of the convolution so that the filters return exactly out_size samples.
        required = (out_size - 1) * down + down_taps + up_taps - 1
        total = required - (in_size + kernel - 1) * up
        left = (total + up) // 2  # the odd samples go left: upsampled samples start at a multiple of `up`
        layers.append(
            LayerSpec(
                name=f"L{i}_{out_size}_{channels[i]}",
                in_channels=int(channels[previous]),
                out_channels=int(channels[i]),
                in_size=in_size,
                out_size=out_size,
                out_sampling_rate=out_rate,
                tmp_sampling_rate=tmp_rate,
                in_cutoff=float(cutoffs[previous]),
                out_cutoff=float(cutoffs[i]),
                in_half_width=float(half_widths[previous]),
                out_half_width=float(half_widths[i]),
                conv_kernel=kernel,
                up_factor=up,
                down_factor=down,
                up_taps=up_taps,
                down_taps=down_taps,
                padding=(left, total - left, left, total - left),
                down_radial=config.use_radial_filters and not critical,
                is_torgb=is_torgb,
                use_fp16=bool(out_rate * 2**config.num_fp16_res > resolution),
            )
        )
    first = InputSpec(int(channels[0]), int(sizes[0]), int(rates[0]), float(cutoffs[0]))
    return first, tuple(layers)


def layer_filters(spec: LayerSpec) -> tuple[Tensor | None, Tensor | None]:
    """Design the low-pass filters of a layer's up- and downsampling; None for a filter of one tap."""
    up = design_lowpass_filter(spec.up_taps, spec.in_cutoff, spec.in_half_width * 2, spec.tmp_sampling_rate)
    down = design_lowpass_filter(
        spec.down_taps, spec.out_cutoff, spec.out_half_width * 2, spec.tmp_sampling_rate, radial=spec.down_radial
    )
    return up, down


class SynthesisNetwork(LayerwiseSynthesis):
    """ws [N, num_ws, w_dim] to images. The input and every layer each read their own w."""

    input: SynthesisInput

    def __init__(self, config: StyleGAN3Config) -> None:
        super().__init__()
        self.config = config
        self.num_ws, self.w_dim = config.num_ws, config.w_dim
        self.output_scale = config.output_scale
        first, table = layer_table(config)
        self.layer_names = tuple(spec.name for spec in table)
        self.input = SynthesisInput(config.w_dim, first.channels, first.size, first.sampling_rate, first.bandwidth)
        steps = [
            Step(
                "input",
                0,
                first.sampling_rate,
                first.channels,
                first.size,
                (0,),
                torch.float32,
                first.sampling_rate,
                first.bandwidth,
            )
        ]
        for i, spec in enumerate(table, start=1):
            self.add_module(spec.name, SynthesisLayer(config, spec))
            dtype = torch.float16 if spec.use_fp16 else torch.float32
            resolution = min(spec.out_sampling_rate, config.img_resolution)
            steps.append(
                Step(
                    spec.name,
                    i,
                    resolution,
                    spec.out_channels,
                    spec.out_size,
                    (i,),
                    dtype,
                    spec.out_sampling_rate,
                    spec.out_cutoff,
                )
            )
        self.steps = tuple(steps)

    def to_image(self, state: SynthesisState) -> Tensor:
        if state.done != len(self.steps):
            raise ValueError(f"There is no picture yet after {state.done} of {len(self.steps)} steps.")
        return state.x.to(torch.float32) * self.output_scale

    def layer(self, name: str) -> SynthesisLayer:
        """Return the layer of this name; the input is not one of them."""
        return cast(SynthesisLayer, self.get_submodule(name))

    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, options: RunOptions) -> SynthesisState:
        w = ws[:, step.w_indices[0]]
        if state is None:
            return SynthesisState(self.input(w), done=1)
        x = state.x.to(options.dtype(step.dtype, state.x.device))
        return replace(state, x=self.layer(step.name)(x, w, options.update_emas), done=step.index + 1)


class SynthesisInput(nn.Module):
    """Fourier features on a grid, translated and rotated by `transform` and by an affine function of w.

    `transform` is the INVERSE of the matrix [[cos, sin, x], [-sin, cos, y], [0, 0, 1]] that moves the image, with
    translations in image widths. Karras et al. 2021, Section 3.1 and Appendix F.
    """

    weight: Tensor
    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, channels: int, size: int, sampling_rate: float, bandwidth: float) -> None:
        super().__init__()
        self.size, self.sampling_rate, self.bandwidth = size, sampling_rate, bandwidth
        self.prepared = PreparedCache(PreparedInput)
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnected(w_dim, 4, weight_init=0, bias_init=(1, 0, 0, 0))
        # Uniform over the disc of radius `bandwidth`: uniform in angle and in squared radius.
        angle = 2 * math.pi * torch.rand(channels)
        radius = bandwidth * torch.rand(channels).sqrt()
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        """w [N, w_dim] -> features [N, channels, size, size] float32."""
        prepared = self.prepared.get(self)
        if prepared is not None:
            return prepared(self, w)
        angle_x, angle_y, amplitudes = self.sine_arguments(self.affine(w))
        features = (angle_y[:, :, :, None] + angle_x[:, :, None, :]).sin()
        features = features * amplitudes[:, :, None, None]
        weight = self.weight.to(features.dtype) / math.sqrt(self.weight.shape[0])
        return nn.functional.conv2d(features, weight[:, :, None, None])

    def sine_arguments(self, affine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the x and y terms of each feature's phase, in radians, and its amplitude.

        Feature c at column i and row j is amplitude[c] * sin(angle_x[c, i] + angle_y[c, j]); the shapes are twice
        [N, channels, size] and [N, channels]. `affine` [N, 4] is a rotation (cos, sin) of any length and a translation
        (x, y) in units of that length.
        """
        transform, base_freqs, base_phases = (t.to(affine.dtype) for t in (self.transform, self.freqs, self.phases))
        turn, shift = affine.split(2, dim=1)
        length = turn.norm(dim=1, keepdim=True)
        cos, sin = (turn / length).unbind(dim=1)
        # Grid point p samples the features at rotation @ (transform @ p - shift).
        rotation = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
        matrix = rotation @ transform[:2, :2]  # [N, 2, 2]
        offset = rotation @ (transform[:2, 2] - shift / length).unsqueeze(2)  # [N, 2, 1]

        # sin(2 pi (f . (M p + t) + phase)) = sin(2 pi ((M^T f) . p + (phase + f . t)))
        phases = base_phases + (base_freqs @ offset).squeeze(2)  # [N, channels]
        freqs = base_freqs @ matrix  # [N, channels, 2]
        # Fade out frequencies that a zoom moves beyond the bandwidth: linearly, to zero at the Nyquist frequency.
        excess = (freqs.norm(dim=2) - self.bandwidth) / (self.sampling_rate / 2 - self.bandwidth)
        amplitudes = (1 - excess).clamp(0, 1)

        half_extent = self.size / self.sampling_rate / 2  # of the grid, in image widths
        centers = (torch.arange(self.size, device=affine.device, dtype=torch.float32) + 0.5) / self.size
        positions = 2 * math.pi * (2 * centers - 1) * half_extent
        angle_x = freqs[:, :, 0, None] * positions
        angle_y = freqs[:, :, 1, None] * positions + 2 * math.pi * phases[:, :, None]
        return angle_x, angle_y, amplitudes


class SynthesisLayer(nn.Module):
    """Modulated convolution, upsampling, leaky ReLU, downsampling (ToRGB: modulated 1x1 convolution and bias only)."""

    weight: Tensor
    bias: Tensor
    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, config: StyleGAN3Config, spec: LayerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.prepared, self.prepared_cuda = PreparedCache(prepare_layer), PreparedCache(PreparedCudaLayer, "cuda")
        self.conv_clamp, self.magnitude_ema_beta = config.conv_clamp, config.magnitude_ema_beta
        k = spec.conv_kernel
        self.weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, k, k))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.affine = FullyConnected(config.w_dim, spec.in_channels, bias_init=1)
        self.register_buffer("magnitude_ema", torch.ones([]))
        up, down = layer_filters(spec)
        self.register_buffer("up_filter", up)
        self.register_buffer("down_filter", down)

    def forward(self, x: Tensor, w: Tensor, update_emas: bool = False) -> Tensor:
        """x [N, in, in_size, in_size], w [N, w_dim] -> [N, out, out_size, out_size] in x's dtype."""
        spec = self.spec
        cache = self.prepared_cuda if supports(x) else self.prepared if x.dtype == torch.float32 else None
        prepared = None if update_emas or cache is None else cache.get(self)
        if prepared is not None:
            return prepared(x, w)
        if update_emas:
            with torch.no_grad():
                power = x.detach().to(torch.float32).square().mean()
                average = self.magnitude_ema.to(power.dtype)
                self.magnitude_ema.copy_(power.lerp(average, self.magnitude_ema_beta))
        styles = self.affine(w)
        if spec.is_torgb:  # without demodulation, which would cancel the weights' scale
            styles = styles / math.sqrt(spec.in_channels * spec.conv_kernel**2)
        x = modulated_conv2d_stylegan3(
            x,
            self.weight,
            styles,
            demodulate=not spec.is_torgb,
            padding=spec.conv_kernel - 1,
            input_gain=self.magnitude_ema.rsqrt(),
        )
        return filtered_lrelu(
            x,
            fu=self.up_filter,
            fd=self.down_filter,
            b=self.bias.to(x.dtype),
            up=spec.up_factor,
            down=spec.down_factor,
            padding=spec.padding,
            gain=1.0 if spec.is_torgb else math.sqrt(2),
            slope=1.0 if spec.is_torgb else 0.2,
            clamp=self.conv_clamp,
        )
