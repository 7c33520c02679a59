"""Errors of rows, and where a rollout meets data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from simlearn import DataError, Place, Trajectory


@dataclass(frozen=True)
class Row:
    """The error of a row, from the worst start.

    Attributes:
        value: Of the judged simulator.
        noise: Its uncertainty.
        where: Start and sample.
        beside: Of the references.
    """

    value: float
    noise: float
    where: Place
    beside: Mapping[str, float] = field(default_factory=dict)


def scaled(row: Row, size: float) -> Row:
    """In units of a size."""
    beside = {name: value / size for name, value in row.beside.items()}
    return replace(row, value=row.value / size, noise=row.noise / size, beside=beside)


def worse(row: Row, before: Row | None) -> Row:
    """The worse of two starts, of every simulator by itself."""
    if before is None:
        return row
    beside = {name: max(value, before.beside[name]) for name, value in row.beside.items()}
    return replace(row if row.value > before.value else before, beside=beside)


def summed_up(rows: Sequence[Row]) -> dict[str, Row]:
    """The worst and the median row, of every simulator by itself."""
    order = sorted(rows, key=lambda row: row.value)
    beside = {n: sorted(row.beside[n] for row in rows) for n in order[0].beside}
    places = {"the worst row": -1, "the median row": len(order) // 2}
    return {
        title: replace(order[k], beside={name: values[k] for name, values in beside.items()})
        for title, k in places.items()
    }


def met(one: Trajectory, truth: Trajectory) -> tuple[Tensor, Tensor, Tensor]:
    """Times, states of the rollout and of the data, at the times that both have.

    Raises:
        DataError: There are none but the start, although the rollout went on.
    """
    if truth.t.ndim > 1:
        raise DataError("ForecastError needs data with one time axis; split the systems first.")
    spacing = truth.t.diff().min() if truth.steps > 1 else torch.tensor(1.0)
    right = torch.searchsorted(truth.t, one.t).clamp(0, truth.steps - 1)
    left = (right - 1).clamp_min(0)
    nearer = (truth.t[left] - one.t).abs() < (truth.t[right] - one.t).abs()
    index = torch.where(nearer, left, right)
    hit = (truth.t[index] - one.t).abs() < 1e-3 * spacing
    if one.steps > 1 and not bool(hit[1:].any()):
        raise DataError("Rollout and held-out data have no time in common; check simulator.dt.")
    return one.t[hit], one.x[hit], truth.x[index[hit]]
