"""Convolution whose weights each image scales by its own style, in the forms of StyleGAN2 and StyleGAN3."""

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

    x [N,I,H,W], weight [O,I,k,k], styles [N,I] -> [N,O,H',W']; noise is added last and must broadcast to the
    result; the rest as in `conv2d_resample`. `fused_modconv` True scales the weights, False the images, None
    whichever is quicker; the result is the same up to rounding. `weight_square` [O,I] is `square_weight(weight)`
    where it is known already. Karras et al. 2020 (StyleGAN2), Eq. 1 and 3.
    Raises ValueError where x, weight and styles disagree.
    """
    _check_shapes(x, weight, styles, "modulated_conv2d_stylegan2")
    w, s = weight.to(_compute_dtype(x)), styles.to(_compute_dtype(x))
    demodulation = None
    if demodulate:
        square = square_weight(w) if weight_square is None else weight_square
        demodulation = (s.square() @ square.T + EPSILON).rsqrt()

    def convolve(images: Tensor, weights: Tensor) -> Tensor:
        return conv2d_resample(
            images, weights, resample_filter, up=up, down=down, padding=padding, flip_weight=flip_weight
        )

    y = _modulate(x, w, s, demodulation, convolve, fused_modconv)
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
    """Modulate, convolve, demodulate, with the input's gain folded in.

    x [N,I,H,W], w [O,I,k,k], s [N,I] -> [N,O,H',W'], correlation; input_gain is a scalar, [I] or [N,I] and
    acts as if x were scaled (demodulation does not see it). With `demodulate` the weights of each output, and the
    styles of the whole batch, are first brought to unit mean square. `weight_square` [O,I] is `square_weight(w)`
    where it is known already. Karras et al. 2021 (StyleGAN3), Section 3.2 and Appendix B.
    Raises ValueError where shapes disagree.
    """
    _check_shapes(x, w, s, "modulated_conv2d_stylegan3")
    w, s = w.to(_compute_dtype(x)), s.to(_compute_dtype(x))
    scale_out = None
    if demodulate:
        square = square_weight(w) if weight_square is None else weight_square
        s = s * s.square().mean().rsqrt()
        unit = (square.sum(1) / prod(w.shape[1:])).rsqrt()  # [O], brings the weights to unit mean square
        scale_out = unit * ((s.square() @ square.T) * unit.square() + EPSILON).rsqrt()
    if input_gain is not None:
        gain = torch.as_tensor(input_gain, dtype=s.dtype, device=s.device)
        if gain.ndim > 2 or (gain.ndim and gain.shape[-1] != s.shape[1]):
            raise ValueError(f"input_gain must be a number, [I] or [N,I], not of shape {list(gain.shape)}.")
        s = s * gain
    return _modulate(x, w, s, scale_out, lambda i, k: conv2d_resample(i, k, padding=padding), None)


def square_weight(w: Tensor) -> Tensor:
    """The part of demodulation that depends on the weights [O,I,k,k] alone: their squares summed to [O,I]."""
    return w.square().sum([2, 3])


def _modulate(
    x: Tensor,
    w: Tensor,
    scale_in: Tensor,
    scale_out: Tensor | None,
    convolve: Callable[[Tensor, Tensor], Tensor],
    fused: bool | None,
) -> Tensor:
    """Convolve with w[o,i] * scale_in[n,i] * scale_out[n,o], by scaling either the weights or the images."""
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)
    if fused is None:
        # One image: folding touches the weights once. A batch: where they are fewer than an image's samples.
        larger = x.shape[2] * x.shape[3] > w.shape[0] * w.shape[2] * w.shape[3]
        fused = len(x) == 1 or (len(x) > 1 and larger and not torch.is_grad_enabled())
    if fused:
        return _convolve_each(x, w, scale_in, scale_out, convolve)
    if x.dtype in (torch.float16, torch.bfloat16):
        # Half precision must not overflow within the sum, so the sizes are taken out and put back at the end.
        style_size = scale_in.abs().amax(1, keepdim=True).clamp_min(1e-30)
        weight_size = w.abs().amax([1, 2, 3]).clamp_min(1e-30) * sqrt(prod(w.shape[1:]))
        scale_in, w = scale_in / style_size, w / weight_size[:, None, None, None]
        scale_out = style_size * weight_size * (1 if scale_out is None else scale_out)
    y = convolve(scale_channels(x, scale_in.to(x.dtype)), w.to(x.dtype))
    if scale_out is None:
        return y
    if torch.is_grad_enabled():
        return scale_channels(y, scale_out.to(y.dtype))
    return y.mul_(scale_out[:, :, None, None].to(y.dtype))


def _convolve_each(
    x: Tensor,
    w: Tensor,
    scale_in: Tensor,
    scale_out: Tensor | None,
    convolve: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Every image with its own weights; without gradients the results go straight into the batch."""
    made: list[Tensor] = []
    batch: Tensor | None = None
    for n in range(len(x)):
        scale = scale_in[n]
        if scale_out is not None:
            scale = scale * scale_out[n][:, None]
        y = convolve(x[n : n + 1], (w * scale[..., :, None, None]).to(x.dtype))
        if len(x) == 1:
            return y
        if torch.is_grad_enabled():
            made.append(y)
            continue
        if batch is None:
            batch = torch.empty_like(y.expand(len(x), *y.shape[1:]), memory_format=torch.preserve_format)
        batch[n : n + 1] = y
    return torch.cat(made) if batch is None else batch


def _check_shapes(x: Tensor, weight: Tensor, styles: Tensor, name: str) -> None:
    check_images(x, name)
    if weight.ndim != 4 or weight.shape[1] != x.shape[1] or styles.shape != x.shape[:2]:
        raise ValueError(
            f"{name} cannot combine images {list(x.shape)}, weights {list(weight.shape)} and styles "
            f"{list(styles.shape)}; it needs [N,I,H,W], [O,I,k,k] and [N,I]."
        )


def _compute_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
