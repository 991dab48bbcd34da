"""Build the CPU kernel now and print the outcome in one line: python -m ops.kernels."""

from __future__ import annotations

import sys
import time

from ops import kernels


def main() -> int:
    start = time.perf_counter()
    kernels.load(wait=True)
    seconds = time.perf_counter() - start
    reason = kernels.unavailable_reason()
    outcome = (
        f"The CPU kernel is ready ({seconds:.1f} s)." if reason is None else f"Plain torch serves the CPU: {reason}."
    )
    sys.stdout.write(outcome + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
