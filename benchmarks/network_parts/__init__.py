"""Parts of `benchmarks/networks.py`: cells, rivals written from the papers, limits."""
