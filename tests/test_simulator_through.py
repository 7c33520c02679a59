"""Irregular times: the states at given times are those of the field, whatever the grid."""

import math

import pytest
import torch

from simlearn import ConfigError, Map, Simulator, SplitField, Topology, VectorField
from simlearn.dynamics import LinearMap, SeparableEnergy
from simlearn.integrators import RK4, Leapfrog, Yoshida4, Yoshida6
from simlearn.simulator.outcome import inside

TIMES = torch.tensor([0.3, 0.42, 0.5, 1.1, 1.13, 2.0], dtype=torch.float64)
START = torch.tensor([[0.8, -0.6], [0.1, 0.9], [1.3, 0.2]], dtype=torch.float64)
THREE = Topology.isolated(3)


class Forced(SplitField):
    """q'' = −4 q + cos t + u, where u is the control input that acts now."""

    autonomous = False
    dim = 2

    def drift(self, p, topology):
        return p

    def kick(self, t, q, topology):
        push = 0 if topology.inputs is None else topology.inputs
        return -4 * q + torch.as_tensor(t, dtype=q.dtype).cos() + push

    def energy(self, x, topology):
        raise NotImplementedError


def exact(t, a, b):
    """The solution without inputs, ``[..., 2]``."""
    q = a * (2 * t).cos() + b * (2 * t).sin() + t.cos() / 3
    return torch.stack([q, -2 * a * (2 * t).sin() + 2 * b * (2 * t).cos() - t.sin() / 3], -1)


@pytest.mark.parametrize("scheme", [RK4(), Yoshida4(), Yoshida6()], ids=lambda s: type(s).__name__)
def test_it_meets_the_solution_at_uneven_times(scheme):
    a, b = torch.tensor([0.8, -0.2, 0.5]).double(), torch.tensor([-0.3, 0.4, 0.0]).double()
    truth = exact(TIMES[:, None], a, b)
    found = Simulator(Forced(), scheme, 0.02).through(truth[0], TIMES, THREE)
    assert torch.equal(found.t, TIMES)
    assert (found.status, found.finite_steps) == ("ok", 6)
    assert (found.x - truth).abs().max() < 2e-6
    assert (found.x[-1] - found.x[0]).abs().max() > 0.5


def test_every_system_has_times_of_its_own():
    times = torch.stack([TIMES, 0.7 + 0.5 * TIMES, TIMES**2], dim=1)
    simulator = Simulator(Forced(), Yoshida6(), 0.05)
    together = simulator.through(START, times, THREE)
    for k in range(3):
        a = simulator.through(START[k : k + 1], times[:, k])
        torch.testing.assert_close(together.x[:, k : k + 1], a.x, rtol=0, atol=2e-6)
    assert torch.equal(together.t, times)


def test_even_times_are_a_rollout_bit_for_bit():
    simulator = Simulator(Forced(), Leapfrog(), 0.1)
    rolled = simulator.rollout(START, 20, THREE, t0=0.0)
    assert torch.equal(simulator.through(START, rolled.t, THREE).x, rolled.x)
    some = simulator.through(START, rolled.t[::4], THREE).x
    torch.testing.assert_close(some, rolled.x[::4], rtol=0, atol=1e-13)


class Counted(Forced):
    """Remembers the steps it was asked for, by the times of its kicks."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def kick(self, t, q, topology):
        self.asked.append(float(t))
        return super().kick(t, q, topology)


def test_no_step_is_longer_than_dt_and_the_force_is_carried_over_gaps():
    field = Counted()
    Simulator(field, Leapfrog(), 0.25).through(START, TIMES, THREE)
    steps = torch.tensor(field.asked).diff()
    assert len(field.asked) == 1 + sum(math.ceil(g / 0.25 - 1e-9) for g in TIMES.diff().tolist())
    assert float(steps.max()) <= 0.25 + 1e-6


def test_each_input_acts_during_its_own_gap():
    inputs = torch.randn(5, 3, 1, generator=torch.Generator().manual_seed(0)).double()
    simulator = Simulator(Forced(), Yoshida4(), 0.05)
    found = simulator.through(START, TIMES, THREE, inputs=inputs).x
    x = START
    for k in range(5):
        piece = THREE.replace(inputs=inputs[k])
        x = simulator.through(x, TIMES[k : k + 2], piece).x[-1]
        torch.testing.assert_close(found[k + 1], x, rtol=0, atol=1e-13)
    assert (found[-1] - simulator.through(START, TIMES, THREE).x[-1]).abs().max() > 0.1


def test_gradients_reach_the_start_and_the_weights(seeded):
    simulator = Simulator(SeparableEnergy(dim=2, width=8).double(), Leapfrog(), 0.1)
    x0 = START.clone().requires_grad_()

    def loss():
        return (simulator.through(x0, TIMES, THREE).x ** 2).sum()

    loss().backward()
    weight = next(simulator.parameters())
    for value, slope in ((x0, x0.grad), (weight, weight.grad)):
        with torch.no_grad():
            value.flatten()[0] += 1e-6
            up = float(loss())
            value.flatten()[0] -= 2e-6
            down = float(loss())
            value.flatten()[0] += 1e-6
        assert float(slope.flatten()[0]) == pytest.approx((up - down) / 2e-6, rel=1e-5)


class AnyStep(Map):
    """Turns by the angle dt."""

    any_step = True
    dim = 2

    def forward(self, t, x, dt, topology):
        angle = torch.as_tensor(dt, dtype=x.dtype)
        q, p = x.chunk(2, dim=-1)
        c, s = angle.cos(), angle.sin()
        return torch.cat([c * q + s * p, c * p - s * q], dim=-1)


def test_a_map_of_any_step_goes_where_it_is_told():
    found = Simulator(AnyStep(), None, 0.3).through(START, TIMES, THREE).x
    angle = TIMES - TIMES[0]
    q = angle.cos()[:, None] * START[:, 0] + angle.sin()[:, None] * START[:, 1]
    torch.testing.assert_close(found[..., 0], q, rtol=0, atol=1e-14)


def test_any_other_map_takes_whole_steps_only(seeded):
    simulator = Simulator(LinearMap(dim=2).double().requires_grad_(False), None, 0.1)
    times = torch.tensor([0.5, 0.6, 0.9, 1.0], dtype=torch.float64)
    found = simulator.through(START, times, THREE)
    assert torch.equal(found.x, simulator.rollout(START, 5, THREE).x[[0, 1, 4, 5]])
    with pytest.raises(ConfigError, match=r"LinearMap is a map with the step 0\.1 and takes no"):
        simulator.through(START, TIMES, THREE)
    with pytest.raises(ConfigError, match="the same for all systems"):
        simulator.through(START, torch.stack([times, times, 0.3 + 2 * times], 1), THREE)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([0.0, 0.5, 0.25], r"number 1 and 2 are \[0.5\] and \[0.25\]"),
        ([0.0, 0.0], "must increase"),
        ([0.0, math.nan], "number 1 is"),
        ([], r"\[n\] or \[n, 3\]"),
        ([[0.0, 0.0], [1.0, 1.0]], r"\[n\] or \[n, 3\] for 3 systems"),
    ],
)
def test_it_refuses_times_that_cannot_be_met(times, told):
    with pytest.raises(ConfigError, match=told):
        Simulator(Forced(), RK4(), 0.1).through(START, torch.tensor(times), THREE)


def test_a_single_time_is_the_start():
    found = Simulator(Forced(), RK4(), 0.1).through(START, TIMES[:1], THREE)
    assert torch.equal(found.x, START[None])


class Runaway(Forced):
    """Row 1 blows up, the others rest."""

    def kick(self, t, q, topology):
        return torch.tensor([[0.0], [50.0], [0.0]], dtype=q.dtype) * q**3


@pytest.mark.parametrize("through", [True, False])
def test_a_rollout_that_blows_up_names_its_step_and_its_row(through):
    simulator, x0 = Simulator(Runaway(), Leapfrog(), 0.1), 0 * START + 2.0
    times = 0.1 * torch.arange(31, dtype=torch.float64)
    lost = simulator.through(x0, times, THREE) if through else simulator.rollout(x0, 30, THREE)
    assert (lost.status, lost.first_bad_row) == ("diverged", 1)
    assert 1 <= lost.finite_steps == lost.steps < 30
    assert lost.x.isfinite().all()
    kept = lost.slice(0, lost.finite_steps)
    assert (kept.status, kept.first_bad_row) == ("ok", -1)
    assert simulator.rollout(START * 0, 3, THREE).first_bad_row == -1
    bounded = simulator.rollout(x0, 300, THREE, bound=5.0)
    assert (bounded.status, bounded.first_bad_row) == ("left_bound", 1)
    downwards = simulator.rollout(-x0, 300, THREE, bound=5.0)
    assert (downwards.status, downwards.first_bad_row) == ("left_bound", 1)


KINDS = (torch.float32, torch.float64, torch.complex128)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_state_is_inside_where_every_component_is(kind, at):
    def judged(value, bound):
        state = torch.tensor([[1.0, -2.0, 0.5], [4.0, 4.0, -4.0]]).to(kind)
        state[0, at] = value
        return inside(state, bound).tolist()

    for value in (torch.inf, -torch.inf, torch.nan):
        assert judged(value, torch.inf) == judged(value, 5.0) == [False, True]
    for value in (5.0, -5.0, 0.0):
        assert judged(value, 5.0) == judged(value, torch.inf) == [True, True]
    for value in (5.1, -5.1):
        assert judged(value, 5.0) == [False, True]
    assert judged(torch.nan, 3.9) == [False, False]
    if kind.is_complex:
        assert judged(3 - 4j, 5.0) == judged(4j, 5.0) == [True, True]
        assert judged(3 - 4.1j, 5.0) == judged(-5.1j, 5.0) == [False, True]


def test_states_may_be_complex_and_not_integers():
    class Turning(VectorField):
        """dψ/dt = −iψ."""

        def forward(self, t, x, topology):
            return -1j * x

    simulator, start = Simulator(Turning(), RK4(), 0.01), torch.tensor([[1.0, 2j]]).cdouble()
    found = simulator.rollout(start, 100)
    assert found.status == "ok"
    turned = torch.exp(torch.tensor(-1j, dtype=torch.complex128)) * start
    torch.testing.assert_close(found.x[-1], turned, rtol=1e-9, atol=1e-9)
    with pytest.raises(ConfigError, match="int64"):
        simulator.rollout(torch.ones(1, 2, dtype=torch.int64), 3)
