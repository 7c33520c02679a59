"""Learned Lyapunov functions: the inequality at every state, for any weights."""

import math

import pytest
import torch

import simlearn
from simlearn import Simulator, Topology
from simlearn.dynamics import gradient_of
from simlearn.integrators import RK4
from simlearn_stabilizers.lyapunov import FLOOR, KNEE, LyapunovStableField, smooth_relu


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def field(seed=0, size=1.0, alpha=0.7, dim=3):
    torch.manual_seed(seed)
    one = LyapunovStableField(dim, width=16, alpha=alpha).double().requires_grad_(False)
    for value in one.parameters():
        value.mul_(size)
    return one


@pytest.mark.parametrize("size", [1.0, 3.0])
def test_v_falls_at_every_state(size, seeded):
    x = torch.cat([normal(25_000, 3), 1e-4 * normal(12_500, 3), 10 * normal(12_500, 3)])
    topology = Topology.isolated(len(x))
    for seed in range(3):
        one = field(seed, size)
        rate = (gradient_of(one.lyapunov, x) * one(0.0, x, topology)).sum(-1)
        v = one.lyapunov(x)
        assert float((rate + one.alpha * v).div(1 + v).max()) <= 1e-10


def test_it_is_untouched_where_v_falls_already(seeded):
    one, x = field(), normal(50_000, 3)
    topology = Topology.isolated(len(x))
    nominal = one.nominal(0.0, x, topology)
    rise = (gradient_of(one.lyapunov, x) * nominal).sum(-1)
    falls = rise + one.alpha * one.lyapunov(x) <= 0
    assert 0.02 < falls.double().mean() < 0.98
    got = one(0.0, x, topology)
    assert torch.equal(got[falls], nominal[falls])
    assert bool((got[~falls] != nominal[~falls]).any(-1).all())


def test_v_is_zero_with_its_gradient_at_the_origin_only_and_strictly_convex(seeded):
    for seed in range(3):
        one = field(seed, 2.0)
        origin = torch.zeros(1, 3, dtype=torch.float64)
        assert float(one.lyapunov(origin)) == 0
        assert float(gradient_of(one.lyapunov, origin).abs().max()) == 0
        assert float(one(0.0, origin, Topology.isolated(1)).abs().max()) == 0
        x, y = 3 * normal(20_000, 3), 3 * normal(20_000, 3, seed=1)
        v = one.lyapunov(x)
        assert bool((v >= FLOOR * x.square().sum(-1) * (1 - 1e-12)).all())
        # ∇V·x ≥ V ≥ ε|x|² > 0: no other stationary point
        slope = gradient_of(one.lyapunov, x)
        assert bool(((slope * x).sum(-1) >= v * (1 - 1e-9)).all())
        middle = (v + one.lyapunov(y)) / 2 - one.lyapunov((x + y) / 2)
        assert bool((middle >= FLOOR / 4 * (x - y).square().sum(-1) * (1 - 1e-9)).all())


def test_the_smoothed_rectifier_has_a_continuous_slope():
    slope = torch.func.vmap(torch.func.grad(smooth_relu))
    at = torch.tensor([-1.0, 0.0, KNEE / 2, KNEE, 2.0], dtype=torch.float64)
    torch.testing.assert_close(slope(at), torch.tensor([0, 0, 0.5, 1, 1], dtype=torch.float64))
    assert smooth_relu(torch.tensor(torch.nan)).isnan()


def test_v_decays_along_a_rollout_as_the_step_goes_to_zero(seeded):
    one, start = field(alpha=0.7), normal(20, 3)
    excess = []
    for steps in (50, 400):
        rolled = Simulator(one, RK4(), 2.0 / steps).rollout(start, steps)
        v = torch.stack([one.lyapunov(x) for x in rolled.x])
        bound = v[0] * torch.exp(-0.7 * rolled.t)[:, None]
        excess.append(float((v - bound).div(v[0]).max()))
    assert excess[1] <= max(1e-6, excess[0])


def test_forward_mode_agrees_with_differences(seeded):
    one, x, v = field(), normal(6, 3), normal(2, 6, 3, seed=1)
    topology = Topology.isolated(6)

    def push(tangent):
        return torch.func.jvp(lambda x: one(0.0, x, topology), (x,), (tangent,))[1]

    pushed = torch.func.vmap(push)(v)
    h = 1e-6
    for tangent, got in zip(v, pushed, strict=True):
        slope = (one(0.0, x + h * tangent, topology) - one(0.0, x - h * tangent, topology)) / 2 / h
        torch.testing.assert_close(got, slope, rtol=1e-5, atol=1e-7)


def test_it_stays_stable_through_training(seeded):
    """A damped spiral is learned; far from the data V falls all the same."""
    t = simlearn.sample_times(40, 0.1)
    late = 2 * math.pi * torch.arange(4, dtype=torch.float64) / 4
    phase = t[:, None] + late
    x = torch.stack([phase.sin(), phase.cos()], -1) * torch.exp(-0.2 * t)[:, None, None]
    data = simlearn.Trajectory(t, x, Topology.isolated(4))
    simulator = Simulator(LyapunovStableField(dim=2, width=16, alpha=0.1).double(), RK4(), 0.1)

    def error(one):
        return float((one.rollout(data.x[0], 39).x - data.x).detach().square().mean().sqrt())

    before = error(simulator)
    fitted = simlearn.fit(
        simulator,
        data,
        max_epochs=40,
        optimizer=lambda w: torch.optim.Adam(w, 0.02),
        progress=False,
    )
    assert error(fitted) < 0.5 * before
    far = 20 * normal(2000, 2)
    slope = gradient_of(fitted.dynamics.lyapunov, far)
    rate = (slope * fitted.dynamics(0.0, far, Topology.isolated(2000))).sum(-1)
    v = fitted.dynamics.lyapunov(far)
    assert float((rate + 0.1 * v).div(1 + v).max()) <= 1e-10


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(simlearn.ConfigError, match="finite alpha >= 0"):
        LyapunovStableField(2, alpha=-1)
