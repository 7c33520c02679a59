"""The rung for particles on a graph: one potential between pairs, in closed form."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from simlearn.dynamics.features import Scale
from simlearn.dynamics.pairs import PairEnergy, distance, pairs_of, speed
from simlearn.dynamics.series import WIDE, cosines
from simlearn.integrators import Yoshida4
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.ladder.drawn import Moments, draw
from simlearn.training.ladder.evidence import (
    Regression,
    cross_validated,
    regress,
    without_each,
)


@torch.no_grad()
def fit_pairs(
    training: Sequence[Trajectory], mass: int | None, coupled: bool, worst: float, seed: int = 0
) -> tuple[PairEnergy | None, dict[str, Any]]:
    """κ and φ by evidence, from states spread evenly over the logarithm of distance.

    A random subset of states would leave the rare close encounters to chance.

    Returns:
        The energy, None where it does not explain the data, and what was done.

    Raises:
        DataError: The trajectories hold control inputs, or rows that are missing.
    """
    began = time.process_time()
    model = PairEnergy(mass=mass, coupled=coupled, seed=seed).double().requires_grad_(False)
    drawn, how = draw(model, training, seed)
    guard, least = [], 0.0
    for _ in range(8):
        kinetic = _best(model, drawn, 0, [(scale, 0.0) for scale in WIDE], least)
        first = _best(model, drawn, 1, [(Scale(1.0), soft) for soft in drawn.softenings], least)
        offers = [(scale, first.soft) for scale in WIDE]
        potential = _best(model, drawn, 1, offers, least)
        _load(model, drawn, kinetic, potential)
        lost = _blown(model, training)
        if not lost:
            break
        least = 10 ** (max(kinetic.solved.decades, potential.solved.decades) + 1)
        guard.append({"blown_up": lost, "least_ridge": least})
    record: dict[str, Any] = {
        "states": how,
        "rungs": [_told("kinetic", kinetic), _told("potential", potential)],
        "choice": "pairs",
        "guard": guard,
        "blown_up": lost,
        "samples": drawn.topology.num_systems,
        "distances": [float(model.near), float(model.far)],
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
class Solved:
    """One function: scale, softening, regression, error on trajectories left out, beyond noise."""

    scale: Scale
    soft: float
    solved: Regression
    cross: float
    excess: float = 0.0


def _told(name: str, one: Solved) -> dict[str, Any]:
    return {
        "rung": name,
        "coefficients": len(one.solved.weights),
        "scales": [str(one.scale)],
        "ridge_decades": [one.solved.decades],
        "cross_validated_error": one.cross,
        "beyond_noise": one.excess,
    }


def _load(model: PairEnergy, drawn: Moments, kinetic: Solved, potential: Solved) -> None:
    model.soft.fill_(potential.soft)
    model.measure(speed(drawn.v), drawn.range, (kinetic.scale, potential.scale))
    model.coefficients.copy_(torch.cat([kinetic.solved.weights, potential.solved.weights]))
    model.settle()


def _best(
    model: PairEnergy, drawn: Moments, number: int, offers: list[tuple[Scale, float]], least: float
) -> Solved:
    """The offer with the largest evidence; residuals count relative to the slopes themselves."""
    target = (drawn.dq, drawn.dp)[number]
    size = target.norm(dim=1)
    weight = 1 / (size + 0.3 * float(size.median()) + 1e-300)
    functions = (model.kinetic, model.potential)[number]
    held = cosines(functions)
    found = []
    for scale, soft in offers:
        model.soft.fill_(soft)
        model.measure(speed(drawn.v), drawn.range, (scale, scale))
        joined = torch.cat([_columns(model, drawn, number), target[:, :, None]], dim=-1)
        rows = joined * weight[:, None, None]
        solved = regress(rows.flatten(0, 1), held, least)
        folds = [rows[drawn.fold == k].flatten(0, 1) for k in drawn.fold.unique()]
        cross = math.inf
        if solved.clean:
            solved, cross = cross_validated(folds, held, least)
        found.append((Solved(scale, soft, solved, cross), folds, rows))
    clean = all(one.solved.clean for one, _, _ in found)
    best, folds, rows = min(
        found, key=lambda each: each[0].cross if clean else -each[0].solved.evidence
    )
    model.soft.fill_(best.soft)
    model.measure(speed(drawn.v), drawn.range, (best.scale, best.scale))
    floor = _noise(model, drawn, number, best.solved.weights) * weight[:, None]
    cross, excess = _errors(rows, folds, drawn, best.solved, floor)
    return replace(best, cross=cross, excess=excess)


def _noise(model: PairEnergy, drawn: Moments, number: int, weights: Tensor) -> Tensor:
    """What noise of states and slopes does to each slope, ``[rows, space]``, drawn once."""
    rng = torch.Generator().manual_seed(number)
    shift = torch.randn(drawn.q.shape, generator=rng, dtype=torch.float64)
    q, p, *slopes = drawn.noise.chunk(4, dim=-1)
    mass = model.masses(drawn.topology)
    v = p if mass is None else p / mass
    moved = replace(drawn, v=drawn.v + v * shift) if number == 0 else None
    moved = moved or replace(drawn, q=drawn.q + q * shift)
    change = (_columns(model, moved, number) - _columns(model, drawn, number)) @ weights
    return (change.square() + slopes[number].square()).sqrt()


def _errors(
    rows: Tensor, folds: Sequence[Tensor], drawn: Moments, solved: Regression, floor: Tensor
) -> tuple[float, float]:
    """Relative error on trajectories left out, where the others have seen such distances.

    Beyond them the field does not use the functions but the rule of its extrapolation.

    Returns:
        It, and what of it the noise floor ``[rows, space]`` does not explain.
    """
    missed, size, expected = 0.0, 1e-300, 0.0
    for k, weights in zip(drawn.fold.unique(), without_each(folds, solved), strict=True):
        left, reach = drawn.fold == k, drawn.reach
        others = reach if bool(left.all()) else reach[~left]
        near, far = others.amin(), others.amax()
        seen = left & (reach[:, 0] >= near) & (reach[:, 1] <= far)
        missed += float((rows[seen][..., -1] - rows[seen][..., :-1] @ weights).square().sum())
        size += float(rows[seen][..., -1].square().sum())
        expected += float(floor[seen].square().sum())
    cross = missed / size
    return math.sqrt(cross), math.sqrt(max(0.0, cross - min(expected / size, 1.0)))


def _columns(model: PairEnergy, drawn: Moments, number: int) -> Tensor:
    """dq/dt by the coefficients of κ, or dp/dt by those of φ, ``[rows, space, K]``."""
    if number == 0:
        return drawn.v[:, :, None] * model.kinetic.slopes(speed(drawn.v))
    first, second = pairs_of(drawn.topology)
    apart = drawn.q[second] - drawn.q[first]
    r = distance(apart)
    steep = model.potential.slopes(model.softened(r)) / (r * r + model.soft**2)[..., None]
    coupling = model.coupling(drawn.topology)
    steep = steep if isinstance(coupling, float) else steep * coupling[..., None]
    pull = apart[:, :, None] * steep
    design = drawn.q.new_zeros(*drawn.q.shape, pull.shape[-1])
    return design.index_add_(0, first, pull).index_add_(0, second, -pull)


def _blown(model: PairEnergy, training: Sequence[Trajectory]) -> int:
    """How many of some rollouts, as long as their trajectories, stop being numbers."""
    lost = 0
    for one in training[:: max(1, len(training) // 8)][:8]:
        gap = float(one.t.diff(dim=0).mean())
        topology = one.topology.to("cpu", torch.float64)
        bound = 100 * float(one.x.abs().max())
        rolled = Simulator(model, Yoshida4(), gap / 4).rollout(
            one.x[0].double(), min(4 * (one.steps - 1), 1000), topology, bound=bound
        )
        lost += rolled.status != "ok"
    return lost
