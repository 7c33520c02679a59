"""Whole trajectories of a coupled series, with their derivatives by the coefficients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Topology
from simlearn.state.operator import Csr

STABLE = 1.8  # step times a bound of the spectrum: classical Runge-Kutta is stable to 2.78
CHANGE = 0.15  # of the largest state, in one step
LOOK = 4  # steps for which a bound of the spectrum is kept
LONGEST = 0.01  # part of the time of the data
SHORTEST = 1e-5  # part of the time of the data: where steps are shorter, the path is given up
BEYOND = 20.0  # times the largest state of the data: a path that goes farther is lost


@dataclass(frozen=True)
class Data:
    """What is observed on one topology at common times.

    Attributes:
        t: ``[steps]``.
        x: ``[steps, rows, dim]``, the first of which a path starts from.
        topology: Of the rows.
    """

    t: Tensor
    x: Tensor
    topology: Topology

    @property
    def largest(self) -> float:
        """A component beyond which a path is lost."""
        return BEYOND * float(self.x.abs().max())

    def until(self, steps: int) -> Data:
        """Its beginning."""
        return Data(self.t[:steps], self.x[:steps], self.topology)


class Stepper:
    """Classical Runge-Kutta steps as long as stability and accuracy allow."""

    def __init__(self, field: CoupledSeries, data: Data):
        self.field, self.data = field, data
        self.target = data.topology.graph.edge_index[1]
        duration = float(data.t[-1] - data.t[0])
        self.shortest, self.longest = SHORTEST * duration, LONGEST * duration
        self.bound, self.age = 0.0, 0

    def rate(self, x: Tensor) -> Tensor:
        """dx/dt."""
        return self.field(0.0, x, self.data.topology)

    def length(self, x: Tensor, slope: Tensor) -> float:
        """Of a step from here; zero where the path is lost."""
        if self.age % LOOK == 0:
            self.bound = self.spectrum(*self.field.tangent(x, self.data.topology))
        self.age += 1
        return self.limited(x, slope)

    def spectrum(self, diagonal: Tensor, edges: Tensor) -> float:
        """A bound of the spectral radius (Gershgorin)."""
        sums = diagonal.abs().sum(-1).index_add(0, self.target, edges.abs().sum(-1))
        return float(sums.max())

    def limited(self, x: Tensor, slope: Tensor) -> float:
        """The longest step that stability and accuracy allow; zero where the path is lost."""
        fastest, size = float(slope.abs().max()), float(x.abs().max())
        if not (math.isfinite(self.bound) and math.isfinite(fastest) and size <= math.inf):
            return 0.0
        found = min(STABLE / max(self.bound, 1e-300), CHANGE * (size + 1e-300) / (fastest + 1e-300))
        found = min(found, self.longest)
        return found if found >= self.shortest else 0.0


def pieces(left: float, length: float) -> float:
    """The step that reaches the end in equal ones no longer than a length."""
    return left / max(1, math.ceil(left / length - 1e-9))


def path(field: CoupledSeries, data: Data, most: float = math.inf) -> Tensor:
    """States at the times of the data, ``[steps, rows, dim]``.

    Fewer where the path is lost, or where the sum of squared errors is above ``most`` already.
    """
    stepper, states, x = Stepper(field, data), [data.x[0]], data.x[0]
    times, largest, missed = data.t.tolist(), data.largest, 0.0
    a = stepper.rate(x)
    for k, (at, end) in enumerate(pairwise(times), start=1):
        while end - at > 1e-12 * (times[-1] - times[0]):
            h = stepper.length(x, a)
            if not h:
                return torch.stack(states)
            h = pieces(end - at, h)
            b = stepper.rate(x + h / 2 * a)
            c = stepper.rate(x + h / 2 * b)
            x = x + h / 6 * (a + 2 * (b + c) + stepper.rate(x + h * c))
            a, at = stepper.rate(x), at + h
            if not float(x.abs().max()) <= largest:
                return torch.stack(states)
        missed += float((x - data.x[k]).square().sum())
        if missed > most:
            return torch.stack(states)
        states.append(x)
    return torch.stack(states)


class Tangent:
    """∂(dx/dt)/∂x as one sparse matrix of rows · dim, its pattern sorted once."""

    def __init__(self, topology: Topology, dim: int):
        source, target = topology.graph.edge_index
        rows, each = topology.rows, torch.arange(dim)
        own = torch.arange(rows)
        to, of = torch.cat([own, target]), torch.cat([own, source])
        row = (to[:, None, None] * dim + each[:, None]).expand(-1, dim, dim)
        column = (of[:, None, None] * dim + each).expand(-1, dim, dim)
        self.csr = Csr.of(row.flatten(), column.flatten(), rows * dim)

    def matrix(self, diagonal: Tensor, edges: Tensor) -> Tensor:
        """From the parts that `CoupledSeries.tangent` gives."""
        return self.csr.matrix(torch.cat([diagonal.flatten(), edges.flatten()]))


def sensitivities(
    field: CoupledSeries, data: Data, tangent: Tangent
) -> Iterator[tuple[Tensor, Tensor]]:
    """States at the times after the first, and their derivatives by the coefficients.

    S' = J S + ∂f/∂c along the path (Hairer, Nørsett and Wanner 1993, eq. I.14.7), J sparse. It ends
    early where the path is lost.

    Yields:
        ``[rows, dim]`` and ``[rows · dim, K · dim]``.
    """
    stepper, x = Stepper(field, data), data.x[0]
    times, largest, topology = data.t.tolist(), data.largest, data.topology
    one = torch.eye(field.dim, dtype=x.dtype)

    def rates(x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        diagonal, edges = field.tangent(x, topology)
        columns = field.columns(x, topology)
        stepper.bound = stepper.spectrum(diagonal, edges)
        by = torch.kron(columns, one) if field.dim > 1 else columns
        return columns @ field.coefficients, by.addmm_(tangent.matrix(diagonal, edges), s)

    s = x.new_zeros(x.numel(), field.coefficients.numel())
    a, sa = rates(x, s)
    for at, end in pairwise(times):
        while end - at > 1e-12 * (times[-1] - times[0]):
            h = stepper.limited(x, a)
            if not h:
                return
            h = pieces(end - at, h)
            b, sb = rates(x + h / 2 * a, s + h / 2 * sa)
            c, sc = rates(x + h / 2 * b, s + h / 2 * sb)
            d, sd = rates(x + h * c, s + h * sc)
            x, s = x + h / 6 * (a + 2 * (b + c) + d), s + h / 6 * (sa + 2 * (sb + sc) + sd)
            a, sa = rates(x, s)
            at += h
            if not float(x.abs().max()) <= largest:
                return
        yield x, s
