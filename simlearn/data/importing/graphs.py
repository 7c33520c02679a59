"""Who is connected to whom: an edge list, GraphML, or node-link JSON."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from simlearn.component import DataError
from simlearn.data.importing.edges import Edges, doubled, numbers, once
from simlearn.data.importing.graphfiles import graphml, node_link
from simlearn.state import Graph, Topology

END = r"(source|src|target|tgt|dst|dest|destination|from|to|head|tail|sender|receiver)"
HEADER = rf"(node[ _]?)?{END}([ _]?(node|id))?"


def read_edges(path: Path, directed: bool = False) -> Edges:
    """The edges of a GraphML file, or of a text with two nodes a line and weights after them.

    Args:
        path: ``.graphml``, ``.json`` (networkx.node_link_data), or text separated by commas,
            semicolons, tabs or blanks; lines that begin with # or % are comments, and a first line
            such as source,target is a header.
        directed: Whether each line is one directed edge; otherwise it is both directions.

    Raises:
        DataError: The file is missing, or a line cannot be read.
        EnvironmentFault: GraphML needs networkx, and it is not installed.
    """
    if not path.is_file():
        raise DataError(f"There is no graph {path}.")
    if path.suffix.lower() == ".graphml":
        return graphml(path)  # the file itself says whether its edges have a direction
    if path.suffix.lower() == ".json":
        return node_link(path)
    edges = _edge_list(path)
    way = "" if directed else ", or say that edges have a direction with --directed true"
    once(edges, directed, way)
    return edges if directed else doubled(edges)


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
    cells = [(number, cells_of(line, mark)) for number, line in rows]
    if is_header(cells[0][1]):
        cells = cells[1:]
    if not cells:
        raise DataError(f"{path} holds no edge.")
    width = len(cells[0][1])
    pairs, weights, places = [], [], []
    for number, row in cells:
        place = f"{path}, line {number}"
        if len(row) != width or width < 2:
            raise DataError(f"{place}: an edge is two nodes and its weights, got {row}.")
        weights.append(numbers(row[2:], place))
        pairs.append((row[0], row[1]))
        places.append(place)
    values = torch.tensor(weights, dtype=torch.float64) if width > 2 else None
    return Edges(pairs, values, places)


def is_header(cells: Sequence[str]) -> bool:
    """Whether a first line names columns: by its words, or because no weight is a number."""
    if all(re.fullmatch(HEADER, cell, re.IGNORECASE) for cell in cells[:2]):
        return True
    return len(cells) > 2 and not any(re.match(r"[+-]?(\.?\d|nan|inf)", c) for c in cells[2:])


def cells_of(line: str, mark: str | None) -> list[str]:
    """Cells of a line; without a mark, blanks stand between them."""
    if mark is None:
        return line.split()
    try:
        cells = next(csv.reader([line], delimiter=mark))
    except csv.Error:  # a cell too long to be a name or a number, as the next look will tell
        cells = line.split(mark)
    return [cell.strip() for cell in cells]


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
