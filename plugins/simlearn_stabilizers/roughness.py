"""A penalty on uneven coefficients."""

from __future__ import annotations

import torch

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Multilinear


class Roughness(simlearn.Stabilizer):
    """Penalises unevenness of a learned law.

    The penalty is weight · |D₂ w|² / max|w₀|², w the coefficients, w₀ the closed form's.

    Where no data reach, the loss says nothing of a coefficient; this says that it lies between its
    neighbours.

    Args:
        weight: Weight of the penalty against the loss. Good values: 1e-10 to 1e-7 beside a scaled
            rollout loss.
    """

    def __init__(self, weight: float = 1e-9):
        if weight < 0:
            raise ConfigError(f"Roughness needs a weight >= 0, got {weight}.")
        self.weight = weight

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            "Bends the law towards one whose coefficients lie on a straight line in log distance."
        )

    def penalty(
        self, simulator: simlearn.Simulator, window: simlearn.Trajectory
    ) -> torch.Tensor | None:
        """The penalty.

        Raises:
            ConfigError: The dynamics have no coefficients that should be smooth.
        """
        dynamics = simulator.dynamics
        if not isinstance(dynamics, Multilinear):
            raise ConfigError(
                f"Roughness needs dynamics with smooth coefficients, such as PairForce, got "
                f"{type(dynamics).__name__}. Leave it out of `stabilizers`."
            )
        return self.weight * dynamics.unevenness()
