"""Benchmarks: `python -m benchmarks` measures ours against a plain path side by side and writes docs/benchmarks.md."""
