"""What the pictures of a forecast show: thinned, ordered, laid out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from simlearn.component import EnvironmentFault
from simlearn.forecasting.words import named
from simlearn.stability.draw.network import (
    Drawing,
    Heat,
    curves_picture,
    graph_picture,
    heat_picture,
)
from simlearn.stability.finding import Curve, Line
from simlearn.state import Topology

if TYPE_CHECKING:
    from simlearn.forecasting.result import Forecast

DRAWN = 2000  # nodes up to which the whole graph is laid out
NEAR = 400  # nodes that are shown of a larger one
LINKS = 20000  # that are drawn at most
COLUMNS = 4  # of the state that have a heat map


def pictures(forecast: Forecast, folder: Path) -> list[Path]:
    """nodes.png, trust.png and graph.png; of a state that is not finite, none.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    made = {"nodes.png": heat_picture(_heats(forecast))}
    curves = _curves(forecast)
    level = 0.05 if forecast.trust is None else forecast.trust.question.level
    if curves:
        levels = [level if curve.y_label == "p" else None for curve in curves]
        made["trust.png"] = curves_picture(curves, levels)
    if forecast.topology.num_systems == 1 and forecast.topology.graph.edge_index.shape[1]:
        made["graph.png"] = graph_picture(_drawing(forecast))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in made.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write pictures into {folder}: {error}.") from error
    return [folder / name for name in made]


def _names(forecast: Forecast) -> list[str]:
    """Columns of the state with their units."""
    columns = forecast.told.get("columns", {})
    units = {**columns.get("units", {}), **forecast.told.get("units", {})}
    names = named(forecast.told, forecast.trajectory.dim)
    return [f"{name} [{units[name]}]" if units.get(name) else name for name in names]


def _time(forecast: Forecast) -> str:
    columns = forecast.told.get("columns", {})
    unit = forecast.told.get("units", {}).get("time", "")
    unit = unit or columns.get("units", {}).get(columns.get("time") or "", "")
    return f"time [{unit}]" if unit else "time"


def _heats(forecast: Forecast) -> list[Heat]:
    one, degree = forecast.trajectory, _degrees(forecast.topology)
    if forecast.nodes is not None:
        degree = degree[forecast.nodes]
    order = torch.argsort(degree, descending=True, stable=True)
    of = "" if forecast.nodes is None else f", {len(order)} of {forecast.topology.rows}"
    alike = len(degree) == 0 or int(degree.min()) == int(degree.max())
    nodes = f"node{of}" if alike else f"nodes, most neighbours first{of}"
    t = one.t if one.t.ndim == 1 else one.t[:, 0]
    return [
        Heat(
            t.double().numpy(),
            one.x[:, order, column].double().numpy(),
            forecast.alarms.outside[:, order].numpy(),
            name,
            _time(forecast),
            nodes,
        )
        for column, name in enumerate(_names(forecast)[:COLUMNS])
    ]


def _degrees(topology: Topology) -> torch.Tensor:
    return torch.bincount(topology.graph.edge_index[1], minlength=topology.rows)


def _curves(forecast: Forecast) -> list[Curve]:
    """Error, p-values, and nodes out of range over time: those of them that there are."""
    time, found = _time(forecast), []
    error = errors(forecast)
    if error is not None:
        lines = [Line(*error)]
        found.append(Curve(lines, time, "error / size", "Mean |error| over mean |truth|"))
    if forecast.trust is not None:
        told, t = forecast.trust.significance, forecast.trust.t.tolist()
        lines = [
            Line(t, told.p.tolist(), label="both"),
            Line(t, told.p_mean.tolist(), "reference", label="mean z"),
            Line(t, told.p_top.tolist(), "reference", label="top tenth"),
        ]
        level, rel = forecast.trust.question.level, forecast.trust.spread.rel
        caption = f"p-value of the state on this graph (dotted: {level:g}); REL = {rel:.3g}"
        found.append(Curve(lines, time, "p", caption, y_scale="log"))
    outside = forecast.alarms.outside
    if bool(outside.any()):
        when = forecast.trajectory.t
        t = (when if when.ndim == 1 else when[:, 0]).tolist()
        share = (100 * outside.double().mean(1)).tolist()
        caption = "Nodes out of the range of the training data"
        found.append(Curve([Line(t, share, label="")], time, "nodes [%]", caption))
    return found


def errors(forecast: Forecast) -> tuple[list[float], list[float]] | None:
    """Times and mean |error| / mean |truth| at the times that forecast and truth share."""
    truth, one = forecast.truth, forecast.trajectory
    if truth is None or forecast.nodes is not None or truth.t.ndim > 1 or one.t.ndim > 1:
        return None
    near = torch.searchsorted(truth.t, one.t).clamp(0, truth.steps - 1)
    left = (near - 1).clamp_min(0)
    near = torch.where((truth.t[left] - one.t).abs() < (truth.t[near] - one.t).abs(), left, near)
    apart = float(one.t.diff().min()) if one.steps > 1 else 1.0
    hit = (truth.t[near] - one.t).abs() < 1e-3 * apart
    if not bool(hit.any()):
        return None
    t, mine, theirs = one.t[hit], one.x[hit].double(), truth.x[near[hit]].double()
    size = theirs.abs().mean().clamp_min(1e-300)
    return t.tolist(), ((mine - theirs).abs().mean((1, 2)) / size).tolist()


def _drawing(forecast: Forecast) -> Drawing:
    topology = forecast.topology
    source, target = topology.graph.edge_index
    once = torch.stack([source.minimum(target), source.maximum(target)]).unique(dim=1)
    once = once[:, once[0] != once[1]]
    nodes, which = _shown(topology, once, forecast)
    new = torch.full((topology.rows,), -1, dtype=torch.int64)
    new[nodes] = torch.arange(len(nodes))
    edges = new[once]
    edges = edges[:, (edges >= 0).all(0)]
    place, how = _laid_out(len(nodes), edges)
    if edges.shape[1] > LINKS:
        edges = edges[:, torch.linspace(0, edges.shape[1] - 1, LINKS).round().long()]
        how += f", {LINKS} of its edges"
    t = forecast.trajectory.t[-1].max()
    return Drawing(
        place,
        edges.numpy(),
        forecast.last[nodes, 0].double().numpy(),
        (~forecast.alarms.first.isnan())[nodes].numpy(),
        f"{_names(forecast)[0]} at t = {float(t):.4g}",
        f"{which}; {how}",
    )


def _shown(topology: Topology, edges: torch.Tensor, forecast: Forecast) -> tuple[torch.Tensor, str]:
    """All nodes of a small graph; of a large one, those nearest to the node of most neighbours."""
    rows = topology.rows
    if rows <= DRAWN:
        return torch.arange(rows), f"{rows} nodes"
    hub = int(_degrees(topology).argmax())
    seen = torch.zeros(rows, dtype=torch.bool)
    seen[hub], found = True, [torch.tensor([hub])]
    while sum(map(len, found)) < NEAR:
        touched = seen[edges]
        ring = edges[:, touched.any(0)].unique()
        ring = ring[~seen[ring]]
        if not len(ring):
            break
        seen[ring] = True
        found.append(ring)
    name = forecast.labels[hub] if forecast.labels else hub
    nodes = torch.cat(found)[:NEAR]
    return nodes, f"The {len(nodes)} of {rows} nodes that are nearest to node {name}"


def _laid_out(rows: int, edges: torch.Tensor) -> tuple[np.ndarray, str]:
    """Places ``[rows, 2]`` and how they were found."""
    try:
        import networkx
    except ImportError:
        turn = 2 * np.pi * np.arange(rows) / max(1, rows)
        return np.stack([np.cos(turn), np.sin(turn)], 1), "in a circle (networkx lays graphs out)"
    graph: Any = networkx.Graph()
    graph.add_nodes_from(range(rows))
    graph.add_edges_from(edges.T.tolist())
    parts = sorted(networkx.connected_components(graph), key=len, reverse=True)
    main, *rest = [sorted(part) for part in parts]
    place = np.zeros((rows, 2))
    place[main] = _sprung(graph.subgraph(main))
    gap = 1.2 / len(main) ** 0.5  # denser than the main part, which is two wide
    boxes = _boxes([len(one) for one in rest], gap, float(place[main, 1].min()))
    for part, (x, y, half) in zip(rest, boxes, strict=True):
        place[part] = half * _sprung(graph.subgraph(part)) + (x, y)
    return place, "laid out by springs" + (", smaller parts below" if rest else "")


def _sprung(graph: Any) -> np.ndarray:
    """Places of a connected part in [-1, 1]², in the order of its nodes by number."""
    import networkx

    found = networkx.spring_layout(graph, seed=0, iterations=60)
    return np.array([found[k] for k in sorted(graph)])


def _boxes(counts: Sequence[int], gap: float, top: float) -> list[tuple[float, float, float]]:
    """Middle and half side of a square for each small part, in rows below the main one.

    Args:
        counts: Nodes of each part, the largest first.
        gap: Side of the square of one node.
        top: Where the rows begin.
    """
    width = max(2.0, gap * sum(counts) ** 0.5)
    found, x, y, high = list[tuple[float, float, float]](), -width / 2, top - gap, 0.0
    for count in counts:
        side = gap * count**0.5
        if high and x + side > width / 2:
            x, y, high = -width / 2, y - high, 0.0
        found.append((x + side / 2, y - side / 2, 0.35 * side))
        x, high = x + side, max(high, side)
    return found
