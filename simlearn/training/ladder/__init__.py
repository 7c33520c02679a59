"""Closed-form training of energies: least squares with evidence, and a joint fit by rollouts."""

from simlearn.training.ladder.start import Ladder, ladder

__all__ = ["Ladder", "ladder"]
