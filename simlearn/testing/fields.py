"""Fields with known solutions, and fields that break every simulator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simlearn.dynamics.base import HamiltonianField, SplitField, Time
from simlearn.state import Topology


class TrialOscillator(HamiltonianField):
    """H = p²/2 + 2 q²: two turns in a time of 2π."""

    dim = 2

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.unbind(-1)
        return topology.per_system(p * p / 2 + 2 * q * q)

    def exact(self, t: float) -> Tensor:
        """The solution through (0.8, −0.6) at t = 0."""
        return torch.tensor([_free(t, 0.8, -0.3)], dtype=torch.float64)


class TrialForced(SplitField):
    """q'' = −4 q + cos t, which q = a cos 2t + b sin 2t + cos(t)/3 solves."""

    autonomous = False
    dim = 2

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity."""
        return p

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """A spring and a push that comes and goes."""
        return -4 * q + (torch.cos(t) if isinstance(t, Tensor) else math.cos(t))

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """Of the spring alone; the push does not keep it."""
        q, p = x.unbind(-1)
        return topology.per_system(p * p / 2 + 2 * q * q)

    def exact(self, t: float) -> Tensor:
        """A solution."""
        q, p = _free(t, 0.8, -0.3)
        return torch.tensor([[q + math.cos(t) / 3, p - math.sin(t) / 3]], dtype=torch.float64)


def _free(t: float, a: float, b: float) -> tuple[float, float]:
    c, s = math.cos(2 * t), math.sin(2 * t)
    return a * c + b * s, 2 * (b * c - a * s)


class TrialSpring(SplitField):
    """q'' = −k q with k a weight, 1 at first: then (sin t, cos t) solves it."""

    dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.stiffness = nn.Parameter(torch.ones(()))

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity."""
        return p

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """Hooke's law."""
        return -self.stiffness * q

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.unbind(-1)
        return topology.per_system((p * p + self.stiffness * q * q) / 2)


class TrialRunaway(SplitField):
    """q'' = 50 q³: every rollout blows up within a few steps.

    Args:
        force: What multiplies q³; NaN makes the first step NaN.
    """

    dim = 2

    def __init__(self, force: float = 50.0):
        super().__init__()
        self.force = force

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity."""
        return p

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """Away from the origin."""
        return self.force * q**3

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.unbind(-1)
        return topology.per_system(p * p / 2 - self.force * q**4 / 4)
