"""What holds for every system: its invariants, its bytes, its law under transforms and unions."""

import functools

import pytest
import torch

import simlearn
import simlearn_mechanics
from simlearn import HamiltonianField, SplitField, System, Topology, sample_times

OFFERED = simlearn_mechanics.simlearn_components()
SYSTEMS = [cls() for cls in OFFERED if issubclass(cls, System)]
VARIANTS = [
    simlearn_mechanics.SpringChain(5, "free", spread=0.4),
    simlearn_mechanics.SpringChain(5, "periodic"),
    simlearn_mechanics.SpringGraph(6, anchor=0.5, spread=0.4),
    simlearn_mechanics.NBody(3, 3, masses=[1.0, 0.2, 0.1]),
    simlearn_mechanics.FPUT(6, 0.1, 2.0, modes=3),
    simlearn_mechanics.DoublePendulum(2.0, 0.5, 1.5, 0.7, 3.0, amplitude=2.5),
]
TIMES = sample_times(60, 0.1)


def named(system):
    return type(system).__name__


@functools.cache
def drawn(system):
    """Two trajectories, drawn once for all tests that only look at them."""
    return list(system.draw(range(2), TIMES, seed=0))


ALL = pytest.mark.parametrize("system", SYSTEMS + VARIANTS, ids=named)
CONSERVATIVE = pytest.mark.parametrize(
    "system", [s for s in SYSTEMS + VARIANTS if s.invariants()], ids=named
)


def acting(track, k):
    """The topology with the input of sample k."""
    return track.topology.replace(inputs=None if track.inputs is None else track.inputs[k])


def test_everything_is_offered_once_and_exported():
    assert sorted(cls.__name__ for cls in OFFERED) == sorted(simlearn_mechanics.__all__)
    assert len(set(OFFERED)) == len(OFFERED) == 30


@CONSERVATIVE
def test_invariants_stay_along_drawn_trajectories(system, within):
    for track in drawn(system):
        for name, invariant in system.invariants().items():
            values = torch.stack([invariant(x, track.topology) for x in track.x])
            assert values.shape == (60, 1), name
            within(values, values[0], 1e-8 * max(1.0, float(values[0].abs())))


@CONSERVATIVE
def test_invariants_are_not_constants_of_the_state(system):
    """Each tells two drawn states apart, or belongs to a whole that is at rest."""
    two = drawn(system)
    for name, invariant in system.invariants().items():
        first, second = (float(invariant(1.1 * t.x[0], t.topology)) for t in two)
        still = name.startswith("momentum") and max(abs(first), abs(second)) < 1e-12
        assert still or abs(first - second) > 1e-9, name


@ALL
def test_the_second_trajectory_is_the_same_alone(system):
    both = list(system.draw(range(2), TIMES, seed=5))
    (alone,) = system.draw(range(1, 2), TIMES, seed=5)
    assert torch.equal(both[1].x, alone.x)
    assert torch.equal(both[1].derivative, alone.derivative)
    assert not torch.equal(both[0].x[0], alone.x[0])
    assert both[1].topology.graph.key == alone.topology.graph.key


@ALL
def test_a_union_moves_as_its_parts(system):
    one, other = drawn(system)
    law, k = system.truth().double(), 7
    topology = Topology.union([acting(one, k), acting(other, k)])
    together = law(0.0, torch.cat([one.x[k], other.x[k]]), topology)
    apart = torch.cat([one.derivative[k], other.derivative[k]])
    torch.testing.assert_close(together, apart, rtol=1e-11, atol=1e-12)
    for name, invariant in system.invariants().items():
        both = invariant(torch.cat([one.x[k], other.x[k]]), topology)
        parts = [invariant(t.x[k], t.topology) for t in (one, other)]
        torch.testing.assert_close(both, torch.cat(parts), rtol=1e-10, atol=1e-11, msg=name)


@ALL
def test_the_law_is_that_of_the_rows_in_any_order(system):
    """On the system's own graph, with its attributes."""
    track = drawn(system)[0]
    law, x, old = system.truth().double(), track.x[3], acting(track, 3)
    order = torch.randperm(old.rows, generator=torch.Generator().manual_seed(1))
    place = torch.empty_like(order)
    place[order] = torch.arange(old.rows)
    changes = {
        name: None if getattr(old, name) is None else getattr(old, name)[order]
        for name in ("node_attr", "node_type", "inputs")
    }
    graph = simlearn.Graph(place[old.graph.edge_index], old.rows)
    moved = law(0.0, x[order], old.replace(graph=graph, **changes))
    torch.testing.assert_close(moved, track.derivative[3][order], rtol=1e-11, atol=1e-12)


@ALL
def test_the_law_works_in_float32_and_under_transforms(system):
    track = drawn(system)[0]
    x, topology, law = track.x[2], acting(track, 2), system.truth().double()
    jacobian = torch.func.jacrev(lambda s: law(0.0, s, topology))(x)
    along = torch.func.jvp(lambda s: law(0.0, s, topology), (x,), (track.x[1],))[1]
    flat = jacobian.reshape(x.numel(), x.numel()) @ track.x[1].reshape(-1)
    torch.testing.assert_close(along.reshape(-1), flat, rtol=1e-9, atol=1e-10)
    stack = torch.stack([x, 0.9 * x])
    mapped = torch.vmap(lambda s: law(0.0, s, topology))(stack)
    torch.testing.assert_close(mapped[0], track.derivative[2], rtol=1e-11, atol=1e-12)
    single = law.float()(0.0, x.float(), topology.to("cpu", torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), track.derivative[2], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "system",
    [s for s in SYSTEMS + VARIANTS if isinstance(s.truth(), HamiltonianField | SplitField)],
    ids=named,
)
def test_forces_are_the_gradient_of_the_energy_on_drawn_states(system):
    track = drawn(system)[0]
    law, x = system.truth().double(), track.x[5].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(law.energy(x, track.topology).sum(), x)
    weight = law.form(track.topology)[:, None]
    dq, dp = (weight * track.derivative[5]).chunk(2, dim=-1)
    torch.testing.assert_close(torch.cat([-dp, dq], -1), gradient, rtol=1e-10, atol=1e-11)


@ALL
def test_units_name_the_time(system):
    assert set(system.units()) <= {"time", "position", "momentum", "velocity"}
    assert "time" in system.units()
    chart = {"momentum"} if "velocity" not in system.units() else {"velocity"}
    without = type(system).__name__ in ("RigidBody", "EmbeddedOscillator")  # no positions either
    assert without or chart <= set(system.units())


def test_systems_with_close_encounters_are_drawn_one_by_one():
    alone = {type(s).__name__ for s in SYSTEMS if not s.stack}
    assert alone == {"NBody", "ThreeBody"}
