"""CUDA implementations of filtered_lrelu, upfirdn2d and bias_act: compiled at run time, tested, then launched.

    dispatch.filtered_lrelu(x, b, None, args, input_scale, output_scale)

computes filtered_lrelu(x * input_scale + b) * output_scale for x [N,C,H,W] float32, float16 or bfloat16, b [C] and
scales [C] or [N,C], for example styles and demodulation. Arithmetic is in float32. Every kernel is compared with plain
torch before its first use; if it is wrong or cannot be compiled, plain torch serves and `ops.describe` says why.

Launching does not wait, and allocates only through torch's allocator: a CUDA graph can record it after a first run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from ops import backends
from ops.bias_act import bias_act_torch
from ops.filtered_lrelu import FilteredLreluArgs, filtered_lrelu_torch
from ops.kernels.cuda import nvrtc
from ops.kernels.cuda.driver import Context, DriverError
from ops.kernels.cuda.kernel_source import SAMPLE_TYPES, THREADS, Kernel
from ops.kernels.cuda.launch import CudaKernels, KernelMismatchError, Launch
from ops.polyphase import AxisResampling
from ops.upfirdn2d import upfirdn2d_torch

NAME = "CUDA (NVRTC)"
_lock = threading.RLock()
_enabled = True


def filtered_lrelu(
    x: Tensor,
    b: Tensor | None,
    grad: Tensor | None,
    args: FilteredLreluArgs,
    input_scale: Tensor | None = None,
    output_scale: Tensor | None = None,
) -> Tensor:
    """Compute `filtered_lrelu_torch` of x * input_scale, times output_scale."""
    y = None
    if x.is_cuda:
        y = _run_kernel(
            "filtered_lrelu", x, lambda kernels: kernels.filtered_lrelu(x, b, grad, args, input_scale, output_scale)
        )
    if y is None:
        scaled = x if input_scale is None else x.to(args.upsampler.f.dtype) * input_scale[..., None, None]
        y = filtered_lrelu_torch(scaled, b, grad, args)
        y = (y if output_scale is None else y * output_scale[..., None, None]).to(x.dtype)
    return y


def upfirdn2d(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    """Compute `upfirdn2d_torch`."""
    y = _run_kernel("upfirdn2d", x, lambda kernels: kernels.upfirdn2d(x, f, y_axis, x_axis))
    return upfirdn2d_torch(x, f, y_axis, x_axis) if y is None else y


def bias_act(x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None) -> Tensor:
    """Compute `bias_act_torch`; without gradients."""
    y = _run_kernel("bias_act", x, lambda kernels: kernels.bias_act(x, b, dim, act, alpha, gain, clamp))
    return bias_act_torch(x, b, dim, act, alpha, gain, clamp) if y is None else y


def register() -> None:
    """Register these implementations with `ops.backends`, if torch was built for NVIDIA GPUs."""
    if torch.version.cuda is None:
        return
    functions: list[tuple[str, Callable[..., Tensor]]] = [
        ("filtered_lrelu", filtered_lrelu),
        ("upfirdn2d", upfirdn2d),
        ("bias_act", bias_act),
    ]
    for family, run in functions:
        backends.register(
            family, backends.Implementation(NAME, run, lambda x, family=family: unsupported_reason(family, x))
        )


def unsupported_reason(family: str, x: Tensor) -> str | None:
    """Return why the kernels of a family cannot be used for x, or None if they can."""
    if x.device.type != "cuda":
        return "it is for NVIDIA GPUs"
    if str(x.dtype).removeprefix("torch.") not in SAMPLE_TYPES:
        return "it is for float32, float16 and bfloat16"
    if not _enabled:
        return "it was switched off"
    kernels = _kernels(x.device.index)
    return kernels if isinstance(kernels, str) else kernels.failures.get(family)


def set_enabled(enabled: bool) -> None:
    """Switch these implementations on or off, to compare them with plain torch.

    Results before and after differ by rounding, so do not switch between images that must be bit-identical.
    """
    global _enabled
    _enabled = enabled


def _run_kernel(family: str, x: Tensor, run: Callable[[CudaKernels], Tensor | None]) -> Tensor | None:
    """Return the result, or None if plain torch has to serve. A kernel that fails disables its family on the device."""
    kernels = _kernels(x.device.index)
    if isinstance(kernels, str) or family in kernels.failures:
        return None
    try:
        return run(kernels)
    except (nvrtc.NvrtcError, DriverError, KernelMismatchError) as error:
        kernels.failures[family] = str(error)
        return None


def _kernels(device: int) -> CudaKernels | str:
    """Return the kernels of a device, or why it has none; the same for the life of the process."""
    with _lock:
        return _open_device(device)


@lru_cache
def _open_device(device: int) -> CudaKernels | str:
    try:
        gpu = Gpu(device)
    except (nvrtc.NvrtcError, DriverError) as error:
        return str(error)
    return CudaKernels(gpu.load)


class Gpu:
    """Compiles and loads kernels for one device. Raises NvrtcError or DriverError."""

    def __init__(self, device: int) -> None:
        self._device = device
        self.architecture = "sm_{}{}".format(*torch.cuda.get_device_capability(device))
        nvrtc.library()
        self._context = Context(device)

    def load(self, kernel: Kernel) -> Launch:
        """Compile a kernel, or read it from the cache, and load it."""
        shared = kernel.shared_words * 4
        image = nvrtc.compile_cached(kernel.source(), self.architecture)
        function = self._context.load(image, "bandlimit")
        function.prefer_shared_memory(shared)

        def launch(blocks: int, parameters: bytearray) -> None:
            stream = torch.cuda.current_stream(self._device).cuda_stream
            function.launch(blocks, THREADS, shared, stream, parameters)

        return launch
