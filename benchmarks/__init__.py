"""Speed measured side by side in one run: `python -m benchmarks` prints the ratios and writes docs/benchmarks.md."""
