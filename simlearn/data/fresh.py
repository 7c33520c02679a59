"""Trajectories that a generator draws anew and that all stay in memory."""

from __future__ import annotations

from dataclasses import replace

import torch

from simlearn import randomness
from simlearn.data.generate import DatasetGenerator, sample_times
from simlearn.data.room import refuse_in_memory
from simlearn.state import Trajectory


def fresh(
    generator: DatasetGenerator, count: int, steps: int, dt: float, seed: int, noise: float = 0.0
) -> list[Trajectory]:
    """Draw trajectories 0 to ``count`` - 1, where the memory has room for them.

    Args:
        generator: What draws them.
        count: How many.
        steps: States of each.
        dt: Time between two states.
        seed: Seed of the draw and of the noise.
        noise: Standard deviation of white noise on the states.

    Raises:
        EnvironmentFault: There is no room; the estimate is told, and nothing was drawn.
    """
    refuse_in_memory(generator, count, steps)
    drawn = generator.draw(range(count), sample_times(steps, dt), seed)
    return [_blurred(one, noise, seed, k) for k, one in enumerate(drawn)]


def _blurred(one: Trajectory, noise: float, seed: int, number: int) -> Trajectory:
    """The trajectory with white noise on its states."""
    if not noise:
        return one
    rng = randomness.generator(seed, number, 1)
    return replace(one, x=one.x + noise * torch.randn(one.x.shape, generator=rng).to(one.x))
