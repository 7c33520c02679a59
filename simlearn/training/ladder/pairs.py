"""The rung for particles on a graph: one potential between pairs, in closed form."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from simlearn.dynamics.features import Scale
from simlearn.dynamics.pairs import PairEnergy, speed
from simlearn.dynamics.series import WIDE, cosines
from simlearn.integrators import Yoshida4
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.ladder.climb import RAISES
from simlearn.training.ladder.drawn import Moments, draw, usable
from simlearn.training.ladder.evidence import (
    cross_validated,
    regress,
)
from simlearn.training.ladder.pair_rows import (
    Coordinate,
    Solved,
    believed,
    columns,
    errors,
    left_out,
    noise_floor,
    preferred,
    weights_of,
)


@torch.no_grad()
def fit_pairs(
    training: Sequence[Trajectory],
    mass: int | None,
    coupled: bool,
    worst: float,
    seed: int = 0,
    derivatives: bool = True,
) -> tuple[PairEnergy | None, dict[str, Any]]:
    """κ and φ by evidence, from states spread evenly over the logarithm of distance.

    A random subset of states would leave the rare close encounters to chance.

    Args:
        training: One system in each; those of a single state are passed over.
        mass: Column of the node attributes that holds the mass, None for unit masses.
        coupled: Whether the force between two rows is multiplied by both their masses.
        worst: Relative error beyond noise above which the energy will not do.
        seed: Seed of the features and of what is drawn.
        derivatives: Use recorded derivatives, where there are any.

    Returns:
        The energy, None where it does not explain the data, and what was done.

    Raises:
        DataError: The trajectories hold control inputs, rows or numbers that are missing,
            different columns, or one state each.
    """
    training = usable(training, derivatives)
    began = time.process_time()
    model = PairEnergy(mass=mass, coupled=coupled, seed=seed).double().requires_grad_(False)
    drawn, how = draw(model, training, seed, derivatives)

    def attempt(least: tuple[float, float]) -> Attempt:
        kinetic, potential = _kinetic(model, drawn, least[0]), _potential(model, drawn, least[1])
        _load(model, drawn, kinetic, potential)
        lost = _blown(model, training)
        return Attempt(kinetic, potential, lost, deepcopy(model.state_dict()))

    found, guard = guarded(attempt)
    model.load_state_dict(found.state)
    kinetic, potential = found.kinetic, found.potential
    record: dict[str, Any] = {
        "states": how,
        "rungs": [_told("kinetic", kinetic), _told("potential", potential)],
        "choice": "pairs",
        "guard": guard,
        "blown_up": found.lost,
        "samples": drawn.topology.num_systems,
        "distances": [float(model.near), float(model.far)],
        "coordinate": "distance" if potential.straight else "log distance",
        "softening": float(model.soft),
        "exponent_beyond": float(model.exponent),
        "closed_form_seconds": time.process_time() - began,
    }
    beyond = max(kinetic.excess, potential.excess)
    if beyond > worst:
        record["choice"] = "network"
        record["why"] = (
            f"one potential between pairs leaves {beyond:.1%} of the slopes unexplained by noise, "
            f"more than {worst:.1%}"
        )
        return None, record
    return model, record


@dataclass(frozen=True)
class Attempt:
    """Both functions at one ridge each, how many rollouts blow up, and the state of the model."""

    kinetic: Solved
    potential: Solved
    lost: int
    state: dict[str, Any]

    @property
    def decades(self) -> tuple[float, float]:
        """Ridges over the largest squared singular values, log10."""
        return self.kinetic.solved.decades, self.potential.solved.decades


def guarded(
    attempt: Callable[[tuple[float, float]], Attempt],
) -> tuple[Attempt, list[dict[str, Any]]]:
    """Raise each function's own ridge, a decade at a time, as long as fewer rollouts blow up.

    Where that does not cure them all, the ridge is not to blame, and the first fit stays.
    """
    tried, before = [attempt((0.0, 0.0))], math.inf
    while 0 < tried[-1].lost < before and len(tried) <= RAISES:
        before = tried[-1].lost
        kinetic, potential = (10 ** (decades + 1) for decades in tried[-1].decades)
        tried.append(attempt((kinetic, potential)))
    told = [
        {"blown_up": one.lost, "ridge_decades": list(higher.decades)}
        for one, higher in pairwise(tried)
    ]
    return tried[0] if tried[-1].lost else tried[-1], told


def _kinetic(model: PairEnergy, drawn: Moments, least: float) -> Solved:
    return _best(model, drawn, 0, [Coordinate(scale) for scale in WIDE], least)


def _potential(model: PairEnergy, drawn: Moments, least: float) -> Solved:
    """The softening at one scale, then its scale; against the best scale of the distance itself."""
    offers = [Coordinate(Scale(1.0), soft) for soft in drawn.softenings]
    soft = _best(model, drawn, 1, offers, least).coordinate.soft
    logs = _best(model, drawn, 1, [Coordinate(scale, soft) for scale in WIDE], least)
    offers = [Coordinate(scale, straight=True) for scale in WIDE]
    finalists = [logs, _best(model, drawn, 1, offers, least)]
    return preferred(finalists, finalists)


def _told(name: str, one: Solved) -> dict[str, Any]:
    return {
        "rung": name,
        "coefficients": len(one.solved.weights),
        "scales": [str(one.coordinate.scale)],
        "ridge_decades": [one.solved.decades],
        "cross_validated_error": one.cross,
        "beyond_noise": one.excess,
    }


def _load(model: PairEnergy, drawn: Moments, kinetic: Solved, potential: Solved) -> None:
    _measure(model, drawn, kinetic.coordinate, potential.coordinate)
    model.coefficients.copy_(torch.cat([kinetic.solved.weights, potential.solved.weights]))
    model.settle()
    scale = potential.coordinate.scale
    lengths = believed(model, scale.length, potential.solved.weights, potential.others)
    scales = kinetic.coordinate.scale, scale
    model.measure(speed(drawn.v), drawn.range, scales, lengths)
    model.settle()


def _measure(model: PairEnergy, drawn: Moments, kinetic: Coordinate, own: Coordinate) -> None:
    model.soft.fill_(own.soft)
    model.straight.fill_(float(own.straight))
    model.measure(speed(drawn.v), drawn.range, (kinetic.scale, own.scale))


def _best(
    model: PairEnergy, drawn: Moments, number: int, offers: list[Coordinate], least: float
) -> Solved:
    """The first of the offers; residuals count relative to the slopes themselves."""
    target = (drawn.dq, drawn.dp)[number]
    weight = weights_of(target)
    functions = (model.kinetic, model.potential)[number]
    held = cosines(functions)
    found = []
    for offer in offers:
        _measure(model, drawn, offer, offer)
        joined = torch.cat([columns(model, drawn, number), target[:, :, None]], dim=-1)
        rows = joined * weight[:, None, None]
        solved = regress(rows.flatten(0, 1), held, least)
        folds = [rows[drawn.fold == k].flatten(0, 1) for k in drawn.fold.unique()]
        cross = math.inf
        if solved.clean:
            solved, cross = cross_validated(folds, held, least)
        found.append((Solved(offer, solved, cross), folds, rows))
    best, folds, rows = preferred(found, [one for one, _, _ in found])
    _measure(model, drawn, best.coordinate, best.coordinate)
    floor = noise_floor(model, drawn, number, best.solved.weights) * weight[:, None]
    others = left_out(folds, held, best.solved.ridge)
    cross, excess = errors(rows, others, drawn, floor)
    return replace(best, cross=cross, excess=excess, others=tuple(others))


def _blown(model: PairEnergy, training: Sequence[Trajectory]) -> int:
    """How many of some rollouts, as long as their trajectories, stop being numbers."""
    lost = 0
    for one in training[:: max(1, len(training) // 8)][:8]:
        gap = float(one.t.diff(dim=0).mean())
        topology = one.topology.to("cpu", torch.float64)
        bound = 100 * float(one.x.abs().max()) or 1.0
        rolled = Simulator(model, Yoshida4(), gap / 4).rollout(
            one.x[0].double(), min(4 * (one.steps - 1), 1000), topology, bound=bound
        )
        lost += rolled.status != "ok"
    return lost
