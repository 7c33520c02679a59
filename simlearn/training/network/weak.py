"""The weak form: what the state gains in an interval is the integral of the field along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.training.network.course import Stepper, largest, stepped
from simlearn.training.network.data import Data
from simlearn.training.network.knots import Array
from simlearn.training.network.lean import Lean

NODES = 5  # of Gauss-Legendre in an interval
FEWEST, MOST, FIRST = 2, 12, 24  # Runge-Kutta steps in an interval along the field's own path
UNSEEN = 1e-18  # of the largest sum of squares of a column
BLOCK = 500_000  # numbers of columns at a time: more leave the cache, and memory
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
    found, times, lean = Normal.none(field), data.t.numpy(), Lean(field, data.topology)
    curve = PchipInterpolator(times, data.x.numpy(), axis=0)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    for k, gap in enumerate(np.diff(times)):
        states = curve(times[k] + gap * (1 + nodes) / 2)
        total, _ = _summed(lean, states, weights * gap / 2)
        found.add(torch.from_numpy(total), data.x[k + 1] - data.x[k])
    return found


def along_own(field: CoupledSeries, data: Data) -> Normal | None:
    """Integrals along the field's own paths, moved linearly to the state at the end.

    It takes the error of the interpolation out. None where a path is lost.
    """
    found, stepper, seen = Normal.none(field), Stepper(field, data), data.x.numpy()
    for k, gap in enumerate(data.t.diff().tolist()):
        stepper.look(stepper.tangent.at(stepper.lean.jet(seen[k : k + 1])))
        if not math.isfinite(stepper.bound):
            return None
        parts = min(MOST, max(FEWEST, math.ceil(gap * stepper.bound / ACCURATE)))
        grid = np.linspace(0, 1, (FIRST if k == 0 else parts) + 1)
        grid = grid**2 if k == 0 else grid
        x = seen[k : k + 1]
        states, a = [x], stepper.lean.rate(x)
        with np.errstate(all="ignore"):
            for h in (gap * np.diff(grid)).tolist():
                x, _, a = stepped(stepper.lean.rate, x, a, h)
                states.append(x)
        if not largest(x) <= data.limit:
            return None
        missed = seen[k + 1] - x
        moved = np.concatenate(states) + grid[:, None, None] * missed
        total = _integral(stepper.lean, moved, gap * np.diff(grid))
        found.add(torch.from_numpy(total), data.x[k + 1] - data.x[k])
    return found


def _integral(lean: Lean, states: Array, lengths: Array) -> Array:
    """Of the columns over parts of an interval, by Simpson's rule on cubics through the states."""
    h = lengths[:, None, None]
    ends = np.append(lengths, 0.0) + np.append(0.0, lengths)
    found, slopes = _summed(lean, states, ends / 6)
    middle = (states[:-1] + states[1:]) / 2 + h / 8 * (slopes[:-1] - slopes[1:])
    return found + _summed(lean, middle, lengths * 2 / 3)[0]


def _summed(lean: Lean, states: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted columns of several states, ``[rows, K]``, and dx/dt inside the range at each.

    No more of them are made at a time than memory has room for.
    """
    found = np.zeros((lean.rows, lean.sets.shape[1]))
    slopes, each = np.empty_like(states), max(1, BLOCK // found.size)
    for begin in range(0, len(states), each):
        part = slice(begin, begin + each)
        columns = lean.columns(states[part]).reshape(-1, *found.shape)
        slopes[part] = columns @ lean.sets[0]
        found += np.tensordot(weights[part], columns, 1)
    return found, slopes
