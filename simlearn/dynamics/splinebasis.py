"""Functions of the state of a node: splines of its columns, sines of its angles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from simlearn.dynamics.angles import Angles

SMALL = 1e-3  # of the largest value: the median counts as at least so much
CUBIC = ((1, -3, 3, -1), (4, 0, -6, 3), (1, 3, 3, -3), (0, 0, 0, 1))  # by powers, times 6
PER_HARMONIC = 5  # splines of a column for which an angle gets one more harmonic


class SplineBasis(nn.Module):
    """Of each column x: 1 (once), x/max, and cubic B-splines of u = asinh(x / median |x|).

    Knots are uniform in u over the range of the samples, so that they are as dense where values are
    small as where they are large. Outside that range everything stays at its value at the edge:
    functions are bounded, and their slopes vanish. An angle θ gives sin kθ and cos kθ instead,
    which no range bounds.

    Args:
        dim: Columns.
        count: Splines of each column; none, or four or more.
        angles: Columns (from 0) that are angles, in radians.
        products: Whether the plain functions (x/max, sin θ, cos θ) of two columns are multiplied.

    Attributes:
        size: Number of functions K.
        edge: Slopes of the functions of one column at its lowest and highest, ``[2, K, dim]``.
    """

    low: Tensor
    high: Tensor
    unit: Tensor
    largest: Tensor
    start: Tensor
    gap: Tensor
    cubic: Tensor
    plain: Tensor
    turning: Tensor
    owner: Tensor
    couples: Tensor
    edge: Tensor

    def __init__(self, dim: int, count: int, angles: Sequence[int] = (), products: bool = False):
        super().__init__()
        self.dim, self.count, self.angles, self.products = dim, count, tuple(angles), products
        self.cells, self.harmonics = max(count - 3, 1), 1 + count // PER_HARMONIC
        for name, value in (
            ("low", -torch.inf),
            ("high", torch.inf),
            ("unit", 1.0),
            ("largest", 1.0),
            ("start", 0.0),
            ("gap", 1.0),
        ):
            self.register_buffer(name, torch.full((dim,), value, dtype=torch.float64))
        split = Angles(dim, angles)
        self.plain, self.turning = (
            nn.Buffer(one, persistent=False) for one in (split.plain, split.index)
        )
        both = torch.tensor(CUBIC, dtype=torch.float64).T / 6
        rates = torch.cat([both[1:] * torch.tensor([[1.0], [2.0], [3.0]]), 0 * both[:1]])
        self.cubic = nn.Buffer(torch.cat([both, rates], dim=1), persistent=False)
        self.owner = nn.Buffer(self._owners(), persistent=False)
        self.couples = nn.Buffer(self._couples(), persistent=False)
        self.size = 1 + len(self.owner) + self.couples.shape[1]
        edge = torch.zeros(2, self.size, dim, dtype=torch.float64)
        self.register_buffer("edge", edge)

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Take range and knots from samples ``[samples, dim]``."""
        x, at = x[:, self.plain], self.plain
        largest = x.abs().amax(0)
        largest = torch.where(largest > 0, largest, 1.0)
        self.low[at], self.high[at], self.largest[at] = x.amin(0), x.amax(0), largest
        self.unit[at] = x.abs().median(0).values.maximum(SMALL * largest)
        first = (self.low / self.unit).asinh()[at]
        width = ((self.high / self.unit).asinh()[at] - first) / self.cells
        self.start[at] = first
        self.gap[at] = torch.where(width > 0, width, 1.0)
        ends = torch.stack([self.low, self.high]).nan_to_num(posinf=0.0, neginf=0.0)
        single = torch.ones(self.size, 1, dtype=ends.dtype, device=ends.device)
        single[1 + len(self.owner) :] = 0.0
        self.edge.copy_(single * self.jet(ends)[1])

    def values(self, x: Tensor) -> Tensor:
        """``[rows, K]``."""
        inside = self._plain(x.maximum(self.low).minimum(self.high))
        parts = [inside / self._plain(self.largest)]
        if self.angles:
            turn = self._turns(x)
            parts += [turn.sin(), turn.cos()]
        if self.count and len(self.plain):
            cell, powers, _ = self._cells(inside)
            parts.append(self._spread(cell, powers @ self.cubic[:, :4]))
        return self._with_products(torch.cat(parts, dim=-1))

    def jet(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[rows, K]``, and the derivatives by the columns ``[rows, K, dim]``."""
        inside = self._plain(x.maximum(self.low).minimum(self.high))
        largest = self._plain(self.largest)
        within = (self._plain(x) == inside).to(x)
        parts, slopes = [inside / largest], [within / largest]
        if self.angles:
            turn, order = self._turns(x), self._orders().to(x)
            sin, cos = turn.sin(), turn.cos()
            parts += [sin, cos]
            slopes += [order * cos, -order * sin]
        if self.count and len(self.plain):
            cell, powers, root = self._cells(inside)
            four, rate = (powers @ self.cubic).split(4, dim=-1)
            parts.append(self._spread(cell, four))
            slopes.append(
                self._spread(cell, rate * (within / (root * self._plain(self.gap)))[..., None])
            )
        values, slope = torch.cat(parts, dim=-1), torch.cat(slopes, dim=-1)
        gradient = slope[..., None]
        if self.dim > 1:
            gradient = gradient * nn.functional.one_hot(self.owner, self.dim).to(x)
        gradient = self._product_slopes(values, gradient)
        return self._with_products(values), nn.functional.pad(gradient, (0, 0, 1, 0))

    def _plain(self, x: Tensor) -> Tensor:
        """The columns that are no angles."""
        return x.index_select(-1, self.plain) if self.angles else x

    def _orders(self) -> Tensor:
        """The harmonic of each sine, ``[angles · harmonics]``."""
        return torch.arange(1, self.harmonics + 1, device=self.low.device).repeat(len(self.angles))

    def _turns(self, x: Tensor) -> Tensor:
        each = x.index_select(1, self.turning).repeat_interleave(self.harmonics, dim=1)
        return each * self._orders().to(x)

    def _owners(self) -> Tensor:
        """The column that each function but 1 and the products depends on."""
        turns = self.turning.repeat_interleave(self.harmonics)
        return torch.cat([self.plain, turns, turns, self.plain.repeat_interleave(self.count)])

    def _couples(self) -> Tensor:
        """Pairs of plain functions of two columns, ``[2, products]``, counted without the 1."""
        plain, turns = len(self.plain), len(self.turning) * self.harmonics
        first = [self.harmonics * k for k in range(len(self.turning))]
        lowest = [*range(plain), *(plain + k for k in first), *(plain + turns + k for k in first)]
        found = [
            pair
            for pair in combinations(lowest, 2)
            if self.products and self.owner[pair[0]] != self.owner[pair[1]]
        ]
        return torch.tensor(found, dtype=torch.int64).reshape(-1, 2).T.contiguous()

    def _with_products(self, values: Tensor) -> Tensor:
        parts = [torch.ones_like(values[:, :1]), values]
        if self.couples.shape[1]:
            a, b = self.couples
            parts.append(values.index_select(1, a) * values.index_select(1, b))
        return torch.cat(parts, dim=-1)

    def _product_slopes(self, values: Tensor, gradient: Tensor) -> Tensor:
        if not self.couples.shape[1]:
            return gradient
        a, b = self.couples
        by = values[:, a, None] * gradient[:, b] + values[:, b, None] * gradient[:, a]
        return torch.cat([gradient, by], dim=1)

    def _cells(self, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """In which cell each value lies, the powers of how far in it, and unit · cosh u."""
        unit = self._plain(self.unit)
        place = ((inside / unit).asinh() - self._plain(self.start)) / self._plain(self.gap)
        # of NaN, any cell: its values stay NaN
        cell = place.floor().nan_to_num(0.0).clamp(0, self.cells - 1)
        f = place - cell
        powers = torch.stack([torch.ones_like(f), f, f * f, f * f * f], dim=-1)
        return cell.long(), powers, (inside.square() + unit.square()).sqrt()

    def _spread(self, cell: Tensor, four: Tensor) -> Tensor:
        """The four splines that are not zero, among all of them, ``[rows, columns · count]``."""
        rows = len(cell)
        found = four.new_zeros(rows, cell.shape[1], self.count)
        at = cell[..., None] + torch.arange(4, device=cell.device)
        return found.scatter(-1, at, four).reshape(rows, -1)
