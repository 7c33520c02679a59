"""Running a rollout backwards, step by step, with the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry

if TYPE_CHECKING:
    from simlearn.simulator.reversible import Course


class Tape:
    """The gradients of the weights as they add up, and the worst error of what was rebuilt.

    Args:
        weights: What the gradients belong to.
    """

    def __init__(self, weights: Sequence[Tensor]):
        self.weights, self.worst = list(weights), 0.0
        self.found = [torch.zeros_like(one) for one in self.weights]

    def pull(
        self, outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
    ) -> list[Tensor]:
        """Cotangents of the inputs; those of the weights are added up."""
        pairs = [p for p in zip(outputs, cotangents, strict=True) if p[0].requires_grad]
        if not pairs:
            return [torch.zeros_like(one) for one in inputs]
        given, thrown = zip(*pairs, strict=True)
        every = (*inputs, *self.weights)
        found = torch.autograd.grad(given, every, thrown, allow_unused=True)
        met = [k for k in range(len(self.weights)) if found[len(inputs) + k] is not None]
        if met:  # one call for all of them
            terms = [found[len(inputs) + k] for k in met]
            torch._foreach_add_([self.found[k] for k in met], terms)
        own = zip(inputs, found, strict=False)
        return [torch.zeros_like(x) if one is None else one for x, one in own]

    def compare(self, rebuilt: Tensor, kept: Tensor) -> None:
        """Remember how far a rebuilt state is from the one that was kept, in the worst row."""
        size = kept.norm(dim=-1)
        apart = (rebuilt - kept).norm(dim=-1) / size.clamp_min(1e-3 * float(size.max()) + 1e-300)
        error = float(apart.max())
        self.worst = error if not error <= self.worst else self.worst


def leaf(x: Tensor) -> Tensor:
    """The same numbers, to be differentiated by."""
    return x.detach().requires_grad_()


def when(course: Course, step: int) -> Time:
    """The time before a step."""
    return course.t0 + step * course.dt


def pull_steps(
    course: Course, states: Tensor, gradient: Tensor, carry: Carry, tape: Tape
) -> Tensor:
    """Of any reversible scheme: each step is undone, and done again with its graph.

    At a kept state the rollout is taken up anew, unless the scheme carries more than the state.
    """
    scheme, field, topology, dt = course.scheme, course.field, course.topology, course.dt
    x, down = states[-1], gradient[-1]
    thrown = [torch.zeros_like(part) for part in carry]
    if (len(states) - 1) * course.every == 0:
        return down
    for k in reversed(range((len(states) - 1) * course.every)):
        with torch.no_grad():
            x, carry = scheme.step(field, when(course, k + 1), x, -dt, topology, carry)
        number, rest = divmod(k, course.every)
        if rest == 0:
            tape.compare(x, states[number])
            if not scheme.extended:
                x = states[number]
        with torch.enable_grad():
            begin, held = leaf(x), tuple(leaf(part) for part in carry)
            after, kept = scheme.step(field, when(course, k), begin, dt, topology, held)
            down, *thrown = tape.pull([after, *kept], [begin, *held], [down, *thrown])
        if rest == 0:
            down = down + gradient[number]
    with torch.enable_grad():
        begin = leaf(states[0])
        begun = scheme.start(field, course.t0, begin, topology)
        return down + tape.pull(begun, [begin], thrown)[0]
