"""Measurements of the daemon beside supervisord, in one run on one machine: `python -m benchmarks`."""
