"""States and slopes in units of their own spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Standardizable


class Standardize(simlearn.Stabilizer):
    """Networks see columns in units of their spread, and answer in units of their slope.

    For MLPField, Flattened and the learned energies, whose scales lie inside the energy and leave
    the symplectic form alone. A column that is constant in the data keeps the unit 1: nothing is
    divided by zero.
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
                "Standardize needs dynamics with networks, such as MLPField or SeparableEnergy, "
                f"got {type(dynamics).__name__}. Leave it out of `stabilizers`."
            )
        slopes = [one.x.diff(dim=0) / one.t.diff(dim=0).reshape(-1, 1, 1) for one in training]
        drives = [_drive(one) for one in training]
        drive = torch.cat([d for d in drives if d is not None]) if drives[0] is not None else None
        with torch.no_grad():
            dynamics.standardize(torch.cat([one.x for one in training]), torch.cat(slopes), drive)


def _drive(one: simlearn.Trajectory) -> Tensor | None:
    """Inputs and parameters of every sample, ``[steps, rows, u + s]``."""
    found = [] if one.inputs is None else [one.inputs]
    if one.topology.system_attr is not None:
        constant = one.topology.per_row(one.topology.system_attr)
        found.append(constant.expand(one.steps, *constant.shape))
    return torch.cat(found, dim=-1) if found else None
