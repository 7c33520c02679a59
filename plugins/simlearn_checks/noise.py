"""Noise of measurement in data, and rounding in rollouts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import Simulator, Trajectory, inputs_for

ORDERS = (3, 4, 5)  # of differences
ALIKE = 0.1  # by so much the orders may disagree on white noise
FEWEST = 32  # samples
MOSTLY = 0.5
MOST = 2_000_000  # numbers that are looked at
DIGIT = 2.0**-52
NORMAL = 0.6745  # median of |z|, z normal


@dataclass(frozen=True)
class Noise:
    """White noise of measurement.

    Attributes:
        columns: Standard deviation in each column, ``[dim]``; zero where none is seen.
        share: Of the spread of the data, root mean square over columns that move.
    """

    columns: Tensor
    share: float


def noise_of(data: Sequence[Trajectory]) -> Noise:
    """The white noise in data, by differences in time.

    Differences of order k of white noise have a variance of (2k choose k) σ², whatever k is; those
    of a smooth curve fall with every order. Only where three orders agree is it noise. Medians of
    their sizes are taken, so that a few sudden moments, such as encounters, are none.
    """
    dim = data[0].dim if data else 0
    none = Noise(torch.zeros(dim, dtype=torch.float64), 0.0)
    able = [one for one in data if one.steps >= FEWEST and _even(one.t)]
    if not able:
        return none
    some, total = [], 0
    for one in able:
        some.append(one.x.double())
        total += one.x.numel()
        if total > MOST:
            break
    sizes = torch.stack([_scaled(some, order) for order in ORDERS])
    first = sizes[0].clamp_min(1e-300)
    white = ((sizes / first - 1).abs() <= ALIKE).all(0) & (sizes[0] > 0)
    columns = torch.where(white, sizes[0], 0.0)
    rows = torch.cat([x.flatten(0, 1) for x in some])
    spread = rows.std(0)
    moves = spread > 1e-9 * float(spread.max())
    if not bool(moves.any()):
        return none
    share = float((columns[moves] / spread[moves]).square().mean().sqrt())
    # what is all noise may be sampled too seldom as well
    return Noise(columns, share) if share <= MOSTLY else none


def _even(t: Tensor) -> bool:
    if t.ndim > 1:
        return False
    apart = t.diff()
    return float((apart - apart.mean()).abs().max()) <= 1e-3 * float(apart.mean())


def _scaled(some: Sequence[Tensor], order: int) -> Tensor:
    """Typical size of differences of an order, over that of white noise of size one."""
    parts = [x.diff(n=order, dim=0).flatten(0, 1).abs() for x in some]
    return torch.cat(parts).median(0).values / NORMAL / math.comb(2 * order, order) ** 0.5


@torch.no_grad()
def rounded_otherwise(
    simulator: Simulator, begin: Trajectory, steps: int, seed: int, every: int = 1
) -> Trajectory:
    """A rollout from the first state, rounded otherwise.

    What rounding does over n steps, about √n last digits, is put into the start at once. By what
    then differs any number that is read off the rollout is uncertain.
    """
    x, rng = begin.x[0], torch.Generator().manual_seed(seed)
    signs = torch.randint(2, x.shape, generator=rng).to(x) * 2 - 1
    moved = x + DIGIT * math.sqrt(steps) * x.abs().amax(0) * signs
    return simulator.rollout(
        moved,
        steps,
        begin.topology,
        t0=float(begin.t[0].min()),
        inputs=inputs_for(begin, steps, simulator.dt),
        every=every,
    )


def between_halves(values: Tensor) -> float:
    """How much the largest of some values depends on which were looked at: that of every other one.

    The first dimension is that of choice: times, or states.
    """
    if len(values) < 2:
        return 0.0
    apart = float((values[::2].max() - values[1::2].max()).abs())
    return apart if math.isfinite(apart) else 0.0
