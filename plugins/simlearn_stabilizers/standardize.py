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
        samples = [_samples(one, dynamics) for one in training]
        if len({one.topology.rows for one in training}) > 1:  # every row is a sample of its own
            samples = [[p if p is None else p.flatten(0, 1)[:, None] for p in s] for s in samples]
        x, slope, drive = (
            None if parts[0] is None else torch.cat([p for p in parts if p is not None])
            for parts in zip(*samples, strict=True)
        )
        assert x is not None
        assert slope is not None
        with torch.no_grad():
            dynamics.standardize(x, slope, drive)


def _samples(one: simlearn.Trajectory, dynamics: object) -> list[Tensor | None]:
    """States, slopes and what drives them, each ``[samples, rows, columns]``.

    Of inputs and parameters those that the dynamics see; None where they see none.
    """
    gap = one.t.diff(dim=0)
    gap = gap[:, one.topology.system] if gap.ndim > 1 else gap[:, None]
    found = []
    if getattr(dynamics, "inputs", 0) and one.inputs is not None:
        found.append(one.inputs)
    if getattr(dynamics, "attributes", 0) and one.topology.system_attr is not None:
        constant = one.topology.per_row(one.topology.system_attr)
        found.append(constant.expand(one.steps, *constant.shape))
    drive = torch.cat(found, dim=-1) if found else None
    return [one.x, one.x.diff(dim=0) / gap[..., None], drive]
