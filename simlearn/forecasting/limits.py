"""The range of the training data: of states and of graphs, and who leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from simlearn.forecasting.attributes import unseen
from simlearn.simulator import Simulator
from simlearn.state import Topology

MARGIN = 0.1  # of the width of a column's range, beyond which a state counts as outside


class Limits:
    """Where a simulator knows its way: what its field says, or the range that its archive keeps.

    Args:
        simulator: A trained one.

    Attributes:
        low: ``[dim]`` of the training data; None where nobody knows. −∞ for an angle.
        high: The same.
    """

    def __init__(self, simulator: Simulator):
        self.field: Any = simulator.dynamics
        self.asked = hasattr(self.field, "outside")
        told = simulator.provenance.get("training", {})
        self.training: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
        data = simulator.provenance.get("data", {})
        columns = data.get("columns") if isinstance(data, Mapping) else None
        self.names = list(columns.get("parameters") or []) if isinstance(columns, Mapping) else []
        self.low, self.high = self._range()

    def outside(self, x: Tensor, topology: Topology) -> Tensor:
        """Which rows are out of range, ``[rows]`` bool; one that is no number is."""
        if self.asked:
            flags: Tensor = self.field.outside(x, topology)
            return flags
        if self.low is None or self.high is None or x.shape[-1] != len(self.low):
            return ~x.isfinite().all(-1)
        margin = MARGIN * (self.high - self.low)
        low, high = (self.low - margin).to(x), (self.high + margin).to(x)
        return ((x < low) | (x > high) | x.isnan()).any(-1)

    def beyond(self, x: Tensor) -> float:
        """How far out the farthest component is, in widths of the range of its column."""
        if self.low is None or self.high is None or x.shape[-1] != len(self.low):
            return 0.0
        return max(0.0, float(_widths(x, self.low, self.high).max()))

    def column(self, x: Tensor) -> int:
        """The column in which a row ``[dim]`` is farthest out."""
        if self.low is None or self.high is None or len(x) != len(self.low):
            return 0
        return int(_widths(x, self.low, self.high).argmax())

    def graph(self, topology: Topology) -> list[str]:
        """What of a graph no training graph had: size, degrees, parameters of nodes, weights."""
        told = []
        rows = self.training.get("rows")
        if rows and not rows[0] <= topology.rows <= rows[1]:
            told.append(f"the graph has {topology.rows} nodes, in the training {_span(rows)}")
        degree = self.training.get("degree")
        if degree and topology.rows and topology.graph.edge_index.shape[1]:
            counts = torch.bincount(topology.graph.edge_index[1], minlength=topology.rows)
            low, high = int(counts.min()), int(counts.max())
            if low < degree[0] or high > degree[1]:
                told.append(
                    f"its nodes have {low} to {high} neighbours, in the training {_span(degree)}"
                )
        return told + unseen(topology, self.field, self.training, self.names)

    def _range(self) -> tuple[Tensor | None, Tensor | None]:
        """That of the basis where the field judges by it, else that of the training data."""
        angles = _angles(self.field)
        bases = [part for name, part in self.field.named_modules() if name.endswith("basis")]
        held = [(b.low, b.high) for b in bases if hasattr(b, "low") and hasattr(b, "high")]
        told = "low" in self.training and "high" in self.training
        if held and bool(held[0][0].isfinite().all()) and (self.asked or not told):
            low, high = (one.double().reshape(-1, one.shape[-1]) for one in held[0])
            low, high = low.amin(0), high.amax(0)
        elif told:
            low, high = (
                torch.tensor(self.training[k], dtype=torch.float64) for k in ("low", "high")
            )
        else:
            return None, None
        for column in angles:
            low[column], high[column] = -torch.inf, torch.inf
        return low, high


def _angles(field: nn.Module) -> tuple[int, ...]:
    found = [getattr(part, "angles", ()) for part in field.modules()]
    return next((tuple(one) for one in found if isinstance(one, tuple | list) and one), ())


def _widths(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How far outside a range each component is, in its widths; an angle never is."""
    low, high = low.to(x), high.to(x)
    width = torch.where(high > low, high - low, 1.0)
    far = (torch.maximum(low - x, x - high) / width).nan_to_num(torch.inf, torch.inf, -torch.inf)
    return torch.where(width.isinf() & ~x.isnan(), -torch.inf, far)


def _span(values: Any) -> str:
    low, high = values
    return f"{low}" if low == high else f"{low} to {high}"
