"""Runtime environment of a training: precision, memory, signals and versions."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ops import kernels
from ops.image_allocator import disable_malloc_trim
from runs.run_folder import RunError
from training.config import TrainingConfig
from training.run.diagnostics import oom_message


def collect_versions() -> dict[str, str]:
    """Return the versions that a result may depend on besides the configuration."""
    kernels.load(wait=True)  # else run.yaml would tell of what served before
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "threads": str(torch.get_num_threads()),
        "kernels": kernels.active_backend(),
    }


def prepare_torch(config: TrainingConfig) -> None:
    """Set precision, determinism and memory allocation for this process."""
    torch.backends.cudnn.benchmark = not config.nobench and not config.deterministic
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = config.allow_tf32
    torch.use_deterministic_algorithms(config.deterministic)
    disable_malloc_trim()
    kernels.load(wait=True)  # one form from the first step to the last: another one has other last digits


@contextlib.contextmanager
def explain_oom(config: TrainingConfig) -> Iterator[None]:
    """Translate out-of-memory errors to a RunError with advice."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise RunError(oom_message(config)) from None
    except RuntimeError as error:
        if "not enough memory" not in str(error) and "out of memory" not in str(error):
            raise
        raise RunError(oom_message(config)) from None


@contextlib.contextmanager
def graceful_shutdown(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call `interrupt` at SIGINT and SIGTERM; a second Ctrl-C, more than a second later, stops at once.

    A second signal within a second is taken as the same one: torchrun forwards signals that its processes have already
    received.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: list[float] = []

    def handle(number: int, _frame: Any) -> None:
        if first and number == signal.SIGINT and time.monotonic() - first[0] > 1:
            raise KeyboardInterrupt
        first.append(time.monotonic())
        interrupt()

    known = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in known]
    try:
        yield
    finally:
        for number, handler in zip(known, before, strict=True):
            signal.signal(number, handler)


def memory_in_use(device: torch.device) -> tuple[float, float, float]:
    """Return GiB of memory: of this process, and the peaks allocated and reserved on the GPU (0 on a CPU)."""
    cpu = 0.0
    if sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu = peak / (1 if sys.platform == "darwin" else 1 / 1024) / 2**30
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            cpu = pages * os.sysconf("SC_PAGE_SIZE") / 2**30
    if device.type != "cuda":
        return cpu, 0.0, 0.0
    return cpu, torch.cuda.max_memory_allocated(device) / 2**30, torch.cuda.max_memory_reserved(device) / 2**30


def format_duration(seconds: float) -> str:
    """Format seconds as `12s`, `3m 05s`, `2h 03m 04s` or `1d 02h 03m`."""
    whole = round(seconds)
    days, hours, minutes, secs = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if days:
        return f"{days}d {hours:02d}h {minutes:02d}m"
    if hours:
        return f"{hours}h {minutes:02d}m {secs:02d}s"
    return f"{minutes}m {secs:02d}s" if minutes else f"{secs}s"
