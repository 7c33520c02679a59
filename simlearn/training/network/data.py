"""What the closed form of networks is fitted to."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Topology
from simlearn.training.network.tangent import Tangent

BEYOND = 20.0  # times the largest state of the data: a path that goes farther is lost


@dataclass(frozen=True)
class Data:
    """What is observed on one topology at common times.

    Attributes:
        t: ``[steps]``.
        x: ``[steps, rows, dim]``, the first of which a path starts from.
        topology: Of the rows.
        weight: How much each time counts, ``[steps]``; all the same where it is None.
        whole: What it is a piece of.
    """

    t: Tensor
    x: Tensor
    topology: Topology
    weight: Tensor | None = None
    whole: Data | None = None
    _made: dict[Any, Tangent] = dataclasses.field(default_factory=dict)

    @cached_property
    def duration(self) -> float:
        """From the first time to the last, of the whole."""
        t = (self.whole or self).t
        return float(t[-1] - t[0])

    @cached_property
    def scale(self) -> float:
        """The largest component of the whole."""
        return self.whole.scale if self.whole else float(self.x.abs().max())

    @property
    def limit(self) -> float:
        """A component beyond which a path is lost."""
        return BEYOND * self.scale

    def pieces(self, length: int, every: int = 1) -> list[Data]:
        """Pieces that start where the ones before end.

        Args:
            length: Intervals between stamps in each; the last one may have fewer.
            every: Take the first of every so many pieces.
        """
        found, whole = [], self.whole or self
        for begin in range(0, len(self.t) - 1, length * every):
            part = slice(begin, begin + length + 1)
            weight = None if self.weight is None else self.weight[part]
            cut = self.t[part], self.x[part], self.topology, weight
            found.append(Data(*cut, whole, self._made))
        return found

    def at(self, step: int) -> float:
        """How much a time counts."""
        return 1.0 if self.weight is None else float(self.weight[step])

    @property
    def size(self) -> float:
        """Weighted sum of squared states."""
        squares = self.x.square().sum((1, 2))
        return float(squares.sum() if self.weight is None else squares @ self.weight)

    def tangent(self, field: CoupledSeries) -> Tangent:
        """For ∂(dx/dt)/∂x of a field on the topology, sorted once for all fields of a kind."""
        key = (field.dim, field.aggregation, field.weight)
        if key not in self._made:
            self._made[key] = Tangent(field, self.topology)
        return self._made[key]
