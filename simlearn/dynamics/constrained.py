"""Points joined by rigid rods, in Cartesian coordinates with explicit constraints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError, optional
from simlearn.dynamics.base import Time, VectorField, gradient_of
from simlearn.dynamics.energy import ScaledNet, energy_units
from simlearn.dynamics.neural import positive, size_of
from simlearn.dynamics.rods import Rods, along, pulled, solver
from simlearn.state import Topology


class ConstrainedField(VectorField):
    """Points joined by rigid rods; one system is one row x = (q, p) of 2 · points · space columns.

    With H = Σ |p_i|²/2m_i + V(q), g_k = |x_i − x_j|²/2 for every rod and h = dg/dt,

    dx/dt = J (∇H + ∇gᵀ λ + ∇hᵀ ν), λ and ν such that dg/dt = dh/dt = 0

    (Finzi, Wang and Wilson 2020, arXiv 2010.13581; Dirac's bracket). H, the length of every rod
    and h are then constants of the flow from any state, whatever V is. The lengths are those of the
    initial state. A scheme such as RK4 keeps them to its own order: after 1000 steps of 0.01 the
    rods of a double pendulum (rods and gravity near 1) are wrong by 3e-9 of their length, after
    1000 of 0.1 by 6e-4. `project` puts a state back.

    Not canonical in x: use RK4, not a symplectic scheme. A row whose rods do not determine their
    forces (two points of a rod in one place, a structure stretched straight) becomes NaN, which a
    rollout reports as diverged.
    """

    def __init__(
        self,
        points: int,
        space: int,
        rods: Sequence[Sequence[int]],
        anchors: Sequence[Sequence[float]],
    ):
        super().__init__()
        positive(points=points, space=space)
        self.points, self.space, self.dim = points, space, 2 * points * space
        self.rods = tuple(tuple(rod) for rod in rods)
        self.anchors = tuple(tuple(place) for place in anchors)
        self.joined = Rods(points, space, self.rods, self.anchors)

    @abstractmethod
    def inverse_masses(self) -> Tensor:
        """1/m of each point, ``[points]``."""

    @abstractmethod
    def potential(self, q: Tensor) -> Tensor:
        """V, ``[rows]``, of positions ``[rows, points · space]``."""

    @optional
    def slope(self, q: Tensor) -> Tensor:
        """dV/dq, ``[rows, points · space]``; automatic by default."""
        return gradient_of(self.potential, q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        return topology.per_system((p * p * self._light(p)).sum(-1) / 2 + self.potential(q))

    def squares(self, x: Tensor) -> Tensor:
        """Squared length of every rod, ``[rows, rods]``."""
        apart = self.joined.apart(x.chunk(2, dim=-1)[0])
        return (apart * apart).sum(-1)

    def stretching(self, x: Tensor) -> Tensor:
        """Half of d(squared length)/dt of every rod, ``[rows, rods]``; 0 for a rigid motion."""
        q, p = x.chunk(2, dim=-1)
        return (self.joined.apart(q) * self.joined.parting(p * self._light(p))).sum(-1)

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt.

        With G = ∂g/∂q, A = G M⁻¹ Gᵀ and U = ∂h/∂q, the conditions are two solves with A:
        A ν = −h, and A λ = U dq/dt − G M⁻¹ (∂V/∂q + Uᵀ ν).
        """
        q, p = x.chunk(2, dim=-1)
        light, joined = self._light(p), self.joined
        g, u = joined.spread(joined.apart(q)), joined.spread(joined.parting(p * light))
        solve = solver((g * light) @ g.mT)
        nu = solve(-along(g, p * light))
        velocity = light * (p + pulled(g, nu))
        slope = self.slope(q) + pulled(u, nu)
        force = solve(along(u, velocity) - along(g, light * slope))
        return torch.cat([velocity, -slope - pulled(g, force)], dim=-1)

    def project(self, x: Tensor, squares: Tensor, turns: int = 4) -> Tensor:
        """The state put back onto rods of these squared lengths, with no rod stretching.

        As SHAKE and RATTLE do: positions by Newton's method along M⁻¹Gᵀ, momenta by one solve
        (Hairer, Lubich and Wanner 2006, section VII.1.4).

        Args:
            x: ``[rows, dim]``, near the constraints.
            squares: Squared lengths ``[rows, rods]``, from `squares` of the initial state.
            turns: Newton steps; each squares the error.
        """
        q, p = x.chunk(2, dim=-1)
        light = self._light(p)
        for _ in range(turns):
            apart = self.joined.apart(q)
            g, excess = self.joined.spread(apart), ((apart * apart).sum(-1) - squares) / 2
            q = q - light * pulled(g, solver((g * light) @ g.mT)(excess))
        g = self.joined.spread(self.joined.apart(q))
        p = p - pulled(g, solver((g * light) @ g.mT)(along(g, p * light)))
        return torch.cat([q, p], dim=-1)

    def _light(self, p: Tensor) -> Tensor:
        """1/m of each column of the momentum."""
        return self.inverse_masses().to(p).repeat_interleave(self.space)


class ConstrainedEnergy(ConstrainedField):
    """Points on rigid rods with a network for the potential, and given or learned masses.

    A constrained Hamiltonian network: in Cartesian coordinates the energy of a chain of pendula is
    a plain sum, and the rods are known instead of learned.

    Args:
        points: Moving points of one system.
        space: Dimensions they move in.
        rods: Pairs of ends. 0 to points − 1 are the points, points and on the anchors.
        anchors: Fixed places, each of ``space`` coordinates.
        masses: Mass of each point, or nothing to learn them.
        width: Neurons in each hidden layer.
        depth: Hidden layers.

    Raises:
        ConfigError: A rod or an anchor is none, the rods are redundant or leave nothing free, or a
            mass is not positive.
    """

    given: Tensor
    start: Tensor

    def __init__(
        self,
        points: int,
        space: int,
        rods: Sequence[Sequence[int]],
        anchors: Sequence[Sequence[float]] = (),
        masses: Sequence[float] | None = None,
        width: int = 64,
        depth: int = 2,
    ):
        super().__init__(points, space, rods, anchors)
        positive(width=width, depth=depth)
        self.width, self.depth = width, depth
        self.masses = masses if masses is None else tuple(masses)
        self.net = ScaledNet(points * space, width, depth)
        if self.masses is None:
            self.register_buffer("start", torch.ones(points))
            self.log_mass = nn.Parameter(torch.zeros(points))
        else:
            _weigh(self.masses, points)
            given = torch.tensor(self.masses, dtype=torch.float64)
            self.register_buffer("given", given, persistent=False)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A double pendulum with learned masses; a free dumb-bell in space with given ones."""
        return [
            cls(points=2, space=2, rods=[[2, 0], [0, 1]], anchors=[[0.0, 0.0]], width=8),
            cls(points=2, space=3, rods=[[0, 1]], masses=[1.0, 2.0], width=8),
        ]

    def inverse_masses(self) -> Tensor:
        """1/m of each point, ``[points]``."""
        if self.masses is not None:
            return 1 / self.given
        return torch.exp(-self.log_mass) / self.start

    def potential(self, q: Tensor) -> Tensor:
        """V, ``[rows]``."""
        value: Tensor = self.net(q)
        return value

    def slope(self, q: Tensor) -> Tensor:
        """dV/dq, written by hand."""
        return self.net.gradient(q)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure positions by column, the potential by the forces, masses by momenta."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        q, p = x.chunk(2, dim=-1)
        self.net.standardize(q, energy_units(x, slope)[1])
        if self.masses is None:
            size, speed = size_of(p), size_of(slope.chunk(2, dim=-1)[0])
            self.start.copy_((size / speed).unflatten(-1, (-1, self.space)).mean(-1))


def _weigh(masses: Sequence[float], points: int) -> None:
    """Refuse masses that are not one positive number a point."""
    if len(masses) != points or not all(0 < mass < float("inf") for mass in masses):
        raise ConfigError(
            f"masses must be {points} positive finite numbers, one a point; got {list(masses)}."
        )
