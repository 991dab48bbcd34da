"""Time on a GPU; the same on a CPU, so that all that is around it can be tried where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.report import Section

DEVICE = "cuda" if torch.cuda.is_available() and torch.version.cuda else "cpu"


class Wrong(RuntimeError):
    """What was compared is not right; the section shows what."""

    def __init__(self, section: Section) -> None:
        super().__init__(section.title)
        self.section = section


def copy_speed(size: int = 1 << 28) -> float:
    """Bytes read and written per second by a large copy of `size` numbers."""
    source = torch.empty(size, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), 9)


def seconds(work: Callable[[], object], repeats: int, inside: int = 1) -> float:
    """Median time of work; with `inside`, of a graph of so many, in which the CPU does not count."""
    work()
    if DEVICE == "cpu":
        return _on_cpu(work, repeats)
    run = work if inside == 1 else record(lambda: [work() for _ in range(inside)])
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / inside)
    return median(times)


def _on_cpu(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def record(work: Callable[[], object]) -> Callable[[], None]:
    """A CUDA graph of work, which is run first on a stream of its own, as recording wants it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def peak_gib() -> float:
    """Most memory in use since `forget_peak`, in GiB; 0 without a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0


def forget_peak() -> None:
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
