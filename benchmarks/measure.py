"""How speed is measured here: in pairs that alternate, in a process of its own, with the machine's limits beside it."""

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

from renderer.openmp_env import waiting

ROOT = Path(__file__).resolve().parent.parent
MARK = "RESULT "
TURN = 0.02  # seconds that a turn lasts at least
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt
Work = Callable[[], object]


@dataclass(frozen=True)
class Pairs:
    """Two ways of doing the same thing, one after the other again and again. Times in seconds."""

    ours: float  # best
    ours_median: float
    plain: float
    plain_median: float
    ratio: float  # median over the pairs of plain / ours
    count: int


def pairs(ours: Work, plain: Work, seconds: float, *, least: int = 3, most: int = 60, warm: bool = True) -> Pairs:
    """Alternate the two for about so many seconds, `least` to `most` times each; what runs first alternates, too.

    What takes less than a turn is repeated in it, as layers follow each other in a network, and its mean counts. Both
    run once before that, to warm up, unless `warm` is False.
    """
    if warm:
        ours()
        plain()
    mine: list[float] = []
    theirs: list[float] = []
    end = time.perf_counter() + seconds
    while len(mine) < least or (time.perf_counter() < end and len(mine) < most):
        for work, times in ((ours, mine), (plain, theirs))[:: -1 if len(mine) % 2 else 1]:
            times.append(turn(work))
    ratio = median(b / a for a, b in zip(mine, theirs, strict=True))
    return Pairs(min(mine), median(mine), min(theirs), median(theirs), ratio, len(mine))


def timed(work: Work) -> float:
    """Seconds that it takes once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def turn(work: Work) -> float:
    """Seconds that it takes, on average over one turn."""
    count, began = 0, time.perf_counter()
    while not count or time.perf_counter() < began + TURN:
        work()
        count += 1
    return (time.perf_counter() - began) / count


def repeated(work: Work, seconds: float, least: int = 3) -> list[float]:
    """Seconds of each run, after one to warm up."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        times.append(timed(work))
    return times


def keep_memory() -> bool:
    """Have the C library keep and reuse what was freed; whether it could be told so (glibc only).

    This favours the plain path: it allocates far more than ours, and fresh pages are slow in a virtual machine.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))


def peak_memory(work: Work) -> int:
    """Bytes that this process grew by, at most, while the work was done; for a fresh process."""
    before = _resident()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    work()
    return max(0, _peak() - before)


def _resident() -> int:
    return _from_status("VmRSS:") or _peak()


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return _from_status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _from_status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def apart(where: str, *, keep: bool = False, torch_only: bool = False, timeout: float = 3600, **arguments: Any) -> Any:
    """What `module:function` of this package returns in a process of its own.

    `keep`: it keeps its memory; `torch_only`: it uses no compiled kernel.
    Raises RuntimeError with the last words of a process that failed or took longer than `timeout` seconds.
    """
    command = [sys.executable, "-m", "benchmarks.measure", where, json.dumps(arguments), str(int(keep))]
    env = {**waiting(os.environ), **os.environ, "STARTED": str(time.time())}
    if torch_only:
        env["BANDLIMIT_KERNELS"] = "torch"
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{where} took longer than {timeout:.0f} s") from error
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    words = (done.stderr.strip() or "it said nothing").splitlines()[-1]
    raise RuntimeError(f"{where} ended with status {done.returncode}: {words}")


def since_start() -> float:
    """Seconds since `apart` started this process, the interpreter's own start included."""
    return time.time() - float(os.environ["STARTED"])


def limits(seconds: float = 2.0) -> dict[str, float]:
    """What this machine can do now: float32 convolution (NHWC) in GFLOP/s, copying in GB/s read and written."""
    import torch

    with torch.inference_mode():
        x = torch.randn(1, 256, 128, 128).contiguous(memory_format=torch.channels_last)
        w = torch.randn(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
        operations = 2 * 9 * 256 * 256 * 128 * 128
        convolution = min(repeated(lambda: torch.conv2d(x, w, padding=1), seconds / 2))
        source = torch.ones(32 << 20)
        target = torch.empty_like(source)
        copy = min(repeated(lambda: target.copy_(source), seconds / 2))
    return {"convolution": operations / convolution / 1e9, "copy": 2 * source.nbytes / copy / 1e9}


def machine() -> str:
    """The processor and what is used of it, in words."""
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


def load() -> float:
    """How many processes want a core, over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def surroundings(seconds: float = 2.0) -> dict[str, Any]:
    """For `apart`: the machine and its limits."""
    return {"machine": machine(), "load": load(), **limits(seconds)}


def main() -> None:
    """The other end of `apart`."""
    where, arguments, keep = sys.argv[1:]
    module, _, function = where.partition(":")
    if keep == "1" and not keep_memory():
        raise SystemExit("the C library of this system cannot be told to keep memory")
    result = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**json.loads(arguments))
    print(MARK + json.dumps(asdict(result) if hasattr(result, "__dataclass_fields__") else result), flush=True)


if __name__ == "__main__":
    main()
