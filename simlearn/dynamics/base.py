"""The kinds of dynamics. Truth and learned model are the same kind of thing."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from simlearn.component import Component, ConfigError, optional
from simlearn.state import Topology

Time = float | Tensor


class Dynamics(nn.Module, Component):
    """How a state moves: a `VectorField` (continuous time) or a `Map` (discrete time).

    Attributes:
        dim: Columns of the state, None where any number will do.
        equivariant: Rows permuted means answer permuted. False only for flattening baselines.
    """

    dim: int | None = None
    equivariant: ClassVar[bool] = True

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Where the state goes."""


class VectorField(Dynamics):
    """Continuous time: dx/dt = f(t, x) on a topology."""

    @abstractmethod
    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt, ``[rows, dim]``; ``t`` is a float or ``[rows, 1]``."""


class Map(Dynamics):
    """Discrete time: x ↦ F(x), one step of length ``dt``.

    Attributes:
        symplectic: Whether the Jacobian of the map is a symplectic matrix for any weights.
        any_step: Whether ``dt`` may be any number: the map is a flow of its own, or close to one.
    """

    symplectic: ClassVar[bool] = False
    any_step: ClassVar[bool] = False

    @abstractmethod
    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The state after the next step, ``[rows, dim]``."""


def gradient_of(energy: Any, x: Tensor) -> Tensor:
    """dE/dx by automatic differentiation, also under no-grad and inference mode."""
    gradient: Tensor = torch.func.grad(lambda state: energy(state).sum())(x)
    return gradient


def _halves(field: Dynamics, x: Tensor) -> None:
    if x.shape[-1] % 2:
        raise ConfigError(
            f"{type(field).__name__} needs a state of two halves, (q, p) or (q, v), so an even "
            f"number of columns, got {x.shape[-1]}."
        )


class HamiltonianField(VectorField):
    """A canonical Hamiltonian system, x = (q, p): dq/dt = ∂H/∂p, dp/dt = −∂H/∂q."""

    @abstractmethod
    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""

    @optional
    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """dH/dx, ``[rows, dim]``.

        Automatic by default; override where it is known in closed form.
        """
        return gradient_of(lambda state: self.energy(state, topology), x)

    @optional
    def form(self, topology: Topology) -> Tensor:
        """Weight of each row in the symplectic form, ``[rows]``."""
        return torch.ones(topology.rows, dtype=torch.float64, device=topology.system.device)

    @final  # type: ignore[misc]  # nn.Module declares forward as an attribute
    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """J ∇H."""
        _halves(self, x)
        dq, dp = self.gradient(x, topology).chunk(2, dim=-1)
        return torch.cat([dp, -dq], dim=-1)


class SplitField(VectorField):
    """A separable system, dq/dt = drift(p), dp/dt = kick(t, q).

    It is what leapfrog and its relatives need.

    The state is (q, p), or (q, v) where only velocities are measured. Forces that depend on
    velocity make a `VectorField` instead.

    Attributes:
        autonomous: False where the force depends on time; energy is then not conserved.
    """

    autonomous: ClassVar[bool] = True

    @abstractmethod
    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """dq/dt, ``[rows, dim/2]``."""

    @abstractmethod
    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """dp/dt, or dv/dt in the (q, v) chart, ``[rows, dim/2]``."""

    @abstractmethod
    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """The conserved energy, ``[systems]``."""

    @optional
    def form(self, topology: Topology) -> Tensor:
        """Weight of each row in the symplectic form, ``[rows]``.

        Ones for (q, p), the mass for (q, v).
        """
        return torch.ones(topology.rows, dtype=torch.float64, device=topology.system.device)

    @final  # type: ignore[misc]  # nn.Module declares forward as an attribute
    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """(drift, kick)."""
        _halves(self, x)
        q, p = x.chunk(2, dim=-1)
        return torch.cat([self.drift(p, topology), self.kick(t, q, topology)], dim=-1)
