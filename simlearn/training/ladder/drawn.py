"""System states drawn for a regression of pair forces, spread evenly over log distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.dynamics.pairs import PairEnergy, distance, pairs_of
from simlearn.state import Topology, Trajectory
from simlearn.training.ladder.samples import Samples, spread
from simlearn.training.ladder.smooth import evened

STATES = 1600  # system states in the regression, a quarter of them drawn at random
ENTRIES = 3e7  # numbers in one design
FOLDS = 5
QUANTILES = torch.tensor([0.001, 0.01, 0.1, 0.5], dtype=torch.float64)


@dataclass(frozen=True)
class Moments:
    """System states drawn from the data, as one disjoint union.

    Attributes:
        q, v: ``[rows, space]``; v is p/m.
        dq, dp: The recorded or smoothed slopes.
        noise: ``[rows, 4 · space]``, standard deviations of q, p, dq and dp.
        fold: ``[rows]``.
        reach: ``[rows, 2]``, log distances of the nearest and the farthest row of the system.
        topology: Of the union.
        range: Smallest and largest distance in all the data.
        softenings: To choose from: none, and quantiles of the distances.
    """

    q: Tensor
    v: Tensor
    dq: Tensor
    dp: Tensor
    noise: Tensor
    fold: Tensor
    reach: Tensor
    topology: Topology
    range: tuple[float, float]
    softenings: tuple[float, ...]


def usable(training: Sequence[Trajectory], derivatives: bool = True) -> list[Trajectory]:
    """The trajectories of more than one state.

    Raises:
        DataError: There is none, one is incomplete, or they differ in columns.
    """
    if len({one.dim for one in training}) != 1:
        raise DataError("All trajectories of a training must have the same columns.")
    for number, one in enumerate(training):
        held = one.x.flatten(1)
        if derivatives and one.derivative is not None:
            held = torch.cat([held, one.derivative.flatten(1)], dim=1)
        bad = (~held.isfinite().all(1)).nonzero()
        if len(bad):
            raise DataError(
                f"A closed-form pair energy takes complete states, and trajectory {number} holds "
                f"numbers that are not finite, first in state {int(bad[0])} of {one.steps}. Cut it "
                "there, or leave that trajectory out."
            )
    found = [one for one in training if one.steps > 1]
    if not found:
        raise DataError("A trajectory of one state says nothing about motion; give two.")
    return found


def draw(
    model: PairEnergy, training: Sequence[Trajectory], seed: int, derivatives: bool = True
) -> tuple[Moments, str]:
    """A quarter at random; the rest on even grids of closest pair, farthest pair and momentum."""
    even, how = _evened(training, derivatives)
    states = [(*even[k], one.topology, k) for k, one in enumerate(training)]
    measures = torch.cat([_measures(x, topology) for x, _, _, topology, _ in states])
    where = [(k, step) for k, (x, *_) in enumerate(states) for step in range(len(x))]
    kept = spread(measures, _most(model, training), seed)
    rows, slopes, noises, folds, tops, reaches = [], [], [], [], [], []
    for number in kept.tolist():
        k, step = where[number]
        x, slope, noise, topology, trajectory = states[k]
        rows.append(x[step])
        slopes.append(slope[step])
        noises.append(noise[step])
        folds.append(torch.full((len(x[step]),), trajectory % min(FOLDS, len(training))))
        tops.append(topology)
        reaches.append(measures[number, :2].expand(len(x[step]), 2))
    union = _union(tops)
    (q, p), (dq, dp) = torch.cat(rows).chunk(2, -1), torch.cat(slopes).chunk(2, -1)
    mass = model.masses(union.to("cpu", torch.float64))
    v = p if mass is None else p / mass
    near, far = float(measures[:, 0].min()), float(measures[:, 1].max())
    whole = union.to("cpu", torch.float64)
    first, second = pairs_of(whole)
    r = distance(q[second] - q[first])[:, 0]
    softenings = (0.0, *r[:: max(1, len(r) // 10**6)].quantile(QUANTILES).tolist())
    reach = (math.exp(near), math.exp(far))
    folded = torch.cat(noises), torch.cat(folds), torch.cat(reaches)
    return Moments(q, v, dq, dp, *folded, whole, reach, softenings), how


def _union(tops: list[Topology]) -> Topology:
    """One copy of each topology in turn; equal neighbours are repeated, not joined one by one."""
    if all(top is tops[0] for top in tops):
        return tops[0].repeat(len(tops))
    return Topology.union(tops)


def _evened(
    training: Sequence[Trajectory], derivatives: bool
) -> tuple[list[tuple[Tensor, Tensor, Tensor]], str]:
    """States, slopes and the noise of both ``[steps, rows, …]``, which need no dynamics.

    Trajectories of equal size are judged together: one alone tells noise from motion badly.
    """
    shapes: dict[tuple[int, ...], list[int]] = {}
    for number, one in enumerate(training):
        if one.inputs is not None or one.mask is not None:
            raise DataError("A closed-form pair energy takes neither inputs nor missing rows.")
        if not one.topology.graph.edge_index.shape[1]:
            raise DataError(
                "A closed-form pair energy wants a graph of at least two rows in each trajectory; "
                "one has no edges. Train on either kind alone."
            )
        if one.topology.num_systems != 1:
            raise DataError("A closed-form pair energy wants one system in each trajectory.")
        bare = int(one.derivative is None or not derivatives)
        shapes.setdefault((one.steps, *one.x.shape[1:], bare), []).append(number)
    found: list[tuple[Tensor, Tensor, Tensor]] = [(one.x, one.x, one.x) for one in training]
    for (_, rows, dim, bare), own in shapes.items():
        samples = Samples(
            torch.stack([training[k].t.double().reshape(-1) for k in own]),
            torch.stack([training[k].x.double().flatten(1) for k in own]),
            None if bare else _slopes([training[k] for k in own]),
            torch.ones(len(own), training[own[0]].steps, dtype=torch.float64),
        )
        data = evened(samples)
        assert data.samples.slope is not None  # evened always gives slopes
        all_of = data.samples.x, data.samples.slope, data.state, data.slope
        even = (one.expand(data.samples.x.shape).reshape(len(own), -1, rows, dim) for one in all_of)
        for k, x, slope, state, error in zip(own, *even, strict=True):
            found[k] = x, slope, torch.cat([state, error], dim=-1)
    return found, data.how


def _slopes(group: Sequence[Trajectory]) -> Tensor:
    recorded = [one.derivative for one in group if one.derivative is not None]
    return torch.stack([one.double().flatten(1) for one in recorded])


def _measures(x: Tensor, topology: Topology) -> Tensor:
    """Log of the smallest and of the largest distance, and of the largest |p|², ``[steps, 3]``."""
    first, second = pairs_of(topology)
    q, p = x.chunk(2, dim=-1)
    log_r = (q[:, second] - q[:, first]).norm(dim=-1).clamp_min(1e-300).log()
    fast = p.square().sum(-1).amax(1).clamp_min(1e-300).log()
    return torch.stack([log_r.amin(1), log_r.amax(1), fast], dim=1)


def _most(model: PairEnergy, training: Sequence[Trajectory]) -> int:
    """How many states fit into a design."""
    one = max(training, key=lambda each: each.topology.rows)
    pairs = pairs_of(one.topology).shape[1]
    each = (pairs + one.topology.rows) * one.dim / 2 * model.potential.count
    return max(50, min(STATES, int(ENTRIES / each)))
