"""Lorenz data, small fields that are right and wrong, and a look at the metrics of a finding."""

import math

import pytest
import torch

import simlearn
from simlearn import Evidence, Map, Simulator, SplitField, Topology, Trajectory, VectorField
from simlearn.integrators import RK4, Leapfrog
from simlearn_chaos import Lorenz63Law
from simlearn_mechanics import HenonHeiles

torch.set_num_threads(1)


class Fields:
    """Dynamics for tests, by name."""

    class Linear(VectorField):
        """dx/dt = A x."""

        def __init__(self, matrix):
            super().__init__()
            self.a = torch.tensor(matrix, dtype=torch.float64)
            self.dim = len(matrix)

        def forward(self, t, x, topology):
            return x @ self.a.T

    class LinearMap(Map):
        """x ↦ A x, once each row."""

        def __init__(self, matrix):
            super().__init__()
            self.a = torch.tensor(matrix, dtype=torch.float64)
            self.dim = len(matrix)

        def forward(self, t, x, dt, topology):
            return x @ self.a.T

    class Detached(VectorField):
        """A Lorenz field that hides a product from differentiation."""

        dim = 3

        def forward(self, t, x, topology):
            a, b, c = x.unbind(-1)
            return torch.stack([10 * (b - a), a * 28 - (a * c).detach() - b, a * b - 8 / 3 * c], -1)

    class Nothing(VectorField):
        """No number, anywhere."""

        def forward(self, t, x, topology):
            return x * math.nan

    class Leaky(SplitField):
        """A spring with a push along q that pumps energy in, at a known rate."""

        dim = 2

        def __init__(self, heat=0.0):
            super().__init__()
            self.heat = heat

        def drift(self, p, topology):
            return p

        def kick(self, t, q, topology):
            return -q

        def energy(self, x, topology):
            return topology.per_system((x**2).sum(-1) / 2)

    class Escaping(VectorField):
        """At rest for x₁ ≤ border, beyond it away without end."""

        dim = 2

        def __init__(self, border):
            super().__init__()
            self.border = border

        def forward(self, t, x, topology):
            q = x[..., :1]
            return torch.cat([torch.where(q > self.border, 50.0, 0.0), 0 * q], -1)


@pytest.fixture
def fields():
    return Fields


@pytest.fixture(scope="session")
def lorenz():
    """Four held-out tracks of 20 time units, by RK4."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    x = x + torch.tensor([0.0, 0.0, 25.0], dtype=torch.float64)
    one, many = Simulator(Lorenz63Law(), RK4(), 0.01), Topology.isolated(4)
    rolled = one.rollout(one.rollout(x, 1500, many).x[-1], 2400, many)
    return tuple(
        Trajectory(rolled.t, rolled.x[:, k : k + 1].clone(), Topology.isolated(1)) for k in range(4)
    )


@pytest.fixture(scope="session")
def henon_heiles():
    system = HenonHeiles()
    held = tuple(system.draw(range(4), simlearn.sample_times(400, 0.1), 0))
    return Evidence(held, truth=system.truth(), invariants=system.invariants())


def simulator(field, dt=0.01, scheme=None):
    if isinstance(field, Map):
        return Simulator(field, None, dt)
    return Simulator(field, scheme or (Leapfrog() if isinstance(field, SplitField) else RK4()), dt)


@pytest.fixture(name="simulator")
def simulator_fixture():
    return simulator


@pytest.fixture
def metric():
    """The metric of a finding whose name holds these words."""

    def find(finding, words):
        found = [one for one in finding.metrics if words in one.name]
        assert len(found) == 1, [one.name for one in finding.metrics]
        return found[0]

    return find


@pytest.fixture
def tracks():
    """Trajectories of vector systems from random states, ``[count, dim]`` around zero."""

    def make(count, dim, steps=5, dt=0.1, size=1.0, seed=0):
        rng = torch.Generator().manual_seed(seed)
        t = simlearn.sample_times(steps, dt)
        return tuple(
            Trajectory(
                t,
                size * torch.randn(steps, 1, dim, generator=rng, dtype=torch.float64),
                Topology.isolated(1),
            )
            for _ in range(count)
        )

    return make
