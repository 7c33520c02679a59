"""Cubic B-splines of the columns of a state, on knots that suit what spans decades."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALL = 1e-3  # of the largest value: the median counts as at least so much


class SplineBasis(nn.Module):
    """Of each column x: 1 (once), x/max, and cubic B-splines of u = asinh(x / median |x|).

    Knots are uniform in u over the range of the samples, so that they are as dense where values are
    small as where they are large. Outside that range everything stays at its value at the edge:
    functions are bounded, and their slopes vanish.

    Args:
        dim: Columns.
        count: Splines of each column; none, or four or more.
    """

    low: Tensor
    high: Tensor
    unit: Tensor
    largest: Tensor
    start: Tensor
    gap: Tensor

    def __init__(self, dim: int, count: int):
        super().__init__()
        self.dim, self.count = dim, count
        self.cells = max(count - 3, 1)
        for name, value in (
            ("low", -torch.inf),
            ("high", torch.inf),
            ("unit", 1.0),
            ("largest", 1.0),
            ("start", 0.0),
            ("gap", 1.0),
        ):
            self.register_buffer(name, torch.full((dim,), value, dtype=torch.float64))

    @property
    def size(self) -> int:
        """Number of functions K."""
        return 1 + self.dim * (1 + self.count)

    def measure(self, x: Tensor) -> None:
        """Take range and knots from samples ``[samples, dim]``."""
        largest = x.abs().amax(0)
        largest = torch.where(largest > 0, largest, 1.0)
        self.low.copy_(x.amin(0))
        self.high.copy_(x.amax(0))
        self.largest.copy_(largest)
        self.unit.copy_(x.abs().median(0).values.maximum(SMALL * largest))
        edges = torch.stack([self.low, self.high]) / self.unit
        first, last = edges.asinh()
        self.start.copy_(first)
        width = (last - first) / self.cells
        self.gap.copy_(torch.where(width > 0, width, 1.0))

    def values(self, x: Tensor) -> Tensor:
        """``[rows, K]``."""
        inside = x.maximum(self.low).minimum(self.high)
        parts = [torch.ones_like(x[:, :1]), inside / self.largest]
        if self.count:
            cell, f = self._cells(inside)
            g = 1 - f
            four = (g**3, 3 * f**3 - 6 * f**2 + 4, 3 * (f + f**2 - f**3) + 1, f**3)
            parts.append(self._spread(cell, torch.stack(four, dim=-1) / 6))
        return torch.cat(parts, dim=-1)

    def slopes(self, x: Tensor) -> Tensor:
        """Derivative of each function by its own column, ``[rows, K]``; that of 1 is zero."""
        inside = x.maximum(self.low).minimum(self.high)
        within = (x == inside).to(x)
        parts = [torch.zeros_like(x[:, :1]), within / self.largest]
        if self.count:
            cell, f = self._cells(inside)
            rate = within / ((inside.square() + self.unit.square()).sqrt() * self.gap)
            g = 1 - f
            four = (-(g**2), 3 * f**2 - 4 * f, 1 + 2 * f - 3 * f**2, f**2)
            parts.append(self._spread(cell, torch.stack(four, dim=-1) * rate[..., None] / 2))
        return torch.cat(parts, dim=-1)

    def column(self) -> Tensor:
        """The column that each function belongs to, ``[K]``; 0 for the constant."""
        each = torch.arange(self.dim, device=self.low.device)
        return torch.cat([each[:1], each, each.repeat_interleave(self.count)])

    def _cells(self, inside: Tensor) -> tuple[Tensor, Tensor]:
        """In which cell each value lies, and how far, from 0 to 1."""
        place = ((inside / self.unit).asinh() - self.start) / self.gap
        cell = (
            place.floor().nan_to_num(0.0).clamp(0, self.cells - 1)
        )  # of NaN, any: values stay NaN
        return cell.long(), place - cell

    def _spread(self, cell: Tensor, four: Tensor) -> Tensor:
        """The four splines that are not zero, among all of them, ``[rows, dim · count]``."""
        rows = len(cell)
        found = four.new_zeros(rows, self.dim, self.count)
        at = cell[..., None] + torch.arange(4, device=cell.device)
        return found.scatter(-1, at, four).reshape(rows, -1)
