"""Benchmarks: `python -m benchmarks.NAME` for one, `python -m benchmarks` for all; docs/benchmarks.md says what each measures."""
