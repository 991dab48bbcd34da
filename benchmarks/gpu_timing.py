"""Timing and memory on a GPU, with a CPU fallback so that the benchmarks can be tested without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.report import Section

DEVICE = "cuda" if torch.cuda.is_available() and torch.version.cuda else "cpu"


class CheckFailed(RuntimeError):
    """A comparison failed; the section shows which."""

    def __init__(self, section: Section) -> None:
        super().__init__(section.title)
        self.section = section


def copy_bandwidth(size: int = 1 << 28) -> float:
    """Return the bytes read and written per second when copying `size` floats."""
    source = torch.empty(size, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_seconds(lambda: target.copy_(source), 9)


def median_seconds(work: Callable[[], object], repeats: int, per_graph: int = 1) -> float:
    """Return the median seconds of work(); `per_graph` > 1 times that many in one CUDA graph, without CPU overhead."""
    work()
    if DEVICE == "cpu":
        return _median_seconds_on_cpu(work, repeats)
    run = work if per_graph == 1 else record_graph(lambda: [work() for _ in range(per_graph)])
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / per_graph)
    return median(times)


def _median_seconds_on_cpu(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def record_graph(work: Callable[[], object]) -> Callable[[], None]:
    """Record work() as a CUDA graph, after running it on a side stream as recording requires."""
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
    """Return the peak memory since `reset_peak` in GiB; 0 without a GPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else 0.0


def reset_peak() -> None:
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
