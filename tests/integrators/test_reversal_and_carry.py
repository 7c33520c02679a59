"""Reversible schemes find back, and a rollout that carries the force equals fresh starts."""

import pytest
import torch

from simlearn.dynamics import SeparableEnergy, SplitField
from simlearn.integrators import Leapfrog, Tao, Yoshida4
from simlearn.simulator import Simulator
from simlearn.state import Topology


class Pendulum(SplitField):
    """q'' = −sin q."""

    dim = 2

    def drift(self, p, topology):
        return p

    def kick(self, t, q, topology):
        return -torch.sin(q)

    def energy(self, x, topology):
        return topology.per_system(x[:, 1] ** 2 / 2 - torch.cos(x[:, 0]))


class Steered(Pendulum):
    """q'' = −sin q + u + cos t, where u is the control input that acts now."""

    autonomous = False

    def kick(self, t, q, topology):
        push = 0 if topology.inputs is None else topology.inputs
        return -torch.sin(q) + push + torch.as_tensor(t, dtype=q.dtype).cos()


THREE = Topology.isolated(3)
START = torch.tensor([[2.5, 0.1], [0.3, -0.4], [1.0, 1.5]], dtype=torch.float64)


def there_and_back(kind, field, x, topology, steps=200, dt=0.1):
    """How far the state went, and how far from its start it came back."""
    scheme, start, far = kind(), x, 0.0
    carry = scheme.start(field, 0.0, x, topology)
    for sign in (1, -1):
        for _ in range(steps):
            x, carry = scheme.step(field, 0.0, x, sign * dt, topology, carry)
            far = max(far, float((x - start).abs().max()))
    return far, float((x - start).abs().max())


def test_a_reversible_scheme_finds_back(reversible):
    far, missed = there_and_back(reversible, Pendulum(), START, THREE)
    assert far > 1
    assert missed < 1e-10


def test_a_reversible_scheme_finds_back_in_a_learned_energy(seeded, reversible):
    field = SeparableEnergy(dim=4, width=16).double().requires_grad_(False)
    x = torch.randn(3, 4, dtype=torch.float64)
    far, missed = there_and_back(reversible, field, x, THREE)
    assert far > 0.5
    assert missed < 1e-10


@pytest.mark.parametrize("kind", [Leapfrog, Yoshida4, Tao], ids=lambda k: k.__name__)
def test_a_thousand_steps_forward_and_back_at_random_weights(seeded, kind):
    field = SeparableEnergy(dim=4, width=16).double().requires_grad_(False)
    x = torch.randn(3, 4, dtype=torch.float64)
    far, missed = there_and_back(kind, field, x, THREE, steps=1000, dt=0.1)
    assert far > 1
    assert missed < 1e-10


def test_the_test_tells_schemes_that_do_not_find_back(one_way):
    assert there_and_back(one_way, Pendulum(), START, THREE)[1] > 1e-7


@pytest.mark.parametrize("field", [Pendulum(), Steered()], ids=["autonomous", "forced"])
def test_a_rollout_equals_steps_from_fresh_starts(memoryless, field):
    simulator = Simulator(field, memoryless(), 0.1)
    rolled = simulator.rollout(START, 100, THREE, t0=0.4)
    x = START
    for k in range(100):
        x = simulator.step(x, THREE, 0.4 + 0.1 * k)
        assert (rolled.x[k + 1] - x).abs().max() < 1e-12
    assert (x - START).abs().max() > 0.5
    torch.testing.assert_close(rolled.t, 0.4 + 0.1 * torch.arange(101, dtype=torch.float64))


def test_a_rollout_with_inputs_lets_each_act_during_its_own_step(memoryless):
    simulator = Simulator(Steered(), memoryless(), 0.1)
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(30, 3, 1, generator=rng, dtype=torch.float64)
    rolled = simulator.rollout(START, 30, THREE, inputs=inputs)
    x = START
    for k in range(30):
        x = simulator.step(x, THREE.replace(inputs=inputs[k]), 0.1 * k)
        assert (rolled.x[k + 1] - x).abs().max() < 1e-12
    without = simulator.rollout(START, 30, THREE).x[-1]
    assert (x - without).abs().max() > 1e-2


def test_a_step_is_a_pure_function(integrator):
    scheme, field = integrator(), Pendulum()
    x, before = START.clone(), START.clone()
    carry = scheme.start(field, 0.0, x, THREE)
    kept = tuple(part.clone() for part in carry)
    first = scheme.step(field, 0.0, x, 0.1, THREE, carry)
    second = scheme.step(field, 0.0, x, 0.1, THREE, carry)
    assert torch.equal(first[0], second[0])
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(carry, kept, strict=True))
    assert len(first[1]) == len(carry)


def test_keeping_every_third_state_changes_none(integrator):
    simulator = Simulator(Pendulum(), integrator(), 0.1)
    all_of_them = simulator.rollout(START, 20, THREE)
    some = simulator.rollout(START, 20, THREE, every=3)
    assert torch.equal(some.x, all_of_them.x[::3])
    torch.testing.assert_close(some.t, all_of_them.t[::3], rtol=0, atol=1e-14)
    assert (some.status, some.finite_steps) == ("ok", 7)
