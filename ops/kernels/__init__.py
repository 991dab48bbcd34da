"""Compiled implementations of the ops, and how they are found, built, tested and cached.

`ready()` says whether the C++ kernel is in use for float32 and bfloat16 on the CPU. Only `ready()` ever switches from
plain torch to C++, so that results between two calls of it are bit-identical: call it when a network is loaded, before
computing anything with it, and make `serving()` part of the key of every cached result. If it was never called, the
first op calls it.
"""

from ops.kernels.cpu import filtered_lrelu, self_test
from ops.kernels.cpu.loader import set_self_test, load, active_backend, unavailable_reason
from ops.kernels.cuda import dispatch

__all__ = ["load", "active_backend", "unavailable_reason"]

set_self_test(self_test.find_error)
filtered_lrelu.register()
dispatch.register()
