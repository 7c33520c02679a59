"""The pushforward penalty: what it compares, and through what its gradient goes."""

import pytest
import torch

import simlearn
from simlearn import Simulator, Topology, Trajectory
from simlearn.dynamics import LinearField, LinearMap, MLPField
from simlearn.integrators import RK4, Euler
from simlearn_stabilizers.pushforward import PushForward


def track(a, steps=6):
    x = [torch.tensor([[1.0, 0.5]], dtype=torch.float64)]
    for _ in range(steps - 1):
        x.append(x[-1] @ a.T)
    return Trajectory(simlearn.sample_times(steps, 0.1), torch.stack(x), Topology.isolated(1))


TRUTH = torch.tensor([[0.9, 0.2], [-0.2, 0.8]], dtype=torch.float64)


def learner(matrix):
    step = LinearMap(2).double()
    step.linear.weight.data.copy_(matrix)
    return Simulator(step, None, 0.1)


@pytest.mark.parametrize("steps", [1, 3])
def test_value_and_gradient_are_those_of_the_last_step_alone(steps):
    window, other = track(TRUTH), TRUTH + 0.1
    simulator = learner(other)
    got = PushForward(0.5, steps).penalty(simulator, window)
    pushed = window.x[0] @ torch.linalg.matrix_power(other, steps).T
    size = window.x.diff(dim=0).square().mean((0, 1)).sqrt()
    weight = other.clone().requires_grad_()
    want = 0.5 * ((pushed @ weight.T - window.x[steps + 1]) / size).square().mean()
    assert got.item() == pytest.approx(want.item(), rel=1e-12)
    got.backward()
    want.backward()
    torch.testing.assert_close(
        simulator.dynamics.linear.weight.grad, weight.grad, rtol=1e-12, atol=0
    )


def test_the_truth_costs_nothing():
    assert PushForward(steps=3).penalty(learner(TRUTH), track(TRUTH)).item() < 1e-28


def test_a_constant_column_has_the_unit_of_the_data():
    window = track(torch.diag(torch.tensor([0.9, 1.0], dtype=torch.float64)))
    assert PushForward().penalty(learner(TRUTH), window).isfinite()


class Driven(simlearn.VectorField):
    """dx/dt = gain · u + cos t."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, t, x, topology):
        clock = t if isinstance(t, torch.Tensor) else torch.tensor(t, dtype=x.dtype)
        return self.gain * topology.inputs + clock.cos()


@pytest.mark.parametrize("clocks", [False, True])
def test_inputs_and_clocks_act_as_in_the_rollout(clocks):
    t, rows = simlearn.sample_times(8, 0.1), 3
    if clocks:
        t = t[:, None] + torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    u = torch.randn(8, rows, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slope = u + (t[:, :, None] if clocks else t[:, None, None]).cos()
    x = torch.cat([torch.zeros(1, rows, 1).double(), (0.1 * slope[:-1]).cumsum(0)])
    window = Trajectory(t, x, Topology.isolated(rows), inputs=u)
    simulator = Simulator(Driven(), Euler(), 0.1)
    for steps in (1, 4):
        assert PushForward(steps=steps).penalty(simulator, window.slice(2)).item() < 1e-28
    wrong = simlearn.Trajectory(t, x, window.topology, inputs=u.roll(1, 0))
    assert PushForward().penalty(simulator, wrong).item() > 1e-3


def test_windows_that_do_not_fit_are_refused(seeded):
    simulator = learner(TRUTH)
    with pytest.raises(simlearn.ConfigError, match=r"needs windows of 5 states, got 4.*at least 4"):
        PushForward(steps=3).penalty(simulator, track(TRUTH, 4))
    with pytest.raises(simlearn.ConfigError, match=r"sampled every 0\.1"):
        PushForward().penalty(Simulator(LinearMap(2).double(), None, 0.2), track(TRUTH))
    with pytest.raises(simlearn.ConfigError, match=r"steps >= 1, got 1\.0 and 0"):
        PushForward(steps=0)


def test_a_rollout_that_blows_up_costs_infinitely_much():
    field = LinearField(2).double()
    field.linear.weight.data.fill_(1e200)
    assert PushForward().penalty(Simulator(field, RK4(), 0.1), track(TRUTH)).isinf()


def test_it_trains(seeded):
    window = track(TRUTH, 30)
    simulator = Simulator(MLPField(dim=2, width=8), RK4(), 0.1)
    before = PushForward(1.0, 2).penalty(simulator.double(), window).item()
    fitted = simlearn.fit(
        simulator,
        window,
        stabilizers=[PushForward(1.0, 2)],
        max_epochs=30,
        optimizer=lambda w: torch.optim.Adam(w, 0.02),
        progress=False,
    )
    assert PushForward(1.0, 2).penalty(fitted, window).item() < 0.5 * before
