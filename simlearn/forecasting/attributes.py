"""Parameters of nodes and attributes of edges that no training graph had."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simlearn.state import Topology

MARGIN = 0.1  # of the width of a range, beyond which a number counts as outside
ROUNDED = 1e-6  # of a number, by which single precision may change it
DIVIDED = ("mean", "symmetric", "mean_degree")  # aggregations that take the size of weights out


def edge_columns(field: nn.Module, sized: bool = False) -> Collection[int] | None:
    """Columns of ``edge_attr`` that a field looks at; None: all, or it does not say.

    Args:
        field: The dynamics.
        sized: Leave out weights whose size an aggregation divides out.
    """
    parts = list(field.modules())
    known: list[Any] = [p for p in parts if hasattr(p, "aggregation") and hasattr(p, "weight")]
    if not known or any(getattr(part, "features", 0) for part in parts):
        return None
    found = [p for p in known if not (sized and p.aggregation in DIVIDED)]
    return {part.weight for part in found if isinstance(part.weight, int)}


def node_columns(field: nn.Module) -> Collection[int] | None:
    """Columns of ``node_attr`` that a field looks at; None: all, or it does not say."""
    parts: list[Any] = list(field.modules())
    if any(getattr(part, "node_parameters", 0) for part in parts):
        return None
    listed = [part.node for part in parts if isinstance(getattr(part, "node", None), tuple)]
    if not listed and not any(hasattr(part, "node_parameters") for part in parts):
        return None
    return {column for one in listed for column in one}


def unseen(
    topology: Topology, field: nn.Module, training: Mapping[str, Any], names: Sequence[str]
) -> list[str]:
    """A sentence for each column that a field looks at and that leaves its training range.

    Args:
        topology: Of the forecast.
        field: The dynamics.
        training: What the archive keeps of the training data, as `ranges` tells it.
        names: Of the parameters of nodes, where they have some.
    """
    told = []
    kinds = (
        ("node_attr", topology.node_attr, node_columns(field), "at", "nodes"),
        ("edge_attr", topology.edge_attr, edge_columns(field, sized=True), "on", "edges"),
    )
    for key, values, read, place, kind in kinds:
        if values is None or not len(values):
            continue
        columns = values.double().reshape(len(values), -1).T
        for k, (low, high) in enumerate(_pairs(training.get(key), len(columns))):
            if read is not None and k not in read:
                continue
            if kind == "nodes":
                name = names[k] if len(names) == len(columns) else f"parameter {k}"
            else:
                name = "weight" if len(columns) == 1 else f"attribute {k}"
            outside, told_range, far = _compared(columns[k], low, high)
            if outside:
                where = f"{place} {outside} of {len(values)} {kind}"
                told.append(f"{name} is outside the training's {told_range} {where}{far}")
    return told


def _pairs(told: Any, count: int) -> list[tuple[float, float]]:
    """Ranges as an archive tells them; none where it tells anything else."""
    if not isinstance(told, list) or len(told) != count:
        return []
    found = []
    for one in told:
        if not (isinstance(one, list) and len(one) == 2):
            return []
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in one):
            return []
        found.append((float(one[0]), float(one[1])))
    return found


def _compared(values: Tensor, low: float, high: float) -> tuple[int, str, str]:
    """How many leave a range; the range, and how far they go, in words."""
    rounded, width = ROUNDED * max(abs(low), abs(high)), high - low
    away = torch.maximum(low - values, values - high)
    away = away.nan_to_num(torch.inf, torch.inf, -torch.inf)
    outside = int((away > MARGIN * width + rounded).sum())
    most, farthest = float(away.max()), float(values[int(away.argmax())])
    if width <= rounded:
        return outside, f"{low:.4g}", f", as far as {farthest:.4g}"
    far = f", by up to {most / width:.2g} widths of it" if math.isfinite(most) else ""
    return outside, f"[{low:.4g}, {high:.4g}]", far
