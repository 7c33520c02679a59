"""Protocol P1: the noisy spring and pendulum of Hamiltonian Neural Networks (arXiv 1906.01563).

The random numbers are drawn in the order of the paper's program (NumPy's legacy generator), so that
a data seed here is a data seed there; the trajectories are integrated to 1e-12.
"""

from dataclasses import dataclass

import numpy as np
import torch

from simlearn import Topology, Trajectory
from simlearn_mechanics import MassSpringLaw, PendulumLaw

from .solve import TIGHT, field_of, solve

NOISE, TRAJECTORIES = 0.1, 50


@dataclass(frozen=True)
class Oscillator:
    """One of the two systems: the law in the paper's units, and how its data are sampled."""

    name: str
    law: torch.nn.Module
    times: np.ndarray
    radius: tuple[float, float]
    amplitudes: tuple[float, ...]  # where the frequency is compared


# H = q² + p², of period π; H = 3 (1 − cos q) + p²
SPRING = Oscillator(
    "spring", MassSpringLaw(mass=0.5, stiffness=2.0), np.linspace(0, 3, 30), (0.1, 1.0), (0.6,)
)
PENDULUM = Oscillator(
    "pendulum",
    PendulumLaw(mass=0.5, length=1.0, gravity=6.0),
    np.linspace(0, 3, 45),
    (1.3, 2.3),
    (0.6, 1.8),
)


@dataclass(frozen=True)
class Data:
    """Noisy states with clean derivatives: ``[trajectories, samples, 2]`` each."""

    times: np.ndarray
    clean: np.ndarray
    noisy: np.ndarray
    slope: np.ndarray

    def half(self, train):
        """The first half trains, the second tests."""
        cut = len(self.clean) // 2
        part = slice(0, cut) if train else slice(cut, None)
        return Data(self.times, self.clean[part], self.noisy[part], self.slope[part])

    def trajectories(self, noisy=True):
        """As the framework takes them, derivatives recorded."""
        states = self.noisy if noisy else self.clean
        return [
            Trajectory(
                torch.from_numpy(self.times),
                torch.from_numpy(x)[:, None],
                Topology.isolated(1),
                derivative=torch.from_numpy(slope)[:, None],
            )
            for x, slope in zip(states, self.slope, strict=True)
        ]


def draw(system, seed):
    """All fifty trajectories of a data seed."""
    rng = np.random.RandomState(seed)
    starts, noise = [], []
    low, high = system.radius
    for _ in range(TRAJECTORIES):
        direction = 2 * rng.rand(2) - 1
        radius = low + (high - low) * rng.rand()
        starts.append(radius * direction / np.linalg.norm(direction))
        noise.append(rng.randn(2, len(system.times)).T)
    field = field_of(system.law)
    clean = solve(field, np.stack(starts), system.times, TIGHT).transpose(1, 0, 2)
    slope = field(clean.reshape(-1, 2)).reshape(clean.shape)
    return Data(system.times, clean, clean + NOISE * np.stack(noise), slope)


def published_starts(rng, count=15):
    """P4: each coordinate in ±0.8, pushed out by 0.2."""
    x = rng.uniform(-0.8, 0.8, (count, 2))
    return x + 0.2 * np.sign(x)


def inner_starts(system, rng, count=12):
    """P5 and P6: inside the radii of the training data, any direction."""
    radius = rng.uniform(*system.radius, (count, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, 1))
    return radius * np.hstack([np.cos(angle), np.sin(angle)])
