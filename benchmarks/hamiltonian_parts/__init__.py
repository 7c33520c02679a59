"""Parts of `benchmarks/hamiltonian.py`: data, protocols, baselines written from the papers."""
