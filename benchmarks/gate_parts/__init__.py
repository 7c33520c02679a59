"""Parts of `benchmarks/gate.py`, one idea a file."""
