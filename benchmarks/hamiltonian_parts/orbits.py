"""Two- and three-body data of Hamiltonian Neural Networks; G = m = 1, x = (q, p) of each body.

Written from the paper's description (arXiv 1906.01563, sections 4 and A): near-circular orbits
about the centre, each body disturbed a little.
"""

from dataclasses import dataclass

import numpy as np
import torch

from simlearn import Topology, Trajectory

from .solve import TIGHT, solve


def gravity(y, bodies):
    """dx/dt of unit masses, ``[systems, bodies · 4]``, each body (qx, qy, px, py)."""
    x = y.reshape(len(y), bodies, 4)
    q = x[..., :2]
    apart = q[:, None] - q[:, :, None]  # from i to j
    r2 = np.square(apart).sum(-1) + np.eye(bodies)
    force = (apart * (r2**-1.5)[..., None]).sum(2)
    return np.concatenate([x[..., 2:], force], axis=-1).reshape(y.shape)


def energy(y, bodies):
    """Σ p²/2 − Σ_pairs 1/r, ``[...]`` of ``[..., bodies · 4]``."""
    x = y.reshape(*y.shape[:-1], bodies, 4)
    kinetic = np.square(x[..., 2:]).sum((-1, -2)) / 2
    for i in range(bodies):
        for j in range(i):
            kinetic = kinetic - 1 / np.linalg.norm(x[..., i, :2] - x[..., j, :2], axis=-1)
    return kinetic


def two_bodies(rng, count):
    """Mirrored bodies, position in [0.5, 1.5]², speed of the circular orbit changed by 5 %."""
    q = rng.uniform(0.5, 1.5, (count, 2))
    r = np.linalg.norm(q, axis=1, keepdims=True)
    v = np.stack([-q[:, 1], q[:, 0]], axis=1) / (2 * r**1.5)
    v *= 1 + 0.05 * rng.standard_normal((count, 1))
    return np.hstack([q, v, -q, -v])


def three_bodies(rng, count):
    """A rotating triangle of radius 0.9 to 1.2, each velocity component changed by up to 20 %."""
    radius = rng.uniform(0.9, 1.2, (count, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, 1)) + 2 * np.pi / 3 * np.arange(3)
    out = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    ahead = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    # at the corners of the triangle the two others draw inward by 1 / (√3 r²)
    speed = (np.sqrt(3) * radius) ** -0.5
    v = speed[..., None] * ahead * (1 + 0.2 * rng.uniform(-1, 1, (count, 3, 2)))
    return np.concatenate([radius[..., None] * out, v], axis=-1).reshape(count, 12)


@dataclass(frozen=True)
class Orbits:
    """One of the two data sets; the first fifth tests."""

    name: str
    bodies: int
    starts: object
    count: int
    times: np.ndarray

    def field(self, y):
        """The truth."""
        return gravity(y, self.bodies)

    def energy(self, y):
        """Its energy."""
        return energy(y, self.bodies)

    def draw(self, seed):
        """Test and training trajectories ``[trajectories, samples, bodies · 4]``."""
        starts = self.starts(np.random.default_rng(seed), self.count)
        x = solve(self.field, starts, self.times, TIGHT).transpose(1, 0, 2)
        cut = self.count // 5
        return x[:cut], x[cut:]

    def trajectories(self, x):
        """As the framework takes them: a body a row, complete graph, derivatives recorded."""
        topology = Topology.complete(self.bodies)
        slope = self.field(x.reshape(-1, x.shape[-1])).reshape(x.shape)
        shape = (len(self.times), self.bodies, 4)
        return [
            Trajectory(
                torch.from_numpy(self.times),
                torch.from_numpy(a.reshape(shape)),
                topology,
                derivative=torch.from_numpy(b.reshape(shape)),
            )
            for a, b in zip(x, slope, strict=True)
        ]


TWO = Orbits("two-body", 2, two_bodies, 1000, np.linspace(0, 20, 50))
THREE = Orbits("three-body", 3, three_bodies, 5000, np.linspace(0, 5, 20))


def as_one_row(x, bodies):
    """Bodies side by side, all positions before all momenta: the coordinates of the paper."""
    split = x.reshape(*x.shape[:-1], bodies, 2, 2)
    return np.moveaxis(split, -2, -3).reshape(x.shape)


def as_bodies(x, bodies):
    """The way back."""
    split = x.reshape(*x.shape[:-1], 2, bodies, 2)
    return np.moveaxis(split, -3, -2).reshape(x.shape)


def rows_of(times, x, slope):
    """Trajectories of one row from states and slopes in the paper's coordinates."""
    return [
        Trajectory(
            torch.from_numpy(times),
            torch.from_numpy(a)[:, None],
            Topology.isolated(1),
            derivative=torch.from_numpy(b)[:, None],
        )
        for a, b in zip(x, slope, strict=True)
    ]
