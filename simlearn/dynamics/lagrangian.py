"""Learned Lagrangians: accelerations from one scalar of positions and velocities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time, VectorField
from simlearn.dynamics.energy import ScaledNet, positions
from simlearn.dynamics.neural import TanhNet, positive
from simlearn.state import Topology


class LagrangianField(VectorField):
    """A Lagrangian neural network, x = (q, v): the motion of a learned L(q, v).

    L = Σ ½ m ṽ² + MLP(q̃, ṽ), dv/dt = (∂²L/∂v²)⁻¹ (∂L/∂q − (∂²L/∂q∂v) v) (Cranmer et al. 2020,
    eq. 6), where q̃ and ṽ are scaled by `standardize` and m = softplus of a weight, 1 at first: at
    random weights the mass matrix ∂²L/∂v² is then close to 1 and not singular.

    Each row solves with its own mass matrix by LU. A row where that is singular has no
    acceleration: it becomes NaN, which a rollout reports as diverged. Nothing keeps the matrix
    positive; `MechanicalEnergy` does, where momenta are known.

    Any constant times L moves in the same way, so the energy v · ∂L/∂v − L has no unit of its own.

    Args:
        dim: Columns of the state, positions and velocities together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
        angles: Positions (from 0) that are angles: L is periodic in them.

    Raises:
        ConfigError: ``dim`` is odd, or ``angles`` names no position.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2, angles: Sequence[int] = ()):
        super().__init__()
        if dim < 2 or dim % 2:
            raise ConfigError(
                f"A Lagrangian state is (q, v), so dim must be even and positive, got {dim}."
            )
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.angles = positions(angles, dim)
        self.net = ScaledNet(dim, width, depth, self.angles)
        self.mass = nn.Parameter(torch.full((dim // 2,), math.log(math.e - 1)))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom; two, of which the second is an angle."""
        return [cls(dim=2, width=8), cls(dim=4, width=8, angles=[1])]

    def lagrangian(self, x: Tensor) -> Tensor:
        """L, ``[rows]``."""
        v = x.chunk(2, dim=-1)[1]
        kinetic: Tensor = (self._inertia() * v * v).sum(-1) / 2
        return kinetic + self.net(x)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """⟨v, ∂L/∂v⟩ − L, ``[systems]``, constant along the motion."""
        v = x.chunk(2, dim=-1)[1]
        momentum = self._inertia() * v + self.net.gradient(x).chunk(2, dim=-1)[1]
        return topology.per_system((v * momentum).sum(-1) - self.lagrangian(x))

    def mass_matrix(self, x: Tensor) -> Tensor:
        """∂²L/∂v², ``[rows, dim/2, dim/2]``."""
        return self._mass_and_force(x)[0]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """(v, dv/dt)."""
        mass, force = self._mass_and_force(x)
        # checks nothing, so that one singular row is a value in its own row and no exception
        solved, info = torch.linalg.solve_ex(mass, force[..., None])
        acceleration = torch.where((info == 0)[..., None], solved[..., 0], torch.nan)
        return torch.cat([x.chunk(2, dim=-1)[1], acceleration], dim=-1)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the state by column; L needs no unit, and its mass starts at 1 in these."""
        self.net.standardize(x.reshape(-1, x.shape[-1]), self.net.unit.new_ones(()))

    def _inertia(self) -> Tensor:
        """M / spread of the velocity², ``[dim/2]``."""
        scale = self.net.scale.chunk(2)[1]
        inertia: Tensor = nn.functional.softplus(self.mass) * scale * scale
        return inertia

    def _mass_and_force(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """∂²L/∂v² and ∂L/∂q − (∂²L/∂q∂v) v, from one pass through the network.

        Its second derivatives are asked along dim/2 + 1 directions: each velocity, and the motion
        (v, 0).
        """
        net, half = self.net, x.shape[-1] // 2
        own = net.scaled(x)
        v = x[..., half:]
        each = torch.diag(net.scale)[half:].expand(*x.shape[:-1], half, 2 * half)
        onward = torch.cat([v * net.scale[:half], torch.zeros_like(v)], dim=-1)
        along = net.angles.push(own[..., None, :], torch.cat([each, onward[..., None, :]], -2))
        gradient, second = curvature(net.net, net.angles(own), along)
        mass = torch.diag(self._inertia()) + second[..., :half, :half] * net.unit
        force = (net.angles.pull(own, gradient) * net.rate)[..., :half]
        return mass, force - second[..., :half, half] * net.unit


def curvature(net: TanhNet, x: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and second derivatives of a scalar tanh network, without automatic differentiation.

    ∂²N = Σ over layers of Aᵀ diag(δ tanh″(a)) A, where a is what the layer's neurons get, A its
    derivative along the directions, and δ = ∂N/∂tanh(a).

    Args:
        net: The network.
        x: ``[rows, columns]``.
        along: Directions, ``[rows, directions, columns]``.

    Returns:
        ``[rows, columns]`` and ``[rows, directions, directions]``.
    """
    *hidden, last = cast(list[nn.Linear], list(net.layers))
    seen = []
    for layer in hidden:
        along = along @ layer.weight.mT
        x = torch.tanh(layer(x))
        slope = 1 - x * x
        seen.append((along, x, slope))
        along = along * slope[..., None, :]
    gradient = last.weight.expand(x.shape[0], -1)
    second = x.new_zeros(())
    for layer, (into, out, slope) in zip(reversed(hidden), reversed(seen), strict=True):
        gradient = gradient * slope
        second = second + (into * (-2 * out * gradient)[..., None, :]) @ into.mT
        gradient = gradient @ layer.weight
    return gradient, second
