"""Paths in the plane, forecast beside data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from simlearn import Curve, Line
from simlearn_checks.common import line

TRUTH = "(truth)"


def orbits(
    tracks: Mapping[str, Tensor], rows: list[int], limit: float, names: list[str], unit: str
) -> Curve:
    """Paths of some rows in the plane, of the data and of the forecasts."""
    lines = [
        track_of(name, _inside(track[:, k, 0], limit), _inside(track[:, k, 1], limit), names[k])
        for name, track in tracks.items()
        for k in rows
    ]
    caption = "Held-out data dotted, forecasts on top of them."
    return Curve(lines, f"x{unit}", f"y{unit}", caption, equal=True)


def _inside(values: Tensor, limit: float) -> Tensor:
    """Values beyond the picture leave a gap."""
    return torch.where(values.abs() <= limit, values, torch.nan)


def track_of(name: str, x: Tensor, y: Tensor, group: str) -> Line:
    """One path; that of the data is drawn as the truth."""
    if name == TRUTH:
        return Line(x.tolist(), y.tolist(), role="truth", group=group, label="held-out data")
    return line(name, x, y, group)
