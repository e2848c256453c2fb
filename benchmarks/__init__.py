"""The daemon measured beside supervisord, in one run on one machine: `python -m benchmarks`."""
