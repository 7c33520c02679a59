"""The implicit midpoint rule: symplectic for every Hamiltonian, separable or not."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry, Integrator
from simlearn.integrators.solve import checked, fixed_point
from simlearn.state import Topology


class ImplicitMidpoint(Integrator):
    """The implicit midpoint rule, order 2, symplectic for every Hamiltonian.

    The next state solves x' = x + dt f((x + x')/2).

    Solved by fixed-point iteration. Each system stops when its own update is below ``tolerance``
    relative to its state and is frozen from then on, so that a batch gives the same answer as its
    parts. A system that has not converged after ``max_iter`` becomes NaN, which a rollout reports
    as diverged: take a smaller step.

    Args:
        tolerance: Largest relative update at which a system counts as solved.
        max_iter: Most iterations a step.
    """

    order: ClassVar[int] = 2
    symplectic: ClassVar[bool] = True
    reversible: ClassVar[bool] = True

    def __init__(self, tolerance: float = 1e-13, max_iter: int = 60):
        checked("ImplicitMidpoint", tolerance, max_iter)
        self.tolerance, self.max_iter = tolerance, max_iter

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        middle, guess = t + dt / 2, x + dt * field(t, x, topology)

        def update(new: Tensor) -> tuple[Tensor, float]:
            return x + dt * field(middle, (x + new) / 2, topology), 0.0

        return fixed_point(update, guess, topology, self.tolerance, self.max_iter), carry
