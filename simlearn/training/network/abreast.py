"""Rollouts of one basis with several sets of coefficients, side by side in one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
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
    even,
    path,
    stepped,
)
from simlearn.training.network.data import Data
from simlearn.training.network.knots import Array
from simlearn.training.network.lean import Lean

NEAR = 1e-6  # of the largest first state: how far apart difference quotients are
SLOW = 6.0  # times as many steps as the fastest: such a member is rolled out alone, afterwards
WORSE = 1e3  # times the squares of the best, above which a member is dropped on the way
SMALL = 1e-4  # of all squares: the best counts as at least so bad
PATIENT = 10.0  # times the steps of the others that it may take in all


@np.errstate(all="ignore")
def errors_of(
    model: CoupledSeries, candidates: Tensor, data: Sequence[Data], worse: float = WORSE
) -> Tensor:
    """Errors of whole rollouts by each set of coefficients ``[m, K, dim]``, as of `error_of`.

    Returns:
        ``[m]``; infinite where a rollout is lost, where its squares are ``worse`` times those of
        the best so far, and where it needs much shorter steps than the others and is worse than
        the best of them, or takes `PATIENT` times their steps.
    """
    squares, dropped = np.zeros(len(candidates)), False
    size = sum(one.size for one in data) or 1.0
    for one in data:
        left = np.isfinite(squares).nonzero()[0]
        if not len(left):
            break
        members = Abreast(model, candidates[left], one)
        found, slow = _rolled(members, squares[left], worse, size)
        dropped |= members.dropped
        total = squares[left] + found
        for k in slow.nonzero()[0].tolist():
            most = float(total[~slow].min(initial=math.inf)) - float(squares[left[k]])
            patience = PATIENT * members.taken if math.isfinite(most) else math.inf
            total[k] += _alone(model, candidates[left[k]], one, most, patience)
        squares[left] = total
    if dropped and not np.isfinite(squares).any():  # the best was lost after all
        return errors_of(model, candidates, data, math.inf)
    return torch.from_numpy(np.sqrt(squares / size))


def _alone(
    model: CoupledSeries, candidate: Tensor, data: Data, most: float, patience: float
) -> float:
    """Its squares; infinite where they are above ``most``."""
    model.coefficients.copy_(candidate)
    x = path(model, data, most, patience)
    return math.inf if len(x) < len(data.t) else replace(data, x=x - data.x).size


class Abreast:
    """Members of one basis on copies of the topology of the data, until they are dropped.

    Args:
        model: The basis.
        candidates: ``[m, K, dim]``.
        data: Where all of them start from.
    """

    def __init__(self, model: CoupledSeries, candidates: Tensor, data: Data):
        self.data, self.lean = data, Lean(model, data.topology, candidates)
        self.taken, self.dropped = 0, False  # steps; whether a member was, for its error
        self.left, count = np.arange(len(candidates)), len(candidates)
        self.shortest, self.longest = SHORTEST * data.duration, LONGEST * data.duration
        self.least = LITTLE * (data.scale or 1.0)
        self.near = NEAR * (float(data.x[0].abs().max()) or 1.0)
        rng = torch.Generator().manual_seed(0)
        vector = torch.randn(data.x[0].shape, generator=rng, dtype=data.x.dtype)
        self.vector = np.tile(vector.numpy(), (count, 1, 1))
        self.bound, self.accurate = np.zeros(count), np.full(count, np.inf)
        self.x = np.tile(data.x[0].numpy(), (count, 1, 1))
        self.slope = self.lean.rate(self.x)

    def look(self) -> None:
        """Estimate each spectral radius of ∂(dx/dt)/∂x by powers of difference quotients."""
        for _ in range(POWERS if self.bound.any() else 5 * POWERS):
            size = np.maximum(np.abs(self.vector).max((1, 2), keepdims=True), 1e-300)
            ahead = self.lean.rate(self.x + self.near / size * self.vector)
            moved = (ahead - self.slope) * (size / self.near)
            grown = np.sqrt(np.square(moved).sum((1, 2)))
            self.bound = MARGIN * grown / np.sqrt(np.square(self.vector).sum((1, 2)))
            good = (grown > 0) & np.isfinite(grown)
            self.vector[good] = moved[good] / grown[good][:, None, None]

    def lengths(self) -> tuple[Array, Any]:
        """The longest step of each member, ``[m]``, zero where the path is lost; who is slow.

        A step that was accurate says nothing of much longer ones, so that it makes nobody slow.
        """
        fastest, size = np.abs(self.slope).max((1, 2)), np.abs(self.x).max((1, 2))
        moving = CHANGE * np.maximum(size, self.least) / np.maximum(fastest, 1e-300)
        stable = np.minimum(STABLE / np.maximum(self.bound, 1e-300), moving)
        stable = np.minimum(stable, self.longest)
        found = np.minimum(stable, self.accurate)
        found = np.where(found >= self.shortest, found, 0.0)  # of NaN, zero too
        others = stable.max(initial=0.0, where=found > 0)
        return found, (found > 0) & (SLOW * stable < others) & (stable <= self.accurate)

    def step(self, h: float) -> None:
        """All members by as much."""
        self.x, last, after = stepped(self.lean.rate, self.x, self.slope, h)
        self.slope, self.taken = after, self.taken + 1
        if h < self.shortest / 2:  # as in `Stepper.judge`
            return
        error = h / 6 * np.abs(last - after).max((1, 2))
        wanted = TOLERANCE * np.maximum(np.abs(self.x).max((1, 2)), self.least)
        found = 0.9 * (wanted / np.maximum(error, 1e-300)) ** 0.25
        self.accurate = h * np.minimum(np.maximum(found, 1 / GROWTH), GROWTH)

    def only(self, kept: Any) -> None:
        """Drop the other members."""
        if not kept.all():
            self.left, self.x, self.slope = self.left[kept], self.x[kept], self.slope[kept]
            self.vector, self.bound = self.vector[kept], self.bound[kept]
            self.accurate = self.accurate[kept]
            self.lean.only(kept)


def _rolled(members: Abreast, before: Array, worse: float, size: float) -> tuple[Array, Any]:
    """Sums of squared errors ``[m]``, infinite where lost, and which members are too slow.

    Args:
        members: At the start.
        before: Their squares in other data.
        worse: Times the squares of the best, above which a member is dropped.
        size: Of the states of all data.
    """
    data, count = members.data, len(members.left)
    squares, slow = np.zeros(count), np.zeros(count, dtype=bool)
    true, age = data.x.numpy(), 0
    for k, (at, end) in enumerate(pairwise(data.t.tolist()), start=1):
        while end - at > 1e-12 * data.duration and len(members.left):
            if age % LOOK == 0:
                members.look()
            age += 1
            h, behind = members.lengths()
            kept = (h > 0) & ~behind
            slow[members.left[behind]] = True
            members.only(kept)
            if not len(members.left):
                break
            length = even(end - at, float(h[kept].min()))
            members.step(length)
            at += length
            members.only(np.abs(members.x).max((1, 2)) <= data.limit)
        squares[members.left] += data.at(k) * np.square(members.x - true[k]).sum((1, 2))
        total = (before + squares)[members.left]
        near = total <= worse * max(total.min(initial=math.inf), SMALL * size)
        members.dropped |= not near.all()
        members.only(near)
    lost = np.setdiff1d(np.arange(count), members.left)
    squares[lost] = math.inf
    squares[slow] = 0.0  # what it is alone comes to it
    return squares, slow
