"""The two nouns that travel: `Topology`, what stays still, and `Trajectory`, what moved.

A state is always ``[rows, dim]``. A vector system is one row and no edges; a batch is a disjoint
union.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from simlearn.component import DataError

Status = Literal["ok", "diverged", "left_bound"]


@dataclass(frozen=True, eq=False)
class Graph:
    """Who is connected to whom. Shared by all topologies that only differ in their attributes.

    Args:
        edge_index: ``[2, E]`` int64, row 0 the source and row 1 the target of each directed edge.
        rows: Number of nodes.

    Raises:
        DataError: The index is no int64 ``[2, E]``, or names a row that does not exist.
    """

    edge_index: Tensor
    rows: int

    def __post_init__(self) -> None:
        edges = self.edge_index
        if edges.dtype != torch.int64 or edges.ndim != 2 or edges.shape[0] != 2:
            raise DataError(
                f"edge_index must be an int64 tensor [2, edges], got {edges.dtype} "
                f"{list(edges.shape)}."
            )
        if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= self.rows):
            raise DataError(
                f"edge_index names rows {int(edges.min())} to {int(edges.max())}, "
                f"but the graph has rows 0 to {self.rows - 1}."
            )

    @cached_property
    def key(self) -> str:
        """A digest of the content: graphs with the same key are the same graph."""
        digest = hashlib.sha256(str(self.rows).encode())
        digest.update(self.edge_index.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def pairs(self) -> Tensor | None:
        """``[2, E/2]``: each undirected edge once.

        Or None where the graph is not symmetric or has self-loops.
        """
        source, target = self.edge_index
        if bool((source == target).any()):
            return None
        forward = source < target
        up = torch.stack([source[forward], target[forward]])
        down = torch.stack([target[~forward], source[~forward]])
        order = torch.argsort(up[0] * self.rows + up[1], stable=True)
        other = torch.argsort(down[0] * self.rows + down[1], stable=True)
        up, down = up[:, order], down[:, other]
        return up if up.shape == down.shape and torch.equal(up, down) else None

    @cached_property
    def _copies(self) -> dict[Any, Graph]:
        return {}

    def repeat(self, times: int) -> Graph:
        """The disjoint union of ``times`` copies.

        Caches are carried over with offsets, nothing is sorted.
        """
        if times not in self._copies:
            self._copies[times] = Graph.union([self] * times)
        return self._copies[times]

    @staticmethod
    def union(graphs: Sequence[Graph]) -> Graph:
        """The disjoint union of graphs, rows in order."""
        offsets = np.cumsum([0] + [g.rows for g in graphs])
        shifted = [g.edge_index + int(o) for g, o in zip(graphs, offsets, strict=False)]
        joined = Graph(torch.cat(shifted, dim=1), int(offsets[-1]))
        found = [g.pairs for g in graphs]
        if all(p is not None for p in found):
            pairs = [cast(Tensor, p) + int(o) for p, o in zip(found, offsets, strict=False)]
            joined.__dict__["pairs"] = torch.cat(pairs, dim=1)
        else:
            joined.__dict__["pairs"] = None
        return joined

    def to(self, device: torch.device | str) -> Graph:
        """The same graph on another device, with its caches; one copy a device is kept."""
        device = torch.device(device)
        if self.edge_index.device == device:
            return self
        if device not in self._copies:
            moved = Graph(self.edge_index.to(device), self.rows)
            if "pairs" in self.__dict__:
                moved.__dict__["pairs"] = None if self.pairs is None else self.pairs.to(device)
            self._copies[device] = moved
        return self._copies[device]


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

    def replace(self, **changes: Any) -> Topology:
        """The same graph with other attributes."""
        return replace(self, **changes)

    def repeat(self, times: int) -> Topology:
        """``times`` copies side by side; the same object every time it is asked for."""
        if times == 1:
            return self
        if times not in self._copies:
            self._copies[times] = Topology.union([self] * times, self.graph.repeat(times))
        return self._copies[times]

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
    def union(parts: Sequence[Topology], graph: Graph | None = None) -> Topology:
        """The disjoint union, rows and systems in order.

        All parts carry the same kinds of attributes.
        """
        names = {part.node_names for part in parts}
        if len(names) > 1:
            raise DataError(f"A batch cannot mix node names: {sorted(names)}.")
        joined: dict[str, Any] = {}
        for name in ("edge_attr", "node_attr", "node_type", "system_attr", "inputs"):
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
        if key not in self._copies:
            changes: dict[str, Any] = {
                "graph": self.graph.to(device),
                "system": self.system.to(device),
            }
            if self.node_type is not None:
                changes["node_type"] = self.node_type.to(device)
            for name in ("edge_attr", "node_attr", "system_attr", "inputs"):
                value = getattr(self, name)
                if value is not None:
                    changes[name] = value.to(device, dtype)
            same = all(getattr(self, name) is value for name, value in changes.items())
            self._copies[key] = self if same else replace(self, **changes)
        return self._copies[key]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What moved: states over time on one topology.

    Args:
        t: ``[steps]``, or ``[steps, systems]`` where the systems are sampled at different times.
        x: ``[steps, rows, dim]``.
        topology: What stayed still.
        derivative: ``[steps, rows, dim]`` dx/dt where it is known.
        inputs: ``[steps, rows, u]``; ``inputs[k]`` acts from ``x[k]`` to ``x[k+1]``.
        mask: ``[steps, rows]`` bool, False where the sample is missing.
        status: "ok"; "diverged" when a state stopped being finite; "left_bound" when it left the
            bound asked for.
        finite_steps: Leading states that are finite and inside the bound; all of them by default.
    """

    t: Tensor
    x: Tensor
    topology: Topology
    derivative: Tensor | None = None
    inputs: Tensor | None = None
    mask: Tensor | None = None
    status: Status = "ok"
    finite_steps: int = -1

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.x.shape[1] != self.topology.rows:
            raise DataError(
                f"States must be [steps, rows, dim] on {self.topology.rows} rows, got "
                f"{list(self.x.shape)}."
            )
        for name in ("t", "derivative", "inputs", "mask"):
            value = getattr(self, name)
            if value is not None and value.shape[0] != self.steps:
                raise DataError(f"{name} has {value.shape[0]} steps, the states have {self.steps}.")
        if self.finite_steps < 0:
            object.__setattr__(self, "finite_steps", self.steps)

    @property
    def steps(self) -> int:
        """Number of stored states."""
        return self.x.shape[0]

    @property
    def dim(self) -> int:
        """Columns of the state."""
        return self.x.shape[2]

    def slice(self, start: int, stop: int | None = None, every: int = 1) -> Trajectory:
        """The states ``start:stop:every``, with everything that belongs to them."""
        taken: dict[str, Any] = {"finite_steps": -1}
        for name in ("t", "x", "derivative", "inputs", "mask"):
            value = getattr(self, name)
            if value is not None:
                taken[name] = value[start:stop:every]
        return replace(self, **taken)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Trajectory:
        """On another device, real values in ``dtype`` (kept where it is None)."""
        moved: dict[str, Any] = {"topology": self.topology.to(device, dtype)}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                moved[f.name] = value.to(device, dtype if value.is_floating_point() else None)
        return replace(self, **moved)
