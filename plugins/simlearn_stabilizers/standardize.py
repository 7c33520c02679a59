"""States and slopes in units of their own spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Standardizable


class Standardize(simlearn.Stabilizer):
    """A plain network sees columns in units of their spread, and answers in units of their slope.

    For dynamics without physics in them (MLPField, Flattened). Scaling q and p apart would break a
    symplectic form, so energies refuse it. A column that is constant in the data keeps the unit 1:
    nothing is divided by zero.
    """

    bias = "None on what can be learned: only its order follows the spread of columns, not units."

    def prepare(
        self, simulator: simlearn.Simulator, training: Sequence[simlearn.Trajectory]
    ) -> None:
        """Measure the training data.

        Raises:
            ConfigError: The dynamics cannot be standardized.
        """
        dynamics = simulator.dynamics
        if not isinstance(dynamics, Standardizable):
            raise ConfigError(
                "Standardize needs dynamics such as MLPField or Flattened, got "
                f"{type(dynamics).__name__}. "
                "Leave it out of `stabilizers`."
            )
        slopes = [one.x.diff(dim=0) / one.t.diff(dim=0).reshape(-1, 1, 1) for one in training]
        with torch.no_grad():
            dynamics.standardize(torch.cat([one.x for one in training]), torch.cat(slopes))
