"""Filters are prepared once, and again after they have changed."""

from __future__ import annotations

import gc
import sys
import threading

import torch

import ops
from ops import filter_cache


def test_a_filter_that_was_changed_in_place_is_prepared_again():
    x, f = torch.ones(1, 1, 4, 4), torch.tensor([1.0, 1.0])
    before = ops.upfirdn2d(x, f)
    f.mul_(2)
    assert torch.equal(ops.upfirdn2d(x, f), before * 4)


def test_an_inference_mode_filter_can_be_used_with_gradients():
    with torch.inference_mode():
        f = torch.tensor([1.0, 2.0])
        ops.upfirdn2d(torch.ones(1, 1, 4, 4), f)
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    (grad,) = torch.autograd.grad(ops.upfirdn2d(x, f).sum(), x)
    assert float(grad[0, 0, 1, 1]) == 9


def test_cached_values_are_bounded_and_freed_with_the_filter():
    f = torch.tensor([1.0, 1.0])
    before = len(filter_cache._cache)
    for gain in range(1, 100):
        ops.upfirdn2d(torch.ones(1, 1, 4, 4), f, gain=gain)
    assert len(filter_cache._cache[f][1]) <= filter_cache.MAX_ENTRIES
    del f
    gc.collect()
    assert len(filter_cache._cache) <= before


def test_threads_may_use_more_gains_than_the_cache_holds():
    f, x, failures = torch.tensor([1.0, 1.0]), torch.ones(1, 1, 4, 4), []

    def ask(first: int) -> None:
        try:
            for i in range(3000):
                filter_cache.cached_filter(f, x, gain=1 + (first + i * 7) % 200)
        except KeyError as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(13 * k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
