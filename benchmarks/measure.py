"""Measure speed in alternating pairs, in a fresh process, together with the machine's limits."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from renderer.openmp_env import openmp_env

ROOT = Path(__file__).resolve().parent.parent
RESULT_PREFIX = "RESULT "
MIN_SECONDS = 0.02  # of one measurement: what takes less is repeated
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt
Work = Callable[[], object]


@dataclass(frozen=True)
class PairedTimes:
    """Times in seconds of two ways of computing the same, measured alternately."""

    ours: float  # best
    ours_median: float
    plain: float
    plain_median: float
    ratio: float  # median over the pairs of plain / ours
    count: int


def time_pairs(
    ours: Work, plain: Work, seconds: float, *, min_count: int = 3, max_count: int = 60, warm_up: bool = True
) -> PairedTimes:
    """Time both alternately for about `seconds`, `min_count` to `max_count` times each; which is first alternates too.

    Work that takes less than MIN_SECONDS is repeated, as layers follow each other in a network, and its mean counts.
    `warm_up` runs both once before.
    """
    if warm_up:
        ours()
        plain()
    our_times: list[float] = []
    plain_times: list[float] = []
    end = time.perf_counter() + seconds
    while len(our_times) < min_count or (time.perf_counter() < end and len(our_times) < max_count):
        for work, times in ((ours, our_times), (plain, plain_times))[:: -1 if len(our_times) % 2 else 1]:
            times.append(mean_time(work))
    ratio = median(b / a for a, b in zip(our_times, plain_times, strict=True))
    return PairedTimes(min(our_times), median(our_times), min(plain_times), median(plain_times), ratio, len(our_times))


def time_once(work: Work) -> float:
    """Return the seconds of one run."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def mean_time(work: Work) -> float:
    """Return the mean seconds of a run, over runs of MIN_SECONDS together."""
    count, began = 0, time.perf_counter()
    while not count or time.perf_counter() < began + MIN_SECONDS:
        work()
        count += 1
    return (time.perf_counter() - began) / count


def time_repeatedly(work: Work, seconds: float, min_count: int = 3) -> list[float]:
    """Return the seconds of each run, after one to warm up."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < min_count or time.perf_counter() < end:
        times.append(time_once(work))
    return times


def disable_malloc_trim() -> bool:
    """Make malloc keep and reuse freed memory; return whether that is possible (glibc only).

    This favors the plain path, which allocates far more than ours: fresh pages are slow in a virtual machine.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))


def peak_memory(work: Work) -> int:
    """Return the peak growth of this process in bytes while work() runs; for a fresh process."""
    before = _resident()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    work()
    return max(0, _peak() - before)


def _resident() -> int:
    return _read_status("VmRSS:") or _peak()


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return _read_status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _read_status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def run_in_process(
    function: str, *, keep_memory: bool = False, torch_only: bool = False, timeout: float = 3600, **arguments: Any
) -> Any:
    """Call `module:function` of this package in a fresh process and return its result.

    `keep_memory` makes malloc keep freed memory; `torch_only` uses no compiled kernel. Raises RuntimeError with the
    last line of output if the process fails, or if it takes longer than `timeout` seconds.
    """
    command = [sys.executable, "-m", "benchmarks.measure", function, json.dumps(arguments), str(int(keep_memory))]
    env = {**openmp_env(os.environ), **os.environ, "STARTED": str(time.time())}
    if torch_only:
        env["BANDLIMIT_KERNELS"] = "torch"
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{function} took longer than {timeout:.0f} s") from error
    for line in done.stdout.splitlines():
        if line.startswith(RESULT_PREFIX):
            return json.loads(line.removeprefix(RESULT_PREFIX))
    last_line = (done.stderr.strip() or "it said nothing").splitlines()[-1]
    raise RuntimeError(f"{function} ended with status {done.returncode}: {last_line}")


def seconds_since_start() -> float:
    """Return the seconds since `run_in_process` started this process, including the interpreter's start."""
    return time.time() - float(os.environ["STARTED"])


def measure_limits(seconds: float = 2.0) -> dict[str, float]:
    """Measure what this machine can do now: float32 convolution (NHWC) in GFLOP/s, copying in GB/s read and written."""
    import torch

    with torch.inference_mode():
        x = torch.randn(1, 256, 128, 128).contiguous(memory_format=torch.channels_last)
        w = torch.randn(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
        operations = 2 * 9 * 256 * 256 * 128 * 128
        convolution = min(time_repeatedly(lambda: torch.conv2d(x, w, padding=1), seconds / 2))
        source = torch.ones(32 << 20)
        target = torch.empty_like(source)
        copy = min(time_repeatedly(lambda: target.copy_(source), seconds / 2))
    return {"convolution": operations / convolution / 1e9, "copy": 2 * source.nbytes / copy / 1e9}


def describe_machine() -> str:
    """Describe the processor, threads and versions in words."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
        flags = next((line.split() for line in lines if line.startswith("flags")), [])
    except OSError:
        flags = []
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX-512 bf16", "amx_tile": "AMX"}
    able = ", ".join(word for flag, word in known.items() if flag in flags)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{name}{f' ({able})' if able else ''}, {cores} cores, {torch.get_num_threads()} threads; "
        f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )


def load_average() -> float:
    """Return the load average of the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def describe_environment(seconds: float = 2.0) -> dict[str, Any]:
    """Return the machine's description, load and limits, for `run_in_process`."""
    return {"machine": describe_machine(), "load": load_average(), **measure_limits(seconds)}


def main() -> None:
    """Run what `run_in_process` asks for and print its result."""
    target, arguments, keep = sys.argv[1:]
    module, _, function = target.partition(":")
    if keep == "1" and not disable_malloc_trim():
        raise SystemExit("the C library of this system cannot be told to keep memory")
    result = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**json.loads(arguments))
    print(RESULT_PREFIX + json.dumps(asdict(result) if hasattr(result, "__dataclass_fields__") else result), flush=True)


if __name__ == "__main__":
    main()
