"""Rollouts by graphs of several steps: the states of eager mode, or eager mode with a reason."""

import warnings

import pytest
import torch

from simlearn import ConfigError, Simulator, Topology, VectorField
from simlearn.dynamics import MLPField, SeparableEnergy
from simlearn.integrators import RK4, DormandPrince, Leapfrog, Tao
from simlearn.simulator import CompiledRollout, compiled


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


class Spring(VectorField):
    """dx/dt = A x, times the parameter of each system where there is one."""

    dim = 2

    def forward(self, t, x, topology):
        slope = torch.stack([x[:, 1], -x[:, 0]], dim=-1)
        held = topology.system_attr
        if held is None:
            return slope
        if held.shape[1] != 1:
            raise ConfigError("A spring has one parameter.")
        return slope * topology.per_row(held)


@pytest.fixture
def roll():
    return CompiledRollout(Simulator(Spring(), RK4(), 0.1), chunk=2, backend=None)


def harmful():
    """Calls that say nothing about the compiler: (start, topology, what they raise)."""
    wrong = Topology.isolated(2).replace(system_attr=torch.ones(2, 2).double())
    yield torch.zeros(2, 2).double(), None, None
    yield torch.full((2, 2), 1.7e308, dtype=torch.float64), None, None
    yield torch.full((2, 2), torch.nan).double(), None, None
    yield torch.ones(2, 3).double(), None, r"must be \[2, 2\]"
    yield torch.ones(2, 2).double(), Topology.isolated(3), r"must be \[3, 2\]"
    yield torch.ones(2, 2).double(), wrong, "has one parameter"


@pytest.mark.parametrize(("x0", "topology", "told"), harmful())
def test_one_call_of_no_use_breaks_nothing(roll, x0, topology, told):
    """At rest, lost within a chunk, or refused: the next call is compiled all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if told is None:
            found, wanted = roll(x0, 4, topology), roll.simulator.rollout(x0, 4, topology)
            assert (found.status, len(found.x)) == (wanted.status, len(wanted.x))
        else:
            with pytest.raises(ConfigError, match=told):
                roll(x0, 4, topology)
        assert not roll._graphs, "nothing was compared"
        assert torch.equal(roll(normal(2, 2), 4).x, roll.simulator.rollout(normal(2, 2), 4).x)
    assert not roll.broken
    assert len(roll._graphs) == 1


def test_a_wrong_dtype_breaks_nothing(seeded):
    simulator = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
    roll = CompiledRollout(simulator, chunk=2, backend=None)
    with pytest.raises(ConfigError, match="float32"):
        roll(normal(2, 2).float(), 4)
    roll(normal(2, 2), 4)
    assert not roll.broken
    assert len(roll._graphs) == 1


class Forgetful(Spring):
    """Another motion while it is recorded."""

    calls = 0

    def forward(self, t, x, topology):
        self.calls += 1
        return super().forward(t, x, topology) * (1 if self.calls <= 8 else 1.1)


def test_a_graph_with_other_numbers_is_not_trusted():
    roll = CompiledRollout(Simulator(Forgetful(), RK4(), 0.1), chunk=2, backend=None)
    with pytest.warns(UserWarning, match="off eager mode by"):
        roll(normal(2, 2), 4)
    assert roll.broken
    assert not roll._graphs


def test_topologies_of_one_kind_share_a_graph(roll):
    """Made anew at every call, with other parameters; other edges or types are another graph."""
    for k, value in enumerate((1.0, 1.0, 1.5, 0.5)):
        made = Topology.isolated(2).replace(system_attr=torch.tensor([[value], [2.0]]).double())
        found, wanted = roll(normal(2, 2), 5, made), roll.simulator.rollout(normal(2, 2), 5, made)
        assert torch.equal(found.x, wanted.x)
        assert len(roll._graphs) == 1, f"a graph more at call {k}"
    for count, made in enumerate((Topology.complete(2), Topology.complete(2, ("a", "b"))), 2):
        for _ in range(2):
            roll(normal(2, 2), 4, made)
        assert len(roll._graphs) == count


def test_graphs_are_not_made_without_end(roll, monkeypatch):
    monkeypatch.setattr(compiled, "MOST_GRAPHS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        roll(normal(1, 2), 4)
        roll(normal(2, 2), 4)
    with pytest.warns(UserWarning, match="graph number 3"):
        found = roll(normal(3, 2), 4)
    assert torch.equal(found.x, roll.simulator.rollout(normal(3, 2), 4).x)
    assert len(roll._graphs) == 2
    assert not roll.broken


def test_other_dynamics_are_compiled_anew(seeded):
    """The same shapes of weights, another field: the old graph would give old numbers."""
    simulator = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
    roll = CompiledRollout(simulator, chunk=2, backend=None)
    roll(normal(2, 2), 4)
    simulator.take(Clocked(dim=2, width=4).double())
    wanted = simulator.rollout(normal(2, 2), 4)
    torch.testing.assert_close(roll(normal(2, 2), 4).x, wanted.x, rtol=0, atol=1e-12)


def test_a_graph_meets_the_strides_it_was_made_with(roll, monkeypatch):
    """Inductor's takes no others; a start and attributes may come as columns of something wide."""
    met, lowered = [], compiled.lowered

    def noted(step, given, backend):
        run = lowered(step, given, backend)

        def called(given):
            _, held, x, *_ = given
            met.append((x.stride(), held["system_attr"].stride()))
            return run(given)

        return called

    monkeypatch.setattr(compiled, "lowered", noted)
    for x0, attributes in (
        (normal(3, 2), torch.ones(3, 1).double()),
        (normal(2, 3).T, torch.ones(3, 4).double()[:, 1:2]),
    ):
        made = Topology.isolated(3).replace(system_attr=attributes)
        assert torch.equal(roll(x0, 4, made).x, roll.simulator.rollout(x0, 4, made).x)
    assert len(roll._graphs) == 1
    assert set(met) == {((2, 1), (1, 1))}
