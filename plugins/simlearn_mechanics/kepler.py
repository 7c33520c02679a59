"""The two-body problem in relative coordinates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_mechanics.common import Time, below, not_negative, positive, uniform


class KeplerLaw(simlearn.SplitField):
    """H(q, p) = |p|²/2 − μ/|q| in the plane: relative motion of two bodies, per reduced mass.

    Goldstein, Poole and Safko, Classical Mechanics, 3rd ed., ch. 3.

    Args:
        gravity: μ = G (m₁ + m₂), in length³/time².
    """

    def __init__(self, gravity: float = 1.0):
        super().__init__()
        positive(gravity=gravity)
        self.gravity = gravity
        self.dim = 4

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity, p."""
        return p

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−μ q / |q|³."""
        return -self.gravity * q * (q * q).sum(-1, keepdim=True) ** (-1.5)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        return topology.per_system((p * p).sum(-1) / 2 - self.gravity / q.norm(dim=-1))

    def angular_momentum(self, x: Tensor, topology: Topology) -> Tensor:
        """L = q × p, ``[systems]``."""
        return topology.per_system(_cross(x))

    def laplace_runge_lenz_x(self, x: Tensor, topology: Topology) -> Tensor:
        """The x component of p × L − μ q/|q|, towards the pericentre, ``[systems]``."""
        return topology.per_system(x[:, 3] * _cross(x) - self.gravity * x[:, 0] / _distance(x))

    def laplace_runge_lenz_y(self, x: Tensor, topology: Topology) -> Tensor:
        """The y component of p × L − μ q/|q|, ``[systems]``."""
        return topology.per_system(-x[:, 2] * _cross(x) - self.gravity * x[:, 1] / _distance(x))


def _cross(x: Tensor) -> Tensor:
    return x[:, 0] * x[:, 3] - x[:, 1] * x[:, 2]


def _distance(x: Tensor) -> Tensor:
    return x[:, :2].norm(dim=-1)


def _eccentric_anomaly(mean: Tensor, eccentricity: Tensor) -> Tensor:
    """E with E − e sin E = M, by Newton's method from E = π, which always converges."""
    anomaly = torch.full_like(mean, torch.pi)
    for _ in range(30):
        off = anomaly - eccentricity * anomaly.sin() - mean
        anomaly = anomaly - off / (1 - eccentricity * anomaly.cos())
    return anomaly


class KeplerTwoBody(simlearn.System):
    """Bound orbits of two bodies in relative coordinates, in the plane; x = (q, p), one row.

    q'' = −μ q/|q|³. Ellipses of random size, eccentricity, orientation, sense and phase; the period
    is 2π √(a³/μ). The more eccentric an orbit, the faster its near point: steps of a learned model
    must be shorter by (1 − e)^(3/2).

    Args:
        gravity: μ = G (m₁ + m₂), in length³/time². Good values: 0.1 to 40 (4π²: AU, years and
            solar masses).
        min_eccentricity: Smallest eccentricity. Good values: 0 to 0.3.
        max_eccentricity: Largest eccentricity, below 1. Good values: 0.1 to 0.8.
        semi_major_axis: Largest semi-major axis, in length; the smallest is half of it. Good
            values: 0.5 to 5.
    """

    def __init__(
        self,
        gravity: float = 1.0,
        min_eccentricity: float = 0.0,
        max_eccentricity: float = 0.5,
        semi_major_axis: float = 1.0,
    ):
        positive(gravity=gravity, semi_major_axis=semi_major_axis)
        not_negative(min_eccentricity=min_eccentricity)
        below(1, "or the orbit is open", max_eccentricity=max_eccentricity)
        if min_eccentricity > max_eccentricity:
            raise ConfigError(
                f"min_eccentricity is {min_eccentricity}, above max_eccentricity "
                f"{max_eccentricity}. Swap them."
            )
        self.gravity, self.semi_major_axis = gravity, semi_major_axis
        self.min_eccentricity, self.max_eccentricity = min_eccentricity, max_eccentricity

    def truth(self) -> KeplerLaw:
        """Newton's law of gravity."""
        return KeplerLaw(self.gravity)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point, uniform in time, of a random ellipse."""
        axis = uniform(rng, self.semi_major_axis / 2, self.semi_major_axis, 1)
        e = uniform(rng, self.min_eccentricity, self.max_eccentricity, 1)
        turn, mean = uniform(rng, 0, 2 * torch.pi, 2, 1)
        sense = 1 - 2 * torch.randint(2, (1,), generator=rng)
        anomaly = _eccentric_anomaly(mean, e)
        sin, cos, minor = anomaly.sin(), anomaly.cos(), (1 - e * e).sqrt()
        speed = (self.gravity / axis).sqrt() / (1 - e * cos)
        q = axis * torch.stack([cos - e, sense * minor * sin], dim=-1)
        p = speed * torch.stack([-sin, sense * minor * cos], dim=-1)
        rotation = torch.cat([turn.cos(), turn.sin(), -turn.sin(), turn.cos()]).reshape(2, 2)
        return torch.cat([q @ rotation, p @ rotation], dim=-1), Topology.isolated(1)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """Energy, angular momentum and the Laplace-Runge-Lenz vector."""
        law = self.truth()
        return {
            "energy": law.energy,
            "angular_momentum": law.angular_momentum,
            "laplace_runge_lenz_x": law.laplace_runge_lenz_x,
            "laplace_runge_lenz_y": law.laplace_runge_lenz_y,
        }

    def units(self) -> Mapping[str, str]:
        """Lengths and times in what μ is given in; momenta per reduced mass."""
        return {"time": "", "position": "", "momentum": ""}
