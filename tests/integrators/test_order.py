"""Every integrator has the order it claims, and hands the right time to the field."""

import math

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import SplitField, VectorField
from simlearn.integrators import (
    RK4,
    DiscreteGradient,
    Euler,
    Heun,
    ImplicitMidpoint,
    Leapfrog,
    SymplecticEuler,
    Yoshida6,
)
from simlearn.integrators import Yoshida4 as Yoshida
from simlearn.state import Topology

ONE = Topology.isolated(1)
W1 = 1 / (2 - 2 ** (1 / 3))
W0 = 1 - 2 * W1


def ends(lengths):
    """Nodes and weights of leapfrog steps one after the other: half of each length at its ends."""
    nodes = [sum(lengths[:k]) for k in range(len(lengths) + 1)]
    halves = [0.0, *(w / 2 for w in lengths), 0.0]
    return [(node, halves[k] + halves[k + 1]) for k, node in enumerate(nodes)]


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def test_order_on_a_random_linear_system(integrator, random_linear, measured_order):
    start = normal(4, 6)
    found = measured_order(integrator, random_linear, start, random_linear.exact(start, 2.0), 2.0)
    assert found == pytest.approx(integrator.order, abs=0.2)


def test_order_where_the_force_depends_on_time(driven, forced, measured_order):
    start, end = forced.exact(0.7), forced.exact(2.7)
    found = measured_order(driven, forced, start, end, 2.0, t0=0.7)
    assert found == pytest.approx(driven.order, abs=0.2)


class Pull(SplitField):
    """p' = cos t and q' = 0: a step of p is a quadrature of the cosine."""

    def drift(self, p, topology):
        return torch.zeros_like(p)

    def kick(self, t, q, topology):
        return torch.as_tensor(t, dtype=q.dtype).cos() + 0 * q

    def energy(self, x, topology):
        raise NotImplementedError


QUADRATURES = {
    Euler: [(0, 1)],
    SymplecticEuler: [(0, 1)],
    Heun: [(0, 1 / 2), (1, 1 / 2)],
    Leapfrog: [(0, 1 / 2), (1, 1 / 2)],
    ImplicitMidpoint: [(1 / 2, 1)],
    RK4: [(0, 1 / 6), (1 / 2, 4 / 6), (1, 1 / 6)],
    Yoshida: [(0, W1 / 2), (W1, (W1 + W0) / 2), (W1 + W0, (W0 + W1) / 2), (1, W1 / 2)],
    Yoshida6: ends(Yoshida6.lengths),
}


def quadrature(kind, t, dt):
    return dt * sum(weight * math.cos(t + node * dt) for node, weight in QUADRATURES[kind])


def advance(kind, field, t, x, dt, topology):
    scheme = kind()
    return scheme.step(field, t, x, dt, topology, scheme.start(field, t, x, topology))[0]


@pytest.mark.parametrize("dt", [0.5, -0.5])
def test_a_step_asks_for_the_force_at_the_nodes_of_its_quadrature(memoryless, dt):
    after = advance(memoryless, Pull(), 0.3, torch.zeros(1, 2).double(), dt, ONE)
    assert float(after[0, 1]) == pytest.approx(quadrature(memoryless, 0.3, dt), abs=1e-15)


def test_times_and_steps_may_differ_from_row_to_row(driven, forced):
    t = torch.tensor([[0.3], [1.1], [-2.0]], dtype=torch.float64)
    dt = torch.tensor([[0.05], [-0.02], [0.1]], dtype=torch.float64)
    x = torch.cat([forced.exact(0.1 * k) for k in range(3)])
    together = advance(driven, forced, t, x, dt, Topology.isolated(3))
    for k in range(3):
        alone = advance(driven, forced, float(t[k]), x[k : k + 1], float(dt[k]), ONE)
        torch.testing.assert_close(together[k : k + 1], alone, rtol=0, atol=1e-14)


class Decay(VectorField):
    """x' = −x: not split."""

    def forward(self, t, x, topology):
        return -x


@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        (Euler, 1 - 0.1),
        (Heun, 1 - 0.1 + 0.005),
        (RK4, 1 - 0.1 + 0.005 - 0.001 / 6 + 0.0001 / 24),
        (ImplicitMidpoint, (1 - 0.05) / (1 + 0.05)),
    ],
)
def test_a_step_multiplies_by_the_stability_function(kind, factor):
    after = advance(kind, Decay(), 0.0, torch.ones(1, 1).double(), 0.1, ONE)
    assert float(after) == pytest.approx(factor, abs=1e-14)


@pytest.mark.parametrize(
    "arguments", [{"tolerance": 0.0}, {"tolerance": -1e-9}, {"max_iter": 0}], ids=str
)
@pytest.mark.parametrize("kind", [ImplicitMidpoint, DiscreteGradient])
def test_implicit_schemes_refuse_to_solve_without_tolerance_or_iterations(kind, arguments):
    with pytest.raises(ConfigError, match="positive tolerance and max_iter, got"):
        kind(**arguments)


def test_the_lengths_of_order_six_solve_its_equations():
    """The first two of Hairer, Lubich and Wanner 2006, V.3: a sum of one, of cubes of zero ..."""
    w = torch.tensor(Yoshida6.lengths, dtype=torch.float64)
    assert torch.equal(w, w.flip(0))
    for power, total in ((1, 1.0), (3, 0.0), (5, 0.0)):
        assert float((w**power).sum()) == pytest.approx(total, abs=5e-15)
