"""Sums over neighbours: equal to every other way of forming them, with derivatives of all kinds."""

import pytest
import torch
from torch.func import hessian, jacfwd, jacrev, jvp, vmap

from simlearn.state import Graph, Topology
from simlearn.state.operator import weighted

AGGREGATIONS = ("sum", "mean", "symmetric", "graphon", "mean_degree")
# directed, a self-edge (2), an edge that stands three times (0 → 1), nobody at 5, 4 only sends
EDGES = torch.tensor([[0, 1, 1, 2, 3, 0, 0, 4], [1, 0, 2, 2, 0, 1, 1, 3]])


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def small():
    weights = normal(EDGES.shape[1], 2).abs() + 0.1
    return Topology(Graph(EDGES.clone(), 6), edge_attr=weights)


def random(rows, edges, seed=0):
    rng = torch.Generator().manual_seed(seed)
    index = torch.randint(rows, (2, edges), generator=rng)
    return Topology(Graph(index, rows), edge_attr=normal(edges, 2, seed=seed).abs())


def systems():
    return Topology.union([small(), random(4, 9, seed=1), random(7, 30, seed=2)])


TOPOLOGIES = [
    pytest.param(small(), id="odd edges"),
    pytest.param(random(40, 300), id="random"),
    pytest.param(systems(), id="three systems"),
    pytest.param(random(5, 0), id="no edges"),
    pytest.param(random(1, 3), id="one row"),
]
COLUMNS = pytest.mark.parametrize("column", [None, 0, 1])


def dense(topology, aggregation="sum", column=None):
    """A as a matrix, edge by edge, from the definition of each aggregation."""
    raw = torch.zeros(topology.rows, topology.rows, dtype=torch.float64)
    for edge, (source, target) in enumerate(topology.graph.edge_index.T.tolist()):
        raw[target, source] += 1.0 if column is None else topology.edge_attr[edge, column]
    arrives, leaves = raw.sum(1), raw.sum(0)
    same = topology.system[:, None] == topology.system
    rows = same.double().sum(1)
    by = {
        "sum": torch.ones_like(raw),
        "mean": arrives[:, None].expand_as(raw),
        "symmetric": (arrives[:, None] * leaves).sqrt(),
        "graphon": rows[:, None].expand_as(raw),
        "mean_degree": (same.double() @ arrives / rows)[:, None].expand_as(raw),
    }[aggregation]
    return torch.where(raw != 0, raw / by, 0.0)


def close(found, wanted):
    limit = 1e-12 if found.dtype == torch.float64 else 1e-6
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted.double(), rtol=limit, atol=limit)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@COLUMNS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_product_is_that_of_the_dense_matrix(topology, aggregation, column, dtype):
    adjacency = topology.adjacency(aggregation, column)
    matrix = dense(topology, aggregation, column)
    for h in (normal(topology.rows, 3).to(dtype), normal(topology.rows, 0).to(dtype)):
        close(adjacency @ h, matrix @ h.double())
    h = normal(topology.rows, 6).to(dtype)[:, ::2]
    close(adjacency @ h, matrix @ h.double())
    close(adjacency @ h[:, 0], matrix @ h[:, 0].double())


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@COLUMNS
def test_the_product_is_that_of_coo_and_of_index_add(topology, aggregation, column):
    adjacency, h = topology.adjacency(aggregation, column), normal(topology.rows, 3)
    source, target = topology.graph.edge_index
    size = (topology.rows, topology.rows)
    coo = torch.sparse_coo_tensor(
        torch.stack([target, source]), adjacency.weight, size, check_invariants=False
    )
    close(adjacency @ h, coo @ h)
    felt = adjacency.weight[:, None] * h[source]
    close(adjacency @ h, torch.zeros_like(h).index_add(0, target, felt))


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize(("aggregation", "named"), [("sum", "sum"), ("mean", "mean")])
def test_the_product_is_that_of_message_passing(topology, aggregation, named):
    nn = pytest.importorskip("torch_geometric.nn")

    class Passing(nn.MessagePassing):
        def __init__(self):
            super().__init__(aggr=named)

        def forward(self, h):
            return self.propagate(topology.graph.edge_index, h=h)

        def message(self, h_j):
            return h_j

    h = normal(topology.rows, 3)
    close(topology.adjacency(aggregation) @ h, Passing()(h))


def test_weighted_message_passing_gives_the_same_sum_and_gradient():
    nn = pytest.importorskip("torch_geometric.nn")
    topology = random(40, 300)

    class Weighing(nn.MessagePassing):
        def forward(self, h, weight):
            return self.propagate(topology.graph.edge_index, h=h, weight=weight)

        def message(self, h_j, weight):
            return weight[:, None] * h_j

    h, push = normal(40, 3).requires_grad_(), normal(40, 3, seed=1)
    ours, theirs = topology.adjacency("sum", 1) @ h, Weighing()(h, topology.edge_attr[:, 1])
    close(ours, theirs)
    found, wanted = (torch.autograd.grad((y * push).sum(), h)[0] for y in (ours, theirs))
    close(found, wanted)


def test_an_edge_that_stands_three_times_counts_three_times():
    answer = small().adjacency() @ torch.eye(6, dtype=torch.float64)
    assert answer[1].tolist() == [3, 0, 0, 0, 0, 0]
    assert answer[2].tolist() == [0, 1, 1, 0, 0, 0], "the self-edge counts"


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_row_that_nobody_reaches_gets_zero_even_of_nan(aggregation):
    topology = small()
    h = torch.full((6, 2), torch.nan, dtype=torch.float64)
    assert (topology.adjacency(aggregation) @ h)[4:].tolist() == [[0, 0], [0, 0]]
    nothing = Topology(Graph(torch.zeros((2, 0), dtype=torch.int64), 0))
    assert (nothing.adjacency(aggregation) @ h[:0]).shape == (0, 2)


def test_weights_of_zero_leave_nothing_to_divide_by():
    topology = small().replace(edge_attr=torch.zeros(8, 1, dtype=torch.float64))
    for aggregation in AGGREGATIONS:
        assert not (topology.adjacency(aggregation, 0) @ normal(6, 2)).any()


def fixed(aggregation="mean", column=0):
    topology = small()
    adjacency, matrix = (
        topology.adjacency(aggregation, column),
        dense(topology, aggregation, column),
    )
    return (lambda h: adjacency @ h), (lambda h: matrix @ h), (normal(6, 2),)


def learned():
    graph = small().graph
    source, target = graph.edge_index

    def plain(weight, h):
        return torch.zeros_like(h).index_add(0, target, weight[:, None] * h[source])

    def ours(weight, h):
        return weighted(graph.by_target, graph.by_source, weight, h)

    return ours, plain, (normal(8), normal(6, 2))


BOTH = pytest.mark.parametrize("case", [fixed, learned])


@BOTH
def test_derivatives_of_first_and_second_order_by_differences(case):
    ours, _, given = case()
    leaves = tuple(one.clone().requires_grad_() for one in given)
    batched = case is fixed  # gradcheck batches dual numbers of its own, not those of torch.func
    assert torch.autograd.gradcheck(
        ours,
        leaves,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=batched,
    )
    assert torch.autograd.gradgradcheck(lambda *a: ours(*a) ** 2, leaves, check_fwd_over_rev=True)


@BOTH
@pytest.mark.parametrize("way", [jacrev, jacfwd])
def test_jacobians_and_batches_of_them(case, way):
    ours, plain, given = case()
    at = tuple(range(len(given)))
    many = tuple(normal(3, *one.shape, seed=7) for one in given)
    for found, wanted in zip(way(ours, at)(*given), way(plain, at)(*given), strict=True):
        close(found, wanted)
    pairs = zip(vmap(way(ours, at))(*many), vmap(way(plain, at))(*many), strict=True)
    for found, wanted in pairs:
        close(found, wanted)


@BOTH
def test_directional_derivatives_and_hessians(case):
    ours, plain, given = case()
    along = tuple(normal(*one.shape, seed=9) for one in given)
    for found, wanted in zip(jvp(ours, given, along), jvp(plain, given, along), strict=True):
        close(found, wanted)
    at = tuple(range(len(given)))
    found, wanted = (hessian(lambda *a, f=f: (f(*a) ** 3).sum(), at)(*given) for f in (ours, plain))
    for one, other in zip(sum(found, ()), sum(wanted, ()), strict=True):
        close(one, other)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_batches_along_any_dimension(dim):
    ours, plain, _ = fixed()
    many = normal(4, 6, 2).movedim(0, dim)
    close(vmap(ours, in_dims=dim, out_dims=dim)(many), vmap(plain, in_dims=dim, out_dims=dim)(many))
    twice = normal(4, 3, 6, 2)
    close(vmap(vmap(ours))(twice), vmap(vmap(plain))(twice))


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (1, 2), (None, 1), (1, 0)])
def test_batches_of_weights_and_of_states(dims):
    ours, plain, given = learned()
    many = [
        one if dim is None else normal(4, *one.shape, seed=3).movedim(0, dim)
        for one, dim in zip(given, dims, strict=True)
    ]
    close(vmap(ours, in_dims=dims)(*many), vmap(plain, in_dims=dims)(*many))
