"""What holds for every chaotic system: its bytes, its law in unions, orders and transforms."""

import functools

import pytest
import torch

import simlearn_chaos
from simlearn import Map, System, Topology, sample_times
from simlearn.component import describe

OFFERED = simlearn_chaos.simlearn_components()
SYSTEMS = [cls() for cls in OFFERED if issubclass(cls, System)]
VARIANTS = [
    simlearn_chaos.Hopf(0.5, 2.0, 1.0, attracting=False),
    simlearn_chaos.Lorenz96(5),
    simlearn_chaos.CoupledMaps(5, 3.8, 0.3),
]
TIMES = sample_times(20, 0.05)


def named(system):
    return type(system).__name__


@functools.cache
def drawn(system):
    """Two trajectories, drawn once for all tests that only look at them."""
    return list(system.draw(range(2), TIMES, seed=0))


ALL = pytest.mark.parametrize("system", SYSTEMS + VARIANTS, ids=named)


def move(law, x, topology):
    return law(0.0, x, 1.0, topology) if isinstance(law, Map) else law(0.0, x, topology)


def test_everything_is_offered_once_and_exported():
    assert sorted(cls.__name__ for cls in OFFERED) == sorted(simlearn_chaos.__all__)
    assert len(set(OFFERED)) == len(OFFERED) == 13


@ALL
def test_a_trajectory_is_its_seed_and_its_number(system):
    both = list(system.draw(range(2), TIMES, seed=5))
    (alone,) = system.draw(range(1, 2), TIMES, seed=5)
    assert torch.equal(both[1].x, alone.x)
    assert not torch.equal(both[0].x[0], alone.x[0])
    (other,) = system.draw(range(1, 2), TIMES, seed=6)
    assert not torch.equal(other.x[0], alone.x[0])
    assert alone.x.dtype == torch.float64
    assert alone.topology.graph.key == both[0].topology.graph.key


@ALL
def test_a_start_is_drawn_from_its_generator_whatever_the_default_dtype(system):
    before = torch.random.get_rng_state()
    one, _ = system.start(torch.Generator().manual_seed(1))
    again, topology = system.start(torch.Generator().manual_seed(1))
    assert torch.equal(one, again)
    assert one.dtype == torch.float64
    assert one.shape == (topology.rows, system.truth().dim)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "system", [s for s in SYSTEMS + VARIANTS if hasattr(s, "transient")], ids=named
)
def test_a_longer_transient_gives_another_start(system):
    arguments = describe(system)["init_args"]
    longer = type(system)(**{**arguments, "transient": 2 * system.transient})
    one, other = (s.start(torch.Generator().manual_seed(1))[0] for s in (system, longer))
    assert (one - other).abs().max() > 1e-3


@ALL
def test_a_union_moves_as_its_parts(system):
    one, other = drawn(system)
    law = system.truth().double()
    topology = Topology.union([one.topology, other.topology])
    together = move(law, torch.cat([one.x[3], other.x[3]]), topology)
    apart = torch.cat([move(law, t.x[3], t.topology) for t in (one, other)])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-13)


@ALL
def test_the_law_works_in_float32_and_under_transforms(system):
    track = drawn(system)[0]
    x, along, topology = track.x[2], track.x[1], track.topology
    law = system.truth().double()

    def at(state):
        return move(law, state, topology)

    jacobian = torch.func.jacrev(at)(x).reshape(x.numel(), x.numel())
    product = torch.func.jvp(at, (x,), (along,))[1].reshape(-1)
    torch.testing.assert_close(product, jacobian @ along.reshape(-1), rtol=1e-9, atol=1e-10)
    mapped = torch.vmap(at)(torch.stack([x, 0.9 * x]))
    torch.testing.assert_close(mapped[0], at(x), rtol=1e-11, atol=1e-12)
    assert mapped.dtype == torch.float64
    single = move(law.float(), x.float(), topology)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), at(x), rtol=1e-3, atol=1e-4)


@ALL
def test_units_name_the_time(system):
    assert "time" in system.units()
