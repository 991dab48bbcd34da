"""From tensors to launches: outputs, pointers, contiguous inputs, and the comparison of each kernel with plain torch.

It knows kernels only as something that makes them ready to launch, so that the tests run all of this on a CPU.
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
from ops.kernels.cuda.kernel_source import SAMPLES as SAMPLES
from ops.kernels.cuda.kernel_source import Filter, Kernel, Unfit
from ops.kernels.cuda.kernel_source import Leg as HostLeg
from ops.polyphase import AxisResampling
from ops.upfirdn2d import upfirdn2d_torch

Launch = Callable[[int, bytearray], None]  # number of blocks, parameters

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}  # of the largest value: two roundings
FLIPPED = 0.05  # of a gradient may differ: where the signal is within rounding of the bend, the slope may be the other
MOST_BLOCKS = 2**31 - 1


class Wrong(RuntimeError):
    """A kernel did not compute what plain torch computes."""


class Forms:
    """The kernels of one device; `load` makes one ready. Methods give None where a kernel has not been written for it.

    They raise what `load` raises, and Wrong. `failures` is for the caller to say which family must not be asked again.
    """

    def __init__(self, load: Callable[[Kernel], Launch]) -> None:
        self.failures: dict[str, str] = {}
        self._load = load
        self._ready: dict[tuple[str, str], Launch] = {}
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
        grad_upsampler, downsampler, activation = args.grad_upsampler, args.downsampler, args.activation
        try:
            kernel = filtered_lrelu_tiling.filtered_lrelu(
                _sample(x),
                x.shape[1],
                _host(args.upsampler),
                None if grad_upsampler is None else _host(grad_upsampler),
                _host(downsampler),
                activation.slope,
                activation.clamp,
            )
        except Unfit:
            return None

        def trial() -> None:
            channels = min(x.shape[1], 2)
            one = _noise(x, 1, channels, *x.shape[2:])
            other = None if grad is None else _noise(x, 1, channels, *grad.shape[2:])
            bias, scales = _noise(x, x.shape[1]).float(), [_noise(x, channels, seed=n).float() for n in (1, 2)]
            scaled = one.double() * scales[0].double()[:, None, None]
            grad_double = None if other is None else other.double()
            expected = filtered_lrelu_torch(scaled, bias[:channels], grad_double, args.double())
            expected = expected * scales[1].double()[:, None, None]
            self._compare(kernel, run(one, bias, other, *scales), expected, 0.0 if grad is None else FLIPPED)

        def run(x: Tensor, b: Tensor | None, grad: Tensor | None, *scales: Tensor | None) -> Tensor:
            size = [*x.shape[:2], downsampler.y.size_out, downsampler.x.size_out]
            out = torch.empty(size, dtype=x.dtype, device=x.device)
            x, grad = x.contiguous(), None if grad is None else grad.to(x.dtype).contiguous()
            bias = None if b is None else b.to(torch.float32).contiguous()
            expanded = [None if s is None else s.to(torch.float32).expand(x.shape[:2]).contiguous() for s in scales]
            return self._launch(kernel, out, out.shape[0] * out.shape[1], x, grad, out, bias, *expanded)

        if x.numel() == 0 or not self._prepare(kernel, x.shape[0] * x.shape[1], trial, x):
            return None
        return run(x, b, grad, input_scale, output_scale)

    def upfirdn2d(self, x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor | None:
        try:
            kernel = upfirdn2d_tiling.upfirdn2d(_sample(x), _host(Resampler(f, y_axis, x_axis)))
        except Unfit:
            return None

        def trial() -> None:
            one = _noise(x, 1, 2, *x.shape[2:])
            self._compare(kernel, run(one), upfirdn2d_torch(one.double(), f.double(), y_axis, x_axis))

        def run(x: Tensor) -> Tensor:
            out = torch.empty([*x.shape[:2], y_axis.size_out, x_axis.size_out], dtype=x.dtype, device=x.device)
            return self._launch(kernel, out, out.shape[0] * out.shape[1], x.contiguous(), out)

        return run(x) if x.numel() and self._prepare(kernel, x.shape[0] * x.shape[1], trial, x) else None

    def bias_act(
        self, x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
    ) -> Tensor | None:
        if x.numel() == 0:
            return None
        count, step, channels = x.numel(), 1, 1
        if b is not None:
            step, channels = x.shape[dim % x.ndim + 1 :].numel(), x.shape[dim]
        kernel = upfirdn2d_tiling.bias_act(_sample(x), count, step, channels, act, float(alpha), float(gain), clamp)

        def trial() -> None:
            one, bias = _noise(x, *x.shape), None if b is None else _noise(x, *b.shape).float()
            expected = bias_act_torch(one.double(), bias, dim, act, alpha, gain, clamp)
            self._compare(kernel, run(one, bias), expected)

        def run(x: Tensor, b: Tensor | None) -> Tensor:
            out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
            bias = None if b is None else b.to(torch.float32).contiguous()
            return self._launch(kernel, out, 1, x.contiguous(), out, bias)

        return run(x, b) if self._prepare(kernel, 1, trial, x) else None

    def _prepare(self, kernel: Kernel, planes: int, trial: Callable[[], None], x: Tensor) -> bool:
        """Load and try a kernel that is met for the first time. False for more planes than a launch may have."""
        if kernel.blocks * planes > MOST_BLOCKS:
            return False
        if (key := (kernel.family, kernel.constants)) in self._ready:
            return True
        _refuse_while_recording(x)
        with self._lock, torch.inference_mode(False), torch.no_grad():
            if key not in self._ready:
                self._ready[key] = self._load(kernel)
                try:
                    trial()
                except Wrong:
                    del self._ready[key]
                    raise
        return True

    def _launch(self, kernel: Kernel, out: Tensor, planes: int, *pointers: Tensor | None) -> Tensor:
        if out.numel():
            parameters = bytearray(kernel.parameters)
            addresses = (0 if tensor is None else tensor.data_ptr() for tensor in pointers)
            struct.pack_into(f"{len(pointers)}Q", parameters, 0, *addresses)
            self._ready[kernel.family, kernel.constants](kernel.blocks * planes, parameters)
        return out

    def _compare(self, kernel: Kernel, made: Tensor, expected: Tensor, apart: float = 0.0) -> None:
        if made.numel() == 0:
            return
        close = (made.double() - expected).abs() <= TOLERANCE[made.dtype] * expected.abs().max()
        if float((~close).double().mean()) > apart:
            raise Wrong(f"its {kernel.family} for {str(made.dtype)[6:]} did not agree with plain torch on this GPU")


def _sample(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _host(leg: Resampler) -> HostLeg:
    """The leg with its filter's values, which are fetched from the device once in the filter's life."""

    def fetch() -> Filter:
        _refuse_while_recording(leg.f)
        return Filter(leg.f.to("cpu", torch.float32).contiguous().numpy().tobytes(), tuple(leg.f.shape))

    return HostLeg(filter_cache.memoize_for_filter(leg.f, "values", fetch), leg.y, leg.x)


def _refuse_while_recording(x: Tensor) -> None:
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        raise RuntimeError("A CUDA graph cannot record a kernel's first run; run the same thing once before recording.")


def _noise(like: Tensor, *size: int, seed: int = 0) -> Tensor:
    """Random samples as `like` stores them, that leave torch's own generators alone."""
    generator = torch.Generator().manual_seed(sum(size) + seed)
    return torch.randn(size, generator=generator).to(like.device, like.dtype)
