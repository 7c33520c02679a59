"""The rollout of a forecast: every step looked at for the range, states handed over in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.forecasting.limits import Limits
from simlearn.simulator import Simulator
from simlearn.simulator.outcome import inside
from simlearn.simulator.plan import even, sampled
from simlearn.state import Topology, Trajectory

PIECE_BYTES = 1 << 25  # of states that are handed over at once
Told = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Begin:
    """Where a forecast begins.

    Attributes:
        x: ``[rows, dim]``, in the dtype of the simulator.
        topology: The graph.
        t: A number, or ``[rows, 1]``.
        inputs: ``[steps, rows, u]``; None where there are none.
    """

    x: Tensor
    topology: Topology
    t: float | Tensor = 0.0
    inputs: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Piece:
    """Kept states of a forecast, one after another.

    Attributes:
        part: The states, with their times.
        outside: ``[steps, rows]`` bool: which nodes were out of range at any step since the state
            that was kept before.
    """

    part: Trajectory
    outside: Tensor


class Course:
    """A rollout that is walked once; what it says of itself is complete afterwards.

    The states are those of `Simulator.rollout`, without keeping them.

    Args:
        simulator: What is rolled out.
        begin: Where.
        steps: Steps to take.
        every: Keep every so many, and the start.
        limits: The range of the training data; None where nobody looks.
        told: Hears how many of how many steps are done.

    Attributes:
        first: ``[rows]``: the step at which each node was out of range first, −1 where never.
        beyond: How far out any node was, in widths of the range.
        who: ``[dim]``: the state of the first node that was out of range; None where none was.
        last: The last finite state that was kept.
    """

    def __init__(
        self,
        simulator: Simulator,
        begin: Begin,
        steps: int,
        every: int,
        limits: Limits | None,
        told: Told | None = None,
    ):
        self.simulator, self.begin, self.steps, self.every = simulator, begin, steps, every
        self.limits, self.told = limits, told
        rows = begin.topology.rows
        self.first = torch.full((rows,), -1, dtype=torch.int64, device=begin.x.device)
        self.beyond, self.last = 0.0, begin.x
        self.who: Tensor | None = None
        kept = steps // every + 1
        self.times = sampled(begin.t, simulator.dt * every, kept, begin.topology)

    def __iter__(self) -> Iterator[Piece]:
        size = max(1, PIECE_BYTES // max(1, self.begin.x.nbytes))
        states, flags, done = list[Tensor](), list[Tensor](), 0
        left = torch.zeros_like(self.first, dtype=torch.bool)
        for step, keep, x in self._states():
            left = left | self._look(step, x)
            if not bool(inside(x.flatten(), torch.inf)):
                yield self._piece(states, flags, done, lost=x)
                return
            if not keep:
                continue
            states.append(x)
            flags.append(left)
            self.last, left = x, torch.zeros_like(left)
            if len(states) == size:
                yield self._piece(states, flags, done)
                done, states, flags = done + size, [], []
        if states:
            yield self._piece(states, flags, done)

    def _look(self, step: int, x: Tensor) -> Tensor:
        if self.limits is None:
            return torch.zeros_like(self.first, dtype=torch.bool)
        now = self.limits.outside(x, self.begin.topology)
        if bool(now.any()):
            if self.who is None:
                self.who = x[int(now.int().argmax())]
            self.first = torch.where(now & (self.first < 0), step, self.first)
            self.beyond = max(self.beyond, self.limits.beyond(x))
        return now

    def _piece(
        self, states: list[Tensor], flags: list[Tensor], done: int, lost: Tensor | None = None
    ) -> Piece:
        """States so far; with the one at which the forecast stopped being finite, the last."""
        x = torch.stack(states) if states else self.begin.x[None][:0]
        outside = torch.stack(flags) if flags else torch.zeros(0, len(self.first)).bool()
        t, topology = self.times[done : done + len(x)], self.begin.topology
        if lost is None:
            return Piece(Trajectory(t, x, topology), outside)
        row = int((~inside(lost, torch.inf)).int().argmax())
        part = Trajectory(t, x, topology, status="diverged", finite_steps=len(x), first_bad_row=row)
        return Piece(part, outside)

    def _states(self) -> Iterator[tuple[int, bool, Tensor]]:
        """Step, whether it is kept, and the state; the start first."""
        field, scheme, begin = self.simulator.dynamics, self.simulator.integrator, self.begin
        x, topology, inputs = begin.x, begin.topology, begin.inputs
        yield 0, True, x
        started = scheme is not None and inputs is None
        carry = scheme.start(field, begin.t, x, topology) if started and scheme else ()
        legs = even(begin.t, self.simulator.dt, self.steps, self.every, inputs)
        for step, (t, dt, keep, acting) in enumerate(legs, 1):
            if acting is not None:
                topology = topology.replace(inputs=acting)
                carry = () if scheme is None else scheme.start(field, t, x, topology)
            if scheme is None:
                x = field(t, x, dt, topology)
            else:
                x, carry = scheme.step(field, t, x, dt, topology, carry)
            if self.told is not None:
                self.told(step, self.steps)
            yield step, keep, x
