"""Many small systems integrated at once, each with steps of its own: references and rollouts."""

from itertools import pairwise

import numpy as np
import torch
from scipy.integrate import DOP853

from simlearn import Topology

TIGHT = 1e-12
SHORTEST = 1e-12  # a step below this, relative to the time span, is a failure


def solve(field, y0, times, tolerance=1e-10, most=20_000, size=1.0):
    """DOP853 (Hairer, Nørsett and Wanner 1993, II.5) with steps that end on the sample times.

    Every system takes its own steps, so that one close encounter does not slow the others and a
    system's answer does not depend on its company.

    Args:
        field: dy/dt of autonomous systems, ``[systems, n]`` to the same, for any number of them.
        y0: ``[systems, n]``.
        times: ``[samples]``, the first is the time of ``y0``.
        tolerance: Relative and absolute tolerance.
        most: Most steps of one system between two samples.
        size: Size of a component ``[n]`` that the absolute tolerance refers to.

    Returns:
        ``[samples, systems, n]``; NaN from where a system could not be integrated.
    """
    y = np.array(y0, dtype=float)
    slope = field(y)
    step = np.full(len(y), 0.01 * (times[-1] - times[0]))
    out = [y.copy()]
    for start, stop in pairwise(times):
        _advance(field, y, slope, step, float(stop - start), tolerance, most, size)
        out.append(y.copy())
    return np.stack(out)


def _advance(field, y, slope, step, gap, tolerance, most, size):
    """Move all systems over one gap, in place; step sizes are kept for the next one."""
    left = np.full(len(y), gap)
    busy = np.flatnonzero(np.isfinite(y).all(1))
    for _ in range(most):
        if not len(busy):
            return
        h = np.minimum(step[busy], left[busy])
        ends = h >= left[busy]
        new, last, error = _try(field, y[busy], slope[busy], h, tolerance, size)
        taken = error < 1
        factor = np.clip(0.9 * np.maximum(error, 1e-10) ** (-1 / 8), 0.2, 10)
        factor[~np.isfinite(error)] = 0.2
        # a step cut short at a sample says nothing against the longer one proposed before
        step[busy] = np.where(taken & ends, np.maximum(step[busy], h * factor), h * factor)
        done = busy[taken]
        y[done], slope[done] = new[taken], last[taken]
        left[done] = np.where(ends[taken], 0.0, left[done] - h[taken])
        failed = busy[step[busy] < SHORTEST * gap]
        y[failed], left[failed] = np.nan, 0.0
        busy = busy[left[busy] > 0]
    y[busy] = np.nan


def _try(field, y, slope, h, tolerance, size):
    """One step of every system: state, slope there, and error over what is allowed."""
    k = np.empty((DOP853.n_stages + 1, *y.shape))
    k[0] = slope
    with np.errstate(all="ignore"):
        for s in range(1, DOP853.n_stages):
            k[s] = field(y + h[:, None] * np.tensordot(DOP853.A[s, :s], k[:s], 1))
        new = y + h[:, None] * np.tensordot(DOP853.B, k[:-1], 1)
        k[-1] = field(new)
        scale = tolerance * (size + np.maximum(np.abs(y), np.abs(new)))
        fifth = np.square(np.tensordot(DOP853.E5, k, 1) / scale).sum(1)
        third = np.square(np.tensordot(DOP853.E3, k, 1) / scale).sum(1)
        below = np.sqrt(np.maximum((fifth + 0.01 * third) * y.shape[1], 1e-300))
        error = h * fifth / below
    return new, k[-1], np.where(np.isfinite(error), error, np.inf)


def field_of(dynamics, topology=None):
    """A vector field of the framework as a function of NumPy states ``[systems, rows · dim]``.

    Args:
        dynamics: A `VectorField`.
        topology: Topology of one system; a system is one row where it is None.
    """

    def field(y):
        x = torch.from_numpy(np.ascontiguousarray(y))
        many = Topology.isolated(len(y)) if topology is None else topology.repeat(len(y))
        with torch.no_grad():
            slope = dynamics(0.0, x.reshape(many.rows, -1), many)
        return slope.reshape(y.shape).numpy()

    return field


def energy_of(dynamics, topology=None):
    """An energy of the framework as a function of NumPy states ``[..., rows · dim]``."""

    def energy(y):
        flat = torch.from_numpy(np.ascontiguousarray(y)).reshape(-1, y.shape[-1])
        many = Topology.isolated(len(flat)) if topology is None else topology.repeat(len(flat))
        with torch.no_grad():
            found = dynamics.energy(flat.reshape(many.rows, -1), many)
        return found.reshape(y.shape[:-1]).numpy()

    return energy
