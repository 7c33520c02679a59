"""Dormand-Prince: every system takes the steps that its own error asks for."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry, Integrator
from simlearn.integrators.solve import any_left
from simlearn.state import Topology
from simlearn.state.tracing import differentiated

# Dormand and Prince 1980, table 2: RK5(4)7M
NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# step size control of Hairer, Norsett and Wanner 1993, section IV.2: DOPRI5's own numbers
SAFETY, LEAST, MOST, PROPORTIONAL, INTEGRAL = 0.9, 0.2, 10.0, 0.17, 0.04


class DormandPrince(Integrator):
    """Runge-Kutta of order 5 with an error estimate of order 4 that chooses the steps.

    Dormand and Prince 1980. A simulator's dt is met exactly: it is cut into as many steps as the
    tolerance asks for, each system for itself, so that a batch gives the same answer as its parts.
    The last step size and slope are carried on. The error of a step, divided by
    atol + rtol · |x|, is at most 1 in root mean square over a system. Gradients flow through the
    accepted steps; the step sizes count as constants.

    A system that needs more than ``max_steps`` tries for one dt becomes NaN, which a rollout
    reports as diverged.

    Args:
        rtol: Error of a step relative to the state.
        atol: Error of a step where the state is near zero.
        max_steps: Most tries for one dt.

    Raises:
        ConfigError: ``rtol`` is negative, or ``atol`` or ``max_steps`` not positive.
    """

    order: ClassVar[int] = 5
    adaptive: ClassVar[bool] = True

    def __init__(self, rtol: float = 1e-6, atol: float = 1e-9, max_steps: int = 1000):
        if not (rtol >= 0 and atol > 0 and max_steps >= 1):
            raise ConfigError(
                f"DormandPrince needs rtol >= 0, atol > 0 and max_steps >= 1, got {rtol}, {atol} "
                f"and {max_steps}."
            )
        self.rtol, self.atol, self.max_steps = rtol, atol, max_steps

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The slope, a step size to be cut to dt, and the error of the last step: all is well."""
        none = x.new_zeros(topology.num_systems)
        return field(t, x, topology), none + torch.inf, none + 1e-4

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """As many steps as it takes."""
        slope, size, before = carry
        span = torch.as_tensor(dt, dtype=x.dtype, device=x.device).expand(topology.rows, 1)
        left = _first_of(span.abs()[:, 0], topology)
        back = _first_of(span[:, 0] < 0, topology)
        whole, active = left, left > 0
        wanted = x.requires_grad or slope.requires_grad or differentiated()
        for _ in range(self.max_steps):
            if not any_left(active):
                break
            with torch.no_grad():
                tried = torch.where(active, _cut(size, left), 0)
                signed = _rows(torch.where(back, -tried, tried), topology)
                now = t + _rows(torch.where(back, left - whole, whole - left), topology)
            with torch.no_grad():
                new, slopes = _try(field, now, x, signed, slope, topology)
                error = self._error(x, new, signed * _sum(ERROR, slopes), topology)
                good = active & (error <= 1)
                size, before = _next(tried, size, error, before, good, active)
                left = torch.where(good, torch.where(tried < left, left - tried, 0), left)
                gone = active & ~(tried > whole * torch.finfo(x.dtype).eps)
            taken = _rows(good, topology)
            if wanted:  # a try that was rejected would send 0 · NaN back
                new, slopes = _try(field, now, x, signed * taken, slope, topology)
            x, slope = torch.where(taken, new, x), torch.where(taken, slopes[-1], slope)
            active = (left > 0) & ~gone
        return torch.where(_rows(left > 0, topology), torch.nan, x), (slope, size, before)

    def _error(self, x: Tensor, new: Tensor, error: Tensor, topology: Topology) -> Tensor:
        """Root mean square of the error in units of the tolerance, ``[systems]``."""
        allowed = self.atol + self.rtol * torch.maximum(x.abs(), new.abs())
        share = ((error / allowed) ** 2).mean(-1)
        if topology.one_row_each:
            return share.sqrt()
        return (topology.per_system(share) / topology.per_system(torch.ones_like(share))).sqrt()


def _rows(value: Tensor, topology: Topology) -> Tensor:
    """``[systems]`` to ``[rows, 1]``."""
    return topology.per_row(value)[:, None]


def _first_of(value: Tensor, topology: Topology) -> Tensor:
    """What the rows of each system agree on: ``[rows]`` to ``[systems]``."""
    if topology.one_row_each:
        return value
    return value.new_zeros(topology.num_systems).index_put((topology.system,), value)


def _cut(size: Tensor, left: Tensor) -> Tensor:
    """A step that ends where it should; two halves rather than a step and a crumb."""
    return torch.where(size >= left, left, torch.where(2 * size > left, left / 2, size))


def _try(
    field: Any, t: Time, x: Tensor, h: Tensor, slope: Tensor, topology: Topology
) -> tuple[Tensor, list[Tensor]]:
    """A step and its seven slopes, of which the last is the first of the next step."""
    slopes, new = [slope], x
    for node, weights in zip(NODES, STAGES, strict=True):
        new = torch.addcmul(x, h, _sum(weights, slopes))
        slopes.append(field(t + node * h, new, topology))
    return new, slopes


def _sum(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """Σ wᵢ kᵢ."""
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        if weight:
            total = torch.add(total, slope, alpha=weight)
    return total


def _next(
    tried: Tensor, size: Tensor, error: Tensor, before: Tensor, good: Tensor, active: Tensor
) -> tuple[Tensor, Tensor]:
    """The step size after a try, and the error to remember.

    A step cut short says how large its error is; it makes the next one no smaller than it was
    going to be. A failed one shrinks; one that is no number shrinks as far as is allowed.
    """
    error = torch.nan_to_num(error, nan=torch.inf).clamp(1e-10)
    grown = SAFETY * error**-PROPORTIONAL * before**INTEGRAL
    found = tried * torch.where(good, grown.clamp(LEAST, MOST), grown.clamp(LEAST, 1.0))
    short = good & (tried < size) & size.isfinite()
    found = torch.where(short, torch.maximum(found, size), found)
    remembered = torch.where(good, error.clamp_min(1e-4), before)
    return torch.where(active, found, size), torch.where(active, remembered, before)
