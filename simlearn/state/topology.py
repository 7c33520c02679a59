"""What stays still while a state moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.state.aggregation import Aggregation, adjacency_of, refuse_infinite
from simlearn.state.copies import ATTRIBUTES, copied
from simlearn.state.graph import Graph
from simlearn.state.keeping import kept, lasting
from simlearn.state.operator import Adjacency
from simlearn.state.tracing import batched, recorded

OPERATED = ("graph", "edge_attr", "system", "num_systems")  # what an adjacency follows from


@dataclass(frozen=True, eq=False)
class Topology:
    """What stays still while a state moves: the graph and everything attached to it.

    Args:
        graph: The edges; shared, it owns the cached structures.
        edge_attr: ``[E, a]`` weights or features of the edges.
        node_attr: ``[rows, a]`` features of the rows.
        node_type: ``[rows]`` int64: which body or species a row is. Weights that belong to a named
            node are looked up by it, so that permuting the rows still permutes the answer.
        node_names: ``node_names[k]`` names type ``k``.
        system_attr: ``[systems, s]`` parameters of each system.
        inputs: ``[rows, u]`` control input that acts now.
        system: ``[rows]`` int64: the system each row belongs to, in ascending order.
        num_systems: How many systems this disjoint union holds.
    """

    graph: Graph
    edge_attr: Tensor | None = None
    node_attr: Tensor | None = None
    node_type: Tensor | None = None
    node_names: tuple[str, ...] = ()
    system_attr: Tensor | None = None
    inputs: Tensor | None = None
    system: Tensor = field(default=cast(Tensor, None))
    num_systems: int = 1

    def __post_init__(self) -> None:
        if self.system is None:
            if self.num_systems != 1:
                raise DataError(f"A topology of {self.num_systems} systems needs `system` [rows].")
            zeros = torch.zeros(self.rows, dtype=torch.int64, device=self.graph.edge_index.device)
            object.__setattr__(self, "system", zeros)
        lengths = {
            "edge_attr": self.graph.edge_index.shape[1],
            "node_attr": self.rows,
            "node_type": self.rows,
            "inputs": self.rows,
            "system": self.rows,
            "system_attr": self.num_systems,
        }
        for name, length in lengths.items():
            value = getattr(self, name)
            if value is not None and value.shape[0] != length:
                raise DataError(
                    f"{name} has {value.shape[0]} entries, the topology needs {length}."
                )

    @property
    def rows(self) -> int:
        """Number of rows of a state on this topology."""
        return self.graph.rows

    @cached_property
    def one_row_each(self) -> bool:
        """Whether every system is a single row, so that a reduction over rows has nothing to do."""
        return self.num_systems == self.rows and torch.equal(
            self.system, torch.arange(self.rows, device=self.system.device)
        )

    @cached_property
    def rows_each(self) -> int | None:
        """Rows of every system, None where systems differ in size."""
        counts = torch.bincount(self.system, minlength=self.num_systems)
        same = bool((counts == counts[0]).all())
        return int(counts[0]) if same else None

    def per_system(self, value: Tensor, dim: int = 0) -> Tensor:
        """Sum the rows of each system.

        ``[..., rows, ...]`` to ``[..., systems, ...]`` along ``dim``.
        """
        if self.one_row_each:
            return value
        if self.num_systems == 1:
            return value.sum(dim, keepdim=True)
        shape = list(value.shape)
        shape[dim] = self.num_systems
        return value.new_zeros(shape).index_add(dim, self.system, value)

    def per_row(self, value: Tensor) -> Tensor:
        """Give each row the value of its system: ``[systems, ...]`` to ``[rows, ...]``."""
        return value if self.one_row_each else value[self.system]

    def adjacency(self, aggregation: Aggregation = "sum", weight: int | None = None) -> Adjacency:
        """A, for sums over neighbours; the same object until ``edge_attr`` is written to.

        Where ``edge_attr`` asks for derivatives it is made anew, and sums have them. An edge s → t
        stands at A[t, s]: sums arrive at targets. Edges that occur twice count twice, and rows
        without incoming edges get zero.

        Args:
            aggregation: What divides the weight of an edge. "sum": nothing. "mean": the strength Σⱼ
                Aᵢⱼ of its target. "symmetric": the root of the strengths of target and source.
                "graphon": the rows of its system, for dense graphs. "mean_degree": the mean
                strength of its system, n·α of a graphon scaled to be sparse.
            weight: Column of ``edge_attr``; ones where it is None.

        Raises:
            DataError: There is no such column, or a weight is not finite, or negative where a
                strength divides.
        """
        source = None if weight is None else self.edge_attr
        return kept(
            self._operators,
            (aggregation, weight),
            (source,),
            lambda: adjacency_of(self, aggregation, weight),
        )

    @cached_property
    def _operators(self) -> dict[Any, Adjacency]:
        return {}

    def finite(self, name: Literal["edge_attr", "node_attr"]) -> Tensor | None:
        """An attribute whose values networks see, looked at once.

        Raises:
            DataError: A value is not finite.
        """
        value: Tensor | None = getattr(self, name)
        if value is not None and not recorded() and not batched(value):
            kept(self._looked, name, (value,), lambda: refuse_infinite(self, name, value))
        return value

    @cached_property
    def _looked(self) -> dict[str, Any]:
        return {}

    def replace(self, **changes: Any) -> Topology:
        """The same graph with other attributes."""
        changed = replace(self, **changes)
        changed.__dict__["_looked"] = self._looked
        if all(getattr(changed, name) is getattr(self, name) for name in OPERATED):
            changed.__dict__["_operators"] = self._operators
        return changed

    def __getstate__(self) -> dict[str, Any]:
        """Without what is cached: it is made again."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def repeat(self, times: int) -> Topology:
        """``times`` copies side by side; the same object until an attribute is written to.

        Attributes that ask for derivatives are carried over every time, as by `to`.
        """
        if times == 1:
            return self
        return copied(
            self,
            times,
            lambda one: Topology.union([one] * times, one.graph.repeat(times)),
            lambda value: torch.cat([value] * times),
        )

    @cached_property
    def _copies(self) -> dict[Any, Topology]:
        return {}

    @staticmethod
    def isolated(systems: int) -> Topology:
        """Vector systems: one row each, no edges."""
        none = torch.zeros((2, 0), dtype=torch.int64)
        return Topology(Graph(none, systems), system=torch.arange(systems), num_systems=systems)

    @staticmethod
    def complete(rows: int, node_names: tuple[str, ...] = ()) -> Topology:
        """One system in which every row is joined to every other.

        With names, row k is of type k.
        """
        first, second = torch.triu_indices(rows, rows, 1)
        edges = torch.cat([torch.stack([first, second]), torch.stack([second, first])], dim=1)
        node_type = torch.arange(rows) if node_names else None
        return Topology(Graph(edges, rows), node_type=node_type, node_names=node_names)

    @staticmethod
    @lasting
    def union(parts: Sequence[Topology], graph: Graph | None = None) -> Topology:
        """The disjoint union, rows and systems in order.

        All parts carry the same kinds of attributes.
        """
        names = {part.node_names for part in parts}
        if len(names) > 1:
            raise DataError(f"A batch cannot mix node names: {sorted(names)}.")
        joined: dict[str, Any] = {}
        for name in ("node_type", *ATTRIBUTES):
            values = [getattr(part, name) for part in parts]
            if all(value is not None for value in values):
                joined[name] = torch.cat(values)
            elif any(value is not None for value in values):
                raise DataError(f"Some systems of the batch carry {name} and some do not.")
        offsets = np.cumsum([0] + [part.num_systems for part in parts])
        system = torch.cat([p.system + int(o) for p, o in zip(parts, offsets, strict=False)])
        return Topology(
            graph or Graph.union([part.graph for part in parts]),
            node_names=names.pop(),
            system=system,
            num_systems=int(offsets[-1]),
            **joined,
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Topology:
        """The same topology on a device, its real attributes in a dtype.

        One copy for each is kept.
        """
        key = (torch.device(device), dtype)

        def carry(value: Tensor) -> Tensor:
            return value.to(device, dtype if value.is_floating_point() else None)

        def make(one: Topology) -> Topology:
            changes: dict[str, Any] = {"graph": one.graph.to(device)}
            for name in ("system", "node_type", *ATTRIBUTES):
                if getattr(one, name) is not None:
                    changes[name] = carry(getattr(one, name))
            same = all(getattr(one, name) is value for name, value in changes.items())
            return one if same else one.replace(**changes)

        return copied(self, key, make, carry)
