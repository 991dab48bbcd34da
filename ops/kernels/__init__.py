"""Compiled implementations of the ops, and how they are found, built, tested and cached.

`load()` returns whether the C++ kernel is in use for float32 and bfloat16 on the CPU. Only `load()` ever switches from
plain torch to C++, so that results between two calls of it are bit-identical: call it when a network is loaded, before
computing anything with it, and make `active_backend()` part of the key of every cached result. If it was never called,
the first op calls it. `ready`, `serving` and `why_not` are the former names.
"""

from ops.kernels.cpu import filtered_lrelu, self_test
from ops.kernels.cpu.loader import active_backend, load, set_self_test, unavailable_reason
from ops.kernels.cuda import dispatch

__all__ = ["active_backend", "load", "ready", "serving", "unavailable_reason", "why_not"]

ready, serving, why_not = load, active_backend, unavailable_reason

set_self_test(self_test.find_error)
filtered_lrelu.register()
dispatch.register()
