"""The baseline for StyleGAN3's speed: zeros are really inserted, and every filter is a grouped convolution.

It follows the ops' definitions step by step, as the published code's fallback does where its CUDA kernels cannot run:
images in NCHW memory; one grouped convolution per filter and axis at the upsampled rate; all images of a batch, each
with its own weights, in one grouped convolution. It is FROZEN: results are comparable over time only while nobody makes
it faster. tests/benchmarks checks that it computes the same as our networks.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from networks.architectures.stylegan3 import SynthesisLayer, SynthesisNetwork


def generate(synthesis: SynthesisNetwork, ws: Tensor) -> Tensor:
    """Synthesize with our network's weights: ws [N, num_ws, w_dim] -> images [N, C, H, W] float32."""
    x = synthesis.input(ws[:, 0]).contiguous()
    for row, name in enumerate(synthesis.layer_names, start=1):
        x = run_layer(synthesis.layer(name), x, ws[:, row])
    return x * synthesis.output_scale


def run_layer(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """Run one layer: x [N, in, H, W], w [N, w_dim] -> [N, out, H', W'].

    Karras et al. 2021, Section 3.2 and Appendix B.
    """
    spec = layer.spec
    styles = layer.affine(w)
    if spec.is_torgb:
        styles = styles / math.sqrt(spec.in_channels * spec.conv_kernel**2)
    x = modulated_conv(
        x,
        layer.weight,
        styles,
        demodulate=not spec.is_torgb,
        padding=spec.conv_kernel - 1,
        input_gain=layer.magnitude_ema.rsqrt(),
    )
    return filtered_lrelu(
        x,
        layer.up_filter,
        layer.down_filter,
        layer.bias,
        up=spec.up_factor,
        down=spec.down_factor,
        padding=spec.padding,
        gain=1.0 if spec.is_torgb else math.sqrt(2),
        slope=1.0 if spec.is_torgb else 0.2,
        clamp=layer.conv_clamp,
    )


def modulated_conv(
    x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, padding: int, input_gain: Tensor
) -> Tensor:
    """x [N,I,H,W], weight [O,I,k,k], styles [N,I] -> [N,O,H',W'], as one convolution of N groups."""
    samples, channels, height, width = x.shape
    if demodulate:
        weight = weight * weight.square().mean([1, 2, 3], keepdim=True).rsqrt()
        styles = styles * styles.square().mean().rsqrt()
    weights = weight[None] * styles[:, None, :, None, None]  # [N,O,I,k,k]
    if demodulate:
        weights = weights * (weights.square().sum([2, 3, 4], keepdim=True) + 1e-8).rsqrt()
    weights = weights * input_gain
    grouped = x.reshape(1, samples * channels, height, width)
    y = F.conv2d(grouped, weights.flatten(0, 1), padding=padding, groups=samples)
    return y.reshape(samples, -1, *y.shape[2:])


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor,
    up: int,
    down: int,
    padding: tuple[int, int, int, int],
    gain: float,
    slope: float,
    clamp: float | None,
) -> Tensor:
    """Bias, upsample, leaky ReLU, clamp, downsample: [N,C,H,W] -> [N,C,H',W'], step by step on whole signals."""
    x = x + b[None, :, None, None]
    x = upfirdn2d(x, fu, up=up, padding=padding, gain=up**2)
    x = F.leaky_relu(x, slope)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return upfirdn2d(x, fd, down=down)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Insert up - 1 zeros after each sample, pad or crop, filter (true convolution), keep every down-th sample."""
    samples, channels, height, width = x.shape
    if up > 1:
        x = F.pad(x.reshape(samples, channels, height, 1, width, 1), [0, up - 1, 0, 0, 0, up - 1])
        x = x.reshape(samples, channels, height * up, width * up)
    x0, x1, y0, y1 = padding
    x = F.pad(x, [max(x0, 0), max(x1, 0), max(y0, 0), max(y1, 0)])
    x = x[:, :, max(-y0, 0) : x.shape[2] - max(-y1, 0), max(-x0, 0) : x.shape[3] - max(-x1, 0)]
    taps = torch.ones([1, 1], dtype=x.dtype, device=x.device) if f is None else f
    taps = (taps * gain ** (taps.ndim / 2)).flip(list(range(taps.ndim)))
    for window in [taps[:, None], taps[None, :]] if taps.ndim == 1 else [taps]:
        x = F.conv2d(x, window.expand(channels, 1, *window.shape), groups=channels)
    return x[:, :, ::down, ::down]
