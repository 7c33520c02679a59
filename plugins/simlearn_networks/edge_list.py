"""A graph that is read from a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor

from simlearn import DataError
from simlearn_networks.edge_files import Read, read
from simlearn_networks.family import GraphFamily, Links

# Zachary's karate club, which comes with the package
EXAMPLE = "karate.csv"


class EdgeList(GraphFamily):
    """The graph of a file: an edge list, GraphML (``.graphml``) or node-link JSON (``.json``).

    An edge list holds two nodes a line and after them, if edges have weights, a number; separated
    by commas, semicolons, tabs or blanks. Lines that begin with # or % are comments. A first line
    is a header where it says source and target (or from and to, or the like), or where no weight
    in it is a number. Nodes that are all whole numbers stand in the order of these; others in the
    order of their first appearance, and their names stay with them. GraphML and JSON say themselves
    whether edges have a direction, and name nodes without edges; the attribute ``weight`` is read.

    Args:
        path: The file.
        directed: Whether a line is one directed edge; else it is both directions, and (a, b) is the
            same edge as (b, a). Files that say it themselves are not asked. Good values: true where
            the list holds both directions.
        weighted: Whether weights are read where there are any. Good values: true.
        duplicates: What happens to an edge that stands there twice: "refuse" it, or "sum" the
            weights (ones where there are none). Good values: refuse.
        self_edges: Whether edges from a node to itself are kept; else they are left out. Good
            values: false.
    """

    def __init__(
        self,
        path: str,
        directed: bool = False,
        weighted: bool = True,
        duplicates: Literal["refuse", "sum"] = "refuse",
        self_edges: bool = False,
    ):
        self.path, self.directed, self.weighted = path, directed, weighted
        self.duplicates, self.self_edges = duplicates, self_edges

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """The graph that comes with the package."""
        return [cls(str(Path(__file__).parent / EXAMPLE))]

    def links(self, rng: torch.Generator) -> Links:
        """What the file says; nothing is drawn.

        Raises:
            DataError: The file is missing or damaged, or an edge stands there twice.
            EnvironmentFault: GraphML needs networkx, and it is not installed.
        """
        found = read(Path(self.path), self.directed)
        if not self.weighted:
            found.weights = None
        if not self.self_edges:
            found.keep([a != b for a, b in found.pairs])
        names, named = _ordered(found)
        row = {name: k for k, name in enumerate(names)}
        ends = torch.tensor([[row[a], row[b]] for a, b in found.pairs], dtype=torch.int64)
        ends, weight = self._merged(ends.reshape(-1, 2), found)
        return Links(len(names), ends.T, found.directed, weight, tuple(names) if named else ())

    def _merged(self, ends: Tensor, found: Read) -> tuple[Tensor, Tensor | None]:
        """Each edge once.

        Raises:
            DataError: One stands there twice, and duplicates are refused.
        """
        weight = None
        if found.weights is not None:
            weight = torch.tensor(found.weights, dtype=torch.float64)
        low, high = (ends if found.directed else ends.sort(dim=1).values).unbind(1)
        rows = int(ends.max()) + 1 if len(ends) else 1
        once, group, count = (low * rows + high).unique(return_inverse=True, return_counts=True)
        if len(once) == len(ends):
            return ends, weight
        if self.duplicates == "refuse":
            self._refuse(group, count, found)
        weight = torch.ones(len(ends), dtype=torch.float64) if weight is None else weight
        merged = torch.stack([once // rows, once % rows], dim=1)
        return merged, weight.new_zeros(len(once)).index_add(0, group, weight)

    def _refuse(self, group: Tensor, count: Tensor, found: Read) -> None:
        twice = (count[group] > 1).nonzero().squeeze(1)
        first = int(group[twice[0]])
        places = [found.places[k] for k in (group == first).nonzero().squeeze(1).tolist()]
        a, b = found.pairs[int(twice[0])]
        others = int((count > 1).sum()) - 1
        more = f", and {others} other edges more than once" if others else ""
        way = "" if found.directed else ", or directed: true if the list holds both directions"
        raise DataError(
            f"{self.path}: the edge {a} - {b} stands there {len(places)} times ({_some(places)})"
            f"{more}. Remove all but one, or say duplicates: sum to add their weights{way}."
        )


def _some(places: Sequence[str]) -> str:
    return ", ".join(places[:5]) + (", …" if len(places) > 5 else "")


def _ordered(found: Read) -> tuple[list[str], bool]:
    """The nodes in the order of their rows, and whether they have names.

    Raises:
        DataError: There are none.
    """
    names = list(dict.fromkeys([*found.nodes, *(name for pair in found.pairs for name in pair)]))
    if not names:
        raise DataError("The file of the graph holds no node.")
    if all(name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name)), False
    return names, True
