"""Two trainings that begin a little apart: the largest exponent without a Hessian."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simlearn.analysis.flat import Motion
from simlearn.component import ConfigError

CLOSE = 1e-9  # of ε, below which a distance is rounding
SIZE = 1e-6  # of the distance: far above rounding in float64, far below what bends


class Twin:
    """A training that runs a little beside another, and is drawn back to it.

    Benettin's method: d = |w' − w| grows from the size ε, ln(d / ε) is added up, and the whole
    difference, of what the optimizer remembers, too, shrinks by ε / d.

    Args:
        state: Of the training, ``[parts, n]``: weights, then what the optimizer remembers.
        direction: In which the twin begins apart, ``[n]``.
        size: ε, relative to the size of the weights at the start.

    Raises:
        ConfigError: The size is not positive, or the direction is zero.
    """

    def __init__(self, state: Tensor, direction: Tensor, size: float = SIZE):
        length = float(direction.norm())
        if not 0 < size < 1 or not length > 0:
            raise ConfigError(
                f"A twin begins in a direction that is not zero, at a relative distance between 0 "
                f"and 1; got a direction of size {length:g} and a distance of {size:g}."
            )
        self.size = size * max(float(state[0].norm()), 1e-3)
        self.direction, self.state = direction / length, state.clone()
        self.state[0] += self.size * self.direction
        self.total, self.steps = 0.0, 0

    def distance(self, state: Tensor) -> float:
        """How far its weights are from those of the training."""
        return float((self.state[0] - state[0]).norm())

    def draw_back(self, state: Tensor, steps: int) -> float:
        """Note the growth since the last time and begin anew at ε; gives ln(d / ε).

        A twin that cannot be told from the training any more has come as near as rounding tells,
        and begins anew in its first direction.

        Args:
            state: Of the training now.
            steps: Steps since the last time.
        """
        apart = self.distance(state)
        grown = math.log(max(apart / self.size, CLOSE)) if apart < math.inf else math.nan
        self.total += grown
        self.steps += steps
        if apart > 0:
            self.state = state + (self.state - state) * (self.size / apart)
        else:
            self.state = state.clone()
            self.state[0] += self.size * self.direction
        return grown

    @property
    def exponent(self) -> float:
        """(1/K) Σ ln(d / ε), per step."""
        return self.total / max(1, self.steps)


def twin_exponents(
    motion: Motion,
    x: Tensor,
    steps: int,
    parts: int = 1,
    *,
    size: float = SIZE,
    every: int = 1,
    count: int = 1,
    seed: int = 0,
) -> Tensor:
    """Finite-time exponents of a map from twins in random directions, ``[count]`` per step.

    What they have in common is growth; how they differ is what a finite time leaves open.

    Args:
        motion: ``[anchors, parts · n]`` to the same, as `maps.training_map`.
        x: Start ``[parts · n]``.
        steps: How many.
        parts: Vectors of a state; distances are those of the first.
        size: Relative distance of a twin.
        every: Steps between two drawings back.
        count: Twins.
        seed: Seed of the directions.

    Raises:
        ConfigError: No step, or no twin.
    """
    _refuse(steps, every, count)
    state = x.detach().unflatten(-1, (parts, -1))
    twins = [Twin(state, one, size) for one in directions(state.shape[-1], count, seed).to(x)]
    for number in range(steps):
        many = torch.stack([state, *(twin.state for twin in twins)])
        state, *others = motion(many.flatten(1), float(number)).detach().unflatten(-1, (parts, -1))
        for twin, other in zip(twins, others, strict=True):
            twin.state = other
            if (number + 1) % every == 0:
                twin.draw_back(state, every)
    return torch.tensor([twin.exponent for twin in twins], dtype=torch.float64)


def _refuse(steps: int, every: int, count: int) -> None:
    if steps < every or every < 1 or count < 1:
        raise ConfigError(
            f"Twins need steps >= every >= 1 and count >= 1, got {steps}, {every} and {count}."
        )


def directions(n: int, count: int, seed: int) -> Tensor:
    """Unit vectors in random directions, ``[count, n]``, float64."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, n, generator=rng, dtype=torch.float64)
    return drawn / drawn.norm(dim=-1, keepdim=True)
