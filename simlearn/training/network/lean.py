"""A coupled series on one topology in NumPy: the same numbers, without the cost of small calls.

A rollout evaluates the field thousands of times on a few hundred rows, where most of the time of a
tensor operation is its call. `CoupledSeries` stays what is trained, saved and differentiated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Topology
from simlearn.training.network.knots import VALUES, Array, Functions, Place, powers


class Tangents(NamedTuple):
    """What `simlearn.dynamics.coupledseries.Jet` holds, as arrays."""

    rate: Array
    columns: Array
    diagonal: Array
    lever: Array
    slope: Array


class Lean:
    """A coupled series on copies of one topology, each with coefficients of its own, or all alike.

    States are ``[m, rows, dim]``, one for each copy.

    Args:
        field: The basis.
        topology: Of one copy.
        sets: Coefficients ``[m, K, dim]``; those of the field where it is None.
    """

    def __init__(self, field: CoupledSeries, topology: Topology, sets: Tensor | None = None):
        self.own, self.pair = Functions(field.self_basis), Functions(field.pair_basis)
        self.dim, self.each, self.rows = field.dim, 1 + len(field.node), topology.rows
        by = topology.adjacency(field.aggregation, field.weight)
        weight = by.weight.double()[by.forth.edge].numpy()
        parts = (weight, by.forth.column.numpy(), by.forth.start.numpy())
        self.matrix = csr_array(parts, shape=(self.rows, self.rows))
        given = field.given(field.coefficients, topology)
        self.given = None if given is None else given.double().numpy()
        self.edge = field.self_basis.edge.numpy()
        self.take((field.coefficients[None] if sets is None else sets).detach().numpy().copy())

    def take(self, sets: Array) -> None:
        """Coefficients ``[m, K, dim]``, and what follows from them."""
        self.sets, each, size = sets, self.each, self.pair.size
        split = each * self.own.size
        by_self = sets[:, :split].reshape(len(sets), each, self.own.size, self.dim)
        self.by_self = by_self
        # functions of a node by all that they add to: [m, S, each · dim]
        wide = by_self.transpose(0, 2, 1, 3).reshape(len(sets), self.own.size, each * self.dim)
        simple = np.concatenate([wide[:, : self.own.first], wide[:, self.own.last :]], axis=1)
        self.simple = np.ascontiguousarray(simple)
        self.table = self._table(wide[:, self.own.first : self.own.last])
        self.by_pair = sets[:, split:].reshape(len(sets), each * size, size * self.dim)
        # the slope that pulls each column back at its lowest and highest, [m, 2, rows or 1, dim]
        steep = np.einsum("bka,meka->mbea", self.edge, by_self)
        given = np.ones((1, 1)) if self.given is None else self.given
        pull = np.einsum("mbea,re->mbra", steep, given)
        self.pull = np.minimum(np.nan_to_num(pull), 0.0)

    def only(self, which: Any) -> None:
        """Keep these copies."""
        self.take(self.sets[which])

    def _table(self, wide: Array) -> Array:
        """Cubics of each cell of each column, ``[m · columns · cells, 4, each · dim]``."""
        own, (m, _, out) = self.own, wide.shape
        if not own.count:
            return np.empty((0, 4, out))
        by_column = wide.reshape(m, len(own.plain), own.count, out)
        seen = np.stack([by_column[:, :, k : k + 4] for k in range(own.cells)], axis=2)
        return np.einsum("mpcso,sk->mpcko", seen, VALUES).reshape(-1, 4, out)

    def rate(self, x: Array) -> Array:
        """dx/dt, ``[m, rows, dim]``."""
        m, flat = len(x), x.reshape(-1, self.dim)
        place = self.own.place(flat)
        simple = self.own.simple(place)
        if self.own.last < self.own.size:
            simple = np.concatenate([simple, self.own.products(simple)], axis=1)
        found = (simple.reshape(m, self.rows, -1) @ self.simple).reshape(len(flat), -1)
        if self.own.count:
            found += self._splines(place, m)
        if self.given is not None:
            given = self._copied(self.given, m)
            found = (found.reshape(len(flat), self.each, -1) * given[..., None]).sum(1)
        pair = self.pair.values(place)
        lever = (self._received(pair, m).reshape(m, self.rows, -1) @ self.by_pair).reshape(
            len(flat), self.pair.size, self.dim
        )
        found += np.einsum("rb,rba->ra", self.felt(pair, m), lever)
        self._held(found, place, m)
        return found.reshape(x.shape)

    def _splines(self, place: Place, m: int) -> Array:
        """What the splines of a node add, ``[m · rows, each · dim]``."""
        cell, f = self.own.cell(place)
        columns = cell.shape[1]
        begin = self.own.cells * np.arange(columns)
        if len(self.sets) > 1:
            block = np.repeat(np.arange(m), self.rows)[:, None] * (columns * self.own.cells)
            begin = begin + block
        cubic = self.table.take(cell + begin, axis=0)
        if cubic.shape[1:] == (1, 4, 1):
            return np.einsum("rk,rk->r", powers(f)[:, 0], cubic[:, 0, :, 0])[:, None]
        return np.einsum("rpk,rpko->ro", powers(f), cubic)

    def felt(self, pair: Array, m: int) -> Array:
        """Σⱼ Aᵢⱼ p(xⱼ) of each copy, ``[m · rows, P]``."""
        if m == 1:
            return self.matrix @ pair
        wide = pair.reshape(m, self.rows, -1).transpose(1, 0, 2).reshape(self.rows, -1)
        summed = (self.matrix @ wide).reshape(self.rows, m, -1)
        return np.ascontiguousarray(summed.transpose(1, 0, 2)).reshape(len(pair), -1)

    def columns(self, x: Array) -> Array:
        """What each coefficient adds to dx/dt of any column inside the range, ``[m · rows, K]``."""
        m, flat = len(x), x.reshape(-1, self.dim)
        place = self.own.place(flat)
        pair, own = self.pair.values(place), self.own.values(place)
        return self._columns(own, pair, self.felt(pair, m), m)

    def jet(self, x: Array) -> Tangents:
        """Columns and the parts of ∂(dx/dt)/∂x at once, of ``[1, rows, dim]``."""
        place = self.own.place(x[0])
        (own, own_slope), (pair, slope) = self.own.jet(place), self.pair.jet(place)
        felt = self.felt(pair, 1)
        columns = self._columns(own, pair, felt, 1)
        rate = columns @ self.sets[0]
        by_pair = self.by_pair[0].reshape(-1, self.pair.size, self.dim)
        toward = felt @ by_pair.transpose(1, 0, 2).reshape(self.pair.size, -1)
        diagonal = self._by_column(own_slope, self.by_self[0])
        diagonal = diagonal + self._by_column(
            slope, toward.reshape(self.rows, self.each, -1, self.dim)
        )
        lever = (self._received(pair, 1) @ self.by_pair[0]).reshape(self.rows, -1, self.dim)
        off, pull = self._held(rate, place, 1)
        if off.any():
            diagonal = diagonal + pull[:, :, None] * np.eye(self.dim)
        return Tangents(rate, columns, diagonal, lever, slope)

    def _by_column(self, slopes: Array, weights: Array) -> Array:
        """Σₐ ∂fₐ/∂x cₐ, ``[rows, dim, dim]``, of weights ``[(rows,) each, K, dim]``."""
        if self.given is None:
            weights = weights[..., 0, :, :]
        else:
            weights = np.einsum(
                "re,...eka->rka" if weights.ndim == 3 else "re,reka->rka", self.given, weights
            )
        return np.swapaxes(weights, -1, -2) @ slopes

    def _columns(self, own: Array, pair: Array, felt: Array, m: int) -> Array:
        receiver = self._received(pair, m)
        both = (receiver[:, :, None] * felt[:, None]).reshape(len(own), -1)
        return np.concatenate([self._received(own, m), both], axis=1)

    def _received(self, values: Array, m: int) -> Array:
        """Functions times 1 and each parameter of the node, ``[m · rows, each · K]``."""
        if self.given is None:
            return values
        given = self._copied(self.given, m)
        return (given[..., None] * values[:, None]).reshape(len(values), -1)

    def _copied(self, given: Array, m: int) -> Array:
        return given if m == 1 else np.tile(given, (m, 1))

    def _held(self, rate: Array, place: Place, m: int) -> tuple[Array, Array]:
        """Add what pulls back those outside; how far out each column is, and that slope."""
        plain = self.own.plain
        off = pull = np.zeros(place.x.shape)
        off[:, plain] = self.own.held(place.x) - place.inside
        if not off.any():  # NaN counts as outside
            return off, pull
        wide = off.reshape(m, self.rows, self.dim)
        pull = np.where(wide < 0, self.pull[:, 0], np.where(wide > 0, self.pull[:, 1], 0.0))
        pull = pull.reshape(off.shape)
        rate += off * pull
        return off, pull
