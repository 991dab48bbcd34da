"""Layers with prepared weights for inference on a CPU: everything that depends only on weights is computed once.

Steps and states are those of the path with gradients, equal within 1e-4 of the largest magnitude, and resumed runs have
the bits of uninterrupted ones. With the compiled kernel, a layer of StyleGAN3 is one call: styles are applied as the
convolution reads its input, demodulation and bias as the filter reads. 3x3 convolutions use Winograd (measured from 8
to 512 channels and from 4 to 534 pixels, direct convolution is never faster), 1x1 convolutions of many channels use
Strassen. Without the kernel, layers run in plain torch (torch_layer.py). Feature maps stay in channels_last memory from
layer to layer, with padding between pixels where that aligns each to a cache line.
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
    """Lazily built cache of a module's prepared form; rebuilt when a tensor's version counter or address changes.

    `prepare` builds it from the module, for one type of device. Every in-place operation, `load_state_dict`, `.to()`
    and a new parameter are detected; writing through `.data` or NumPy is not, so call `invalidate` after that. A copied
    or pickled module starts with an empty cache.
    """

    def __init__(self, prepare: Callable[[Any], P], device: str = "cpu") -> None:
        self._prepare, self._device = prepare, device
        self._value: P | None = None
        self._backend = ""
        self._sources: list[tuple[Tensor, int]] = []

    def get(self, module: nn.Module) -> P | None:
        """Return the prepared form of `module`, to which this cache belongs, or None if it must run unprepared.

        It must with gradients enabled, on another device, with dtypes other than float32, and with hooks on submodules.
        """
        if torch.is_grad_enabled() or any(_has_hooks(part) for part in module.children()):
            return None
        tensors = _source_tensors(module)
        if self._value is None or not self._is_current(tensors):
            self.invalidate()
            # Inference-mode tensors have no version counter, so changes cannot be detected.
            if any(t.device.type != self._device or t.dtype != torch.float32 or t.is_inference() for t in tensors):
                return None
            kernels.unavailable_reason()  # the first call decides which backend is used
            # Holding a view of each tensor prevents its memory from being reused for another at the same address.
            self._sources = [(tensor.detach(), tensor._version) for tensor in tensors]
            self._backend = kernels.active_backend()
            self._value = self._prepare(module)
        return self._value

    def invalidate(self) -> None:
        """Free the prepared form; it is built again when needed."""
        self._value, self._sources = None, []

    def _is_current(self, tensors: list[Tensor]) -> bool:
        """Whether tensors and backend are unchanged since the prepared form was built."""
        if len(tensors) != len(self._sources) or self._backend != kernels.active_backend():
            return False
        return all(
            tensor.data_ptr() == seen.data_ptr() and tensor._version == version
            for tensor, (seen, version) in zip(tensors, self._sources, strict=True)
        )

    def __deepcopy__(self, _memo: Any) -> PreparedCache[P]:
        return PreparedCache(self._prepare, self._device)

    def __reduce__(self) -> tuple[Any, ...]:
        return PreparedCache, (self._prepare, self._device)


def _source_tensors(module: nn.Module) -> list[Tensor]:
    """Return the tensors that the prepared form depends on; not the input's transform, which is read by every run."""
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
    """Prepare a StyleGAN3 layer for the compiled kernel if it supports the layer, else for plain torch.

    The result maps x [N, in, in_size, in_size] and w [N, w_dim] to [N, out, out_size, out_size].
    """
    args = layer_args(module)
    if kernels.unavailable_reason() is not None or module.spec.conv_kernel not in KERNEL_SIZES or not supports(args):
        return PreparedTorchLayer(module)
    affine, bias, padding = layer_affine(module), module.bias.detach(), module.spec.conv_kernel - 1
    demod_weights = None if module.spec.is_torgb else demodulation_weights(module)
    convolve, fused = ConvolutionCpu(module.weight), FilteredLreluCpu(args)
    return SynthesisLayerCpu(convolve, fused, affine.weight, affine.bias, demod_weights, bias, padding)


class PreparedModulatedConv:
    """The modulated convolution of a StyleGAN2 layer without upsampling, prepared for the compiled kernel."""

    def __init__(self, module: StyleGAN2Layer) -> None:
        weight = module.weight.detach()
        self.affine = Affine.from_module(module.affine)
        self.demod_weights = square_weight(weight)
        self.convolve = ConvolutionCpu(weight)

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W], w [N, w_dim] -> modulated, convolved and demodulated [N, out, H, W]."""
        styles = self.affine(w)
        demodulation = (F.linear(styles.square(), self.demod_weights) + EPSILON).rsqrt_()
        return self.convolve(x, styles, demodulation)


class PreparedInput:
    """A `SynthesisInput`, prepared: as sin(a + b) = sin a cos b + cos a sin b, sines are per row and per column."""

    def __init__(self, module: SynthesisInput) -> None:
        self.affine = Affine.from_module(module.affine)
        weight = (module.weight.detach() / math.sqrt(len(module.weight)))[:, :, None, None]
        self.convolve = (
            ConvolutionCpu(weight) if kernels.unavailable_reason() is None else partial(F.conv2d, weight=weight)
        )

    def __call__(self, module: SynthesisInput, w: Tensor) -> Tensor:
        """w [N, w_dim] -> features [N, channels, size, size]."""
        angle_x, angle_y, amplitudes = module.sine_arguments(self.affine(w))  # [N, C, size] twice, [N, C]
        x_terms = angle_x.mT.contiguous()[:, None]  # [N, 1, W, C]: channels_last from here on
        y_terms = angle_y.mT.contiguous()[:, :, None]  # [N, H, 1, C]
        amplitudes = amplitudes[:, None, None]
        features = (y_terms.sin() * amplitudes) * x_terms.cos()
        features.addcmul_(y_terms.cos() * amplitudes, x_terms.sin())
        return self.convolve(features.permute(0, 3, 1, 2))
