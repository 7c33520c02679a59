"""Files of graphs: edge lists, GraphML, node-link JSON."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simlearn import DataError, EnvironmentFault

END = r"(source|src|target|tgt|dst|dest|destination|from|to|head|tail|sender|receiver)"
HEADER = rf"(node[ _]?)?{END}([ _]?(node|id))?"


@dataclass
class Read:
    """What stands in a file.

    Attributes:
        pairs: The two nodes of each edge.
        places: Where each edge stands, for messages.
        weights: Of each edge; None where there are none.
        directed: Whether edges have a direction.
        nodes: Nodes that are named although they may have no edge.
    """

    pairs: list[tuple[str, str]]
    places: list[str]
    weights: list[float] | None
    directed: bool
    nodes: Sequence[str] = ()

    def keep(self, wanted: Sequence[bool]) -> None:
        """Leave out the edges that are not wanted; their nodes stay."""
        self.nodes = list(
            dict.fromkeys([*self.nodes, *(name for pair in self.pairs for name in pair)])
        )
        self.pairs = [one for one, keep in zip(self.pairs, wanted, strict=True) if keep]
        self.places = [one for one, keep in zip(self.places, wanted, strict=True) if keep]
        if self.weights is not None:
            self.weights = [one for one, keep in zip(self.weights, wanted, strict=True) if keep]


def read(path: Path, directed: bool) -> Read:
    """The graph of a file, by its suffix.

    Raises:
        DataError: The file is missing, or cannot be read.
        EnvironmentFault: GraphML needs networkx, and it is not installed.
    """
    if not path.is_file():
        raise DataError(
            f"There is no graph {path}. Name an edge list, or a .graphml or .json file."
        )
    if path.suffix.lower() == ".graphml":
        return _graphml(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text: {error}.") from error
    return (
        _node_link(path, text) if path.suffix.lower() == ".json" else _lines(path, text, directed)
    )


def _lines(path: Path, text: str, directed: bool) -> Read:
    lines = [(k, line.strip()) for k, line in enumerate(text.splitlines(), 1)]
    lines = [(k, line) for k, line in lines if line and line[0] not in "#%"]
    mark = next((m for m in ",;\t" if lines and m in lines[0][1]), None)
    rows = [(k, _cells(line, mark)) for k, line in lines]
    rows = rows[1:] if rows and _is_header(rows[0][1]) else rows
    if not rows:
        raise DataError(f"{path} holds no edge. Write two nodes a line, and a weight if any.")
    width = len(rows[0][1])
    for k, row in rows:
        if len(row) != width or width not in (2, 3) or not row[0] or not row[1]:
            wanted = "two nodes and a weight" if width == 3 else "two nodes, or two and a weight"
            raise DataError(f"{path}, line {k}: an edge is {wanted}, got {', '.join(row)}.")
    weights = [_number(row[2], f"{path}, line {k}") for k, row in rows] if width == 3 else None
    pairs = [(row[0], row[1]) for _, row in rows]
    return Read(pairs, [f"line {k}" for k, _ in rows], weights, directed)


def _cells(line: str, mark: str | None) -> list[str]:
    if mark is None:
        return line.split()
    if '"' not in line:  # three times as fast as the reader
        return [cell.strip() for cell in line.split(mark)]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark))]


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a first line names columns: by its words, or because no weight is a number."""
    if all(re.fullmatch(HEADER, cell, re.IGNORECASE) for cell in cells[:2]):
        return True
    return len(cells) > 2 and not any(re.match(r"[+-]?(\.?\d|nan|inf)", c) for c in cells[2:])


def _number(value: Any, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{place}: a weight is a finite number, got {value}.")
    return number


def _graphml(path: Path) -> Read:
    try:
        import networkx
    except ImportError as error:
        raise EnvironmentFault("GraphML needs networkx: pip install simlearn[graph]") from error
    try:
        graph = networkx.read_graphml(path)
    except Exception as error:  # the parser raises whatever its XML library does
        raise DataError(f"{path} is no GraphML that can be read: {error}.") from error
    edges = [(str(a), str(b), data) for a, b, data in graph.edges(data=True)]
    return _attributed(path, edges, bool(graph.is_directed()), list(map(str, graph)))


def _node_link(path: Path, text: str) -> Read:
    """The JSON of networkx.node_link_data; edges are called edges, or links as of old."""
    try:
        told = json.loads(text)
        nodes = [str(node["id"]) for node in told["nodes"]]
        listed = told["edges"] if "edges" in told else told["links"]
        edges = [(str(one["source"]), str(one["target"]), one) for one in listed]
        directed = bool(told.get("directed", False))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path} is no node-link JSON, {{"nodes": [{{"id": …}}], "edges": [{{"source": …, '
            f'"target": …}}]}}: {type(error).__name__}: {error}.'
        ) from error
    return _attributed(path, edges, directed, nodes)


def _attributed(
    path: Path, edges: Sequence[tuple[str, str, Any]], directed: bool, nodes: Sequence[str]
) -> Read:
    """Weights from the attributes of edges: all have one, or none has.

    Raises:
        DataError: Some have none, one is no number, or an edge ends at an unknown node.
    """
    known = set(nodes)
    places = [f"edge {k}" for k in range(1, len(edges) + 1)]
    for (a, b, _), place in zip(edges, places, strict=True):
        for name in (a, b):
            if name not in known:
                raise DataError(f"{path}, {place}: {a} - {b} ends at {name}, which is no node.")
    having = ["weight" in data for *_, data in edges]
    if any(having) and not all(having):
        raise DataError(
            f"{path}, {places[having.index(False)]} has no weight, others have one. Give all of "
            "them one, or none."
        )
    weights = None
    if any(having):
        told = zip(edges, places, strict=True)
        weights = [_number(data["weight"], f"{path}, {place}") for (*_, data), place in told]
    return Read([(a, b) for a, b, _ in edges], places, weights, directed, nodes)
