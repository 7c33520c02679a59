"""Backpropagation through a rollout whose states are rebuilt by running it backwards.

Memory holds the states that were asked for and one step, whatever the number of steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry, Integrator
from simlearn.simulator.adjoint import Tape, leaf, pull_steps
from simlearn.simulator.leaps import pull_leaps
from simlearn.state import Topology

ATTACHED = ("edge_attr", "node_attr", "system_attr", "inputs")  # tensors of a topology
TRUSTED = 1e-3  # relative error of rebuilt states above which their gradient is not

Unroll = Callable[[Tensor], tuple[Tensor, Carry]]


class RebuildWarning(UserWarning):
    """The states that a reversible gradient rebuilt are not the ones of the rollout."""


@dataclass(frozen=True)
class Course:
    """What is rolled out, and how.

    Attributes:
        field: The dynamics.
        scheme: A reversible integrator.
        dt: Length of a step.
        t0: Time of the start.
        every: Every so many steps a state is kept.
        topology: Of the state.
        wanted: How many states there are to be.
        unroll: The rollout without gradients: the states ``[wanted, rows, dim]`` and the carry.
    """

    field: Any
    scheme: Any
    dt: float
    t0: Time
    every: int
    topology: Topology
    wanted: int
    unroll: Unroll

    def weights(self) -> list[Tensor]:
        """What is trained: parameters of the dynamics, then attributes of the topology."""
        own = [value for value in self.field.parameters() if value.requires_grad]
        return own + list(self.attached().values())

    def attached(self) -> dict[str, Tensor]:
        """Attributes of the topology that a gradient is wanted of."""
        held = {name: getattr(self.topology, name) for name in ATTACHED}
        return {n: value for n, value in held.items() if value is not None and value.requires_grad}

    def severed(self) -> Course:
        """The same on attributes whose own past is out of reach: a step back ends at them."""
        held = {name: leaf(value) for name, value in self.attached().items()}
        return replace(self, topology=self.topology.replace(**held)) if held else self


def states_of(course: Course, x0: Tensor) -> Tensor:
    """The states, with a gradient that needs no others: ``[wanted, rows, dim]``."""
    if not torch.is_grad_enabled():
        return course.unroll(x0)[0]
    _refuse_lost(course)
    weights = course.weights()
    if not (weights or x0.requires_grad):
        return course.unroll(x0)[0]
    found: Tensor = _Rebuilt.apply(course, x0, *weights)
    return found


def _refuse_lost(course: Course) -> None:
    """Refuse tensors that would silently get no gradient."""
    lost = [f"the buffer {name}" for name, b in course.field.named_buffers() if b.requires_grad]
    if isinstance(course.t0, Tensor) and course.t0.requires_grad:
        lost.append("t0")
    if lost:
        raise ConfigError(
            f'gradient="reversible" finds no gradient of {" and ".join(lost)}. Use '
            'gradient="full", or detach what needs none.'
        )


def refuse(scheme: Integrator | None, gradient: str, inputs: Tensor | None) -> None:
    """Refuse a gradient that does not exist, or not for this simulator.

    Raises:
        ConfigError: It says what would do.
    """
    if gradient not in ("full", "reversible"):
        raise ConfigError(f'gradient must be "full" or "reversible", got {gradient!r}.')
    if gradient == "full":
        return
    if scheme is None or not scheme.reversible:
        kind = "A map" if scheme is None else type(scheme).__name__
        raise ConfigError(
            f'{kind} cannot be run backwards, as gradient="reversible" must. Use Leapfrog, '
            'Yoshida4, Yoshida6, Tao or ImplicitMidpoint, or gradient="full".'
        )
    if inputs is not None:
        raise ConfigError('gradient="reversible" takes no inputs. Use gradient="full" with them.')


class _Rebuilt(torch.autograd.Function):
    """A rollout whose backward pass rebuilds it."""

    @staticmethod
    def forward(ctx: Any, course: Course, x0: Tensor, *weights: Tensor) -> Tensor:
        states, carry = course.unroll(x0)
        lost = course.wanted - len(states)
        if lost > 0:
            states = torch.cat([states, states.new_full((lost, *x0.shape), torch.nan)])
        states = states[: course.wanted]
        ctx.course, ctx.kept = course, len(carry)
        ctx.save_for_backward(states, *carry, *weights)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        course: Course = ctx.course
        states, *rest = ctx.saved_tensors
        carry, weights = tuple(rest[: ctx.kept]), rest[ctx.kept :]
        _same(weights, course.weights())
        if not bool(states.isfinite().all()):
            return (None, *(torch.full_like(v, torch.nan) for v in (states[0], *weights)))
        course = course.severed()
        tape = Tape(course.weights())
        pull = pull_leaps if getattr(course.scheme, "lengths", ()) else pull_steps
        start = pull(course, states, gradient, carry, tape)
        if not tape.worst <= TRUSTED:
            _warn(tape.worst, course, states.dtype)
        return (None, start, *tape.found)


def _same(then: list[Tensor], now: list[Tensor]) -> None:
    """Refuse weights that were put into the dynamics for the forward pass only."""
    if len(then) != len(now) or any(a is not b for a, b in zip(then, now, strict=True)):
        raise ConfigError(
            "The weights of the dynamics are not those of the rollout any more (functional_call?), "
            'so it cannot be rebuilt. Use gradient="full".'
        )


def _warn(error: float, course: Course, dtype: torch.dtype) -> None:
    finer = "" if dtype == torch.float64 else ", roll out in float64"
    warnings.warn(
        f"States rebuilt over {course.every} steps are off by {error:.1e}, relative: this motion "
        "forgets where it came from, and the gradient is not to be trusted. Keep states more often "
        f'(every < {course.every}), roll out fewer steps{finer}, or use gradient="full".',
        RebuildWarning,
        stacklevel=2,
    )
