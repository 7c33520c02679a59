"""Who is connected to whom: an edge list, or a GraphML file."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simlearn.component import DataError, EnvironmentFault
from simlearn.state import Graph, Topology

END = r"(source|src|target|tgt|dst|dest|destination|from|to|head|tail|sender|receiver)"
HEADER = rf"(node[ _]?)?{END}([ _]?(node|id))?"


@dataclass(frozen=True)
class Edges:
    """Edges between labelled nodes.

    Attributes:
        pairs: Source and target of each directed edge.
        weights: ``[edges, a]``; None where the edges carry none.
        places: Where each edge stands, for messages.
        nodes: Nodes that are named although they may have no edge.
    """

    pairs: Sequence[tuple[str, str]]
    weights: Tensor | None
    places: Sequence[str]
    nodes: Sequence[str] = ()


def read_edges(path: Path, directed: bool = False) -> Edges:
    """The edges of a GraphML file, or of a text with two nodes a line and weights after them.

    Args:
        path: ``.graphml``, or text separated by commas, semicolons, tabs or blanks; lines that
            begin with # or % are comments, and a first line such as source,target is a header.
        directed: Whether each line is one directed edge; otherwise it is both directions.

    Raises:
        DataError: The file is missing, or a line cannot be read.
        EnvironmentFault: GraphML needs networkx, and it is not installed.
    """
    if not path.is_file():
        raise DataError(f"There is no graph {path}.")
    if path.suffix.lower() == ".graphml":
        return _graphml(path)  # the file itself says whether its edges have a direction
    edges = _edge_list(path)
    way = "" if directed else ", or say that edges have a direction with --directed true"
    _once(edges, directed, way)
    return edges if directed else _doubled(edges)


def _once(edges: Edges, directed: bool, way: str = "") -> None:
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


def _doubled(edges: Edges) -> Edges:
    """Each undirected edge in both directions."""
    loops = [a == b for a, b in edges.pairs]
    back = [(b, a) for (a, b), loop in zip(edges.pairs, loops, strict=True) if not loop]
    kept = [k for k, loop in enumerate(loops) if not loop]
    weights = None if edges.weights is None else torch.cat([edges.weights, edges.weights[kept]])
    places = [*edges.places, *(edges.places[k] for k in kept)]
    return Edges([*edges.pairs, *back], weights, places, edges.nodes)


def _edge_list(path: Path) -> Edges:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: {error}.") from error
    rows = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and line.lstrip()[0] not in "#%"
    ]
    if not rows:
        raise DataError(f"{path} holds no edge.")
    mark = next((m for m in ",;\t" if m in rows[0][1]), None)
    cells = [(number, _cells(line, mark)) for number, line in rows]
    if _is_header(cells[0][1]):
        cells = cells[1:]
    if not cells:
        raise DataError(f"{path} holds no edge.")
    width = len(cells[0][1])
    pairs, weights, places = [], [], []
    for number, row in cells:
        place = f"{path}, line {number}"
        if len(row) != width or width < 2:
            raise DataError(f"{place}: an edge is two nodes and its weights, got {row}.")
        weights.append(_weights(row[2:], place))
        pairs.append((row[0], row[1]))
        places.append(place)
    values = torch.tensor(weights, dtype=torch.float64) if width > 2 else None
    return Edges(pairs, values, places)


def _weights(cells: Sequence[str], place: str) -> list[float]:
    try:
        values = [float(cell) for cell in cells]
    except ValueError as error:
        raise DataError(f"{place}: a weight is a number, got {', '.join(cells)}.") from error
    if not all(map(math.isfinite, values)):
        raise DataError(f"{place}: a weight is a finite number, got {', '.join(cells)}.")
    return values


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a first line names columns: by its words, or because no weight is a number."""
    if all(re.fullmatch(HEADER, cell, re.IGNORECASE) for cell in cells[:2]):
        return True
    return len(cells) > 2 and not any(re.match(r"[+-]?(\.?\d|nan|inf)", c) for c in cells[2:])


def _cells(line: str, mark: str | None) -> list[str]:
    if mark is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark))]


def _graphml(path: Path) -> Edges:
    try:
        import networkx
    except ImportError as error:
        raise EnvironmentFault("GraphML needs networkx: pip install simlearn[graph]") from error
    try:
        graph = networkx.read_graphml(path)
    except Exception as error:  # the parser raises whatever its XML library does
        raise DataError(f"{path} is no GraphML that can be read: {error}.") from error
    ends = [(str(a), str(b)) for a, b in graph.edges()]
    numbers = [f"{path}, edge {k} ({a} - {b})" for k, (a, b) in enumerate(ends, 1)]
    _once(Edges(ends, None, numbers), graph.is_directed())
    if not graph.is_directed():
        graph = graph.to_directed()
    edges = list(graph.edges(data=True))
    pairs = [(str(a), str(b)) for a, b, _ in edges]
    places = [f"{path}, edge {a} - {b}" for a, b in pairs]
    weights = _attributes([data for *_, data in edges], places)
    return Edges(pairs, weights, places, list(map(str, graph)))


def _attributes(found: Sequence[dict[str, Any]], places: Sequence[str]) -> Tensor | None:
    """The weight of each edge and its other numbers, in the order of their names.

    Raises:
        DataError: An edge lacks what others have, or it is no number.
    """
    # the parser keeps the id of an edge among its data
    keys = {key for data in found for key in data if not (key == "id" and _text(data[key]))}
    names = sorted(keys, key=lambda key: (key != "weight", key))
    if not names:
        return None
    rows = []
    for data, place in zip(found, places, strict=True):
        for name in names:
            if name not in data:
                raise DataError(f"{place} has no {name}; others have one.")
            if _text(data[name]):
                raise DataError(
                    f"{place}: {name} is the text {data[name]!r}; what edges carry are numbers. "
                    "Remove it from the file, or write numbers."
                )
        rows.append(_weights([str(data[name] + 0) for name in names], place))
    return torch.tensor(rows, dtype=torch.float64)


def _text(value: object) -> bool:
    return not isinstance(value, int | float)


def connect(edges: Edges | None, labels: Sequence[str], complete: bool) -> Topology:
    """The topology of one system whose rows have these labels.

    Rows with names are told apart by them (``node_type``); rows with numbers are all alike.

    Raises:
        DataError: An edge names a node that the data do not have.
    """
    if not labels:
        return Topology.isolated(1)
    named = not all(label.removeprefix("-").isdigit() for label in labels)
    names = tuple(labels) if named else ()
    if complete:
        return Topology.complete(len(labels), names)
    row = {label: k for k, label in enumerate(labels)}
    index = torch.zeros((2, 0), dtype=torch.int64)
    if edges is not None:
        _known(edges, row)
        pairs = [[row[a] for a, _ in edges.pairs], [row[b] for _, b in edges.pairs]]
        index = torch.tensor(pairs, dtype=torch.int64).reshape(2, -1)
    return Topology(
        Graph(index, len(labels)),
        edge_attr=None if edges is None else edges.weights,
        node_type=torch.arange(len(labels)) if named else None,
        node_names=names,
    )


def _known(edges: Edges, row: dict[str, int]) -> None:
    """Refuse edges and nodes of other data.

    Raises:
        DataError: An edge names a node that is not there, or the graph has other nodes.
    """
    for pair, place in zip(edges.pairs, edges.places, strict=True):
        for label in pair:
            if label not in row:
                some = ", ".join(list(row)[:6])
                raise DataError(
                    f"{place}: the data have no node {label!r}; they have {some}"
                    f"{' ...' if len(row) > 6 else ''}."
                )
    if edges.nodes and set(edges.nodes) != set(row):
        graph, data = set(edges.nodes) - set(row), set(row) - set(edges.nodes)
        raise DataError(
            f"The graph and the data have other nodes: only in the graph {_some(graph)}; only in "
            f"the data {_some(data)}. Give both the same nodes."
        )


def _some(names: set[str]) -> str:
    return ", ".join([*sorted(names)[:6], *(["..."] if len(names) > 6 else [])]) or "(none)"
