"""Running leapfrog and its compositions backwards with the gradient, one force a leap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry
from simlearn.simulator.adjoint import Tape, leaf, when

if TYPE_CHECKING:
    from simlearn.simulator.reversible import Course


def pull_leaps(
    course: Course, states: Tensor, gradient: Tensor, carry: Carry, tape: Tape
) -> Tensor:
    """The gradient by the start, ``[rows, dim]``; those of the weights go to the tape."""
    lengths: tuple[float, ...] = course.scheme.lengths
    way, total = _Way(course, states, gradient, tape), (len(states) - 1) * course.every
    for k in range(total, 0, -1):
        t, kept = when(course, k), k // course.every if k % course.every == 0 else None
        for length in reversed(lengths):
            h = length * course.dt
            way.node(t, h, kept)
            way.drift(h)
            t, kept = t - h, None
    way.node(course.t0, 0.0, 0)
    return torch.cat([way.dq, way.dp], dim=-1)


class _Way:
    """Where the walk back has come to: q, p and their cotangents.

    A leap is p½ = p₀ + h/2 F(q₀), q₁ = q₀ + h D(p½), p₁ = p½ + h/2 F(q₁). Undoing it asks for D
    and F where doing it did, so one evaluation with its graph serves the state and the cotangents:
    λp += h D'(p½)ᵀ λq, and at a node between leaps λq += F'(q)ᵀ (h/2 λp of either leap).
    """

    def __init__(self, course: Course, states: Tensor, gradient: Tensor, tape: Tape):
        self.course, self.states, self.gradient, self.tape = course, states, gradient, tape
        self.q, self.p = states[-1].chunk(2, dim=-1)
        self.dq, self.dp = torch.zeros_like(self.q), torch.zeros_like(self.p)
        self.later, self.begun = 0.0, False  # length of the leap that follows; whether one does

    def node(self, t: Time, h: float, kept: int | None) -> None:
        """From after a node to before it: the force, the state kept there, half a leap down."""
        rebuilt = self.q
        if kept is not None:
            self.q = self.states[kept].chunk(2, dim=-1)[0]
        with torch.enable_grad():
            q = leaf(self.q)
            force = self.course.field.kick(t, q, self.course.topology)
        below = force.detach()
        self.p = torch.add(self.p, below, alpha=-self.later / 2)
        thrown = (self.later / 2) * self.dp
        if kept is not None:
            self._take_up(torch.cat([rebuilt, self.p], dim=-1), kept)
        thrown = torch.add(thrown, self.dp, alpha=h / 2)
        self.dq = self.dq + self.tape.pull([force], [q], [thrown])[0]
        self.p = torch.add(self.p, below, alpha=-h / 2)
        self.later, self.begun = h, True

    def _take_up(self, rebuilt: Tensor, kept: int) -> None:
        """Go on from the state that was kept, with its own gradient."""
        if self.begun:
            self.tape.compare(rebuilt, self.states[kept])
        self.p = self.states[kept].chunk(2, dim=-1)[1]
        dq, dp = self.gradient[kept].chunk(2, dim=-1)
        self.dq, self.dp = self.dq + dq, self.dp + dp

    def drift(self, h: float) -> None:
        """Undo q₁ = q₀ + h D(p½)."""
        with torch.enable_grad():
            p = leaf(self.p)
            slope = self.course.field.drift(p, self.course.topology)
        self.dp = self.dp + self.tape.pull([slope], [p], [h * self.dq])[0]
        self.q = torch.add(self.q, slope.detach(), alpha=-h)
