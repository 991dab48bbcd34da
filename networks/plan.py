"""Pictures on a CPU without gradients: all that depends on weights alone is worked out once.

The steps and their states are those of the plain path, equal to 1e-4 of the picture's largest value, and resumed runs
have the bits of whole ones: what leaves a layer is kept before the next layer's style, which goes into the weights (or
into a copy of the picture, where that is smaller). In StyleGAN3 demodulation and bias are applied by the fused kernel
as it reads. 3x3 convolutions are Winograd's wherever the compiled form serves: measured from 8 to 512 channels and from
4 to 534 pixels, direct convolution is never quicker. Pictures stay in channels_last memory from layer to layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ops import filtered_lrelu, kernels, square_weight
from ops.filtered_lrelu import Kink, Leg, legs
from ops.kernels.convolution import Convolution
from ops.kernels.cpu import Fused, takes
from ops.kernels.layer import Layer
from ops.modulated_conv import EPSILON

if TYPE_CHECKING:
    from networks.stylegan2 import SynthesisLayer as StyleGAN2Layer
    from networks.stylegan3 import SynthesisInput, SynthesisLayer

CHANNELS_LAST = torch.channels_last
P = TypeVar("P")


class Plan(Generic[P]):
    """What has been worked out for one module, made when first needed and anew when its tensors have changed.

    Changes are seen by the tensors' version counters and addresses: every in-place operation, `load_state_dict`,
    `.to()` and new parameters are; writing through `.data` or through NumPy is not, so call `forget` after that.
    A copied or pickled module starts with an empty plan. It serves on one kind of device alone.
    """

    def __init__(self, make: Callable[[Any], P], device: str = "cpu") -> None:
        self._make, self._device = make, device
        self._made: P | None = None
        self._serving = ""
        self._seen: list[tuple[Tensor, int]] = []

    def of(self, module: nn.Module) -> P | None:
        """What has been worked out for the module this belongs to, or None where the plain path has to serve."""
        if torch.is_grad_enabled() or any(_listened_to(part) for part in module.children()):
            return None
        tensors = _tensors(module)
        if self._made is None or not self._holds(tensors):
            self.forget()
            # Tensors made under inference_mode do not tell when they change.
            if any(t.device.type != self._device or t.dtype != torch.float32 or t.is_inference() for t in tensors):
                return None
            kernels.why_not()  # the first question decides which form serves
            # Another view of each tensor keeps its memory from being given to a new one at the same address.
            self._seen = [(tensor.detach(), tensor._version) for tensor in tensors]
            self._serving = kernels.serving()
            self._made = self._make(module)
        return self._made

    def forget(self) -> None:
        """Give back the memory; everything is worked out anew when it is needed."""
        self._made, self._seen = None, []

    def _holds(self, tensors: list[Tensor]) -> bool:
        """Whether nothing has changed since it was made."""
        if len(tensors) != len(self._seen) or self._serving != kernels.serving():
            return False
        return all(
            tensor.data_ptr() == seen.data_ptr() and tensor._version == version
            for tensor, (seen, version) in zip(tensors, self._seen, strict=True)
        )

    def __deepcopy__(self, _memo: Any) -> Plan[P]:
        return Plan(self._make, self._device)

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan, (self._make, self._device)


def _tensors(module: nn.Module) -> list[Tensor]:
    """What is worked with; the input's transform is read for every picture, so it may change."""
    owned = (
        (name, t)
        for m in (module, *module.children())
        for group in (m._parameters, m._buffers)
        for name, t in group.items()
    )
    return [tensor for name, tensor in owned if tensor is not None and name != "transform"]


def _listened_to(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


@dataclass(frozen=True, eq=False)
class Affine:
    """w -> styles, with the gain in the weights."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, module: Any, gain: float | Tensor = 1.0) -> Affine:
        return cls(module.weight * (module.weight_gain * gain), module.bias * (module.bias_gain * gain))

    def __call__(self, w: Tensor) -> Tensor:
        return F.linear(w, self.weight, self.bias)


class LayerPlan:
    """A `SynthesisLayer`, prepared for the compiled form."""

    def __init__(self, module: SynthesisLayer) -> None:
        spec, self.spec, self.bias = module.spec, module.spec, module.bias.detach()
        self.affine, self.squares = layer_affine(module), None if spec.is_torgb else demodulating_squares(module)
        self.fused, padding = Fused(*layer_legs(module)), spec.conv_kernel - 1
        convolve = Convolution(module.weight)
        affine, bias = self.affine.weight, self.affine.bias
        self._layer = Layer(convolve, self.fused, affine, bias, self.squares, self.bias, padding)

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, in_size, in_size], w [N, w_dim] -> [N, out, out_size, out_size]."""
        return self._layer(x, w)


def layer_legs(module: SynthesisLayer) -> tuple[Leg, Leg, Kink]:
    """How a layer's filtered leaky ReLU goes up and down, and what is between."""
    spec = module.spec
    size = 2 * [spec.in_size + spec.conv_kernel - 1]
    gain, slope = (1.0, 1.0) if spec.is_torgb else (math.sqrt(2), 0.2)
    up, down, like = spec.up_factor, spec.down_factor, module.weight.detach().new_empty(1, 1, *size)
    raise_, lower = legs(like, module.up_filter, module.down_filter, up, down, spec.padding, gain)
    return raise_, lower, Kink(slope, module.conv_clamp)


def layer_affine(module: SynthesisLayer) -> Affine:
    """The styles of a layer; all that its weights are scaled with is in those of ToRGB."""
    if not module.spec.is_torgb:
        return Affine.of(module.affine)
    return Affine.of(module.affine, module.magnitude_ema.rsqrt() / math.sqrt(prod(module.weight.shape[1:])))


def demodulating_squares(module: SynthesisLayer) -> Tensor:
    """[O, I]: what the squares of styles are multiplied with to be demodulation to the power of -2.

    Demodulation undoes what brings weights and styles to unit mean square, all but for the epsilon. So they are left as
    they are, and the epsilon is scaled instead: it goes into the table, as does the gain.
    """
    weight = module.weight.detach()
    power = weight.square().mean([1, 2, 3])[:, None]
    return (square_weight(weight) + power * (EPSILON / module.spec.in_channels)) * module.magnitude_ema


class TorchLayerPlan:
    """A `SynthesisLayer`, prepared for plain torch."""

    def __init__(self, module: SynthesisLayer) -> None:
        spec, weight = module.spec, module.weight.detach()
        self.spec, self.clamp, self.padding = spec, module.conv_clamp, spec.conv_kernel - 1
        self.filters = module.up_filter, module.down_filter
        self.bias = module.bias.detach()
        self.weight = weight.contiguous(memory_format=CHANNELS_LAST)  # of 1x1 kernels this is no copy
        # Where one picture has more numbers than the weights, styles go into the weights, else into the picture.
        self.style_to_weight = spec.in_size**2 >= spec.out_channels * spec.conv_kernel**2
        gain = module.magnitude_ema.rsqrt()
        if spec.is_torgb:
            self.affine = Affine.of(module.affine, gain / math.sqrt(prod(weight.shape[1:])))
            return
        self.affine = Affine.of(module.affine)
        # Demodulation undoes what brings weights and styles to unit mean square, all but for the epsilon. So they are
        # left as they are, and the epsilon is scaled instead: it goes into the table, as does the gain.
        power = weight.square().mean([1, 2, 3])[:, None]
        self.squares = (square_weight(weight) + power * (EPSILON / spec.in_channels)) / gain.square()
        up, down, like = spec.up_factor, spec.down_factor, weight.new_empty(1, 1, *2 * [spec.in_size + self.padding])
        raise_, lower = legs(like, *self.filters, up, down, spec.padding, gain=math.sqrt(2))
        self.fused = Fused(raise_, lower, Kink(0.2, self.clamp))

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, in_size, in_size], w [N, w_dim] -> [N, out, out_size, out_size]."""
        x = x.contiguous(memory_format=CHANNELS_LAST)
        styles = self.affine(w)
        if self.spec.is_torgb:
            return self._picture(x, styles)
        demodulation = F.linear(styles.square(), self.squares).rsqrt_()
        if not self.style_to_weight:
            y = F.conv2d(x * styles[:, :, None, None], self.weight, padding=self.padding)
            return self.fused(y, self.bias, demodulation)
        size = [len(x), self.spec.out_channels, self.spec.out_size, self.spec.out_size]
        out = torch.empty(size, memory_format=CHANNELS_LAST)
        for n, one in enumerate(x.split(1)):  # one by one: what goes from convolution to filter is then small
            weight = self.weight * styles[n, :, None, None]
            weight.mul_(demodulation[n, :, None, None, None])  # a pass over the picture would cost more
            y = F.conv2d(one, weight, padding=self.padding)
            self.fused(y, self.bias, None, out=out[n : n + 1])
        return out

    def _picture(self, x: Tensor, styles: Tensor) -> Tensor:
        made = [
            F.conv2d(one, self.weight * styles[n, :, None, None], padding=self.padding)
            for n, one in enumerate(x.split(1))
        ]
        y = made[0] if len(made) == 1 else torch.cat(made)
        up, down, padding = self.spec.up_factor, self.spec.down_factor, self.spec.padding
        return filtered_lrelu(y, *self.filters, self.bias, up, down, padding, gain=1, slope=1, clamp=self.clamp)


def layer_plan(module: SynthesisLayer) -> LayerPlan | TorchLayerPlan:
    """The form that serves in this process."""
    compiled = kernels.why_not() is None and takes(*layer_legs(module)[:2])
    return LayerPlan(module) if compiled else TorchLayerPlan(module)


class ModulatedPlan:
    """The convolution of a `SynthesisLayer` of StyleGAN2 that keeps the resolution, prepared for the compiled form."""

    def __init__(self, module: StyleGAN2Layer) -> None:
        weight = module.weight.detach()
        self.affine = Affine.of(module.affine)
        self.squares = square_weight(weight)
        self.convolve = Convolution(weight)

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W], w [N, w_dim] -> modulated, convolved and demodulated [N, out, H, W]."""
        styles = self.affine(w)
        demodulation = (F.linear(styles.square(), self.squares) + EPSILON).rsqrt_()
        return self.convolve(x, styles, demodulation)


class InputPlan:
    """A `SynthesisInput`, prepared: the sine of a sum is made of the sines of its parts, one for x and one for y."""

    def __init__(self, module: SynthesisInput) -> None:
        self.affine = Affine.of(module.affine)
        weight = (module.weight.detach() / math.sqrt(len(module.weight)))[:, :, None, None]
        self.convolve = Convolution(weight) if kernels.why_not() is None else partial(F.conv2d, weight=weight)

    def __call__(self, module: SynthesisInput, w: Tensor) -> Tensor:
        """w [N, w_dim] -> features [N, channels, size, size]."""
        along_x, along_y, amplitudes = module.angles(self.affine(w))  # [N, C, size] twice, [N, C]
        across = along_x.mT.contiguous()[:, None]  # [N, 1, W, C]: channels come last in memory from here on
        down = along_y.mT.contiguous()[:, :, None]  # [N, H, 1, C]
        amplitudes = amplitudes[:, None, None]
        features = (down.sin() * amplitudes) * across.cos()
        features.addcmul_(down.cos() * amplitudes, across.sin())
        return self.convolve(features.permute(0, 3, 1, 2))
