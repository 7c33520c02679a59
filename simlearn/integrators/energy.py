"""A scheme that keeps the energy itself, not only one near it."""

from __future__ import annotations

from types import UnionType
from typing import Any, ClassVar

import torch
from torch import Tensor

from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry, Energetic, Integrator
from simlearn.integrators.solve import checked, fixed_point
from simlearn.state import Topology

ROUNDINGS = 8  # of the energy, below which a difference of two energies says nothing


class DiscreteGradient(Integrator):
    """Keeps the energy of each system to the tolerance of the solver, order 2.

    The next state solves x' = x + dt J ∇̄H(x, x') with the discrete gradient
    ∇̄H = ∇H(m) + [H(x') − H(x) − ∇H(m)·Δ] Δ/|Δ|², m = (x + x')/2, Δ = x' − x (Gonzalez 1996,
    eq. 4.5): then ∇̄H·Δ = H(x') − H(x), and J turns that into zero. The mean of ∇H along Δ would do
    the same, but its quadrature only for polynomials. The bracket is left out where it is below the
    rounding of H: what is left is the implicit midpoint rule.

    It is reversible and not symplectic: it keeps the energy and lets the phase-space volume go.
    Solved like `ImplicitMidpoint`; a system that does not converge becomes NaN.

    Args:
        tolerance: Largest relative update at which a system counts as solved.
        max_iter: Most iterations a step.
    """

    order: ClassVar[int] = 2
    reversible: ClassVar[bool] = True
    needs: ClassVar[type | UnionType] = Energetic
    autonomous: ClassVar[bool] = True

    def __init__(self, tolerance: float = 1e-13, max_iter: int = 60):
        checked("DiscreteGradient", tolerance, max_iter)
        self.tolerance, self.max_iter = tolerance, max_iter

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        before, weight = field.energy(x, topology), field.form(topology).to(x)[:, None]
        guess = x + dt * field(t, x, topology)

        def update(new: Tensor) -> tuple[Tensor, Tensor]:
            moved, slope = new - x, field(t, (x + new) / 2, topology)
            dq, dp = (weight * slope).chunk(2, dim=-1)
            along = topology.per_system((torch.cat([-dp, dq], dim=-1) * moved).sum(-1))
            length = topology.per_system((moved**2).sum(-1))
            missing = field.energy(new, topology) - before - along
            with torch.no_grad():
                noise = ROUNDINGS * torch.finfo(x.dtype).eps * (before.abs() + along.abs())
                told = (missing.abs() > noise) & (length > 0)
                still = (length == 0).to(length)
                push = topology.per_row(told * (noise / (length + still)) ** 2)[:, None]
                rounding = topology.per_system((push * (dt * moved / weight) ** 2).sum(-1))
            share = torch.where(told, missing / torch.where(told, length, 1), 0)
            first, second = (topology.per_row(share)[:, None] * moved / weight).chunk(2, dim=-1)
            turned = torch.cat([second, -first], dim=-1)
            return x + dt * (slope + turned), rounding

        return fixed_point(update, guess, topology, self.tolerance, self.max_iter), carry
