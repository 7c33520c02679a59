"""Fields with exact solutions, and every integrator there is."""

import inspect
import math

import pytest
import torch

import simlearn.integrators
from simlearn.dynamics import SplitField
from simlearn.integrators import Integrator
from simlearn.simulator import Simulator

INTEGRATORS = [
    kind
    for _, kind in sorted(vars(simlearn.integrators).items())
    if inspect.isclass(kind) and issubclass(kind, Integrator) and not inspect.isabstract(kind)
]


def pytest_generate_tests(metafunc):
    """`integrator`: all of them; `driven`: those that take forces that depend on time;
    `memoryless`: of these, those whose step from a state alone is a step of a rollout.

    `symplectic`: on the state itself, `extended`: together with a copy, `plain`: neither;
    `reversible` or `one_way`.
    """
    chosen = {
        "integrator": lambda kind: True,
        "driven": lambda kind: not kind.autonomous,
        "memoryless": lambda kind: not (kind.extended or kind.autonomous or kind.adaptive),
        "symplectic": lambda kind: kind.symplectic and not kind.extended,
        "extended": lambda kind: kind.extended,
        "plain": lambda kind: not kind.symplectic,
        "reversible": lambda kind: kind.reversible,
        "one_way": lambda kind: not kind.reversible,
    }
    for name, wanted in chosen.items():
        if name in metafunc.fixturenames:
            kinds = [kind for kind in INTEGRATORS if wanted(kind)]
            metafunc.parametrize(name, kinds, ids=[kind.__name__ for kind in kinds])


class RandomLinear(SplitField):
    """q' = M p, p' = −K q with random positive definite M and K."""

    def __init__(self, size=3, seed=0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.dim, eye = 2 * size, torch.eye(size, dtype=torch.float64)
        m, k = torch.randn(2, size, size, generator=rng, dtype=torch.float64) / size
        self.inverse_mass, self.stiffness = eye + m @ m.T, eye + k @ k.T

    def drift(self, p, topology):
        return p @ self.inverse_mass

    def kick(self, t, q, topology):
        return -q @ self.stiffness

    def energy(self, x, topology):
        q, p = x.chunk(2, dim=-1)
        twice = ((q @ self.stiffness) * q + (p @ self.inverse_mass) * p).sum(-1)
        return topology.per_system(twice) / 2

    def exact(self, x, t):
        none = torch.zeros_like(self.stiffness)
        top = torch.cat([none, self.inverse_mass], dim=1)
        matrix = torch.cat([top, torch.cat([-self.stiffness, none], dim=1)])
        return x @ torch.linalg.matrix_exp(t * matrix).T


class Forced(SplitField):
    """q'' = −4 q + cos t, which q = a cos 2t + b sin 2t + cos(t)/3 solves."""

    autonomous = False
    dim = 2

    def drift(self, p, topology):
        return p

    def kick(self, t, q, topology):
        return -4 * q + (torch.cos(t) if isinstance(t, torch.Tensor) else math.cos(t))

    def energy(self, x, topology):
        raise NotImplementedError

    def exact(self, t, a=0.8, b=-0.3):
        q = a * math.cos(2 * t) + b * math.sin(2 * t) + math.cos(t) / 3
        p = -2 * a * math.sin(2 * t) + 2 * b * math.cos(2 * t) - math.sin(t) / 3
        return torch.tensor([[q, p]], dtype=torch.float64)


def loose(kind):
    """An adaptive scheme that is content with one step, else the scheme."""
    return kind(rtol=1e3, atol=1e3) if kind.adaptive else kind()


def slope(errors, steps):
    """Of log error against log dt, after a look at whether the errors are clean."""
    assert max(errors) < 0.1, errors
    assert min(errors) > 1e-12, errors
    x = -torch.tensor(steps, dtype=torch.float64).log()
    y = torch.tensor(errors, dtype=torch.float64).log()
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())


@pytest.fixture
def measured_order():
    """Order of an integrator on a field, from the errors at the end of a span."""

    def measure(kind, field, start, end, span, t0=0.0):
        steps = {
            1: (200, 400, 800),
            2: (40, 80, 160),
            4: (40, 80, 160),
            5: (20, 40, 80),
            6: (8, 12, 16),
        }[kind.order]
        errors = []
        for count in steps:
            simulator = Simulator(field, loose(kind), span / count)
            last = simulator.rollout(start, count, t0=t0).x[-1]
            errors.append(float((last - end).abs().max()))
        return slope(errors, steps)

    return measure


@pytest.fixture
def random_linear():
    return RandomLinear()


@pytest.fixture
def forced():
    return Forced()
