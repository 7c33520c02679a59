"""What an operator keeps: made once, shared, carried into unions, copied, and what it refuses."""

import copy
import math
import pickle

import pytest
import torch

from simlearn.component import DataError
from simlearn.dynamics import EdgeNetwork
from simlearn.state import Graph, Topology
from simlearn.state import operator as operators
from simlearn.state.operator import Csr, weighted

EDGES = torch.tensor([[0, 1, 1, 2, 3, 0], [1, 0, 2, 2, 0, 1]])
AGGREGATIONS = ("sum", "mean", "symmetric", "graphon", "mean_degree")


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def small(rows=5):
    return Topology(Graph(EDGES.clone(), rows), edge_attr=normal(6, 2).abs())


def same(one, other):
    for name in ("start", "column", "edge"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.fixture
def unsorted(monkeypatch):
    """From now on nothing may be sorted."""

    def forbid():
        def refuse(*args):
            raise AssertionError("it was sorted anew")

        monkeypatch.setattr(Csr, "of", staticmethod(refuse))

    return forbid


def test_the_same_operator_is_handed_out_every_time():
    topology = small()
    assert topology.adjacency("mean", 1) is topology.adjacency("mean", 1)
    kinds = {id(topology.adjacency(a, w)) for a in AGGREGATIONS for w in (None, 0, 1)}
    assert len(kinds) == 15
    assert topology.adjacency("sum").forth is topology.adjacency("mean", 1).forth


def test_other_inputs_keep_the_operator_and_other_edges_do_not(unsorted):
    topology = small()
    moved = topology.replace(inputs=normal(5, 1), node_attr=normal(5, 1))
    first = moved.adjacency("mean", 0)
    assert topology.adjacency("mean", 0) is first
    assert topology.replace(inputs=normal(5, 1, seed=1)).adjacency("mean", 0) is first
    unsorted()
    heavier = topology.replace(edge_attr=2 * topology.edge_attr)
    torch.testing.assert_close(heavier.adjacency("sum", 0).weight, 2 * topology.edge_attr[:, 0])
    alone = topology.replace(system=torch.tensor([0, 0, 0, 0, 1]), num_systems=2)
    assert not torch.equal(alone.adjacency("graphon").weight, topology.adjacency("graphon").weight)


def test_repeat_and_union_sort_each_part_once(unsorted):
    one, other = small(), small(7)
    copies = one.repeat(4)  # asked for before anything was sorted
    for graph in (one.graph, other.graph):
        assert graph.by_target is graph.by_target
        assert graph.by_source is graph.by_source
    fresh = Graph(copies.graph.edge_index.clone(), copies.rows)
    wanted = fresh.by_target, fresh.by_source
    joined = Topology.union([one, other, one])
    again = Graph(joined.graph.edge_index.clone(), joined.rows)
    wanted_joined = again.by_target, again.by_source
    unsorted()
    for found, kept in ((copies.graph, wanted), (joined.graph, wanted_joined)):
        same(found.by_target, kept[0])
        same(found.by_source, kept[1])
    assert copies.graph.repeat(2).by_target.start[-1] == 48


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("column", [None, 1])
def test_a_union_sums_as_its_parts_do(aggregation, column):
    parts = [small(), small(7), Topology(Graph(EDGES[:, :0], 2), edge_attr=normal(0, 2))]
    states = [normal(part.rows, 3, seed=k) for k, part in enumerate(parts)]
    whole = Topology.union(parts).adjacency(aggregation, column) @ torch.cat(states)
    apart = [p.adjacency(aggregation, column) @ h for p, h in zip(parts, states, strict=True)]
    torch.testing.assert_close(whole, torch.cat(apart), rtol=1e-13, atol=1e-13)


def test_a_union_too_long_for_int32_counts_in_int64(monkeypatch):
    part = small().graph.by_target
    assert part.start.dtype == part.column.dtype == torch.int32
    monkeypatch.setattr(operators, "LONG", 10)
    both = Csr.union([part, part])
    assert both.start.dtype == both.column.dtype == torch.int64
    assert both.start.tolist()[-1] == 12


def test_other_devices_and_dtypes():
    topology = small()
    before = topology.adjacency("mean", 0)
    single = topology.to("cpu", torch.float32)
    assert single.graph.by_target is topology.graph.by_target
    torch.testing.assert_close(
        single.adjacency("mean", 0).weight, before.weight, rtol=1e-6, atol=1e-7
    )
    h = normal(5, 2)
    answer = single.adjacency("mean", 0) @ h.float()
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer.double(), before @ h, rtol=1e-6, atol=1e-6)
    assert topology.to("cpu") is topology
    bare = Graph(EDGES[:, :0], 3)
    assert bare.by_target.start.device.type == "cpu"
    assert bare.to("meta").by_target.start.device.type == "meta"


@pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_topology_with_operators_is_copied_without_what_they_keep(way):
    topology, h = small(), normal(10, 2).requires_grad_()
    topology = Topology.union([topology, topology])
    size = len(pickle.dumps(topology))
    wanted = topology.adjacency("mean", 0) @ h
    wanted.sum().backward()
    topology.repeat(3).adjacency()
    copied = way(topology)
    assert torch.equal(copied.adjacency("mean", 0) @ h, wanted)
    assert torch.equal(way(topology.adjacency("mean", 0)) @ h, wanted)
    assert len(pickle.dumps(topology)) == size


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_operator_first_used_without_gradients_serves_training(mode, dtype):
    base = small()
    network = EdgeNetwork(seen=2, features=2, width=3).to(dtype)
    with mode():
        topology = base.repeat(2)
        network(normal(10, 2).to(dtype), topology, topology.adjacency("mean", 0))
        topology.adjacency("mean", 0) @ normal(10, 2).to(dtype)
    h = normal(10, 2).to(dtype).requires_grad_()
    weight = normal(12).to(dtype).requires_grad_()
    graph, adjacency = topology.graph, topology.adjacency("mean", 0)
    learned = weighted(graph.by_target, graph.by_source, weight, h)
    total = (adjacency @ h + learned + network(h, topology, adjacency)).square().sum()
    first = torch.autograd.grad(total, h, create_graph=True)[0]
    assert torch.autograd.grad(first.square().sum(), (h, weight))[1].isfinite().all()


def test_training_goes_by_the_lean_function_and_torch_func_by_the_other():
    topology = small()
    adjacency, h = topology.adjacency(), torch.ones(5, 2, requires_grad=True)
    seen = []

    def product(x):
        seen.append(type((adjacency @ x).grad_fn).__name__)
        return adjacency @ x

    (slope,) = torch.autograd.grad(product(h).pow(2).sum(), h, create_graph=True)
    assert seen == ["_EagerBackward"]
    assert slope.requires_grad
    torch.func.jacrev(product)(h.detach())
    assert seen[1].startswith("_Fixed")


def test_forward_mode_and_batches_over_a_product_that_training_recorded():
    adjacency, h = small().adjacency(), normal(5, 2).requires_grad_()
    a = adjacency @ torch.eye(5, dtype=torch.float64)
    y = adjacency @ h
    batch = normal(3, 5, 2, seed=4)
    (found,) = torch.autograd.grad(y, h, batch, is_grads_batched=True, create_graph=True)
    torch.testing.assert_close(found, torch.einsum("ji,bjk->bik", a, batch))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(batch[0], batch[1])
        (pulled,) = torch.autograd.grad(y, h, dual)
        tangent = torch.autograd.forward_ad.unpack_dual(pulled).tangent
    torch.testing.assert_close(tangent, a.T @ batch[1])


@pytest.mark.parametrize("warm", [False, True])
def test_torch_compile_gives_the_same_numbers(warm):
    """With breaks of the graph: it takes no sparse tensors."""
    topology, wanted = small(), small().adjacency("mean", 0)
    if warm:
        topology.adjacency("mean", 0) @ normal(5, 2)

    def felt(h):
        return torch.tanh(topology.adjacency("mean", 0) @ torch.tanh(h))

    h = normal(5, 2).requires_grad_()
    found = torch.compile(felt, backend="eager")(h)
    eager = torch.tanh(wanted @ torch.tanh(h))
    torch.testing.assert_close(found, eager)
    slopes = [torch.autograd.grad(y.sum(), h)[0] for y in (found, eager)]
    torch.testing.assert_close(*slopes)
    torch.testing.assert_close(topology.adjacency("mean", 0) @ h, wanted @ h)


def weighing(value, at=2):
    topology = small()
    topology.edge_attr[at, 0] = value
    return topology


@pytest.mark.parametrize("aggregation", ["mean", "symmetric", "mean_degree"])
def test_a_negative_weight_is_refused_where_a_strength_divides(aggregation):
    with pytest.raises(DataError, match=rf"Edge 2 \(1 → 2\) has the weight -0.5.*{aggregation}"):
        weighing(-0.5).adjacency(aggregation, 0)


@pytest.mark.parametrize("aggregation", ["sum", "graphon"])
def test_a_negative_weight_counts_where_no_strength_divides(aggregation):
    topology = weighing(-0.5)
    answer = topology.adjacency(aggregation, 0) @ torch.eye(5, dtype=torch.float64)
    assert float(answer[2, 1]) == (-0.5 if aggregation == "sum" else -0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_weight_that_is_no_number_is_refused_by_its_edge(aggregation, value):
    with pytest.raises(DataError, match=rf"edge 4 \(3 → 0\) is {value}; give a number"):
        weighing(value, at=4).adjacency(aggregation, 0)
    weighing(value, at=4).adjacency(aggregation, 1)


@pytest.mark.parametrize(("column", "have"), [(2, 2), (-1, 2), (0, 0)])
def test_a_column_that_is_not_there_is_refused(column, have):
    topology = small() if have else Topology(Graph(EDGES, 5))
    with pytest.raises(DataError, match=f"column {column} of edge_attr, which has {have} columns"):
        topology.adjacency("sum", column)


def test_an_aggregation_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="sum, mean, symmetric, graphon or mean_degree, got 'max'"):
        small().adjacency("max")


def test_weights_may_be_one_column_or_integers():
    for attr in (torch.arange(6), torch.arange(6.0)[:, None]):
        assert Topology(Graph(EDGES, 5), edge_attr=attr).adjacency("sum", 0).weight.sum() == 15


@pytest.mark.parametrize("length", [5, 7])
def test_edge_attributes_of_another_length_are_refused(length):
    with pytest.raises(DataError, match=f"edge_attr has {length} entries, the topology needs 6"):
        Topology(Graph(EDGES, 5), edge_attr=normal(length, 1))
