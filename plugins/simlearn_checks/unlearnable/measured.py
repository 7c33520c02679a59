"""What was measured of a simulator in the directions without data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simlearn.analysis import directions, growth, jacobian
from simlearn.analysis.flat import Motion
from simlearn.analysis.local import LocalNormals
from simlearn_checks.unlearnable.case import Frame, Points

FOLLOWED = 40  # directions whose growth is followed, the fastest ones
MOST = 32  # directions whose dependence on the seed is measured
SAMPLES = 5000  # training states that local normals search


@dataclass(frozen=True)
class Outside:
    """Growth off the data.

    Attributes:
        exponents: Transverse ones, ``[m]``, 1/time.
        errors: Their standard errors.
        lost: Share of the orbits that left every bound.
        normal: N ``[n, m]`` without exact symmetries; None in local mode.
        symmetric: How many directions are exact nulls by symmetry.
        blocks: Of one step at the anchors; None in local mode.
        leak: Error off the data added by one step, in units of the spread; None if unknown.
        dimension: Of the set of data, in local mode.
        total: Directions without data; the fastest 40 are followed.
    """

    exponents: Tensor
    errors: Tensor
    lost: float
    normal: Tensor | None
    symmetric: int
    blocks: directions.Blocks | None
    leak: float | None
    dimension: int | None = None
    total: int = 0

    @property
    def largest(self) -> tuple[float, float]:
        """The largest exponent and its standard error."""
        worst = int(self.exponents.argmax())
        return float(self.exponents[worst]), float(self.errors[worst])


def outside(
    step: Motion,
    frame: Frame,
    points: Points,
    fresh: list[Motion],
    horizon: int,
    dt: float,
    seed: int,
) -> Outside:
    """Transverse exponents along the data, one step's blocks, and the leak."""
    symmetric, normal = directions.by_symmetry(fresh, points.z, frame.normal)
    if not normal.shape[1]:
        none, lost = torch.zeros(0, dtype=torch.float64), _lost(step, points, horizon, dt)
        return Outside(none, none, lost, normal, symmetric.shape[1], None, None)
    found = followed(step, frame, points, normal, horizon, dt, seed)
    kept = torch.cat([frame.data, symmetric], dim=1)
    # all of J costs n tangent vectors; of a large graph only what leaves N is looked at
    blocks = None
    if normal.shape[1] <= 4 * MOST:
        blocks = directions.blocks(step, points.z, kept[:, : 4 * MOST], normal, points.t)
    leak = None
    if points.ahead is not None:
        leak = directions.leak(step, points.z, points.ahead, normal, points.t)
    return replace(_outside(found, normal, symmetric.shape[1], blocks, leak), total=normal.shape[1])


def followed(
    step: Motion,
    frame: Frame,
    points: Points,
    normal: Tensor,
    horizon: int,
    dt: float,
    seed: int,
) -> growth.Spectrum:
    """Transverse exponents along orbits that are kept on the data."""
    return growth.spectrum(
        step,
        points.z,
        horizon,
        dt=dt,
        t0=points.t,
        count=min(FOLLOWED, normal.shape[1]),
        normal=normal,
        transient=horizon // 2,
        follow=frame.onto_data,
        bound=bound_of(points),
        seed=seed,
    )


def curved(
    step: Motion,
    points: Points,
    samples: Tensor,
    neighbours: int,
    horizon: int,
    dt: float,
    seed: int,
) -> tuple[Outside, LocalNormals]:
    """The same for data on a curved set, with normals from the nearest samples."""
    local = LocalNormals(samples[:: max(1, len(samples) // SAMPLES)], neighbours)
    if local.dimension >= samples.shape[1]:
        none, lost = torch.zeros(0, dtype=torch.float64), _lost(step, points, horizon, dt)
        return Outside(none, none, lost, None, 0, None, None, local.dimension), local

    def onto_data(z: Tensor) -> Tensor:
        near, tangent = local.nearest(z)[1], local.tangents(z)
        return near + torch.einsum("anr,amr,am->an", tangent, tangent, z - near)

    found = growth.spectrum(
        step,
        points.z,
        horizon,
        dt=dt,
        t0=points.t,
        normal=local,
        transient=horizon // 2,
        follow=onto_data,
        bound=bound_of(points),
        seed=seed,
    )
    leak = None
    if points.ahead is not None:
        leak = directions.leak(step, points.z, points.ahead, local(points.ahead), points.t)
    told = _outside(found, None, 0, None, leak, local.dimension)
    return replace(told, total=samples.shape[1] - local.dimension), local


def _outside(
    found: growth.Spectrum,
    normal: Tensor | None,
    symmetric: int,
    blocks: directions.Blocks | None,
    leak: float | None,
    dimension: int | None = None,
) -> Outside:
    lost = float((found.lost >= 0).double().mean())
    exponents = found.exponents if not lost else torch.full_like(found.exponents, torch.nan)
    return Outside(exponents, found.errors, lost, normal, symmetric, blocks, leak, dimension)


def _lost(step: Motion, points: Points, horizon: int, dt: float) -> float:
    """Share of free rollouts that leave every bound, where there is no direction to follow."""
    orbit = directions.rolled(step, points.z, horizon, dt=dt, t0=points.t)
    largest = orbit.abs().amax((0, 2)).nan_to_num(torch.inf)
    return float((largest > bound_of(points)).double().mean())


def bound_of(points: Points) -> float:
    """The component beyond which an orbit is lost."""
    return 1e3 * float(points.z.abs().max() + 1)


def self_check(step: Motion, points: Points, seed: int) -> float:
    """How far forward mode is from central differences, at three anchors."""
    few = points.z.clone()
    return jacobian.defect(lambda z: step(z, points.t), few, seed)


def predicted(outside: Outside, dt: float, tolerance: float) -> float:
    """The step at which errors off the data should reach the tolerance; infinite if never."""
    if outside.leak is None or not outside.exponents.numel() or outside.lost:
        return math.inf
    return directions.escape_step(
        math.exp(min(700.0, outside.largest[0] * dt)), outside.leak, tolerance
    )


def resolution(dt: float, horizon: int) -> float:
    """The rate ln 2 / time: a lower one neither doubles nor halves an error over the horizon."""
    return math.log(2) / (dt * horizon)
