"""Modulated convolution, with weights scaled by each image's style, as in StyleGAN2 and StyleGAN3."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt

import torch
from torch import Tensor

from ops.channel_scale import scale_channels
from ops.conv_resample import conv2d_resample
from ops.upfirdn2d import Padding, check_images

EPSILON = 1e-8


def modulated_conv2d_stylegan2(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    fused_modconv: bool | None = None,
    weight_square: Tensor | None = None,
) -> Tensor:
    """Modulate, convolve (and resample), demodulate, add noise.

    x [N,I,H,W], weight [O,I,k,k], styles [N,I] -> [N,O,H',W']; `noise` is added last and must broadcast to the
    result; the rest is as in `conv2d_resample`. `fused_modconv` True scales the weights, False the images, None
    whichever is faster; the results agree up to rounding. `weight_square` [O,I] is `square_weight(weight)`, if the
    caller has it already. Karras et al. 2020 (StyleGAN2), Eq. 1 and 3.
    Raises ValueError if the shapes of x, weight and styles disagree.
    """
    _check_shapes(x, weight, styles, "modulated_conv2d_stylegan2")
    w, s = weight.to(_compute_dtype(x)), styles.to(_compute_dtype(x))
    output_scale = None
    if demodulate:
        square = square_weight(w) if weight_square is None else weight_square
        output_scale = (s.square() @ square.T + EPSILON).rsqrt()

    def convolve(images: Tensor, weights: Tensor) -> Tensor:
        return conv2d_resample(
            images, weights, resample_filter, up=up, down=down, padding=padding, flip_weight=flip_weight
        )

    y = _modulate(x, w, s, output_scale, convolve, fused_modconv)
    if noise is None:
        return y
    return y + noise.to(y.dtype) if torch.is_grad_enabled() else y.add_(noise.to(y.dtype))


def modulated_conv2d_stylegan3(
    x: Tensor,
    w: Tensor,
    s: Tensor,
    demodulate: bool = True,
    padding: Padding = 0,
    input_gain: Tensor | float | None = None,
    weight_square: Tensor | None = None,
) -> Tensor:
    """Modulate, convolve, demodulate, with an input gain.

    x [N,I,H,W], w [O,I,k,k], s [N,I] -> [N,O,H',W'] by correlation. `input_gain` is a scalar, [I] or [N,I] and scales x
    (demodulation does not undo it). `demodulate` first normalizes the weights of each output channel, and the styles of
    the whole batch, to unit mean square. `weight_square` [O,I] is `square_weight(w)`, if the caller has it already.
    Karras et al. 2021 (StyleGAN3), Section 3.2 and Appendix B. Raises ValueError if shapes disagree.
    """
    _check_shapes(x, w, s, "modulated_conv2d_stylegan3")
    w, s = w.to(_compute_dtype(x)), s.to(_compute_dtype(x))
    output_scale = None
    if demodulate:
        square = square_weight(w) if weight_square is None else weight_square
        s = s * s.square().mean().rsqrt()
        unit = (square.sum(1) / prod(w.shape[1:])).rsqrt()  # [O], scales the weights to unit mean square
        output_scale = unit * ((s.square() @ square.T) * unit.square() + EPSILON).rsqrt()
    if input_gain is not None:
        gain = torch.as_tensor(input_gain, dtype=s.dtype, device=s.device)
        if gain.ndim > 2 or (gain.ndim and gain.shape[-1] != s.shape[1]):
            raise ValueError(f"input_gain must be a number, [I] or [N,I], not of shape {list(gain.shape)}.")
        s = s * gain
    return _modulate(x, w, s, output_scale, lambda i, k: conv2d_resample(i, k, padding=padding), None)


def square_weight(w: Tensor) -> Tensor:
    """Sum the squares of weights [O,I,k,k] to [O,I]: the part of demodulation that depends on them alone."""
    return w.square().sum([2, 3])


def _modulate(
    x: Tensor,
    w: Tensor,
    input_scale: Tensor,
    output_scale: Tensor | None,
    convolve: Callable[[Tensor, Tensor], Tensor],
    fused: bool | None,
) -> Tensor:
    """Convolve with w[o,i] * input_scale[n,i] * output_scale[n,o], scaling either the weights (fused) or the images."""
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)
    if fused is None:
        # For one image, scaling the weights is one pass over them. For a batch it pays where an image is larger.
        image_is_larger = x.shape[2] * x.shape[3] > w.shape[0] * w.shape[2] * w.shape[3]
        fused = len(x) == 1 or (len(x) > 1 and image_is_larger and not torch.is_grad_enabled())
    if fused:
        return _convolve_each(x, w, input_scale, output_scale, convolve)
    if x.dtype in (torch.float16, torch.bfloat16):
        # Keep the sums within the range of half precision: divide by the largest values, multiply at the end.
        style_max = input_scale.abs().amax(1, keepdim=True).clamp_min(1e-30)
        weight_bound = w.abs().amax([1, 2, 3]).clamp_min(1e-30) * sqrt(prod(w.shape[1:]))
        input_scale, w = input_scale / style_max, w / weight_bound[:, None, None, None]
        output_scale = style_max * weight_bound * (1 if output_scale is None else output_scale)
    y = convolve(scale_channels(x, input_scale.to(x.dtype)), w.to(x.dtype))
    if output_scale is None:
        return y
    if torch.is_grad_enabled():
        return scale_channels(y, output_scale.to(y.dtype))
    return y.mul_(output_scale[:, :, None, None].to(y.dtype))


def _convolve_each(
    x: Tensor,
    w: Tensor,
    input_scale: Tensor,
    output_scale: Tensor | None,
    convolve: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Convolve each image with its own scaled weights; without gradients, write the results straight into the batch."""
    outputs: list[Tensor] = []
    batch: Tensor | None = None
    for n in range(len(x)):
        scale = input_scale[n]
        if output_scale is not None:
            scale = scale * output_scale[n][:, None]
        y = convolve(x[n : n + 1], (w * scale[..., :, None, None]).to(x.dtype))
        if len(x) == 1:
            return y
        if torch.is_grad_enabled():
            outputs.append(y)
            continue
        if batch is None:
            batch = torch.empty_like(y.expand(len(x), *y.shape[1:]), memory_format=torch.preserve_format)
        batch[n : n + 1] = y
    return torch.cat(outputs) if batch is None else batch


def _check_shapes(x: Tensor, weight: Tensor, styles: Tensor, name: str) -> None:
    check_images(x, name)
    if weight.ndim != 4 or weight.shape[1] != x.shape[1] or styles.shape != x.shape[:2]:
        raise ValueError(
            f"{name} cannot combine images {list(x.shape)}, weights {list(weight.shape)} and styles "
            f"{list(styles.shape)}; it needs [N,I,H,W], [O,I,k,k] and [N,I]."
        )


def _compute_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
