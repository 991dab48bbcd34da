"""Pictures on a CPU without gradients: all that depends on weights alone is worked out once.

The steps and their states are those of the plain path, equal to 1e-4 of the picture's largest value, and resumed runs
have the bits of whole ones. Where the compiled form serves, a layer of StyleGAN3 is one call of it: styles are applied
as the convolution reads, demodulation and bias as the filter reads; 3x3 convolutions are Winograd's: measured from 8 to
512 channels and from 4 to 534 pixels, direct convolution is never quicker; 1x1 ones of many channels are Strassen's.
Elsewhere plain torch has a plan of its own (plan_torch.py). Pictures stay in channels_last memory from layer to layer,
with room between pixels where that lets each begin with a cache line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.inference.layer_constants import Affine, demodulation_weights, layer_affine, layer_args
from networks.inference.torch_layer import PreparedTorchLayer
from ops import kernels, square_weight
from ops.kernels.cpu.convolution import KERNEL_SIZES, ConvolutionCpu
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu, supports
from ops.kernels.cpu.synthesis_layer import SynthesisLayerCpu
from ops.modulated_conv import EPSILON

if TYPE_CHECKING:
    from networks.architectures.stylegan2 import SynthesisLayer as StyleGAN2Layer
    from networks.architectures.stylegan3 import SynthesisInput, SynthesisLayer

P = TypeVar("P")


class PreparedCache(Generic[P]):
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

    def get(self, module: nn.Module) -> P | None:
        """What has been worked out for the module this belongs to, or None where the plain path has to serve."""
        if torch.is_grad_enabled() or any(_has_hooks(part) for part in module.children()):
            return None
        tensors = _source_tensors(module)
        if self._made is None or not self._holds(tensors):
            self.invalidate()
            # Tensors made under inference_mode do not tell when they change.
            if any(t.device.type != self._device or t.dtype != torch.float32 or t.is_inference() for t in tensors):
                return None
            kernels.why_not()  # the first question decides which form serves
            # Another view of each tensor keeps its memory from being given to a new one at the same address.
            self._seen = [(tensor.detach(), tensor._version) for tensor in tensors]
            self._serving = kernels.serving()
            self._made = self._make(module)
        return self._made

    def invalidate(self) -> None:
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

    def __deepcopy__(self, _memo: Any) -> PreparedCache[P]:
        return PreparedCache(self._make, self._device)

    def __reduce__(self) -> tuple[Any, ...]:
        return PreparedCache, (self._make, self._device)


def _source_tensors(module: nn.Module) -> list[Tensor]:
    """What is worked with; the input's transform is read for every picture, so it may change."""
    owned = (
        (name, t)
        for m in (module, *module.children())
        for group in (m._parameters, m._buffers)
        for name, t in group.items()
    )
    return [tensor for name, tensor in owned if tensor is not None and name != "transform"]


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def prepare_layer(module: SynthesisLayer) -> SynthesisLayerCpu | PreparedTorchLayer:
    """A `SynthesisLayer`, prepared: x [N, in, in_size, in_size], w [N, w_dim] -> [N, out, out_size, out_size]."""
    args = layer_args(module)
    if kernels.why_not() is not None or module.spec.conv_kernel not in KERNEL_SIZES or not supports(args):
        return PreparedTorchLayer(module)
    affine, bias, padding = layer_affine(module), module.bias.detach(), module.spec.conv_kernel - 1
    squares = None if module.spec.is_torgb else demodulation_weights(module)
    convolve, fused = ConvolutionCpu(module.weight), FilteredLreluCpu(args)
    return SynthesisLayerCpu(convolve, fused, affine.weight, affine.bias, squares, bias, padding)


class PreparedModulatedConv:
    """The convolution of a `SynthesisLayer` of StyleGAN2 that keeps the resolution, prepared for the compiled form."""

    def __init__(self, module: StyleGAN2Layer) -> None:
        weight = module.weight.detach()
        self.affine = Affine.from_module(module.affine)
        self.squares = square_weight(weight)
        self.convolve = ConvolutionCpu(weight)

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W], w [N, w_dim] -> modulated, convolved and demodulated [N, out, H, W]."""
        styles = self.affine(w)
        demodulation = (F.linear(styles.square(), self.squares) + EPSILON).rsqrt_()
        return self.convolve(x, styles, demodulation)


class PreparedInput:
    """A `SynthesisInput`, prepared: the sine of a sum is made of the sines of its parts, one for x and one for y."""

    def __init__(self, module: SynthesisInput) -> None:
        self.affine = Affine.from_module(module.affine)
        weight = (module.weight.detach() / math.sqrt(len(module.weight)))[:, :, None, None]
        self.convolve = ConvolutionCpu(weight) if kernels.why_not() is None else partial(F.conv2d, weight=weight)

    def __call__(self, module: SynthesisInput, w: Tensor) -> Tensor:
        """w [N, w_dim] -> features [N, channels, size, size]."""
        along_x, along_y, amplitudes = module.sine_arguments(self.affine(w))  # [N, C, size] twice, [N, C]
        across = along_x.mT.contiguous()[:, None]  # [N, 1, W, C]: channels come last in memory from here on
        down = along_y.mT.contiguous()[:, :, None]  # [N, H, 1, C]
        amplitudes = amplitudes[:, None, None]
        features = (down.sin() * amplitudes) * across.cos()
        features.addcmul_(down.cos() * amplitudes, across.sin())
        return self.convolve(features.permute(0, 3, 1, 2))
