"""The ladder as a start of a training, and as a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from simlearn.component import ConfigError, DataError, NumericalError, build, class_path, describe
from simlearn.data.store import Dataset, read
from simlearn.dynamics.base import SplitField
from simlearn.dynamics.energy import Energy, even
from simlearn.dynamics.inertia import MechanicalSeries
from simlearn.dynamics.pairs import PairEnergy
from simlearn.dynamics.separable import SeparableSeries
from simlearn.dynamics.series import GenericSeries
from simlearn.integrators import ImplicitMidpoint, Yoshida4
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.ladder.climb import WORST, climb
from simlearn.training.ladder.pairs import fit_pairs
from simlearn.training.ladder.samples import Samples
from simlearn.training.start import Solution, Start

RUNGS: tuple[type, ...] = (SeparableSeries, MechanicalSeries, GenericSeries, PairEnergy)


class Ladder(Start):
    """Learns an energy in closed form, from the most structured to the most general.

    On vectors (q, p): separable T(p) + V(q), mechanical ½ pᵀM(q)⁻¹p + V(q), then H(q, p) of generic
    random features. Length scales and ridges are chosen by the marginal likelihood, the rung by
    cross-validation over whole trajectories; a rung that explains trajectories left out to within
    their noise ends the climb. Where observations are noisy, or where only states are given,
    coefficients and initial states are then fitted together through rollouts (Gauss-Newton with
    evidence). On a graph, T(p) and one potential between pairs, from samples spread evenly over
    log distance. Nothing is chosen by hand.

    What it finds takes the place of the dynamics that the config names; an integrator that cannot
    step it gives way to ImplicitMidpoint. Where no rung explains the data, the dynamics of the
    config stay, to be trained by gradients.

    Args:
        derivatives: Use recorded derivatives, where there are any.
        joint: Fit coefficients and initial states together after the closed form.
        worst: Relative error beyond noise above which a rung will not do.
        seed: Seed of the random features.
        mass: Column of the node attributes that holds the mass of a row; unit masses by default.
        coupled: Whether the force between two rows is multiplied by both their masses (gravity).
    """

    replaces: ClassVar[bool] = True

    def __init__(
        self,
        derivatives: bool = True,
        joint: bool = True,
        worst: float = WORST,
        seed: int = 0,
        mass: int | None = None,
        coupled: bool = False,
    ):
        if not worst > 0:
            raise ConfigError(f"Ladder.worst is a relative error above zero, got {worst}.")
        self.derivatives, self.joint, self.worst, self.seed = derivatives, joint, worst, seed
        self.mass, self.coupled = mass, coupled

    @torch.no_grad()
    def solve(self, simulator: Simulator, training: Sequence[Trajectory]) -> Solution:
        """Put the energy that explains the data into the simulator.

        Raises:
            ConfigError: The state has an odd number of columns.
            DataError: The data cannot be laid out for regressions.
        """
        even(training[0].dim)
        model: Any
        if any(one.topology.graph.edge_index.shape[1] for one in training):
            model, record = fit_pairs(
                training, self.mass, self.coupled, self.worst, self.seed, self.derivatives
            )
        else:
            samples = Samples.of(training, self.derivatives)
            found = climb(samples, self.joint, self.seed, self.worst)
            model, record = found.model, found.record
        if model is not None:
            _into(simulator, model)
            record["dynamics"] = describe(model)
        return Solution(record=record)

    def restore(self, simulator: Simulator, record: Mapping[str, Any]) -> None:
        """The structure that an earlier training found; its weights come with the checkpoint."""
        if "dynamics" in record:
            known = {class_path(cls): cls for cls in RUNGS}
            _into(simulator, build(record["dynamics"], known.__getitem__))


def _into(simulator: Simulator, model: Any) -> None:
    scheme = simulator.integrator
    if scheme is None or not isinstance(model, scheme.needs):
        simulator.integrator = ImplicitMidpoint()
    simulator.take(model.requires_grad_())


def ladder(
    data: Trajectory | Sequence[Trajectory] | Dataset | str | Path,
    *,
    derivatives: bool = True,
    joint: bool = True,
    worst: float = WORST,
    seed: int = 0,
    mass: int | None = None,
    coupled: bool = False,
) -> Simulator:
    """Learn an energy from trajectories in closed form; see `Ladder`.

    Args:
        data: States (q, p) over time, with derivatives where they are known: trajectories, a
            dataset or its file.
        derivatives: Use recorded derivatives, where there are any.
        joint: Fit coefficients and initial states together after the closed form.
        worst: Relative error beyond noise above which a rung will not do.
        seed: Seed of the random features.
        mass: Column of the node attributes that holds the mass of a row.
        coupled: Whether the force between two rows is multiplied by both their masses.

    Returns:
        A simulator in float64 whose ``provenance["ladder"]`` tells stages, scores and choice. It is
        integrated by Yoshida4 where the energy is separable and by ImplicitMidpoint elsewhere, at
        the median interval of the data.

    Raises:
        DataError: There are no trajectories, or they cannot be laid out for regressions.
        NumericalError: No rung explains the data.
    """
    if isinstance(data, str | Path):
        data = read(data)
    if isinstance(data, Dataset):
        data = data.trajectories
    training = [data] if isinstance(data, Trajectory) else list(data)
    if not training:
        raise DataError("There is no trajectory to learn from: the data are empty.")
    even(training[0].dim)
    if all(one.steps < 2 for one in training):
        raise DataError("A trajectory of one state says nothing about motion; give two.")
    gap = float(torch.cat([one.t.diff(dim=0).flatten() for one in training]).median())
    with torch.random.fork_rng(devices=[]):
        stand_in = Energy(training[0].dim, width=1, depth=1).double()
    simulator = Simulator(stand_in, ImplicitMidpoint(), gap)
    found = Ladder(derivatives, joint, worst, seed, mass, coupled).solve(simulator, training)
    if simulator.dynamics is stand_in:
        raise NumericalError(
            f"No closed-form energy will do: {found.record['why']}. Train a network by gradients "
            "(simlearn.fit with Energy), or allow a larger error with worst."
        )
    if isinstance(simulator.dynamics, SplitField):
        simulator.integrator = Yoshida4()
    simulator.provenance = {"ladder": dict(found.record)}
    return simulator.requires_grad_(False).eval()
