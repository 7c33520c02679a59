"""The check of unlearnable directions, one idea a file."""

from simlearn_checks.unlearnable.check import UnlearnableDirections

__all__ = ["UnlearnableDirections"]
