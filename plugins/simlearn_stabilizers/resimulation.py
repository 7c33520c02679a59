"""Windows computed anew by a known system, from other starts."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import simlearn
from simlearn import Topology, Trajectory
from simlearn.dynamics import Dynamics, Map
from simlearn.integrators import RK4

SUBSTEPS, MOST = 4, 256  # of an interval, at first and at most
FINE = 1e-3  # share of the noise that substeps may be wrong by


def intervals(window: Trajectory, dt: float) -> Tensor:
    """Intervals between samples, ``[intervals, rows or 1, 1]``; dt where there is one sample."""
    if window.steps < 2:
        return window.x.new_full((1, 1, 1), dt)
    gap = window.t.diff(dim=0).to(window.x)
    gap = gap[:, window.topology.system] if gap.ndim > 1 else gap[:, None]
    return gap[..., None]


@torch.no_grad()
def resimulated(window: Trajectory, shift: Tensor, system: simlearn.System) -> Trajectory:
    """What the true system does from the shifted start, at the times of the window.

    By RK4, with substeps doubled until states change by less than a thousandth of the noise.
    """
    law = system.truth().to(window.x)
    x = _rolled(law, window, shift, SUBSTEPS)
    substeps = SUBSTEPS
    while not isinstance(law, Map) and substeps < MOST:
        substeps *= 2
        before, x = x, _rolled(law, window, shift, substeps)
        if float((x - before).abs().max()) <= FINE * float(shift.abs().max()):
            break
    slope = None
    if window.derivative is not None and not isinstance(law, Map):
        slope = torch.stack(
            [law(_time(window, k), x[k], _acting(window, k)) for k in range(len(x))]
        )
    return dataclasses.replace(window, x=x, derivative=slope)


def _rolled(law: Dynamics, window: Trajectory, shift: Tensor, substeps: int) -> Tensor:
    gaps, x = intervals(window, 1.0), window.x[0] + shift
    found = [x]
    for k in range(window.steps - 1):
        x = _solved(law, _time(window, k), x, gaps[k], _acting(window, k), substeps)
        found.append(x)
    return torch.stack(found)


def _time(window: Trajectory, k: int) -> Tensor:
    t = window.t[k] if window.t.ndim == 1 else window.t[k][window.topology.system]
    return t.to(window.x).reshape(-1, 1).expand(window.x.shape[1], 1)


def _acting(window: Trajectory, k: int) -> Topology:
    if window.inputs is None:
        return window.topology
    return window.topology.replace(inputs=window.inputs[k])


def _solved(
    law: Dynamics, t: Tensor, x: Tensor, gap: Tensor, topology: Topology, substeps: int
) -> Tensor:
    if isinstance(law, Map):
        return law(t, x, gap.expand(x.shape[0], 1), topology)
    step = (gap / substeps).expand(x.shape[0], 1)
    for k in range(substeps):
        x = RK4().step(law, t + k * step, x, step, topology, ())[0]
    return x
