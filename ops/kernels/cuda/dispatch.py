"""The NVIDIA form of filtered leaky ReLU, resampling and activations: compiled at run time, checked, then launched.

    dispatch.filtered_lrelu(x, b, None, args, input_scale, output_scale)

computes filtered_lrelu(x * input_scale + b) * output_scale for x [N,C,H,W] float32, float16 or bfloat16, b [C] and
scales [C] or [N,C], for example styles and demodulation. Arithmetic is in float32. Every kernel is compared with plain
torch when it is first used; if it is not right, or cannot be had, plain torch serves and `ops.describe` says why.

Launching neither waits nor allocates outside torch's own allocator, so a CUDA graph can record it, once it has run.
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
from ops.kernels.cuda.kernel_source import THREADS, Kernel
from ops.kernels.cuda.launch import SAMPLES, Forms, Launch, Wrong
from ops.polyphase import AxisResampling
from ops.upfirdn2d import upfirdn2d_torch

NAME = "CUDA (NVRTC)"
_lock = threading.RLock()
_serving = True


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
        y = _try("filtered_lrelu", x, lambda f: f.filtered_lrelu(x, b, grad, args, input_scale, output_scale))
    if y is None:
        scaled = x if input_scale is None else x.to(args.upsampler.f.dtype) * input_scale[..., None, None]
        y = filtered_lrelu_torch(scaled, b, grad, args)
        y = (y if output_scale is None else y * output_scale[..., None, None]).to(x.dtype)
    return y


def upfirdn2d(x: Tensor, f: Tensor, y_axis: AxisResampling, x_axis: AxisResampling) -> Tensor:
    """See `ops.upfirdn2d`."""
    y = _try("upfirdn2d", x, lambda forms: forms.upfirdn2d(x, f, y_axis, x_axis))
    return upfirdn2d_torch(x, f, y_axis, x_axis) if y is None else y


def bias_act(x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None) -> Tensor:
    """See `ops.bias_act`; without gradients."""
    y = _try("bias_act", x, lambda forms: forms.bias_act(x, b, dim, act, alpha, gain, clamp))
    return bias_act_torch(x, b, dim, act, alpha, gain, clamp) if y is None else y


def register() -> None:
    """Let the ops ask for these forms first, where torch was built for NVIDIA's GPUs."""
    if torch.version.cuda is None:
        return
    offered: list[tuple[str, Callable[..., Tensor]]] = [
        ("filtered_lrelu", filtered_lrelu),
        ("upfirdn2d", upfirdn2d),
        ("bias_act", bias_act),
    ]
    for family, run in offered:
        backends.register(
            family, backends.Implementation(NAME, run, lambda x, family=family: unsupported_reason(family, x))
        )


def unsupported_reason(family: str, x: Tensor) -> str | None:
    """Why the kernels of a family cannot take x, or None: what `backends.Form` asks."""
    if x.device.type != "cuda":
        return "it is for NVIDIA GPUs"
    if str(x.dtype).removeprefix("torch.") not in SAMPLES:
        return "it is for float32, float16 and bfloat16"
    if not _serving:
        return "it was switched off"
    forms = _forms(x.device.index)
    return forms if isinstance(forms, str) else forms.failures.get(family)


def serve(wanted: bool) -> None:
    """Switch these forms off and on, to compare them with plain torch; not between pictures that must agree."""
    global _serving
    _serving = wanted


def _try(family: str, x: Tensor, run: Callable[[Forms], Tensor | None]) -> Tensor | None:
    """The result, or None where plain torch has to serve, from now on if a kernel turned out not to be had."""
    forms = _forms(x.device.index)
    if isinstance(forms, str) or family in forms.failures:
        return None
    try:
        return run(forms)
    except (nvrtc.NvrtcError, DriverError, Wrong) as error:
        forms.failures[family] = str(error)
        return None


def _forms(device: int) -> Forms | str:
    """The forms for a device, or why there are none. Found out once."""
    with _lock:
        return _found(device)


@lru_cache
def _found(device: int) -> Forms | str:
    try:
        machine = Gpu(device)
    except (nvrtc.NvrtcError, DriverError) as error:
        return str(error)
    return Forms(machine.load)


class Gpu:
    """Makes kernels ready to launch on one device. Raises NvrtcError or DriverError."""

    def __init__(self, device: int) -> None:
        self._device = device
        self.architecture = "sm_{}{}".format(*torch.cuda.get_device_capability(device))
        nvrtc.library()
        self._context = Context(device)

    def load(self, kernel: Kernel) -> Launch:
        """Compile (or find in the cache) and load a kernel."""
        shared = kernel.shared_words * 4
        image = nvrtc.compiled(kernel.source(), self.architecture)
        function = self._context.load(image, "bandlimit")
        function.prefer_shared_memory(shared)

        def launch(blocks: int, parameters: bytearray) -> None:
            stream = torch.cuda.current_stream(self._device).cuda_stream
            function.launch(blocks, THREADS, shared, stream, parameters)

        return launch
