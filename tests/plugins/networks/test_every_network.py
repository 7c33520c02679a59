"""What holds for every system on a graph: its bytes, its graph, its law in unions."""

import functools
import pathlib
import re
from importlib import metadata

import pytest
import torch

import simlearn_networks as networks
from simlearn import ConfigError, Topology, catalog, cli, read, sample_times
from simlearn.component import arguments
from simlearn_networks import EdgeList, ErdosRenyi, GraphFamily, Grid8, Heat, RandomGeometric
from simlearn_networks.system import GraphSystem, blocks

OFFERED = networks.simlearn_components()
SYSTEMS = [cls() for cls in OFFERED if issubclass(cls, GraphSystem)]
WEIGHED = ErdosRenyi(9, 0.5, True, [0.5, 1.5])
VARIANTS = [type(s)(graph=WEIGHED, fresh=True) for s in SYSTEMS] + [
    type(s)(graph=Grid8(20), initial="ndcn") for s in SYSTEMS if hasattr(s, "initial")
]
TIMES = sample_times(5, 0.05)


def named(system):
    return f"{type(system).__name__}-{type(system.graph).__name__}"


@functools.cache
def drawn(system):
    return list(system.draw(range(2), TIMES, seed=0))


ALL = pytest.mark.parametrize("system", SYSTEMS + VARIANTS, ids=named)
PLAIN = pytest.mark.parametrize("system", SYSTEMS, ids=named)


def test_everything_is_offered_once_and_exported():
    families = {c.__name__ for c in GraphFamily.__subclasses__()}
    extra = {"GraphFamily", "Links", *families}
    assert {cls.__name__ for cls in OFFERED} | extra == set(networks.__all__)
    assert len(set(OFFERED)) == len(OFFERED) == 38
    point = metadata.EntryPoint("networks", "simlearn_networks", "simlearn")
    known = catalog.load(entry_points=[point])
    assert not known.failed()
    assert {cls.__name__ for cls in OFFERED} <= set(known.offers)
    for family in GraphFamily.__subclasses__():
        assert known.find(f"{family.__module__}.{family.__name__}") is family


@ALL
def test_a_trajectory_is_its_seed_and_its_number(system):
    both, (alone,) = drawn(system), system.draw(range(1, 2), TIMES, seed=0)
    assert torch.equal(both[1].x, alone.x)
    assert both[1].topology.graph.key == alone.topology.graph.key
    if both[1].topology.node_attr is not None:
        assert torch.equal(both[1].topology.node_attr, alone.topology.node_attr)
        assert not torch.equal(both[0].topology.node_attr, alone.topology.node_attr)
    same = getattr(system, "initial", "random") == "ndcn"
    assert torch.equal(both[0].x[0], alone.x[0]) == same


@ALL
def test_a_start_is_drawn_from_its_generator_whatever_the_default_dtype(system, rng):
    before = torch.random.get_rng_state()
    one, still = system.start(rng(1))
    again, topology = system.start(rng(1))
    assert torch.equal(one, again)
    assert one.dtype == torch.float64
    assert one.shape == (topology.rows, system.truth().dim)
    assert still.graph.key == topology.graph.key
    assert torch.equal(before, torch.random.get_rng_state())


@PLAIN
def test_one_graph_for_all_or_a_fresh_one_for_each(system):
    keys = [track.topology.graph.key for track in drawn(system)]
    assert keys[0] == keys[1] == system.network().graph.key
    cls = type(system)
    assert cls(graph_seed=1).network().graph.key != keys[0]
    fresh = cls(fresh=True)
    starts = [fresh.start(torch.Generator().manual_seed(k))[1].graph.key for k in (1, 2, 1)]
    assert starts[0] == starts[2] != starts[1]


@ALL
def test_a_union_moves_as_its_parts(system):
    one, other = drawn(system)
    law = system.truth().double()
    topology = Topology.union([one.topology, other.topology])
    together = law(0.0, torch.cat([one.x[3], other.x[3]]), topology)
    apart = torch.cat([law(0.0, t.x[3], t.topology) for t in (one, other)])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)


@PLAIN
def test_the_law_works_in_float32_and_under_transforms(system):
    track = drawn(system)[0]
    x, along, topology = track.x[2], track.x[1], track.topology
    law = system.truth().double()

    def at(state):
        return law(0.0, state, topology)

    jacobian = torch.func.jacrev(at)(x).reshape(x.numel(), x.numel())
    product = torch.func.jvp(at, (x,), (along,))[1].reshape(-1)
    torch.testing.assert_close(product, jacobian @ along.reshape(-1), rtol=1e-9, atol=1e-10)
    mapped = torch.vmap(at)(torch.stack([x, 0.9 * x]))
    torch.testing.assert_close(mapped[0], at(x), rtol=1e-11, atol=1e-12)
    single = law.float()(0.0, x.float(), topology.to("cpu", torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), at(x), rtol=1e-3, atol=1e-4)


def test_what_is_conserved_is_not_claimed_of_directed_graphs():
    for system in VARIANTS:
        if system.graph is WEIGHED:
            assert set(system.invariants()) <= {"final_size"}
    assert not Heat(aggregation="mean").invariants()
    assert list(Heat(aggregation="symmetric").invariants()) == ["heat"]
    assert list(networks.SwingEquation(damping=0.0).invariants()) == ["momentum", "energy"]


@pytest.mark.parametrize(
    "system",
    [
        networks.SwingEquation(damping=0.0, spread=0.3),
        networks.InertialKuramoto(damping=0.0),
        networks.InertialKuramoto(ErdosRenyi(12, 0.5, weights=[0.5, 1.5]), aggregation="symmetric"),
        networks.SwingEquation(ErdosRenyi(13, 0.5, weights=[0.5, 1.5]), spread=0.5),
        networks.SIR(WEIGHED, aggregation="mean"),
        networks.Opinion(RandomGeometric(30, 0.3, [0.1, 1.0]), aggregation="graphon"),
    ],
    ids=named,
)
def test_invariants_of_other_arguments_hold(system):
    (track,) = system.draw(range(1), sample_times(21, 0.25), 3)
    assert system.invariants()
    for name, invariant in system.invariants().items():
        told = torch.stack([invariant(x, track.topology) for x in track.x])
        assert (told - told[0]).abs().max() < 1e-8 * (1 + told[0].abs()), name


def test_the_start_of_ndcn():
    x = blocks(400).reshape(20, 20)
    wanted = torch.zeros(20, 20, dtype=torch.float64)
    wanted[1:5, 1:5], wanted[9:15, 9:15], wanted[1:5, 7:13] = 25, 20, 17
    assert torch.equal(x, wanted)
    assert blocks(63 * 63).max() == 25
    with pytest.raises(ConfigError, match="400 in the protocol of NDCN; the graph has 20 nodes"):
        Heat(initial="ndcn").start(torch.Generator())


def test_a_graph_of_a_file_keeps_its_names_in_every_trajectory(tmp_path):
    path = tmp_path / "grid.csv"
    path.write_text("from,to,susceptance\nplant,town,2\ntown,mill,3\n")
    for track in networks.SwingEquation(EdgeList(str(path))).draw(range(2), TIMES, 0):
        assert track.topology.node_names == ("plant", "town", "mill")
        assert track.topology.node_attr[:, 0].sum() == 0


def test_bad_arguments_are_refused_in_a_sentence():
    for make, message in [
        (lambda: Heat(graph_seed=-1), "graph_seed is a whole number from 0 on, got -1"),
        (lambda: Heat(conductance=0.0), "conductance must be positive, got 0"),
        (lambda: networks.SIS(infected=1.5), "infected must be from 0 to 1, got 1.5"),
        (lambda: networks.SwingEquation(spread=1.0), "spread must be below 1"),
        (lambda: networks.CoupledLorenz(through=[3]), r"through names the columns .* got \[3\]"),
        (lambda: networks.CoupledLorenz(through=[]), r"through names the columns .* got \[\]"),
        (lambda: networks.CoupledLorenz(rho=0.5), "rho must be above 1"),
        (lambda: networks.Mutualistic(capacity=0.0), "capacity must be positive"),
    ]:
        with pytest.raises(ConfigError, match=message):
            make()


@pytest.mark.skipif(
    "networks" not in {p.name for p in metadata.entry_points(group="simlearn")},
    reason="simlearn was installed before this plugin came; install it anew",
)
def test_the_command_line_takes_a_graph_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "--generator", "Kuramoto", "--generator.graph", "BarabasiAlbert"]
    words += ["--generator.graph.nodes", "12", "--generator.graph.m", "2"]
    words += ["--generator.fresh", "true", "--generator.aggregation", "mean"]
    words += ["--steps", "4", "--dt", "0.1", "--count", "2", "--out", "k.h5"]
    assert cli.run(words) == 0, capsys.readouterr().err
    tracks = list(read("k.h5"))
    assert [track.topology.rows for track in tracks] == [12, 12]
    assert tracks[0].topology.graph.key != tracks[1].topology.graph.key
    assert tracks[0].topology.node_attr.shape == (12, 1)


def test_the_page_of_systems_names_every_family_and_its_arguments():
    page = (pathlib.Path(__file__).parents[3] / "docs/systems.md").read_text(encoding="utf-8")
    for family in GraphFamily.__subclasses__():
        cells = ", ".join(f"`{name}`" for name in arguments(family))
        assert re.search(rf"^\| {family.__name__} \| .* \| {re.escape(cells)} \|$", page, re.M)
