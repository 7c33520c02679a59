"""Learned mechanical energies: a mass matrix that is positive definite, and a potential."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import HamiltonianField, SplitField, Time
from simlearn.dynamics.energy import ScaledNet, energy_units, even, positions
from simlearn.dynamics.neural import TanhNet, positive, size_of
from simlearn.state import Topology


class InverseMass(nn.Module):
    """M⁻¹ = R (L Lᵀ + floor · 1) R, L = 1 + a lower triangle, R = diag(root).

    Positive definite whatever the entries of the triangle are. Root is 1 until `standardize` sets
    it: the momentum is seen as R p.
    """

    root: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, size: int, floor: float):
        super().__init__()
        if not 0 < floor < float("inf"):
            raise ConfigError(
                f"floor must be positive and finite, or the mass could be infinite; got {floor}."
            )
        self.size, self.floor = size, floor
        self.entries = size * (size + 1) // 2
        self.register_buffer("root", torch.ones(size))
        for name, value in zip(("rows", "columns"), torch.tril_indices(size, size), strict=True):
            self.register_buffer(name, value, persistent=False)

    def matrix(self, triangle: Tensor) -> Tensor:
        """M⁻¹ from the entries ``[..., entries]`` of the triangle, ``[..., size, size]``."""
        flat = triangle.new_zeros(*triangle.shape[:-1], self.size**2)
        flat = flat.index_add(-1, self.rows * self.size + self.columns, triangle)
        eye = torch.eye(self.size, dtype=triangle.dtype, device=triangle.device)
        lower = flat.unflatten(-1, (self.size, self.size)) + eye
        return self.root[:, None] * (lower @ lower.mT + self.floor * eye) * self.root

    def turned(self, triangle: Tensor, p: Tensor) -> Tensor:
        """Lᵀ R p; T = ½ |Lᵀ R p|² + ½ floor |R p|²."""
        seen = p * self.root
        return seen.index_add(-1, self.columns, triangle * seen[..., self.rows])

    def energy(self, triangle: Tensor, p: Tensor) -> Tensor:
        """½ pᵀ M⁻¹ p, ``[rows]``."""
        turned, seen = self.turned(triangle, p), p * self.root
        return ((turned * turned).sum(-1) + self.floor * (seen * seen).sum(-1)) / 2

    def velocity(self, turned: Tensor, triangle: Tensor, p: Tensor) -> Tensor:
        """M⁻¹ p, from what `turned` gave."""
        back = turned.index_add(-1, self.rows, triangle * turned[..., self.columns])
        return (back + self.floor * p * self.root) * self.root

    def standardize(self, p: Tensor, velocity: Tensor) -> None:
        """Take root so that a unit M⁻¹ turns momenta of this size into these velocities."""
        self.root.copy_((size_of(velocity) / size_of(p)).sqrt())


class MechanicalEnergy(HamiltonianField):
    """H(q, p) = ½ pᵀ M⁻¹(q) p + V(q) with a network for the mass matrix and one for the potential.

    M⁻¹ = L Lᵀ + floor · 1 with L(q) = 1 + a lower triangle of network outputs, so that it is
    positive definite for any weights (Zhong, Dey and Chakraborty 2020, arXiv 1909.12077). Both
    networks see q in the same units; p has units of its own. The energy is not separable: take
    ImplicitMidpoint, or `ConstantMassEnergy` where the mass does not change.

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
        angles: Positions (from 0) that are angles: mass and potential are periodic in them.
        floor: Smallest eigenvalue of M⁻¹, in units in which a typical momentum and a typical
            velocity are 1.

    Raises:
        ConfigError: ``dim`` is odd, ``angles`` names no position, or ``floor`` is not positive.
    """

    def __init__(
        self,
        dim: int,
        width: int = 64,
        depth: int = 2,
        angles: Sequence[int] = (),
        floor: float = 1e-3,
    ):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth, self.floor = dim, width, depth, floor
        self.angles = positions(angles, dim)
        self.potential = ScaledNet(dim // 2, width, depth, self.angles)
        self.mass = InverseMass(dim // 2, floor)
        seen = self.potential.angles.size
        self.triangle = TanhNet([seen] + [width] * depth + [self.mass.entries])

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom; two, of which the second is an angle."""
        return [cls(dim=2, width=8), cls(dim=4, width=8, angles=[1])]

    def inverse_mass(self, q: Tensor) -> Tensor:
        """M⁻¹(q), ``[rows, dim/2, dim/2]``."""
        return self.mass.matrix(self.triangle(self._seen(q)))

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        kinetic = self.mass.energy(self.triangle(self._seen(q)), p)
        return topology.per_system(kinetic + self.potential(q))

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """dH/dx, written by hand (a test holds it to autograd).

        ∂T/∂L_ij = (R p)_i (Lᵀ R p)_j, handed back through the network.
        """
        q, p = x.chunk(2, dim=-1)
        potential, mass = self.potential, self.mass
        own = potential.scaled(q)
        triangle, slopes = _forward(self.triangle, potential.angles(own))
        turned = mass.turned(triangle, p)
        felt = (p * mass.root)[..., mass.rows] * turned[..., mass.columns]
        kinetic = potential.angles.pull(own, _backward(self.triangle, slopes, felt))
        dq = kinetic * potential.scale + potential.gradient(q)
        return torch.cat([dq, mass.velocity(turned, triangle, p)], dim=-1)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure positions by column, momenta by the velocities they make, V by the forces."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        q, p = x.chunk(2, dim=-1)
        self.potential.standardize(q, energy_units(x, slope, self.angles)[1])
        self.mass.standardize(p, slope.chunk(2, dim=-1)[0])

    def _seen(self, q: Tensor) -> Tensor:
        seen: Tensor = self.potential.angles(self.potential.scaled(q))
        return seen


class ConstantMassEnergy(SplitField):
    """H(q, p) = ½ pᵀ M⁻¹ p + V(q) with one learned mass matrix and a network for the potential.

    M⁻¹ = L Lᵀ + floor · 1 with L = 1 + a lower triangle of weights. It is separable: leapfrog and
    its relatives integrate it.

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
        angles: Positions (from 0) that are angles: the potential is periodic in them.
        floor: Smallest eigenvalue of M⁻¹, in units in which a typical momentum and a typical
            velocity are 1.

    Raises:
        ConfigError: ``dim`` is odd, ``angles`` names no position, or ``floor`` is not positive.
    """

    def __init__(
        self,
        dim: int,
        width: int = 64,
        depth: int = 2,
        angles: Sequence[int] = (),
        floor: float = 1e-3,
    ):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth, self.floor = dim, width, depth, floor
        self.angles = positions(angles, dim)
        self.potential = ScaledNet(dim // 2, width, depth, self.angles)
        self.mass = InverseMass(dim // 2, floor)
        self.triangle = nn.Parameter(torch.zeros(self.mass.entries))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom; two, of which the second is an angle."""
        return [cls(dim=2, width=8), cls(dim=4, width=8, angles=[1])]

    def inverse_mass(self) -> Tensor:
        """M⁻¹, ``[dim/2, dim/2]``."""
        return self.mass.matrix(self.triangle)

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """M⁻¹ p."""
        return p @ self.inverse_mass()

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−dV/dq."""
        return -self.potential.gradient(q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """T + V, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        return topology.per_system(self.mass.energy(self.triangle, p) + self.potential(q))

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure positions by column, momenta by the velocities they make, V by the forces."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        q, p = x.chunk(2, dim=-1)
        self.potential.standardize(q, energy_units(x, slope, self.angles)[1])
        self.mass.standardize(p, slope.chunk(2, dim=-1)[0])


def _forward(net: TanhNet, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output, and the slope of every hidden layer for `_backward`."""
    *hidden, last = cast(list[nn.Linear], list(net.layers))
    slopes = []
    for layer in hidden:
        x = torch.tanh(layer(x))
        slopes.append(1 - x * x)
    return last(x), slopes


def _backward(net: TanhNet, slopes: list[Tensor], felt: Tensor) -> Tensor:
    """The gradient in the input of Σ felt · output."""
    *hidden, last = cast(list[nn.Linear], list(net.layers))
    gradient = felt @ last.weight
    for layer, slope in zip(reversed(hidden), reversed(slopes), strict=True):
        gradient = (gradient * slope) @ layer.weight
    return gradient
