"""CUDA kernels called with tensors: outputs, pointers, contiguous inputs, and each kernel's test against plain torch.

How a kernel is compiled and launched is passed in as a function, so that the tests run all of this on a CPU.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from ops import filter_cache
from ops.bias_act import bias_act_torch
from ops.filtered_lrelu import FilteredLreluArgs, Resampler, filtered_lrelu_torch
from ops.kernels.cuda import filtered_lrelu_tiling, upfirdn2d_tiling
from ops.kernels.cuda.kernel_source import Filter, HostResampler, Kernel, UnsupportedError
from ops.polyphase import AxisResampling
from ops.upfirdn2d import upfirdn2d_torch

Launch = Callable[[int, bytearray], None]  # number of blocks, parameters

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}  # of the largest value: two roundings
# Fraction of a gradient that may differ: within rounding of zero or of the clamp, either slope is right.
MAX_FLIPPED = 0.05
MAX_BLOCKS = 2**31 - 1  # of a launch


class KernelMismatchError(RuntimeError):
    """A kernel does not compute what plain torch computes."""


class CudaKernels:
    """The kernels of one device. Every kernel is compared with plain torch before its first use.

    Methods return None where plain torch has to serve: for arguments that no kernel supports, for empty tensors, and
    for more planes than a launch can have. They raise KernelMismatchError and whatever `load` raises. Inputs and
    outputs are those of the ops of the same name: x [N,C,H,W] float32, float16 or bfloat16; bias_act: any shape.
    """

    def __init__(self, load: Callable[[Kernel], Launch]) -> None:
        """Take `load`, which compiles a kernel and returns the function that launches it."""
        self.failures: dict[str, str] = {}  # by family: why it must not be used; the caller fills it in
        self._load = load
        self._launchers: dict[tuple[str, str], Launch] = {}  # by family and constants
        self._lock = threading.RLock()

    def filtered_lrelu(
        self,
        x: Tensor,
        b: Tensor | None,
        grad: Tensor | None,
        args: FilteredLreluArgs,
        input_scale: Tensor | None = None,
        output_scale: Tensor | None = None,
    ) -> Tensor | None:
        """Compute `filtered_lrelu_torch` of x * input_scale, times output_scale; the scales are [C] or [N,C]."""
        grad_upsampler, downsampler, activation = args.grad_upsampler, args.downsampler, args.activation
        try:
            kernel = filtered_lrelu_tiling.filtered_lrelu(
                _dtype_name(x),
                x.shape[1],
                _to_host(args.upsampler),
                None if grad_upsampler is None else _to_host(grad_upsampler),
                _to_host(downsampler),
                activation.slope,
                activation.clamp,
            )
        except UnsupportedError:
            return None

        def run(x: Tensor, b: Tensor | None, grad: Tensor | None, *scales: Tensor | None) -> Tensor:
            size = [*x.shape[:2], downsampler.y.size_out, downsampler.x.size_out]
            out = torch.empty(size, dtype=x.dtype, device=x.device)
            x, grad = x.contiguous(), None if grad is None else grad.to(x.dtype).contiguous()
            bias = None if b is None else b.to(torch.float32).contiguous()
            expanded = [None if s is None else s.to(torch.float32).expand(x.shape[:2]).contiguous() for s in scales]
            return self._launch(kernel, out, out.shape[0] * out.shape[1], x, grad, out, bias, *expanded)

        def self_test() -> None:
            channels = min(x.shape[1], 2)
            test_x = _noise(x, 1, channels, *x.shape[2:])
            test_grad = None if grad is None else _noise(x, 1, channels, *grad.shape[2:])
            bias, scales = _noise(x, x.shape[1]).float(), [_noise(x, channels, seed=n).float() for n in (1, 2)]
            scaled = test_x.double() * scales[0].double()[:, None, None]
            grad_double = None if test_grad is None else test_grad.double()
            expected = filtered_lrelu_torch(scaled, bias[:channels], grad_double, args.double())
            expected = expected * scales[1].double()[:, None, None]
            result = run(test_x, bias, test_grad, *scales)
            self._compare(kernel, result, expected, 0.0 if grad is None else MAX_FLIPPED)

        if x.numel() == 0 or not self._prepare(kernel, x.shape[0] * x.shape[1], self_test, x):
            return None
        return run(x, b, grad, input_scale, output_scale)

    def upfirdn2d(self, x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor | None:
        """Compute `upfirdn2d_torch`."""
        try:
            kernel = upfirdn2d_tiling.upfirdn2d(_dtype_name(x), _to_host(Resampler(f, y_axis, x_axis)))
        except UnsupportedError:
            return None

        def run(x: Tensor) -> Tensor:
            out = torch.empty([*x.shape[:2], y_axis.size_out, x_axis.size_out], dtype=x.dtype, device=x.device)
            return self._launch(kernel, out, out.shape[0] * out.shape[1], x.contiguous(), out)

        def self_test() -> None:
            test_x = _noise(x, 1, 2, *x.shape[2:])
            self._compare(kernel, run(test_x), upfirdn2d_torch(test_x.double(), f.double(), y_axis, x_axis))

        return run(x) if x.numel() and self._prepare(kernel, x.shape[0] * x.shape[1], self_test, x) else None

    def bias_act(
        self, x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
    ) -> Tensor | None:
        """Compute `bias_act_torch`."""
        if x.numel() == 0:
            return None
        count, channel_stride, channels = x.numel(), 1, 1
        if b is not None:
            channel_stride, channels = x.shape[dim % x.ndim + 1 :].numel(), x.shape[dim]
        kernel = upfirdn2d_tiling.bias_act(
            _dtype_name(x), count, channel_stride, channels, act, float(alpha), float(gain), clamp
        )

        def run(x: Tensor, b: Tensor | None) -> Tensor:
            out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            bias = None if b is None else b.to(torch.float32).contiguous()
            return self._launch(kernel, out, 1, x.contiguous(), out, bias)

        def self_test() -> None:
            test_x, bias = _noise(x, *x.shape), None if b is None else _noise(x, *b.shape).float()
            expected = bias_act_torch(test_x.double(), bias, dim, act, alpha, gain, clamp)
            self._compare(kernel, run(test_x, bias), expected)

        return run(x, b) if self._prepare(kernel, 1, self_test, x) else None

    def _prepare(self, kernel: Kernel, planes: int, self_test: Callable[[], None], x: Tensor) -> bool:
        """Load and test a kernel that has not been used yet. Return False for more planes than a launch can have."""
        if kernel.blocks * planes > MAX_BLOCKS:
            return False
        if (key := (kernel.family, kernel.constants)) in self._launchers:
            return True
        _check_not_capturing(x)
        with self._lock, torch.inference_mode(False), torch.no_grad():
            if key not in self._launchers:
                self._launchers[key] = self._load(kernel)
                try:
                    self_test()
                except KernelMismatchError:
                    del self._launchers[key]
                    raise
        return True

    def _launch(self, kernel: Kernel, out: Tensor, planes: int, *pointers: Tensor | None) -> Tensor:
        if out.numel():
            parameters = bytearray(kernel.parameters)
            addresses = (0 if tensor is None else tensor.data_ptr() for tensor in pointers)
            struct.pack_into(f"{len(pointers)}Q", parameters, 0, *addresses)
            self._launchers[kernel.family, kernel.constants](kernel.blocks * planes, parameters)
        return out

    def _compare(self, kernel: Kernel, result: Tensor, expected: Tensor, max_flipped: float = 0.0) -> None:
        """Raise KernelMismatchError if more than `max_flipped` of the result is outside the tolerance."""
        if result.numel() == 0:
            return
        close = (result.double() - expected).abs() <= TOLERANCE[result.dtype] * expected.abs().max()
        if float((~close).double().mean()) > max_flipped:
            raise KernelMismatchError(
                f"its {kernel.family} for {str(result.dtype)[6:]} did not agree with plain torch on this GPU"
            )


def _dtype_name(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _to_host(resampler: Resampler) -> HostResampler:
    """Copy the filter to main memory, once for each filter tensor."""

    def copy_filter() -> Filter:
        _check_not_capturing(resampler.f)
        f = resampler.f.to("cpu", torch.float32).contiguous()
        return Filter(f.numpy().tobytes(), tuple(f.shape))

    return HostResampler(filter_cache.memoize_for_filter(resampler.f, "values", copy_filter), resampler.y, resampler.x)


def _check_not_capturing(x: Tensor) -> None:
    """Raise RuntimeError while a CUDA graph records: compiling, testing and copying cannot be recorded."""
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        raise RuntimeError("A CUDA graph cannot record a kernel's first run; run the same thing once before recording.")


def _noise(like: Tensor, *size: int, seed: int = 0) -> Tensor:
    """Normal noise of `like`'s device and dtype, from a generator of its own: torch's generators are not advanced."""
    generator = torch.Generator().manual_seed(sum(size) + seed)
    return torch.randn(size, generator=generator).to(like.device, like.dtype)
