"""Edges between labelled nodes, and what a file must not say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from simlearn.component import DataError


@dataclass(frozen=True)
class Edges:
    """Edges between labelled nodes.

    Attributes:
        pairs: Source and target of each directed edge.
        weights: ``[edges, a]``; None where the edges carry none.
        places: Where each edge stands, for messages.
        nodes: Nodes that are named although they may have no edge.
        features: What the file says of its nodes, by name: a value for each of ``nodes``, None
            where one has none.
    """

    pairs: Sequence[tuple[str, str]]
    weights: Tensor | None
    places: Sequence[str]
    nodes: Sequence[str] = ()
    features: Mapping[str, Sequence[object]] = field(default_factory=dict)


def once(edges: Edges, directed: bool, way: str = "") -> None:
    """Refuse an edge that stands there twice.

    Raises:
        DataError: One does.
    """
    seen: dict[object, str] = {}
    for pair, place in zip(edges.pairs, edges.places, strict=True):
        before = seen.setdefault(pair if directed else frozenset(pair), place)
        if before != place:
            raise DataError(
                f"{place}: the edge {pair[0]} - {pair[1]} stands there twice (first: {before}). "
                f"Remove one{way}."
            )


def doubled(edges: Edges) -> Edges:
    """Each undirected edge in both directions."""
    loops = [a == b for a, b in edges.pairs]
    back = [(b, a) for (a, b), loop in zip(edges.pairs, loops, strict=True) if not loop]
    kept = [k for k, loop in enumerate(loops) if not loop]
    weights = None if edges.weights is None else torch.cat([edges.weights, edges.weights[kept]])
    places = [*edges.places, *(edges.places[k] for k in kept)]
    return Edges([*edges.pairs, *back], weights, places, edges.nodes, edges.features)


def numbers(cells: Sequence[str], place: str) -> list[float]:
    """Finite numbers of one edge.

    Raises:
        DataError: One is none.
    """
    try:
        values = [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(f"{place}: a weight is a number, got {', '.join(cells)}.") from error
    if not all(map(math.isfinite, values)):
        raise DataError(f"{place}: a weight is a finite number, got {', '.join(cells)}.")
    return values
