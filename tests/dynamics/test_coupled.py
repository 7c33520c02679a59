"""Dynamics on networks: GraphCoupled with both pair terms against a loop over nodes and edges."""

import copy

import pytest
import torch

from simlearn import Simulator, catalog, cli
from simlearn.component import ConfigError, DataError, build, describe
from simlearn.dynamics import EdgeNetwork, Factorised, GraphCoupled, pairterms
from simlearn.integrators.explicit import RK4
from simlearn.simulator import CompiledRollout
from simlearn.state import Graph, Topology

EDGES = torch.tensor(
    [[0, 1, 1, 2, 3, 0, 0], [1, 0, 2, 2, 0, 1, 3]]
)  # twice, to itself, nobody at 4


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def network(**attached):
    weights = torch.cat([normal(7, 1).abs() + 0.1, normal(7, 1, seed=1)], dim=-1)
    return Topology(Graph(EDGES.clone(), 5), edge_attr=weights, **attached)


def plain(field, x, topology):
    """dx/dt node by node and edge by edge, in the units of the data."""
    extra = []
    if field.node_parameters:
        extra.append(topology.node_attr)
    if field.inputs:
        extra.append(topology.inputs)
    if field.attributes:
        extra.append(topology.system_attr[topology.system])
    z = (torch.cat([x, *extra], dim=-1) - field.centre) / field.spread
    z = torch.minimum(torch.maximum(z, field.low), field.high)
    source, target = topology.graph.edge_index
    ones = torch.ones(len(source), dtype=x.dtype)
    weight = ones if field.weight is None else topology.edge_attr[:, field.weight]
    if field.aggregation == "mean":
        weight = weight / torch.zeros(len(x)).to(x).index_add(0, target, weight)[target]
    rows = []
    for i in range(len(x)):
        total = field.own(z[i : i + 1])
        for e in (target == i).nonzero()[:, 0].tolist():
            j, pair = int(source[e]), field.pair
            if isinstance(pair, Factorised):
                felt = pair.out(pair.receive(z[i : i + 1]) * pair.send(z[j : j + 1]))
            else:
                seen = [z[i : i + 1], z[j : j + 1], topology.edge_attr[e : e + 1, : pair.features]]
                felt = pair.net(torch.cat(seen, dim=-1))
            total = total + weight[e] * felt
        rows.append(field.rate * total)
    slope = torch.cat(rows)
    return torch.cat([x[:, x.shape[1] // 2 :], slope], dim=-1) if field.second_order else slope


def field_of(kind, dim=2, features=2, **given):
    extra = sum(given.get(name, 0) for name in ("node_parameters", "inputs", "attributes"))
    sizes = dim + extra, dim // 2 if given.get("second_order") else dim
    pair = (
        Factorised(*sizes, channels=5, width=4)
        if kind == "factorised"
        else EdgeNetwork(*sizes, width=4, features=features)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GraphCoupled(dim=dim, pair=pair, width=5, **given).double()


KINDS = pytest.mark.parametrize("kind", ["factorised", "edges"])
GIVEN = pytest.mark.parametrize(
    "given",
    [
        {},
        {"aggregation": "mean", "weight": 0},
        {"weight": 1, "second_order": True},
        {"node_parameters": 2, "inputs": 1, "attributes": 3},
    ],
    ids=["plain", "weighted mean", "second order", "driven"],
)


def attached():
    return network(
        node_attr=normal(5, 2, seed=2),
        inputs=normal(5, 1, seed=3),
        system_attr=normal(1, 3, seed=4),
    )


@KINDS
@GIVEN
def test_the_field_is_the_loop_over_nodes_and_edges(kind, given):
    field, topology, x = field_of(kind, **given), attached(), normal(5, 2, seed=5)
    torch.testing.assert_close(field(0.0, x, topology), plain(field, x, topology))
    drive = normal(50, 5, 4, seed=8) if "inputs" in given else None
    field.standardize(3 * normal(50, 5, 2, seed=6) + 1, 4 * normal(50, 5, 2, seed=7), drive)
    found = field(0.0, 9 * x, topology)
    torch.testing.assert_close(found, plain(field, 9 * x, topology))
    assert found.shape == x.shape


@KINDS
@GIVEN
def test_nodes_permuted_permute_the_answer_and_a_union_moves_as_its_parts(kind, given):
    field, topology, x = field_of(kind, **given), attached(), normal(5, 2, seed=5)
    answer, order = field(0.0, x, topology), torch.tensor([3, 0, 4, 2, 1])
    place, edges = order.argsort(), torch.randperm(7, generator=torch.Generator().manual_seed(0))
    other = Topology(
        Graph(place[EDGES][:, edges], 5),
        edge_attr=topology.edge_attr[edges],
        node_attr=topology.node_attr[order],
        inputs=topology.inputs[order],
        system_attr=topology.system_attr,
    )
    torch.testing.assert_close(field(0.0, x[order], other), answer[order])
    both = field(0.0, torch.cat([x, x[order]]), Topology.union([topology, other]))
    torch.testing.assert_close(both, torch.cat([answer, answer[order]]))


def test_the_pair_term_has_the_sizes_needed_where_none_is_given():
    field = GraphCoupled(dim=4, node_parameters=1, inputs=2, second_order=True)
    assert isinstance(field.pair, Factorised)
    assert (field.pair.seen, field.pair.learned) == (7, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dim": 0}, "dim must be at least 1, got 0"),
        ({"dim": 3, "second_order": True}, "dim is even; got 3"),
        ({"inputs": -1}, "count columns, got 0, -1 and 0"),
        ({"dim": 2, "pair": Factorised()}, "shows 2 columns .* adds 2 .* for 1 and 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        GraphCoupled(**given)
    with pytest.raises(ConfigError, match="channels must be at least 1"):
        Factorised(channels=0)
    with pytest.raises(ConfigError, match="counts columns of edge_attr, got -1"):
        EdgeNetwork(features=-1)


def test_graphs_that_do_not_carry_what_was_asked_for_are_refused():
    x, bare = normal(5, 2), Topology(Graph(EDGES, 5))
    for topology, have in ((bare, 0), (network(node_attr=normal(5, 2)), 2)):
        with pytest.raises(ConfigError, match=f"made for 1 parameters .* the data have {have}"):
            field_of("factorised", node_parameters=1)(0.0, x, topology)
    for topology, have in ((bare, 0), (network(), 2)):
        with pytest.raises(ConfigError, match=f"made for 3 columns .* the graph has {have}"):
            field_of("edges", features=3)(0.0, x, topology)
    with pytest.raises(ConfigError, match="made for 1 inputs, the data have 0"):
        field_of("factorised", inputs=1)(0.0, x, bare)
    with pytest.raises(DataError, match="column 2 of edge_attr"):
        field_of("factorised", weight=2)(0.0, x, network())


def test_features_that_are_no_number_are_refused_by_edge_and_row():
    x, topology = normal(5, 2), network(node_attr=normal(5, 2))
    topology.edge_attr[4, 1] = topology.node_attr[3, 1] = torch.nan
    with pytest.raises(DataError, match=r"edge_attr of edge 4 \(3 → 0\) is nan; give a number"):
        field_of("edges")(0.0, x, topology)
    with pytest.raises(DataError, match="node_attr of row 3 is nan"):
        field_of("factorised", node_parameters=2)(0.0, x, topology)


@pytest.mark.parametrize("features", [0, 2])
def test_a_graph_without_edges_leaves_each_node_to_itself(features):
    alone = Topology(Graph(EDGES[:, :0], 5), edge_attr=normal(0, 2))
    for field in (field_of("edges", features=features, weight=1), field_of("factorised")):
        x = normal(5, 2)
        torch.testing.assert_close(field(0.0, x, alone), field.own(x))


@pytest.mark.parametrize("chunk", [1, 4 * 3, 2**26])
def test_an_edge_network_in_pieces_gives_the_same_sum(monkeypatch, chunk):
    field, topology, x = field_of("edges", weight=0), network(), normal(5, 2)
    wanted, calls = field(0.0, x, topology), []
    field.pair.net.register_forward_hook(lambda net, given, out: calls.append(len(out)))
    monkeypatch.setattr(pairterms, "CHUNK", chunk)
    with torch.no_grad():
        torch.testing.assert_close(field(0.0, x, topology), wanted)
    assert calls == {1: [1] * 7, 12: [3, 3, 1], 2**26: [7]}[chunk]


@KINDS
def test_a_description_builds_the_same_field(kind):
    field = field_of(kind, weight=1, aggregation="graphon", second_order=True)
    again = build(describe(field), catalog.load().find).double()
    assert describe(again) == describe(field)
    again.load_state_dict(copy.deepcopy(field.state_dict()))
    x = normal(5, 2)
    assert torch.equal(again(0.0, x, network()), field(0.0, x, network()))


def test_the_core_offers_the_field():
    known = catalog.load()
    assert known.offers["GraphCoupled"][0] is GraphCoupled


def test_a_config_names_the_pair_term(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(
        "model:\n  simulator:\n    dt: 0.1\n    integrator: RK4\n    dynamics:\n"
        "      class_path: GraphCoupled\n      init_args:\n        aggregation: mean\n"
        "        pair: {class_path: EdgeNetwork, init_args: {width: 7}}\n"
        "data: {file: x.h5}\n"
    )
    assert cli.run(["fit", "-c", "net.yaml", "--print_config"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "simlearn.dynamics.EdgeNetwork" in printed
    assert "width: 7" in printed


@KINDS
@pytest.mark.parametrize("weight", [None, 0])
def test_a_recorded_rollout_gives_the_same_states(kind, weight):
    simulator = Simulator(field_of(kind, weight=weight), RK4(), 0.05)
    recorded = CompiledRollout(simulator, chunk=2, backend=None)
    x, topology = normal(5, 2), network()
    found = recorded(x, 5, topology)
    assert not recorded.broken
    torch.testing.assert_close(found.x, simulator.rollout(x, 5, topology).x)
