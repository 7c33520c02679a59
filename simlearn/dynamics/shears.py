"""Symplectic maps put together from stages that are symplectic, and can be undone, one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from simlearn.dynamics.base import Map, Time
from simlearn.dynamics.energy import even
from simlearn.dynamics.neural import positive, size_of, spread_of
from simlearn.state import Topology


class Stage(nn.Module):
    """A symplectic map of (q, p) that is the identity at h = 0."""

    @abstractmethod
    def forward(self, q: Tensor, p: Tensor, h: Time) -> tuple[Tensor, Tensor]:
        """The state after the stage."""

    @abstractmethod
    def inverse(self, q: Tensor, p: Tensor, h: Time) -> tuple[Tensor, Tensor]:
        """The state before it."""


class Shear(Stage):
    """p ← p + h g(q), or q ← q + h g(p), with g the gradient of some function."""

    def __init__(self, gradient: nn.Module, kicks: bool):
        super().__init__()
        self.gradient, self.kicks = gradient, kicks

    def forward(self, q: Tensor, p: Tensor, h: Time) -> tuple[Tensor, Tensor]:
        """One half of the state pushes the other."""
        if self.kicks:
            return q, p + h * self.gradient(q)
        return q + h * self.gradient(p), p

    def inverse(self, q: Tensor, p: Tensor, h: Time) -> tuple[Tensor, Tensor]:
        """The same push taken back: what pushed has not moved."""
        return self(q, p, -h)


class SymplecticMap(Map):
    """A chain of stages: symplectic for any weights and any step.

    The stages see (q, p) in units of their own, (x − centre) / spread, and h = rate · dt / layers.
    The spread of q_i times that of p_i is the same for all i, so that the units cost nothing of the
    form; centre, spread and rate are 0, 1 and 1 until `standardize` sets them. At dt = 0 the map is
    the identity, so steps of any length, of different lengths, and steps back make sense.

    Args:
        dim: Columns of the state, positions and momenta together.
        layers: Layers of one step.

    Raises:
        ConfigError: ``dim`` is odd, or there is no layer.
    """

    symplectic: ClassVar[bool] = True
    any_step: ClassVar[bool] = True
    centre: Tensor
    spread: Tensor
    rate: Tensor

    def __init__(self, dim: int, layers: int):
        super().__init__()
        even(dim)
        positive(layers=layers)
        self.dim, self.layers = dim, layers
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.register_buffer("rate", torch.ones(()))

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The stages in the order in which they act."""

    @final  # type: ignore[misc]  # nn.Module declares forward as an attribute
    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The next state."""
        h = dt * self.rate / self.layers
        q, p = self._own(x)
        for stage in self.stages():
            q, p = stage(q, p, h)
        return self._given(q, p)

    @final
    def inverse(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The state a step before ``x``: every stage undone, the last one first."""
        h = dt * self.rate / self.layers
        q, p = self._own(x)
        for stage in reversed(self.stages()):
            q, p = stage.inverse(q, p, h)
        return self._given(q, p)

    def _own(self, x: Tensor) -> tuple[Tensor, ...]:
        return ((x - self.centre) / self.spread).chunk(2, dim=-1)

    def _given(self, q: Tensor, p: Tensor) -> Tensor:
        return self.centre + self.spread * torch.cat([q, p], dim=-1)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the state by column, as far as the form allows, and the time by the slopes."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        q, p = spread_of(x).chunk(2)
        action, balance = (q * p).mean().sqrt(), (q / p).sqrt()
        self.centre.copy_(x.mean(0))
        self.spread.copy_(torch.cat([action * balance, action / balance]))
        self.rate.copy_((size_of(slope) / self.spread).mean())
