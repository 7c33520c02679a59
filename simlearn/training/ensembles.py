"""Training all members of an ensemble at once, each on a sample of the data of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import Map
from simlearn.dynamics.ensemble import Ensemble
from simlearn.randomness import generator
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory
from simlearn.training.objective import Scale, Scaled, central_differences, driven, row_time
from simlearn.training.starts import state_keys


class Bootstrap(Scaled):
    """Matches dx/dt with an `Ensemble`, each member on a bootstrap of the training states.

    A member counts each state as often as it was drawn, with replacement, in ``share`` times as
    many draws as there are states (Vasiliauskaite and Antulov-Fantulin 2024 draw 900 of 1000). Of
    the error e of a member it minimises mean |e| + λ · Var |e|, mean and variance over the rows of
    a state, or the mean of e². The loss is the mean over members.

    How often a state is drawn follows from the seed and the training data alone. A state is found
    by what it holds, so the order of the windows and the size of the batch may change. States that
    are not of the training data, such as held-out ones or those that a stabilizer moved, count
    alike for all members. A field that is no ensemble is the first member of one: with other seeds
    it becomes the others.

    Args:
        share: Draws for each member, over the number of states.
        variance: λ, with the absolute error.
        error: "absolute" or "square".
        by: What is drawn: single states, or whole trajectories with all of their states. States of
            one trajectory are much alike, so take trajectories where there are many.
        scale: Divide errors by the root mean square of the derivative: of each column, of each
            body's positions and velocities, or not at all.
        seed: Of the draws.

    Raises:
        ConfigError: ``share`` is not positive, or ``variance`` is negative.
    """

    def __init__(
        self,
        share: float = 0.9,
        variance: float = 1.0,
        error: Literal["absolute", "square"] = "absolute",
        by: Literal["state", "trajectory"] = "state",
        scale: Scale = "column",
        seed: int = 0,
    ):
        if not share > 0 or not variance >= 0:
            raise ConfigError(
                f"share must be positive and variance not negative, got {share} and {variance}."
            )
        self.share, self.variance, self.error = share, variance, error
        self.by, self.scale, self.seed = by, scale, seed
        self._keys = torch.zeros(0, dtype=torch.int64)
        self._unit = torch.zeros(0, dtype=torch.int64)
        self._counts: dict[int, Tensor] = {}

    def prepare(self, training: Sequence[Trajectory]) -> None:
        """Measure the derivative, and number what can be drawn."""
        self.measured([(central_differences(one)[1], one.topology) for one in training])
        keys, units = [], []
        for number, one in enumerate(training):
            for k in range(one.steps):
                keys.append(state_keys(one.t[k], one.x[k : k + 1], one.topology))
                units.append(torch.full_like(keys[-1], number))
        self._keys, order = torch.cat(keys).sort(stable=True)
        # states are numbered by what they hold: a draw does not depend on their order in a file
        single = self.by == "state"
        self._unit = torch.arange(len(order)) if single else torch.cat(units)[order]
        self._counts = {}

    def length(self, training: Sequence[Trajectory]) -> int:
        """One state with a recorded derivative, three without."""
        return 1 if all(one.derivative is not None for one in training) else 3

    def loss(self, simulator: Simulator, window: Trajectory) -> Tensor:
        """Mean over members, states and rows, states weighted as each member drew them.

        Raises:
            ConfigError: The dynamics are a map.
        """
        field = simulator.dynamics
        if isinstance(field, Map):
            raise ConfigError(
                "Bootstrap matches slopes, so it needs a vector field, such as an Ensemble; got "
                f"{type(field).__name__}."
            )
        weight = self.weights(window, field.size if isinstance(field, Ensemble) else 1)
        inner, slope = central_differences(window)
        total = slope.new_zeros(())
        for k in range(inner.steps):
            at = row_time(inner, k), inner.x[k], driven(inner, k)
            told = field.members(*at) if isinstance(field, Ensemble) else field(*at)[None]
            error = self.scaled(told - slope[k], inner.topology)
            total = total + (weight.to(error) * self._of_systems(error, inner.topology)).mean()
        return total / inner.steps

    def weights(self, window: Trajectory, size: int) -> Tensor:
        """How often each member drew the first state of each system of a window, over ``share``.

        ``[size, systems]``; 1 where it is not of the training data.
        """
        keys = state_keys(window.t[0], window.x[:1], window.topology)
        if not len(self._keys):
            return torch.ones(size, len(keys), device=keys.device)
        known = self._keys.to(keys.device)
        place = torch.searchsorted(known, keys).clamp(max=len(known) - 1)
        drawn = self._drawn(size).to(keys.device)[:, self._unit.to(keys.device)[place]]
        return torch.where(known[place] == keys, drawn / self.share, 1.0)

    def _drawn(self, size: int) -> Tensor:
        """How often each member draws each state or trajectory, ``[size, units]``."""
        if size not in self._counts:
            units = int(self._unit.max()) + 1
            draws = max(1, round(self.share * units))
            counts = []
            for member in range(size):
                rng = generator(self.seed, member)
                chosen = torch.randint(units, (draws,), generator=rng)
                counts.append(torch.bincount(chosen, minlength=units))
            self._counts[size] = torch.stack(counts)
        return self._counts[size]

    def _of_systems(self, error: Tensor, topology: Topology) -> Tensor:
        """The loss of every member on every system, ``[size, systems]``."""
        if self.error == "square":
            return _mean(error.square().mean(-1), topology)
        size = error.abs().mean(-1)
        mean = _mean(size, topology)
        if not self.variance:
            return mean
        off = size - (mean if topology.one_row_each else mean[:, topology.system])
        return mean + self.variance * _mean(off.square(), topology)


def _mean(value: Tensor, topology: Topology) -> Tensor:
    """Mean over the rows of each system, ``[size, rows]`` to ``[size, systems]``."""
    if topology.rows_each is not None:
        return value.unflatten(1, (topology.num_systems, topology.rows_each)).mean(-1)
    rows = topology.per_system(torch.ones_like(value[:1]), dim=1)
    return topology.per_system(value, dim=1) / rows
