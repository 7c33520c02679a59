"""Rollouts of one basis with several sets of coefficients, side by side in one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.training.network.course import (
    CHANGE,
    GROWTH,
    LITTLE,
    LONGEST,
    LOOK,
    MARGIN,
    POWERS,
    SHORTEST,
    STABLE,
    TOLERANCE,
    Data,
    path,
    pieces,
)

NEAR = 1e-6  # of the largest first state: how far apart difference quotients are
SLOW = 6.0  # times as many steps as the fastest: such a member is rolled out alone, afterwards


def errors_of(model: CoupledSeries, candidates: Tensor, data: Sequence[Data]) -> Tensor:
    """Errors of whole rollouts by each set of coefficients ``[m, K, dim]``, as of `error_of`.

    Returns:
        ``[m]``; infinite where a rollout is lost, or where it needs much shorter steps than the
        others and is worse than the best of them.
    """
    squares = candidates.new_zeros(len(candidates))
    size = sum(one.size for one in data) or 1.0
    for one in data:
        found, slow = _rolled(Abreast(model, candidates, one))
        for k in slow.nonzero().flatten().tolist():
            others = (squares + found)[~slow]
            most = float(others.min()) - float(squares[k]) if len(others) else math.inf
            found[k] = _alone(model, candidates[k], one, most)
        squares = squares + found
    return (squares / size).sqrt()


def _alone(model: CoupledSeries, candidate: Tensor, data: Data, most: float) -> float:
    model.coefficients.copy_(candidate)
    x = path(model, data, most)
    return math.inf if len(x) < len(data.t) else replace(data, x=x - data.x).size


class Abreast:
    """Members of one basis on copies of the topology of the data.

    Args:
        model: The basis.
        candidates: ``[m, K, dim]``.
        data: Where all of them start from.
    """

    def __init__(self, model: CoupledSeries, candidates: Tensor, data: Data):
        self.data, self.count, self.model = data, len(candidates), model.side_by_side(candidates)
        self.topology = data.topology.repeat(self.count)
        duration, largest = float(data.t[-1] - data.t[0]), float(data.x[0].abs().max())
        self.shortest, self.longest = SHORTEST * duration, LONGEST * duration
        self.least = LITTLE * (float(data.x.abs().max()) or 1.0)
        self.near = NEAR * (largest or 1.0)
        rng = torch.Generator().manual_seed(0)
        vector = torch.randn(data.x[0].shape, generator=rng, dtype=data.x.dtype)
        self.vector = vector.expand(self.count, -1, -1)
        self.bound = candidates.new_zeros(self.count)
        self.accurate = candidates.new_full((self.count,), math.inf)
        self.left = torch.ones(self.count, dtype=torch.bool)

    def rate(self, x: Tensor) -> Tensor:
        """dx/dt, ``[m, rows, dim]``."""
        slope: Tensor = self.model(0.0, x.flatten(0, 1), self.topology)
        return slope.unflatten(0, (self.count, -1))

    def look(self, x: Tensor, slope: Tensor) -> None:
        """Estimate each spectral radius of ∂(dx/dt)/∂x by powers of difference quotients."""
        first = not bool(self.bound.any())
        for _ in range(5 * POWERS if first else POWERS):
            size = self.vector.abs().amax((1, 2), keepdim=True).clamp_min(1e-300)
            moved = (self.rate(x + self.near / size * self.vector) - slope) * (size / self.near)
            grown = moved.flatten(1).norm(dim=1)
            self.bound = MARGIN * grown / self.vector.flatten(1).norm(dim=1)
            good = ((grown > 0) & grown.isfinite())[:, None, None]
            self.vector = torch.where(good, moved / grown[:, None, None], self.vector)

    def lengths(self, x: Tensor, slope: Tensor) -> Tensor:
        """The longest step of each member, ``[m]``; zero where the path is lost."""
        fastest, size = slope.abs().amax((1, 2)), x.abs().amax((1, 2))
        moving = CHANGE * size.clamp_min(self.least) / fastest.clamp_min(1e-300)
        found = (STABLE / self.bound.clamp_min(1e-300)).minimum(moving).minimum(self.accurate)
        found = found.clamp_max(self.longest)
        return found.where(found >= self.shortest, 0.0)  # of NaN, zero too

    def judge(self, x: Tensor, length: float, last: Tensor, after: Tensor) -> None:
        """Take the lengths of the next step from the errors of one; see `Stepper.judge`."""
        error = length / 6 * (last - after).abs().amax((1, 2))
        wanted = TOLERANCE * x.abs().amax((1, 2)).clamp_min(self.least)
        found = 0.9 * (wanted / error.clamp_min(1e-300)) ** 0.25
        self.accurate = length * found.clamp(1 / GROWTH, GROWTH)


def _rolled(members: Abreast) -> tuple[Tensor, Tensor]:
    """Sums of squared errors ``[m]``, infinite where lost, and which members are too slow."""
    data = members.data
    x = data.x[0].expand(members.count, -1, -1)
    squares, slow = x.new_zeros(members.count), torch.zeros(members.count, dtype=torch.bool)
    a, age = members.rate(x), 0
    for k, (at, end) in enumerate(pairwise(data.t.tolist()), start=1):
        while end - at > 1e-12 * members.longest / LONGEST:
            if age % LOOK == 0:
                members.look(x, a)
            age += 1
            h = members.lengths(x, a)
            dropped = members.left & ~(SLOW * h >= h[members.left].max())
            slow |= dropped & (h > 0)
            squares[dropped] = math.inf
            x, a = _without(members, dropped, x, a)
            if not members.left.any():
                return squares, slow
            length = pieces(end - at, float(h[members.left].min()))
            x, a = _stepped(members, x, a, length)
            at += length
            lost = members.left & ~(x.abs().amax((1, 2)) <= data.largest)
            squares[lost] = math.inf
            x, a = _without(members, lost, x, a)
        squares += data.at(k) * (x - data.x[k]).square().sum((1, 2)).where(members.left, 0.0)
    return squares, slow


def _stepped(members: Abreast, x: Tensor, a: Tensor, h: float) -> tuple[Tensor, Tensor]:
    b = members.rate(x + h / 2 * a)
    c = members.rate(x + h / 2 * b)
    d = members.rate(x + h * c)
    x = x + h / 6 * (a + 2 * (b + c) + d)
    a = members.rate(x)
    members.judge(x, h, d, a)
    return x, a


def _without(members: Abreast, which: Tensor, x: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Members that stand still at the start from now on."""
    if not which.any():
        return x, a
    members.left &= ~which
    members.model.coefficients[which] = 0.0
    there = which[:, None, None]
    return torch.where(there, members.data.x[0], x), torch.where(there, 0.0, a)
