"""Graphs in files that carry attributes: GraphML, and the node-link JSON of networkx."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

import torch
from torch import Tensor

from simlearn.component import DataError, EnvironmentFault
from simlearn.data.importing.edges import Edges, doubled, numbers, once

ENDS = ("source", "target", "key", "id")  # what the JSON of an edge says besides its attributes


def graphml(path: Path) -> Edges:
    """The graph of a GraphML file, which says itself whether edges have a direction.

    Raises:
        DataError: It cannot be read, an edge stands there twice, or some edges lack what others
            have.
        EnvironmentFault: networkx is not installed.
    """
    try:
        import networkx
    except ImportError as error:
        raise EnvironmentFault("GraphML needs networkx: pip install simlearn[graph]") from error
    try:
        _refuse_definitions(path)
        graph = networkx.read_graphml(path)
    except DataError:
        raise
    except Exception as error:  # the parser raises whatever its XML library does
        raise DataError(f"{path} is no GraphML that can be read: {error}.") from error
    nodes = [(str(name), data) for name, data in graph.nodes(data=True)]
    edges = [(str(a), str(b), data) for a, b, data in graph.edges(data=True)]
    return _of(path, nodes, edges, bool(graph.is_directed()))


def _refuse_definitions(path: Path) -> None:
    """A document type may name files to be read, and entities that unfold without end.

    Raises:
        DataError: There is one.
    """
    found: list[str] = []
    reader = ParserCreate()
    reader.StartDoctypeDeclHandler = lambda *_: found.append("DOCTYPE")
    reader.StartElementHandler = lambda *_: found.append("element")
    with path.open("rb") as file, suppress(ExpatError):
        while not found and (piece := file.read(1 << 12)):
            reader.Parse(piece)
    if "DOCTYPE" in found:
        raise DataError(
            f"{path} defines a document type, which GraphML does not need. Remove the DOCTYPE."
        )


def node_link(path: Path) -> Edges:
    """The graph of a JSON file as ``networkx.node_link_data`` writes it.

    Its edges stand under "edges", or "links" as of old; "directed" says whether they have a
    direction.

    Raises:
        DataError: It is no such JSON, an edge ends at no node or stands there twice, or some edges
            lack what others have.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
        nodes = [(str(node["id"]), node) for node in told["nodes"]]
        listed = told["edges"] if "edges" in told else told["links"]
        found = [(str(one["source"]), str(one["target"]), one) for one in listed]
        directed = bool(told.get("directed", False))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f'{path} is no node-link JSON, {{"nodes": [{{"id": ...}}], "edges": [{{"source": ..., '
            f'"target": ...}}]}}: {type(error).__name__}: {error}.'
        ) from error
    edges = [(a, b, _without(data, ENDS)) for a, b, data in found]
    return _of(path, [(name, _without(data, ("id",))) for name, data in nodes], edges, directed)


Attributes = Mapping[str, Any]


def _without(data: Attributes, names: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in names}


def _of(
    path: Path,
    nodes: Sequence[tuple[str, Attributes]],
    edges: Sequence[tuple[str, str, Attributes]],
    directed: bool,
) -> Edges:
    labels = [name for name, _ in nodes]
    known = set(labels)
    if len(known) < len(labels):
        twice = Counter(labels).most_common(1)[0][0]
        raise DataError(f"{path}: the node {twice} stands there twice. Remove one.")
    pairs = [(a, b) for a, b, _ in edges]
    places = [f"{path}, edge {k} ({a} - {b})" for k, (a, b) in enumerate(pairs, 1)]
    for pair, place in zip(pairs, places, strict=True):
        for name in pair:
            if name not in known:
                raise DataError(f"{place}: {name} is no node of the file.")
    weights = _attributes([data for *_, data in edges], places)
    names = list(dict.fromkeys(key for _, data in nodes for key in data))
    features = {name: [data.get(name) for _, data in nodes] for name in names}
    found = Edges(pairs, weights, places, labels, features)
    once(found, directed)
    return found if directed else doubled(found)


def _attributes(found: Sequence[Attributes], places: Sequence[str]) -> Tensor | None:
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
        rows.append(numbers([str(data[name] + 0) for name in names], place))
    return torch.tensor(rows, dtype=torch.float64)


def _text(value: object) -> bool:
    return not isinstance(value, int | float)
