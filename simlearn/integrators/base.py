"""What an integrator is: a pure step that hands its carry along."""

from __future__ import annotations

from abc import abstractmethod
from types import UnionType
from typing import Any, ClassVar

import torch
from torch import Tensor

from simlearn.component import Component, optional
from simlearn.dynamics.base import HamiltonianField, SplitField, Time, VectorField
from simlearn.state import Topology

Carry = tuple[Tensor, ...]
Energetic = HamiltonianField | SplitField  # fields that have an energy


def named(kind: type | UnionType) -> str:
    """How messages call a kind of field."""
    kinds = kind.__args__ if isinstance(kind, UnionType) else (kind,)
    return " or ".join(one.__name__ for one in kinds)


def moved(x: Tensor, slope: Tensor, dt: Time) -> Tensor:
    """X + dt · slope, in one operation where the step is a number."""
    return x + dt * slope if isinstance(dt, Tensor) else torch.add(x, slope, alpha=dt)


class Integrator(Component):
    """A scheme that advances a vector field by one step.

    Attributes:
        order: Order of the global error in the step.
        symplectic: Whether the step of a Hamiltonian field is a symplectic map.
        reversible: Whether a step back undoes a step forward.
        needs: The kind of field it can integrate.
        autonomous: Whether the field may not depend on time.
        extended: Whether its carry holds a second copy of the state: it is symplectic on both
            together, and starting it anew at every step is another, non-symplectic scheme. A
            rollout with inputs starts anew at every step, so it is refused.
        adaptive: Whether it chooses its own substeps: the error follows its tolerance, not dt.
    """

    order: ClassVar[int]
    symplectic: ClassVar[bool] = False
    reversible: ClassVar[bool] = False
    needs: ClassVar[type | UnionType] = VectorField
    autonomous: ClassVar[bool] = False
    extended: ClassVar[bool] = False
    adaptive: ClassVar[bool] = False

    @optional
    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """What the first step needs besides the state (the force, a second copy, a history)."""
        return ()

    @abstractmethod
    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """The state at t + dt and the carry for the next step; a pure function of its arguments.

        Args:
            field: A field of the kind that ``needs`` names.
            t: Time of ``x``, a float or ``[rows, 1]``.
            x: ``[rows, dim]``.
            dt: Step, a float or ``[rows, 1]``; negative steps go back.
            topology: The topology of the state.
            carry: What `start` or the last step returned.
        """


class SplitIntegrator(Integrator):
    """A scheme that alternates drift and kick, and carries the last force from step to step.

    Attributes:
        lengths: Of the leapfrog steps that make one step, in units of dt; empty for other schemes.
    """

    needs: ClassVar[type | UnionType] = SplitField
    symplectic: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    lengths: ClassVar[tuple[float, ...]] = ()
