"""Samples laid out for regressions, with the folds of their trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.training.ladder.samples import spread
from simlearn.training.ladder.smooth import Evened

FOLDS = 5
SLOPES = 20_000  # components of dx/dt in the regressions; more are drawn from


@dataclass(frozen=True)
class Design:
    """Samples laid out for regressions.

    Attributes:
        x: ``[samples, dim]``.
        slope: ``[samples, dim]``.
        weight: ``[samples, dim]``, one over what a residual is expected to be, up to a factor.
        fold: ``[samples]``: the fold of its trajectory.
        state: ``[samples, dim]``, standard deviation of the states.
        error: ``[samples, dim]``, standard deviation of the slopes.
    """

    x: Tensor
    slope: Tensor
    weight: Tensor
    fold: Tensor
    state: Tensor
    error: Tensor

    @staticmethod
    def of(data: Evened) -> Design:
        """All samples that are there; trajectories are dealt to folds in turn.

        Raises:
            DataError: No sample is left.
        """
        samples = data.samples
        assert samples.slope is not None  # evened always gives slopes
        there: Any = samples.mask > 0
        number = _folds(there)
        x, slope = samples.x[there], samples.slope[there]
        error = data.slope.expand(samples.x.shape)[there]
        if len(x) * x.shape[1] > SLOPES:
            measures = [(part / _unit(part)).norm(dim=1) for part in (slope, x - x.mean(0))]
            some = spread(torch.stack(measures, 1).clamp_min(1e-300).log(), SLOPES // x.shape[1], 0)
            there = there.nonzero()[some].unbind(1)
            x, slope, error = x[some], slope[some], error[some]
        typical = slope.square().mean(0).sqrt()
        typical = torch.where(typical > 0, typical, torch.ones_like(typical)).expand_as(slope)
        weight = 1 / torch.where(error > 0, error, typical)
        state = data.state.expand(samples.x.shape)[there]
        return Design(x, slope, weight, number[there], state, error)

    @property
    def noisy(self) -> bool:
        """Whether the slopes are known to carry noise."""
        return bool(self.error.any())

    def some(self, count: int) -> Design:
        """At most so many samples, drawn at random."""
        if len(self.x) <= count:
            return self
        kept = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(0))[:count]
        return Design(*(getattr(self, name)[kept] for name in Design.__dataclass_fields__))

    def by_fold(self, rows: Tensor) -> list[Tensor]:
        """``[samples, columns, K]`` of each fold, samples and columns as one."""
        return [rows[self.fold == k].flatten(0, 1) for k in range(int(self.fold.max()) + 1)]


def _unit(part: Tensor) -> Tensor:
    """Spread of each column, one where it is constant."""
    spread = part.std(0)
    return torch.where(spread > 0, spread, torch.ones_like(spread))


def _folds(there: Tensor) -> Tensor:
    """The fold of each sample, ``[n, steps]``: that of its trajectory.

    One trajectory alone is cut into stretches of time.
    """
    n, steps = there.shape
    kept = there.any(1)
    count = int(kept.sum())
    if not count:
        raise DataError("No trajectory has two complete states in a row; nothing can be learned.")
    if count == 1:
        number = (there.cumsum(1) - 1).clamp_min(0) * min(FOLDS, int(there.sum())) // there.sum()
        return number.expand(n, steps)
    return ((kept.cumsum(0) - 1).clamp_min(0) % min(FOLDS, count))[:, None].expand(n, steps)
