"""The systems of the panel, some of them watched by more sensors than they have coordinates."""

from dataclasses import dataclass, replace

import torch

import simlearn
from simlearn import ConfigError, Trajectory
from simlearn.randomness import generator
from simlearn_chaos import Hopf, Lorenz63
from simlearn_mechanics import (
    FPUT,
    DampedMassSpring,
    DampedPendulum,
    EmbeddedOscillator,
    HenonHeiles,
    MassSpring,
    Pendulum,
)
from simlearn_networks import ErdosRenyi, FitzHughNagumo

MEASURED = 7  # the key of the generator that draws noise of measurement


class Watched(simlearn.DatasetGenerator):
    """A system of one row, seen through more columns than it has: a rotation of its state.

    Args:
        system: What is watched.
        columns: Columns that are seen.
        turn: Seed of the rotation.
    """

    def __init__(self, system: simlearn.System, columns: int, turn: int = 0):
        if columns < system.truth().dim:
            raise ConfigError(f"{columns} sensors cannot see {system.truth().dim} coordinates.")
        self.system, self.columns, self.turn = system, columns, turn

    @classmethod
    def examples(cls):
        """A mass on a spring, seen by four."""
        return [cls(MassSpring(), 4)]

    def directions(self):
        """Orthonormal ``[columns, dim]``."""
        rng = torch.Generator().manual_seed(self.turn)
        drawn = torch.randn(self.columns, self.columns, generator=rng, dtype=torch.float64)
        return torch.linalg.qr(drawn)[0][:, : self.system.truth().dim]

    def draw(self, indices, times, seed):
        """The trajectories of the system, turned."""
        turned = self.directions().T
        for one in self.system.draw(indices, times, seed):
            yield Trajectory(one.t, one.x @ turned, one.topology)


@dataclass(frozen=True)
class Kind:
    """A system that members of the panel are trained on.

    Args:
        make: The system, from a random.Random that draws its parameters.
        dt: Interval of the data, and step of the simulators.
        rows: Rows of its state.
        energy: Whether there is one to learn.
        more: How many sensors more than coordinates may watch it; none where empty.
    """

    make: object
    dt: float
    rows: int = 1
    energy: bool = False
    more: tuple = (1, 2, 4)


def embedded(rng):
    """The plane in many columns."""
    columns, decay = rng.choice([4, 6, 8, 10]), rng.choice([0.0, 0.05])
    return EmbeddedOscillator(columns=columns, decay=decay, plane=rng.randrange(100))


SYSTEMS = {
    "mass-spring": Kind(lambda rng: MassSpring(), 0.1, energy=True),
    "damped mass-spring": Kind(lambda rng: DampedMassSpring(damping=rng.choice([0.02, 0.1])), 0.1),
    "pendulum": Kind(lambda rng: Pendulum(), 0.1, energy=True),
    "damped pendulum": Kind(lambda rng: DampedPendulum(damping=rng.choice([0.02, 0.1])), 0.1),
    "Hénon-Heiles": Kind(lambda rng: HenonHeiles(energy=0.1), 0.1, energy=True),
    "Lorenz-63": Kind(lambda rng: Lorenz63(), 0.02),
    "Hopf": Kind(lambda rng: Hopf(), 0.1),
    "embedded oscillator": Kind(embedded, 0.1, more=()),
    "FPUT": Kind(lambda rng: FPUT(masses=4, modes=rng.choice([1, 2])), 0.1, 4, True, ()),
    "FitzHugh-Nagumo": Kind(
        lambda rng: FitzHughNagumo(ErdosRenyi(6, 0.5), graph_seed=3), 0.2, 6, more=()
    ),
}


def measured(generator_of_data, count, steps, dt, seed, noise, spread=None):
    """Trajectories with noise of measurement, a share of each column's spread; and the spread."""
    times = simlearn.sample_times(steps, dt)
    drawn = [replace(o, derivative=None) for o in generator_of_data.draw(range(count), times, seed)]
    if spread is None:
        spread = torch.cat([one.x.flatten(0, 1) for one in drawn]).std(0)
    if not noise:
        return drawn, spread
    found = []
    for k, one in enumerate(drawn):
        rng = generator(seed, k, MEASURED)
        off = torch.randn(one.x.shape, generator=rng, dtype=torch.float64)
        found.append(replace(one, x=one.x + noise * spread * off))
    return found, spread
