"""Rollouts by graphs of several steps: the states of eager mode, or eager mode with a reason."""

import pytest
import torch

from simlearn import ConfigError, Simulator, VectorField
from simlearn.dynamics import MLPField, SeparableEnergy
from simlearn.integrators import RK4, DormandPrince, Leapfrog, Tao
from simlearn.simulator import CompiledRollout


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("steps", [3, 8, 11])
@pytest.mark.parametrize("scheme", [Leapfrog(), Tao(2.0), RK4()], ids=lambda s: type(s).__name__)
def test_it_gives_the_states_of_eager_mode_also_after_training(seeded, scheme, steps):
    simulator = Simulator(SeparableEnergy(dim=2, width=6).double(), scheme, 0.1)
    roll, x0 = CompiledRollout(simulator, chunk=4, backend=None), normal(3, 2)
    for _ in range(2):
        found, wanted = roll(x0, steps), simulator.rollout(x0, steps)
        assert not roll.broken
        assert found.x.shape == (steps + 1, 3, 2)
        torch.testing.assert_close(found.x, wanted.x, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.t, wanted.t)
        with torch.no_grad():
            for weight in simulator.parameters():
                weight.mul_(1.5)
    assert len(roll._graphs) == (steps >= 4)


class Clocked(MLPField):
    """A field that looks at the clock."""

    def forward(self, t, x, topology):
        return super().forward(t, x, topology) * torch.as_tensor(t, dtype=x.dtype).cos()


def test_the_clock_goes_on_from_graph_to_graph(seeded):
    simulator = Simulator(Clocked(dim=2, width=4).double(), RK4(), 0.3)
    found = CompiledRollout(simulator, chunk=3, backend=None)(normal(2, 2), 10)
    torch.testing.assert_close(found.x, simulator.rollout(normal(2, 2), 10).x, rtol=0, atol=1e-12)


def test_what_cannot_be_recorded_is_rolled_out_eagerly(seeded):
    simulator = Simulator(MLPField(dim=2, width=4).double(), DormandPrince(), 0.1)
    roll = CompiledRollout(simulator, chunk=2, backend=None)
    with pytest.warns(UserWarning, match="not compiled"):
        found = roll(normal(2, 2), 4)
    assert torch.equal(found.x, simulator.rollout(normal(2, 2), 4).x)


class Cubic(VectorField):
    """Reaches infinity at t = 1 / (2 x0²)."""

    def forward(self, t, x, topology):
        return x**3


def test_a_blow_up_is_a_status():
    simulator = Simulator(Cubic(), RK4(), 0.1)
    found = CompiledRollout(simulator, chunk=4, backend=None)(torch.ones(2, 1).double(), 100)
    wanted = simulator.rollout(torch.ones(2, 1).double(), 100)
    assert (found.status, found.finite_steps) == ("diverged", wanted.finite_steps)
    with pytest.raises(ConfigError, match="at least one step"):
        CompiledRollout(simulator, chunk=0)
