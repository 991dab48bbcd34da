"""The compiled forms of the ops, and how they are found, built, checked and cached.

`ready()` says whether the C++ kernel now serves float32 and bfloat16 on the CPU. The form changes at no other moment
than inside `ready()`, so that what is computed between two calls agrees bit for bit: call it when a network is loaded,
before anything is computed with it, and let `serving()` be part of the key of whatever is kept from before. A process
that never calls it has it called for it when the first op runs.
"""

from ops.kernels.cpu import filtered_lrelu, self_test
from ops.kernels.cpu.loader import checked_by, ready, serving, why_not
from ops.kernels.cuda import dispatch

__all__ = ["ready", "serving", "why_not"]

checked_by(self_test.find_error)
filtered_lrelu.register()
dispatch.register()
