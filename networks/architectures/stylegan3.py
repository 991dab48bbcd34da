"""The alias-free generator StyleGAN3, T and R: Fourier features, then layers that never see beyond their band."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    """One row of the layer table. Rates, cutoffs and widths in cycles per image width, sizes in samples a side."""

    name: str
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    in_sampling_rate: int
    out_sampling_rate: int
    tmp_sampling_rate: int  # at which the non-linearity runs
    in_cutoff: float
    out_cutoff: float
    in_half_width: float  # half the transition band of the low-pass filter
    out_half_width: float
    conv_kernel: int
    up_factor: int
    down_factor: int
    up_taps: int
    down_taps: int
    padding: tuple[int, int, int, int]  # of the raised signal: left, right, top, bottom
    down_radial: bool
    is_torgb: bool
    is_critically_sampled: bool
    use_fp16: bool


@dataclass(frozen=True)
class InputSpec:
    """The Fourier features: how many, on how large a grid, of which frequencies."""

    channels: int
    size: int
    sampling_rate: int
    bandwidth: float


def layer_table(config: StyleGAN3Config, max_rate: int | None = None) -> tuple[InputSpec, tuple[LayerSpec, ...]]:
    """Work out every layer from the config: Karras et al. 2021, Section 3.2 and Appendix C, Figure 4c.

    Cutoff and stopband grow geometrically to the last two layers; the sampling rate is the next power of two above
    twice the stopband or, where that is lower, the picture's. With `highest_rate`, a power of two, no layer's rate is
    higher, the picture's neither: bands beyond it are cut off there (see networks/inference/half_rate_preview.py).
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
        before, to_rgb = max(i - 1, 0), i == count
        in_rate, out_rate = int(rates[before]), int(rates[i])
        tmp_rate = max(in_rate, out_rate) * (1 if to_rgb else config.lrelu_upsampling)
        up, down = tmp_rate // in_rate, tmp_rate // out_rate
        critical = i >= count - config.num_critical
        kernel = 1 if to_rgb else config.conv_kernel
        up_taps = config.filter_size * up if up > 1 and not to_rgb else 1
        down_taps = config.filter_size * down if down > 1 and not to_rgb else 1
        in_size, out_size = int(sizes[before]), int(sizes[i])
        # What the filters must be given beyond the convolution's own output, so that out_size samples come out.
        needed = (out_size - 1) * down + down_taps + up_taps - 1
        total = needed - (in_size + kernel - 1) * up
        left = (total + up) // 2  # the odd samples go left: raised samples start at a multiple of `up`
        layers.append(
            LayerSpec(
                name=f"L{i}_{out_size}_{channels[i]}",
                in_channels=int(channels[before]),
                out_channels=int(channels[i]),
                in_size=in_size,
                out_size=out_size,
                in_sampling_rate=in_rate,
                out_sampling_rate=out_rate,
                tmp_sampling_rate=tmp_rate,
                in_cutoff=float(cutoffs[before]),
                out_cutoff=float(cutoffs[i]),
                in_half_width=float(half_widths[before]),
                out_half_width=float(half_widths[i]),
                conv_kernel=kernel,
                up_factor=up,
                down_factor=down,
                up_taps=up_taps,
                down_taps=down_taps,
                padding=(left, total - left, left, total - left),
                down_radial=config.use_radial_filters and not critical,
                is_torgb=to_rgb,
                is_critically_sampled=critical,
                use_fp16=bool(out_rate * 2**config.num_fp16_res > resolution),
            )
        )
    first = InputSpec(int(channels[0]), int(sizes[0]), int(rates[0]), float(cutoffs[0]))
    return first, tuple(layers)


def layer_filters(spec: LayerSpec) -> tuple[Tensor | None, Tensor | None]:
    """The low-pass filters before and after a layer's non-linearity; None where nothing is resampled."""
    up = design_lowpass_filter(spec.up_taps, spec.in_cutoff, spec.in_half_width * 2, spec.tmp_sampling_rate)
    down = design_lowpass_filter(
        spec.down_taps, spec.out_cutoff, spec.out_half_width * 2, spec.tmp_sampling_rate, radial=spec.down_radial
    )
    return up, down


class SynthesisNetwork(LayerwiseSynthesis):
    """ws [N, num_ws, w_dim] to pictures: the input and every layer read a w of their own."""

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
            across = min(spec.out_sampling_rate, config.img_resolution)
            steps.append(
                Step(
                    spec.name,
                    i,
                    across,
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
        """The layer of this name, without the input."""
        return cast(SynthesisLayer, self.get_submodule(name))

    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, how: RunOptions) -> SynthesisState:
        w = ws[:, step.w_indices[0]]
        if state is None:
            return SynthesisState(self.input(w), done=1)
        x = state.x.to(how.dtype(step.dtype, state.x.device))
        return replace(state, x=self.layer(step.name)(x, w, how.update_emas), done=step.index + 1)


class SynthesisInput(nn.Module):
    """Fourier features on a grid, moved and turned by `transform` and by what each w asks for.

    `transform` is the INVERSE of the matrix [[cos, sin, x], [-sin, cos, y], [0, 0, 1]] that moves the picture, in
    image widths. Karras et al. 2021, Section 3.1 and Appendix F.
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
        # Spread evenly over the disc of radius `bandwidth`: even in angle and in squared radius.
        angle = 2 * math.pi * torch.rand(channels)
        radius = bandwidth * torch.rand(channels).sqrt()
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    @contextmanager
    def use_transform(self, forward: Sequence[Sequence[float]] | np.ndarray) -> Iterator[None]:
        """Every point p of the picture goes to forward @ p, 3x3 in image widths, while the `with` block runs.

        `transform` stays where it is in memory, as what is recorded of a run reads it there.
        """
        before = self.transform.clone()
        inverse = torch.linalg.inv(torch.as_tensor(forward, dtype=torch.float64))
        try:
            self.transform.copy_(before @ inverse.to(before))
            yield
        finally:
            self.transform.copy_(before)

    def forward(self, w: Tensor) -> Tensor:
        """w [N, w_dim] -> features [N, channels, size, size] float32."""
        planned = self.prepared.get(self)
        if planned is not None:
            return planned(self, w)
        angle_x, angle_y, amplitudes = self.sine_arguments(self.affine(w))
        features = (angle_y[:, :, :, None] + angle_x[:, :, None, :]).sin()
        features = features * amplitudes[:, :, None, None]
        weight = self.weight.to(features.dtype) / math.sqrt(self.weight.shape[0])
        return nn.functional.conv2d(features, weight[:, :, None, None])

    def sine_arguments(self, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a feature is the sine of, along x and along y, [N, channels, size] each, and its size [N, channels].

        `wanted` [N, 4] is a rotation (cos, sin) of any length and a translation (x, y) in units of that length.
        """
        transform, base_freqs, base_phases = (t.to(wanted.dtype) for t in (self.transform, self.freqs, self.phases))
        turn, shift = wanted.split(2, dim=1)
        length = turn.norm(dim=1, keepdim=True)
        cos, sin = (turn / length).unbind(dim=1)
        # A point p of the grid shows what lies at turn @ (transform @ p - shift).
        rotation = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
        matrix = rotation @ transform[:2, :2]  # [N, 2, 2]
        offset = rotation @ (transform[:2, 2] - shift / length).unsqueeze(2)  # [N, 2, 1]

        # sin(2 pi (f . (M p + t) + phase)) = sin(2 pi ((M^T f) . p + (phase + f . t))): phases move first.
        phases = base_phases + (base_freqs @ offset).squeeze(2)  # [N, channels]
        freqs = base_freqs @ matrix  # [N, channels, 2]
        # What a zoom drives beyond the band fades out, and is gone where it would alias.
        beyond = (freqs.norm(dim=2) - self.bandwidth) / (self.sampling_rate / 2 - self.bandwidth)
        amplitudes = (1 - beyond).clamp(0, 1)

        half = self.size / self.sampling_rate / 2  # the grid reaches this far from the centre, in image widths
        centres = (torch.arange(self.size, device=wanted.device, dtype=torch.float32) + 0.5) / self.size
        along = 2 * math.pi * (2 * centres - 1) * half
        angle_x = freqs[:, :, 0, None] * along
        angle_y = freqs[:, :, 1, None] * along + 2 * math.pi * phases[:, :, None]
        return angle_x, angle_y, amplitudes


class SynthesisLayer(nn.Module):
    """Modulated convolution, then the leaky ReLU at a raised rate between two low-pass filters (none in ToRGB)."""

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
        prepared = self.prepared_cuda if supports(x) else self.prepared if x.dtype == torch.float32 else None
        planned = None if update_emas or prepared is None else prepared.get(self)
        if planned is not None:
            return planned(x, w)
        if update_emas:
            with torch.no_grad():
                power = x.detach().to(torch.float32).square().mean()
                before = self.magnitude_ema.to(power.dtype)
                self.magnitude_ema.copy_(power.lerp(before, self.magnitude_ema_beta))
        styles = self.affine(w)
        if spec.is_torgb:  # not demodulated, so the weights' gain has to be given
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
