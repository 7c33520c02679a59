"""A rigid body that turns freely about its centre of mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_mechanics.common import positive, uniform


def _principal_moments(moments: Sequence[float]) -> None:
    if len(moments) != 3:
        raise ConfigError(f"A body has 3 principal moments of inertia, got {len(moments)}.")
    for moment in moments:
        positive(moments=moment)
    if 2 * max(moments) > sum(moments):
        raise ConfigError(
            f"No body has the principal moments {list(moments)}: the largest must not exceed the "
            "sum of the other two."
        )


class RigidBodyLaw(simlearn.VectorField):
    """Euler's equations dL/dt = L × I⁻¹ L for the angular momentum L in the frame of the body.

    Landau and Lifshitz, Mechanics, eq. 36.5. They are Hamiltonian with a Lie-Poisson bracket, not
    a canonical one: the state has three columns.

    Args:
        moments: Principal moments of inertia I₁, I₂, I₃, in mass · length².
    """

    _inverse: Tensor

    def __init__(self, moments: Sequence[float] = (1.0, 1.5, 2.0)):
        super().__init__()
        _principal_moments(moments)
        self.moments = tuple(moments)
        inverse = 1 / torch.tensor(self.moments, dtype=torch.float64)
        self.register_buffer("_inverse", inverse)
        self.dim = 3

    def forward(self, t: float | Tensor, x: Tensor, topology: Topology) -> Tensor:
        """L × ω."""
        return torch.linalg.cross(x, x * self._inverse)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """½ L · I⁻¹ L, ``[systems]``."""
        return topology.per_system((x * x * self._inverse).sum(-1) / 2)


def _length2(x: Tensor, topology: Topology) -> Tensor:
    return topology.per_system((x * x).sum(-1))


class RigidBody(simlearn.System):
    """A free rigid body: its angular momentum in the body frame, x = (L₁, L₂, L₃).

    dL/dt = L × I⁻¹ L. Turning about the middle axis is unstable (Dzhanibekov). L moves on a sphere
    cut with an ellipsoid; the solution is by Jacobi elliptic functions.

    Args:
        moments: Principal moments of inertia I₁, I₂, I₃, in mass · length²; the largest at most
            the sum of the others. Good values: 0.5 to 3, all different.
        momentum: Largest |L|, in mass · length²/time; the smallest is half of it. Good values: 0.5
            to 5.
    """

    def __init__(self, moments: Sequence[float] = (1.0, 1.5, 2.0), momentum: float = 1.0):
        _principal_moments(moments)
        positive(momentum=momentum)
        self.moments, self.momentum = tuple(moments), momentum

    def truth(self) -> RigidBodyLaw:
        """Euler's equations."""
        return RigidBodyLaw(self.moments)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random length and a direction uniform on the sphere."""
        direction = torch.nn.functional.normalize(torch.randn(1, 3, generator=rng), dim=-1)
        return uniform(rng, self.momentum / 2, self.momentum, 1, 1) * direction, Topology.isolated(
            1
        )

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy and |L|²."""
        return {"energy": self.truth().energy, "angular_momentum_squared": _length2}

    def units(self) -> Mapping[str, str]:
        """Whatever the moments and the momentum are given in."""
        return {"time": ""}
