"""Learned energies: Hamiltonian fields whose energy is a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.angles import Angles
from simlearn.dynamics.base import HamiltonianField, SplitField, Time
from simlearn.dynamics.neural import TanhNet, positive, size_of, spread_of
from simlearn.state import Topology


def even(dim: int) -> None:
    """Refuse a state that cannot be split into positions and momenta."""
    if dim < 2 or dim % 2:
        raise ConfigError(
            f"A Hamiltonian state is (q, p), so dim must be even and positive, got {dim}."
        )


def positions(angles: Sequence[int], dim: int) -> tuple[int, ...]:
    """The angles, which must be positions: only coordinates in the first half of the state turn."""
    if any(not 0 <= k < dim // 2 for k in angles):
        raise ConfigError(
            f"A state of {dim} columns has the positions 0 to {dim // 2 - 1}, and angles names "
            f"some of them; got {list(angles)}."
        )
    return tuple(angles)


class ScaledNet(nn.Module):
    """A scalar network in its own units: E(x) = unit · MLP(shift + scale · x).

    Shift, scale and unit are 0, 1 and 1 until `standardize` sets them; ``rate`` is unit · scale. A
    constant in an energy moves nothing: it would be a weight that no data determine. Angles stay
    in radians, and enter as cosine and sine.
    """

    shift: Tensor
    scale: Tensor
    unit: Tensor
    rate: Tensor

    def __init__(self, dim: int, width: int, depth: int, angles: Sequence[int] = ()):
        super().__init__()
        self.angles, self.turns = Angles(dim, angles), bool(angles)
        self.net = TanhNet([self.angles.size] + [width] * depth + [1], constant=False)
        for name, value in (("shift", 0.0), ("scale", 1.0), ("rate", 1.0)):
            self.register_buffer(name, torch.full((dim,), value))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """E, ``[rows]``."""
        own: Tensor = self.net(self.angles(self.scaled(x)))
        return own.squeeze(-1) * self.unit

    def scaled(self, x: Tensor) -> Tensor:
        """The coordinates in the units of the network, ``[rows, dim]``."""
        return torch.addcmul(self.shift, x, self.scale)

    def gradient(self, x: Tensor) -> Tensor:
        """dE/dx, ``[rows, dim]``."""
        own = torch.addcmul(self.shift, x, self.scale)
        if not self.turns:  # nearly every energy, and every step of a rollout comes by
            return self.net.gradient(own) * self.rate
        return self.angles.pull(own, self.net.gradient(self.angles(own))) * self.rate

    def standardize(self, x: Tensor, unit: Tensor) -> None:
        """Take shift and scale from samples ``[samples, dim]``."""
        self.scale.copy_(1 / self.angles.spread(spread_of(x)))
        self.shift.copy_((-x.mean(0) * self.scale).index_fill(0, self.angles.index, 0.0))
        self.unit.copy_(unit)
        self.rate.copy_(self.unit * self.scale)


class Energy(HamiltonianField):
    """A Hamiltonian neural network.

    H(q, p) = unit · MLP((x − centre) / spread), dx/dt = J ∇H (Greydanus et al. 2019, eq. 2).

    Centre, spread and unit are 0, 1 and 1 until `standardize` sets them. They live inside the
    energy, so that the form stays canonical whatever they are.

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
        angles: Positions (from 0) that are angles: the energy is periodic in them.

    Raises:
        ConfigError: ``dim`` is odd, or ``angles`` names no position.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2, angles: Sequence[int] = ()):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.angles = positions(angles, dim)
        self.net = ScaledNet(dim, width, depth, self.angles)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom; two, of which the second is an angle."""
        return [cls(dim=2, width=8), cls(dim=4, width=8, angles=[1])]

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        return topology.per_system(self.net(x))

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """dH/dx, written by hand (a test holds it to autograd)."""
        return self.net.gradient(x)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the state by column, and the energy by what drives it."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        self.net.standardize(x, energy_units(x, slope, self.angles).mean())


def energy_units(x: Tensor, slope: Tensor, angles: Sequence[int] = ()) -> Tensor:
    """Sizes of the energy that the slopes need, kinetic and potential ``[2]``.

    dq/dt = dT/dp asks for |T| of the size of dq/dt times the spread of p, and dp/dt of the other.
    An angle has the spread of 1 radian, however often it went round.
    """
    dq, dp = size_of(slope).chunk(2)
    q, p = spread_of(x).chunk(2)
    q = Angles(len(q), angles).to(q.device).spread(q)
    return torch.stack([(dq * p).mean(), (dp * q).mean()])


class SeparableEnergy(SplitField):
    """H(q, p) = T(p) + V(q) with a network for each.

    Leapfrog can integrate it (Chen et al. 2020, eq. 4). Each network sees its half of the state as
    (x − centre) / spread and answers in its own unit of energy; these are 0, 1 and 1 until
    `standardize` sets them.

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
        angles: Positions (from 0) that are angles: the energy is periodic in them.

    Raises:
        ConfigError: ``dim`` is odd, or ``angles`` names no position.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2, angles: Sequence[int] = ()):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.angles = positions(angles, dim)
        self.kinetic = ScaledNet(dim // 2, width, depth)
        self.potential = ScaledNet(dim // 2, width, depth, self.angles)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom; two, of which the second is an angle."""
        return [cls(dim=2, width=8), cls(dim=4, width=8, angles=[1])]

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """dT/dp."""
        return self.kinetic.gradient(p)

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−dV/dq."""
        return -self.potential.gradient(q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """T + V, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        return topology.per_system(self.kinetic(p) + self.potential(q))

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the state by column, and both energies by what they drive."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        q, p = x.chunk(2, dim=-1)
        kinetic, potential = energy_units(x, slope, self.angles)
        self.kinetic.standardize(p, kinetic)
        self.potential.standardize(q, potential)
