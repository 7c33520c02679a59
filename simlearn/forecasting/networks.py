"""The graph that a forecast runs on: read from a file, its nodes matched with those of the start.

The rules are stated in `network`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.data.importing.graphs import read_edges
from simlearn.forecasting.numbered import numbered, refuse_large
from simlearn.state import Graph, Topology

SHOWN = 6
FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Network:
    """A graph, and what its file says of the nodes.

    Attributes:
        topology: One system; nodes that have names keep them.
        labels: Name of every row; empty where row k is called k.
        features: Values of the nodes by name, as they stand in the file.
        notes: What a user should know: isolated nodes, self edges.
    """

    topology: Topology
    labels: Sequence[str] = ()
    features: Mapping[str, Sequence[object]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Links:
    """Edges of a file: both ends by number, of the labels, or of rows where there are none."""

    ends: Tensor
    weight: Tensor | None
    labels: Sequence[str] | None
    closed: bool = False  # the file names every node
    features: Mapping[str, Sequence[object]] = field(default_factory=dict)


def network(
    path: Path | str, directed: bool = False, names: Sequence[str] = (), rows: int | None = None
) -> Network:
    """The graph of a file for a start with these nodes.

    An edge list has two nodes a line and weights after them; GraphML and node-link JSON name all
    their nodes and say themselves whether edges have a direction.

    * Where the start names its nodes, they are matched by name, and rows stand as in the start. A
      node of the graph that it lacks is refused, and so is one that GraphML or JSON lacks; of an
      edge list it is isolated.
    * Where the start has rows without names, whole numbers in an edge list are rows, from 0 on,
      and rows that it does not name are isolated. Nodes of GraphML and JSON stand as in the file,
      by size where all are whole numbers.
    * Without a start, nodes are those of the file: whole numbers by size, names as they come.
    * An edge that stands there twice is refused, an edge from a node to itself is kept and told.

    Args:
        path: The file.
        directed: Whether every line of an edge list is one directed edge.
        names: Nodes of the start, in the order of its rows.
        rows: Rows of a start without names.

    Raises:
        DataError: The file cannot be read, or the nodes do not fit.
        EnvironmentFault: It is too large for memory; the estimate is told.
    """
    path = Path(path)
    links = _read(path, directed)
    if names:
        index, labels = _by_name(path, links, names), list(names)
    else:
        index, labels = _by_number(path, links, rows)
    count = len(labels) if labels else (_rows(links) if rows is None else rows)
    if not count:
        raise DataError(f"{path} holds no node. Write two nodes a line.")
    plain = [str(k) for k in range(len(labels))] == list(labels)
    topology = Topology(
        Graph(index, count),
        edge_attr=links.weight,
        node_type=None if plain or not labels else torch.arange(count),
        node_names=() if plain else tuple(labels),
    )
    return Network(topology, () if plain else labels, _features(links, labels), _notes(topology))


def _read(path: Path, directed: bool) -> _Links:
    refuse_large(path)
    found = numbered(path, directed)
    if found is not None:
        return _Links(found[0], found[1], None)
    edges = read_edges(path, directed)
    listed = edges.nodes or dict.fromkeys(name for pair in edges.pairs for name in pair)
    labels = list(listed)
    if labels and all(re.fullmatch(r"-?\d{1,99}", name) for name in labels):
        labels.sort(key=int)
    place = {name: k for k, name in enumerate(labels)}
    ends = torch.tensor([[place[a], place[b]] for a, b in edges.pairs], dtype=torch.int64)
    order = {name: k for k, name in enumerate(edges.nodes)}
    features = {
        key: [values[order[name]] for name in labels] for key, values in edges.features.items()
    }
    return _Links(ends.reshape(-1, 2).T, edges.weights, labels, bool(edges.nodes), features)


def _rows(links: _Links) -> int:
    if links.labels is not None:
        return len(links.labels)
    return int(links.ends.max()) + 1 if links.ends.numel() else 0


def _by_name(path: Path, links: _Links, names: Sequence[str]) -> Tensor:
    """Both ends of every edge as rows of a start with names.

    Raises:
        DataError: The nodes do not fit.
    """
    row = {name: k for k, name in enumerate(names)}
    if links.labels is None:
        numbers = links.ends.unique()
        labels = [str(k) for k in numbers.tolist()]
        ends = torch.searchsorted(numbers, links.ends)
    else:
        labels, ends = list(links.labels), links.ends
    unknown = [name for name in labels if name not in row]
    if unknown:
        raise DataError(
            f"{path} has nodes that the start does not have: {_some(unknown)}{_float(unknown)} "
            f"(the start has {_some(names)}). Give them a state, or leave them out of the graph."
        )
    if links.closed and len(labels) < len(names):
        here = set(labels)
        raise DataError(
            f"The start has nodes that {path} does not have: "
            f"{_some([name for name in names if name not in here])}. Leave them out of the start, "
            "or add them to the graph."
        )
    rows = torch.tensor([row[name] for name in labels], dtype=torch.int64)
    return rows[ends] if len(rows) else ends


def _by_number(path: Path, links: _Links, rows: int | None) -> tuple[Tensor, list[str]]:
    """Both ends of every edge as rows, and the labels of the rows where they are no rows.

    Raises:
        DataError: A number is no row of the start, or names stand where rows are wanted.
    """
    if links.labels is None:
        numbers = links.ends.unique()
        if rows is not None:
            low, high = (int(numbers[0]), int(numbers[-1])) if len(numbers) else (0, 0)
            if low < 0 or high >= rows:
                wrong = high if high >= rows else low
                raise DataError(
                    f"{path} names node {wrong}; the start has rows 0 to {rows - 1}."
                    f"{_from_one(low)}"
                )
            return links.ends, []
        if int(numbers[0]) == 0 and int(numbers[-1]) == len(numbers) - 1:
            return links.ends, []
        return torch.searchsorted(numbers, links.ends), [str(k) for k in numbers.tolist()]
    odd = [name for name in links.labels if FLOAT.fullmatch(name)]
    if odd:
        raise DataError(f"{path} names {_some(odd)}{_float(odd)}.")
    if rows is not None and not links.closed:
        raise DataError(
            f"{path} calls its nodes {_some(links.labels)}, and the start has rows without names. "
            "Give the start as csv with a node column (or npz with `nodes`)."
        )
    if rows is not None and rows != len(links.labels):
        raise DataError(
            f"{path} has {len(links.labels)} nodes, the start has {rows} rows. Give one row for "
            "each node."
        )
    return links.ends, list(links.labels)


def _from_one(low: int) -> str:
    if low != 1:
        return " Numbers are rows, from 0 on; give a csv with a node column where they are names."
    return " Does the file count from 1? Then give the start as csv with a node column."


def _float(names: Sequence[str]) -> str:
    return ": nodes are whole numbers or names, no decimal numbers" * any(
        FLOAT.fullmatch(name) is not None for name in names
    )


def _features(links: _Links, labels: Sequence[str]) -> dict[str, Sequence[object]]:
    """What the file says of its nodes, in the order of the rows."""
    if not links.features or links.labels is None or not labels:
        return dict(links.features)
    place = {name: k for k, name in enumerate(links.labels)}
    return {key: [values[place[name]] for name in labels] for key, values in links.features.items()}


def _notes(topology: Topology) -> list[str]:
    source, target = topology.graph.edge_index
    loops = int((source == target).sum())
    joined = torch.zeros(topology.rows, dtype=torch.bool)
    joined[source], joined[target] = True, True
    alone = int((~joined).sum())
    notes = []
    if loops:
        notes.append(
            f"{loops} {'edges lead' if loops > 1 else 'edge leads'} from a node to itself; they "
            "are kept, and such a node is its own neighbour"
        )
    if alone:
        notes.append(
            f"{alone} of {topology.rows} nodes {'have' if alone > 1 else 'has'} no edge; they "
            "follow their own term alone"
        )
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])]) or "(none)"
