"""Who is connected to whom, and what follows from it once for all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.state.keeping import settled
from simlearn.state.operator import Csr

CACHED = ("pairs", "by_target", "by_source")


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
    def by_target(self) -> Csr:
        """The edges that arrive at each row: sums over neighbours go through it."""
        return self._sorted("by_target")

    @cached_property
    def by_source(self) -> Csr:
        """The edges that leave each row: the transpose, for derivatives."""
        return self._sorted("by_source")

    @settled
    def _sorted(self, name: str) -> Csr:
        if self._parts:
            return Csr.union([getattr(part, name) for part in self._parts])
        row, column = self.edge_index.flip(0) if name == "by_target" else self.edge_index
        return Csr.of(row, column, self.rows)

    @cached_property
    @settled
    def pairs(self) -> Tensor | None:
        """Each undirected edge once, ``[2, E/2]``.

        None where the graph is not symmetric or has self-loops.
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

    @cached_property
    def _parts(self) -> tuple[Graph, ...]:
        """What a union was made of."""
        return ()

    def __getstate__(self) -> dict[str, Any]:
        """The graph alone: what follows from it is made again."""
        return {"edge_index": self.edge_index, "rows": self.rows}

    def repeat(self, times: int) -> Graph:
        """The disjoint union of ``times`` copies.

        Caches are carried over with offsets: one copy is sorted at most.
        """
        if times not in self._copies:
            self._copies[times] = Graph.union([self] * times)
        return self._copies[times]

    @staticmethod
    @settled
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
        joined.__dict__["_parts"] = tuple(graphs)
        return joined

    @settled
    def to(self, device: torch.device | str) -> Graph:
        """The same graph on another device, with its caches; one copy a device is kept."""
        device = torch.device(device)
        if self.edge_index.device == device:
            return self
        if device not in self._copies:
            moved = Graph(self.edge_index.to(device), self.rows)
            for name in CACHED:
                if name in self.__dict__:
                    value = getattr(self, name)
                    moved.__dict__[name] = None if value is None else value.to(device)
            self._copies[device] = moved
        return self._copies[device]
