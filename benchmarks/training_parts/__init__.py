"""Parts of benchmarks/training_dynamics.py."""
