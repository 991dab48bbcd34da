"""Convolution whose weights each image scales by its own style, in the forms of StyleGAN2 and StyleGAN3."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from .conv_resample import conv2d_resample
from .upfirdn2d import Padding, check_images

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
) -> Tensor:
    """Modulate, convolve (and resample), demodulate, add noise.

    x [N,I,H,W], weight [O,I,k,k], styles [N,I] -> [N,O,H',W']; noise is added last and must broadcast to the
    result; the rest as in `conv2d_resample`. `fused_modconv` True scales the weights, False the images, None
    whichever is quicker; the result is the same up to rounding. Karras et al. 2020 (StyleGAN2), Eq. 1 and 3.
    Raises ValueError where x, weight and styles disagree.
    """
    _check(x, weight, styles, "modulated_conv2d_stylegan2")
    half = x.dtype in (torch.float16, torch.bfloat16)
    w, s = weight.to(_wide(x)), styles.to(_wide(x))
    if half and demodulate:
        # Half precision must not overflow within the sum. Demodulation divides these scales out again.
        w = w / (w.abs().amax([1, 2, 3], keepdim=True) * sqrt(w[0].numel())).clamp_min(1e-30)
        s = s / s.abs().amax(1, keepdim=True).clamp_min(1e-30)
    scale_out = (s.square() @ w.square().sum([2, 3]).T + EPSILON).rsqrt() if demodulate else None

    def convolve(images: Tensor, weights: Tensor) -> Tensor:
        return conv2d_resample(
            images, weights, resample_filter, up=up, down=down, padding=padding, flip_weight=flip_weight
        )

    y = _modulate(x, w, s, scale_out, convolve, fused_modconv)
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
) -> Tensor:
    """Modulate, convolve, demodulate, with the input's gain folded in.

    x [N,I,H,W], w [O,I,k,k], s [N,I] -> [N,O,H',W'], correlation; input_gain is a scalar, [I] or [N,I] and
    multiplies the result as if x were scaled (demodulation does not see it). With `demodulate` the weights of each
    output, and the styles of the whole batch, are first scaled to unit mean square.
    Karras et al. 2021 (StyleGAN3), Appendix B and F. Raises ValueError where shapes disagree.
    """
    _check(x, w, s, "modulated_conv2d_stylegan3")
    w, s = w.to(_wide(x)), s.to(_wide(x))
    scale_out = None
    if demodulate:
        # Both scales cancel in the product but for the epsilon.
        w = w * w.square().mean([1, 2, 3], keepdim=True).rsqrt()
        s = s * s.square().mean().rsqrt()
        scale_out = (s.square() @ w.square().sum([2, 3]).T + EPSILON).rsqrt()
    if input_gain is not None:
        gain = torch.as_tensor(input_gain, dtype=s.dtype, device=s.device)
        if gain.ndim > 2 or (gain.ndim and gain.shape[-1] != s.shape[1]):
            raise ValueError(f"input_gain must be a number, [I] or [N,I], not of shape {list(gain.shape)}.")
        s = s * gain
    return _modulate(x, w, s, scale_out, lambda i, k: conv2d_resample(i, k, padding=padding), None)


def _check(x: Tensor, weight: Tensor, styles: Tensor, name: str) -> None:
    check_images(x, name)
    if weight.ndim != 4 or weight.shape[1] != x.shape[1] or styles.shape != x.shape[:2]:
        raise ValueError(
            f"{name} cannot combine images {list(x.shape)}, weights {list(weight.shape)} and styles "
            f"{list(styles.shape)}; it needs [N,I,H,W], [O,I,k,k] and [N,I]."
        )


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _modulate(x, w, s, scale_out, convolve, fused) -> Tensor:
    y = convolve(x * s[:, :, None, None].to(x.dtype), w.to(x.dtype))
    if scale_out is not None:
        y = y * scale_out[:, :, None, None].to(y.dtype)
    return y
