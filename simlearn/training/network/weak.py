"""The weak form: what the state gains in an interval is the integral of the field along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.training.network.course import Data, Stepper

NODES = 5  # of Gauss-Legendre in an interval
FEWEST, MOST, FIRST = 2, 12, 24  # Runge-Kutta steps in an interval along the field's own path
UNSEEN = 1e-18  # of the largest sum of squares of a column
ACCURATE = 0.7  # step times the spectral radius


@dataclass
class Normal:
    """XᵀX and Xᵀy of y ≈ X c, ``[K, K]`` and ``[K, dim]``."""

    gram: Tensor
    right: Tensor

    @staticmethod
    def none(field: CoupledSeries) -> Normal:
        """Of no rows."""
        count, dim = field.coefficients.shape
        zero = field.coefficients.new_zeros
        return Normal(zero(count, count), zero(count, dim))

    def add(self, columns: Tensor, gained: Tensor) -> None:
        """Rows ``[rows, K]`` and what they should give ``[rows, dim]``."""
        self.gram.addmm_(columns.T, columns)
        self.right.addmm_(columns.T, gained)

    def path(self, ridges: Tensor) -> list[Tensor]:
        """Solutions ``[K, dim]`` with so much of the largest eigenvalue added, columns scaled."""
        # a function that almost no data reach must not be scaled up to count
        size = self.gram.diagonal()
        scale = size.clamp_min(max(UNSEEN * float(size.max()), 1e-300)).rsqrt()
        values, vectors = torch.linalg.eigh(scale[:, None] * self.gram * scale)
        values = values.clamp_min(0.0)
        along = vectors.T @ (scale[:, None] * self.right)
        top = values[-1].clamp_min(1e-300)
        return [scale[:, None] * (vectors @ (along / (values + r * top)[:, None])) for r in ridges]


def along_data(field: CoupledSeries, data: Data) -> Normal:
    """Integrals along monotone cubics through the observed states (Fritsch and Butland 1984)."""
    found, times = Normal.none(field), data.t.numpy()
    curve = PchipInterpolator(times, data.x.numpy(), axis=0)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    for k, gap in enumerate(np.diff(times)):
        total = torch.zeros(len(data.x[0]), len(field.coefficients), dtype=data.x.dtype)
        for node, weight in zip(nodes, weights, strict=True):
            x = torch.from_numpy(curve(times[k] + gap * (1 + node) / 2))
            total += weight * gap / 2 * field.columns(x, data.topology)
        found.add(total, data.x[k + 1] - data.x[k])
    return found


def along_own(field: CoupledSeries, data: Data) -> Normal | None:
    """Integrals along the field's own paths, moved linearly to the state at the end.

    It takes the error of the interpolation out. None where a path is lost.
    """
    found, stepper = Normal.none(field), Stepper(field, data)

    def rate(x: Tensor) -> Tensor:
        return field(0.0, x, data.topology)

    for k, gap in enumerate(data.t.diff().tolist()):
        stepper.look(data.tangent(field).at(field.jet(data.x[k], data.topology)))
        if not math.isfinite(stepper.bound):
            return None
        parts = min(MOST, max(FEWEST, math.ceil(gap * stepper.bound / ACCURATE)))
        grid = torch.linspace(0, 1, (FIRST if k == 0 else parts) + 1, dtype=data.t.dtype)
        grid = grid.square() if k == 0 else grid
        x, states = data.x[k], [data.x[k]]
        for h in (gap * grid.diff()).tolist():
            a = rate(x)
            b = rate(x + h / 2 * a)
            c = rate(x + h / 2 * b)
            x = x + h / 6 * (a + 2 * (b + c) + rate(x + h * c))
            states.append(x)
        if not float(x.abs().max()) <= data.largest:
            return None
        missed = data.x[k + 1] - x
        states = [one + part * missed for one, part in zip(states, grid.tolist(), strict=True)]
        found.add(_integral(field, data, states, gap * grid.diff()), data.x[k + 1] - data.x[k])
    return found


def _integral(field: CoupledSeries, data: Data, states: list[Tensor], lengths: Tensor) -> Tensor:
    """Of the columns over parts of an interval, by Simpson's rule on cubics through the states."""
    columns = [field.columns(x, data.topology) for x in states]
    slopes = [one @ field.coefficients for one in columns]
    total = torch.zeros_like(columns[0])
    for k, h in enumerate(lengths.tolist()):
        middle = (states[k] + states[k + 1]) / 2 + h / 8 * (slopes[k] - slopes[k + 1])
        between = field.columns(middle, data.topology)
        total += h / 6 * (columns[k] + 4 * between + columns[k + 1])
    return total
