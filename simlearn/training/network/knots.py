"""The functions of `SplineBasis` in NumPy, for `simlearn.training.network.lean`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simlearn.dynamics.splinebasis import CUBIC, SplineBasis

Array = np.ndarray[Any, np.dtype[np.float64]]
VALUES = np.array(CUBIC, dtype=np.float64) / 6  # [spline, power]
SLOPES = np.pad(VALUES[:, 1:] * [1.0, 2.0, 3.0], ((0, 0), (0, 1)))


class Place(NamedTuple):
    """Where states lie among the knots.

    Attributes:
        x: ``[rows, dim]``.
        inside: The columns that are no angles, held inside the range, ``[rows, plain]``.
        u: asinh of these over their unit.
    """

    x: Array
    inside: Array
    u: Array


class Functions:
    """`SplineBasis` in NumPy.

    Args:
        basis: With range and knots.
    """

    def __init__(self, basis: SplineBasis):
        self.plain, self.turning = basis.plain.numpy(), basis.turning.numpy()
        self.dim, self.size, self.count, self.cells = (
            basis.dim,
            basis.size,
            basis.count if len(self.plain) else 0,
            basis.cells,
        )
        kept = (basis.low, basis.high, basis.unit, basis.largest, basis.start, basis.gap)
        low, high, unit, largest, start, gap = (one.numpy()[self.plain] for one in kept)
        self.low, self.high, self.unit, self.largest = low, high, unit, largest
        self.start, self.gap, self.couples = start, gap, basis.couples.numpy()
        self.orders = np.tile(np.arange(1.0, basis.harmonics + 1), len(self.turning))
        self.turned = np.repeat(self.turning, basis.harmonics)
        self.owner, self.four = basis.owner.numpy(), np.arange(4)
        self.first = 1 + len(self.plain) + 2 * len(self.turned)  # of the splines
        self.last = self.first + self.count * len(self.plain)

    def place(self, x: Array) -> Place:
        """Where states ``[rows, dim]`` lie; the same for all functions of one range."""
        plain = x[:, self.plain] if len(self.turning) else x
        inside = np.minimum(np.maximum(plain, self.low), self.high)
        return Place(x, inside, np.arcsinh(inside / self.unit))

    def cell(self, place: Place) -> tuple[Any, Array]:
        """In which cell each column lies, and how far in it, ``[rows, plain]``."""
        at = (place.u - self.start) / self.gap
        # of NaN, any cell: its values stay NaN
        cell = np.minimum(np.maximum(at.astype(np.int64), 0), self.cells - 1)
        return cell, at - cell

    def simple(self, place: Place) -> Array:
        """All functions but splines and products, in their order, ``[rows, first]``."""
        found, plain = np.empty((len(place.x), self.first)), 1 + len(self.plain)
        found[:, 0] = 1.0
        np.divide(place.inside, self.largest, out=found[:, 1:plain])
        if len(self.turned):
            turn, turns = place.x[:, self.turned] * self.orders, plain + len(self.turned)
            np.sin(turn, out=found[:, plain:turns])
            np.cos(turn, out=found[:, turns:])
        return found

    def products(self, simple: Array) -> Array:
        """Of the plain functions of two columns, ``[rows, products]``."""
        a, b = self.couples + 1
        return simple[:, a] * simple[:, b]

    def values(self, place: Place) -> Array:
        """``[rows, size]``."""
        found = self._without_splines(place)
        if self.count:
            cell, f = self.cell(place)
            found.reshape(-1)[self._spots(cell)] = blended(powers(f), VALUES)
        return found

    def _without_splines(self, place: Place) -> Array:
        found, simple = np.zeros((len(place.x), self.size)), self.simple(place)
        found[:, : self.first] = simple
        if self.last < self.size:
            found[:, self.last :] = self.products(simple)
        return found

    def jet(self, place: Place) -> tuple[Array, Array]:
        """``[rows, size]``, and the derivatives by the columns ``[rows, size, dim]``."""
        found, plain = self._without_splines(place), 1 + len(self.plain)
        slope = np.zeros_like(found)
        within = (self.held(place.x) == place.inside).astype(np.float64)
        slope[:, 1:plain] = within / self.largest
        if count := len(self.turned):
            slope[:, plain : plain + count] = self.orders * found[:, plain + count : self.first]
            slope[:, plain + count : self.first] = -self.orders * found[:, plain : plain + count]
        if self.count:
            cell, f = self.cell(place)
            steep = within / (np.sqrt(place.inside**2 + self.unit**2) * self.gap)
            spots, cubic = self._spots(cell), powers(f)
            found.reshape(-1)[spots] = blended(cubic, VALUES)
            slope.reshape(-1)[spots] = blended(cubic, SLOPES) * steep[..., None]
        return found, self._by_column(found, slope)

    def _by_column(self, found: Array, slope: Array) -> Array:
        """Each function's slope at the column that it depends on; those of products."""
        if self.dim == 1:
            return slope[..., None]
        wide = np.zeros((*slope.shape, self.dim))
        wide[:, np.arange(1, self.last), self.owner] = slope[:, 1 : self.last]
        if self.last < self.size:
            a, b = self.couples + 1
            wide[:, self.last :] = found[:, a, None] * wide[:, b] + found[:, b, None] * wide[:, a]
        return wide

    def held(self, x: Array) -> Array:
        """The columns that a range bounds."""
        return x[:, self.plain] if len(self.turning) else x

    def _spots(self, cell: Any) -> Any:
        """Where the four splines that are not zero stand among all values in a row."""
        rows, columns = cell.shape
        begin = np.arange(self.first, rows * self.size, self.size)[:, None] + cell
        if columns > 1:
            begin += self.count * np.arange(columns)
        return begin[..., None] + self.four


def powers(f: Array) -> Array:
    """1, f, f², f³ along a last axis."""
    found = np.empty((*f.shape, 4))
    found[..., 0] = 1.0
    found[..., 1] = f
    np.multiply(f, f, out=found[..., 2])
    np.multiply(found[..., 2], f, out=found[..., 3])
    return found


def blended(cubic: Array, by: Array) -> Array:
    """Polynomials ``[..., 4]`` of powers ``[..., 4]``: one product, not one for each row."""
    return (cubic.reshape(-1, 4) @ by.T).reshape(cubic.shape)
