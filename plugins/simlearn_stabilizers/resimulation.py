"""Windows computed anew by a known system, from other starts."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

import simlearn
from simlearn import Topology, Trajectory
from simlearn.dynamics import Dynamics, Map
from simlearn.integrators import RK4

SUBSTEPS = 4  # of an interval


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

    By RK4 in four substeps an interval, so its error is far below the noise.
    """
    law = system.truth().to(window.x)
    gaps, x = intervals(window, 1.0), window.x[0] + shift
    found, slopes = [x], []
    for k in range(window.steps):
        acting = window.topology
        if window.inputs is not None:
            acting = acting.replace(inputs=window.inputs[k])
        t = window.t[k] if window.t.ndim == 1 else window.t[k][acting.system]
        time = t.to(x).reshape(-1, 1)
        if not isinstance(law, Map):
            slopes.append(law(time if len(time) > 1 else float(t), x, acting))
        if k + 1 < window.steps:
            x = _solved(law, time, x, gaps[k], acting)
            found.append(x)
    slope = torch.stack(slopes) if window.derivative is not None and slopes else None
    return dataclasses.replace(window, x=torch.stack(found), derivative=slope)


def _solved(law: Dynamics, t: Tensor, x: Tensor, gap: Tensor, topology: Topology) -> Tensor:
    clock = t.expand(x.shape[0], 1)
    if isinstance(law, Map):
        return law(clock, x, gap.expand(x.shape[0], 1), topology)
    step = (gap / SUBSTEPS).expand(x.shape[0], 1)
    for k in range(SUBSTEPS):
        x = RK4().step(law, clock + k * step, x, step, topology, ())[0]
    return x
