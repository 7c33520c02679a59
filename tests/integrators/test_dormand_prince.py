"""Dormand-Prince meets its tolerance and its times, each system by itself."""

import pytest
import torch

from simlearn import ConfigError
from simlearn.dynamics import Energy, MLPField, VectorField
from simlearn.integrators import RK4, DormandPrince
from simlearn.simulator import Simulator
from simlearn.state import Topology
from simlearn.testing.fields import TrialForced, TrialRunaway

STARTS = torch.tensor([[0.3, 0.0], [3.0, 0.5], [2.0, -2.0], [0.0, 0.0]]).double()


class Stiffening(VectorField):
    """q'' = −q − 20 q³: large amplitudes need many more steps than small ones."""

    dim = 2

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, t, x, topology):
        self.calls += 1
        q, p = x.chunk(2, dim=-1)
        return torch.cat([p, -q - 20 * q * q * q], dim=-1)


def asked(rows, tolerance=1e-8, dt=1.0, steps=3):
    field = Stiffening()
    x = Simulator(field, DormandPrince(tolerance, tolerance), dt).rollout(STARTS[rows], steps).x
    return field.calls, x


@pytest.mark.parametrize("dt", [0.05, 0.7, 2.8])
def test_the_error_follows_the_tolerance_whatever_dt(dt):
    field, errors = TrialForced(), []
    for tolerance in (1e-4, 1e-7, 1e-10):
        simulator = Simulator(field, DormandPrince(tolerance, tolerance), dt)
        last = simulator.rollout(field.exact(0.7), round(2.8 / dt), t0=0.7).x[-1]
        errors.append(float((last - field.exact(3.5)).abs().max()))
        assert errors[-1] < 5 * tolerance
    assert errors[0] > 1e-8 or dt == 0.05
    assert errors[2] < 1e-2 * errors[0]


def test_systems_choose_their_own_steps_and_a_batch_equals_its_parts():
    _, together = asked([0, 1, 2, 3])
    calls = []
    for row in range(4):
        one, alone = asked([row])
        calls.append(one)
        torch.testing.assert_close(together[:, row : row + 1], alone, rtol=0, atol=1e-14)
    assert max(calls) > 5 * min(calls)


def test_the_rows_of_one_system_share_their_steps():
    graph = Topology.union([Topology.complete(2), Topology.complete(1), Topology.complete(1)])
    simulator = Simulator(Stiffening(), DormandPrince(1e-8, 1e-8), 1.0)
    together = simulator.rollout(STARTS, 2, graph).x
    pair = simulator.rollout(STARTS[:2], 2, Topology.complete(2)).x
    torch.testing.assert_close(together[:, :2], pair, rtol=0, atol=1e-14)
    last = simulator.rollout(STARTS[2:3], 2).x
    torch.testing.assert_close(together[:, 2:3], last, rtol=0, atol=1e-14)


def test_the_step_size_and_the_slope_are_carried_on():
    """Ten dt cost hardly more slopes than one of the same length."""
    many, x = asked([1], dt=0.3, steps=10)
    once, y = asked([1], dt=3.0, steps=1)
    torch.testing.assert_close(x[-1], y[-1], rtol=0, atol=1e-5)
    assert many < 1.2 * once


def test_it_goes_back_in_time_and_each_row_its_own_way():
    field, scheme = TrialForced(), DormandPrince(1e-9, 1e-9)
    t = torch.tensor([[0.7], [1.5]], dtype=torch.float64)
    dt = torch.tensor([[0.8], [-1.2]], dtype=torch.float64)
    x = torch.cat([field.exact(0.7), field.exact(1.5)])
    two = Topology.isolated(2)
    after, _ = scheme.step(field, t, x, dt, two, scheme.start(field, t, x, two))
    wanted = torch.cat([field.exact(1.5), field.exact(0.3)])
    torch.testing.assert_close(after, wanted, rtol=0, atol=1e-8)


def test_it_meets_uneven_times():
    field = TrialForced()
    times = torch.tensor([0.3, 0.31, 0.9, 2.9], dtype=torch.float64)
    found = Simulator(field, DormandPrince(1e-9, 1e-9), 1.0).through(field.exact(0.3), times)
    wanted = torch.stack([field.exact(float(t)) for t in times])
    torch.testing.assert_close(found.x, wanted, rtol=0, atol=1e-8)


def test_gradients_are_those_of_fine_fixed_steps(seeded):
    field, x = MLPField(dim=2, width=8).double(), STARTS[:3].clone().requires_grad_()

    def slopes(scheme, dt, steps):
        loss = (Simulator(field, scheme, dt).rollout(x, steps).x[-1] ** 2).sum()
        return torch.autograd.grad(loss, [x, *field.parameters()])

    ours, fine = slopes(DormandPrince(1e-9, 1e-9), 2.0, 1), slopes(RK4(), 0.02, 100)
    for a, b in zip(ours, fine, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_forward_mode_and_vmap_agree_with_backward_mode(seeded):
    field = Energy(dim=2, width=8).double().requires_grad_(False)
    simulator, x = Simulator(field, DormandPrince(1e-8, 1e-8), 1.0), STARTS[:1]
    back = torch.func.jacrev(simulator.step)(x)
    torch.testing.assert_close(torch.func.jacfwd(simulator.step)(x), back, rtol=0, atol=1e-12)
    one = Topology.isolated(1)
    together = torch.func.vmap(lambda s: simulator.step(s, one))(STARTS[:, None])
    alone = torch.stack([simulator.step(s[None], one) for s in STARTS])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)


def test_a_system_that_needs_too_many_steps_is_lost_alone():
    simulator = Simulator(Stiffening(), DormandPrince(1e-8, 1e-8, max_steps=20), 1.0)
    after = simulator.step(STARTS)
    assert after[1].isnan().all()
    wanted = Simulator(Stiffening(), DormandPrince(1e-8, 1e-8), 1.0).step(STARTS[[0, 3]])
    torch.testing.assert_close(after[[0, 3]], wanted, rtol=0, atol=1e-14)


def test_a_solution_that_ends_is_reported_with_its_step():
    lost = Simulator(TrialRunaway(), DormandPrince(), 0.05).rollout(STARTS[2:3], 100)
    assert (lost.status, lost.first_bad_row) == ("diverged", 0)
    assert 1 < lost.finite_steps < 100


@pytest.mark.parametrize("given", [{"rtol": -1.0}, {"atol": 0.0}, {"max_steps": 0}], ids=str)
def test_it_refuses_tolerances_that_cannot_be_met(given):
    with pytest.raises(ConfigError, match="needs rtol >= 0, atol > 0 and max_steps >= 1"):
        DormandPrince(**given)


class Tank(VectorField):
    """Torricelli's: dx/dt = 0.2 − a √x; a long try leaves the domain, and its slope is NaN."""

    dim = 1

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, t, x, topology):
        return 0.2 - self.a * x.sqrt()


def test_rejected_tries_do_not_spoil_gradients():
    tank = Tank()
    simulator = Simulator(tank, DormandPrince(rtol=1e-10, atol=1e-12), 5.0)
    x = torch.tensor([[1.0]], dtype=torch.float64, requires_grad=True)

    def level(value, a):
        with torch.no_grad():
            tank.a.fill_(a)
        return simulator.step(torch.tensor([[value]], dtype=torch.float64)).item()

    slopes = torch.autograd.grad(simulator.step(x).sum(), [x, tank.a])
    h = 1e-5
    wanted = (
        (level(1 + h, 2.0) - level(1 - h, 2.0)) / (2 * h),
        (level(1.0, 2 + h) - level(1.0, 2 - h)) / (2 * h),
    )
    for found, other in zip(slopes, wanted, strict=True):
        assert found.item() == pytest.approx(other, rel=1e-4, abs=1e-7)
