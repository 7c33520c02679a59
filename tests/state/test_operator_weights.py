"""Weights of edges and attributes of nodes may be learned: derivatives by them reach every sum."""

import pickle

import pytest
import torch
from torch.func import grad, jacfwd, jacrev, jvp, vmap

from simlearn.component import DataError
from simlearn.dynamics import EdgeNetwork, GraphCoupled
from simlearn.state import Graph, Topology
from simlearn.state.operator import weighted
from simlearn_networks import ErdosRenyi, HeatLaw

AGGREGATIONS = ("sum", "mean", "symmetric", "graphon", "mean_degree")
# directed, a self-edge (2), an edge that stands three times (0 → 1), nobody at 5, 4 only sends
EDGES = torch.tensor([[0, 1, 1, 2, 3, 0, 0, 4], [1, 0, 2, 2, 0, 1, 1, 3]])


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def small():
    return Topology(Graph(EDGES.clone(), 6), edge_attr=normal(8, 2).abs() + 0.1)


def dense(weight, aggregation):
    """A as a matrix that follows its weights, from the definition of each aggregation."""
    raw = weight.new_zeros(6, 6).index_put((EDGES[1], EDGES[0]), weight, accumulate=True)
    arrives, leaves = raw.sum(1), raw.sum(0)
    by = {
        "sum": torch.ones_like(raw),
        "mean": arrives[:, None].expand(6, 6),
        "symmetric": arrives[:, None] * leaves,
        "graphon": torch.full_like(raw, 6),
        "mean_degree": (arrives.sum() / 6).expand(6, 6),
    }[aggregation]
    by = torch.where(by > 0, by, 1.0)
    return raw / (by.sqrt() if aggregation == "symmetric" else by)


def sums(aggregation):
    """The product as a function of the attributes of the edges and of h, ours and by the matrix."""
    topology = small()

    def ours(attr, h):
        return topology.replace(edge_attr=attr).adjacency(aggregation, 1) @ h

    def theirs(attr, h):
        return dense(attr[:, 1], aggregation) @ h

    return ours, theirs, topology.edge_attr


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("h", [normal(6, 3), normal(6)], ids=["columns", "vector"])
def test_derivatives_by_weights_are_those_of_the_dense_matrix(aggregation, h):
    ours, theirs, attr = sums(aggregation)
    torch.testing.assert_close(ours(attr, h), theirs(attr, h))
    leaves = attr.clone().requires_grad_(), h.clone().requires_grad_()
    found, wanted = (f(*leaves) for f in (ours, theirs))
    push = torch.ones_like(h).cumsum(0)
    for one, other in zip(
        torch.autograd.grad((found * push).sum(), leaves),
        torch.autograd.grad((wanted * push).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(ours, leaves, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(ours, leaves)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("way", [jacrev, jacfwd])
def test_torch_func_sees_the_weights(aggregation, way):
    ours, theirs, attr = sums(aggregation)
    h = normal(6, 3)
    torch.testing.assert_close(way(ours)(attr, h), way(theirs)(attr, h))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(attr, torch.ones_like(attr))
        parts = [torch.autograd.forward_ad.unpack_dual(f(dual, h)).tangent for f in (ours, theirs)]
    torch.testing.assert_close(*parts)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_weights_of_zero_have_finite_derivatives(aggregation):
    attr = torch.zeros(8, 2, dtype=torch.float64).requires_grad_()
    answer = small().replace(edge_attr=attr).adjacency(aggregation, 0) @ normal(6, 2)
    assert torch.autograd.grad(answer.sum(), attr)[0].isfinite().all()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_nothing_made_from_weights_that_are_learned_is_kept(aggregation):
    """A step of an optimizer writes in place; the first look may be one without gradients."""
    attr, h = small().edge_attr.clone().requires_grad_(), normal(6, 2)
    topology = small().replace(edge_attr=attr)
    with torch.no_grad():
        assert not (topology.adjacency(aggregation, 0) @ h).requires_grad
    for _ in range(2):
        found = topology.adjacency(aggregation, 0) @ h
        torch.testing.assert_close(found, dense(attr[:, 0], aggregation) @ h)
        (slope,) = torch.autograd.grad(found.square().sum(), attr)
        assert slope[:, 0].any()
        with torch.no_grad():
            attr.add_(torch.arange(16.0).reshape(8, 2))
    assert topology.adjacency(aggregation) is topology.adjacency(aggregation), "of ones"


@pytest.mark.parametrize("name", ["edge_attr", "node_attr", "system_attr", "inputs"])
def test_copies_follow_attributes_that_are_learned(name):
    rows = {"edge_attr": 8, "system_attr": 1}.get(name, 6)
    base, value = small(), normal(rows, 2).requires_grad_()
    topology = base.replace(**{name: value})
    ways = (lambda one: one.repeat(3), lambda one: one.to("cpu", torch.float32))
    for way in ways:
        with torch.no_grad():
            way(topology)
        copy = getattr(way(topology), name)
        (slope,) = torch.autograd.grad(copy.sum(), value)
        assert slope.unique().tolist() == [len(copy) / rows]
        with torch.no_grad():
            value.add_(1)
        again = getattr(way(topology), name)[:rows]
        torch.testing.assert_close(again, value.to(again.dtype))
        assert way(base) is way(base)


def test_what_is_frozen_again_is_what_was_trained_meanwhile():
    attr, h = small().edge_attr.clone(), normal(6, 2)
    topology = small().replace(edge_attr=attr)
    ways = (
        lambda: topology.adjacency("mean", 0) @ h,
        lambda: topology.repeat(2).edge_attr,
        lambda: topology.to("cpu", torch.float32).edge_attr,
    )
    before = [way() for way in ways]
    with torch.no_grad():
        attr.mul_(torch.arange(1.0, 17.0).reshape(8, 2))
    for way, old in zip(ways, before, strict=True):
        assert not torch.equal(way(), old)
    torch.testing.assert_close(ways[0](), dense(attr[:, 0], "mean") @ h)
    torch.testing.assert_close(ways[1](), torch.cat([attr, attr]))


def test_an_operator_that_is_held_does_not_change_with_what_it_was_made_from():
    attr, h = small().edge_attr.clone(), normal(6, 2).requires_grad_()
    adjacency = small().replace(edge_attr=attr).adjacency("sum", 0)
    wanted = dense(attr[:, 0], "sum")
    found = adjacency @ h
    attr.mul_(10)
    (slope,) = torch.autograd.grad(found.sum(), h)
    torch.testing.assert_close(slope, (wanted.sum(0)[:, None]).expand(6, 2))
    torch.testing.assert_close(adjacency @ h.float(), (wanted @ h).float())


def test_what_was_first_made_under_torch_func_outlives_it():
    topology, h = small(), normal(6, 2)

    def made(h):
        copy = topology.repeat(2).to("cpu", torch.float32)
        sums = copy.adjacency("mean", 0) @ torch.cat([h, h]).float()
        return sums.double().sum() + (topology.adjacency("mean", 0) @ h).square().sum()

    first = grad(made)(h)
    jvp(made, (h,), (h,))
    for one in (topology, topology.repeat(2), topology.repeat(2).to("cpu", torch.float32)):
        kept = one.adjacency("mean", 0)
        tensors = (kept.weight, kept.forth.start, one.system, one.edge_attr, one.graph.edge_index)
        assert not any(map(torch._C._functorch.is_functorch_wrapped_tensor, tensors))
        pickle.dumps((kept, one))
    torch.testing.assert_close(grad(made)(h), first)


@pytest.mark.parametrize("name", ["node_attr", "inputs"])
def test_operators_of_fixed_weights_are_kept_beside_what_is_learned(name):
    topology = small().replace(**{name: normal(6, 1).requires_grad_()})
    for way in (lambda: topology.repeat(3), lambda: topology.to("cpu", torch.float32)):
        assert way().adjacency("mean", 0) is way().adjacency("mean", 0)
        assert getattr(way(), name).requires_grad


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_batches_of_weights(aggregation):
    ours, theirs, attr = sums(aggregation)
    many, h = attr * (1 + normal(4, 8, 2, seed=2).abs()), normal(6, 3)
    for f in (lambda f: f, jacfwd, jacrev):
        found, wanted = (vmap(f(way), (0, None))(many, h) for way in (ours, theirs))
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("wrong", [-0.5, torch.nan])
def test_weights_that_are_refused_are_refused_under_transforms(wrong):
    ours, _, attr = sums("mean")
    attr, h = attr.clone(), normal(6, 3)
    attr[2, 1] = wrong
    named = r"(?i)edge 2 \(1 → 2\)"
    for way in (jacrev(ours), lambda a, h: jvp(lambda w: ours(w, h), (a,), (a,))):
        with pytest.raises(DataError, match=named):
            way(attr, h)
    field = EdgeNetwork(width=3, features=2).double()
    learned = attr.requires_grad_()
    topology = small().replace(edge_attr=learned)
    if wrong != wrong:
        with torch.no_grad():
            learned[2, 1] = 1.0
        field(h[:, :1], topology, topology.adjacency())
        with torch.no_grad():
            learned[2, 1] = wrong
        with pytest.raises(DataError, match=named):
            field(h[:, :1], topology, topology.adjacency())


@pytest.mark.parametrize("kind", [torch.float32, torch.complex128])
def test_states_of_another_kind_than_the_weights(kind):
    ours, _, attr = sums("sum")
    leaves = attr.clone().requires_grad_(), normal(6, 3).to(kind).requires_grad_()
    if kind.is_complex:
        with torch.no_grad():
            leaves[1].mul_(1 - 2j)
        assert torch.autograd.gradcheck(ours, leaves, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(ours, leaves)
        edges = small().graph.by_target, small().graph.by_source
        both = (normal(8) + 1j * normal(8, seed=1)).requires_grad_(), leaves[1]
        assert torch.autograd.gradcheck(lambda w, h: weighted(*edges, w, h), both)
    found = ours(*leaves)
    assert found.dtype == kind
    torch.testing.assert_close(found, dense(attr[:, 1], "sum").to(kind) @ leaves[1])
    (slope,) = torch.autograd.grad(found.abs().sum(), leaves[0])
    assert slope.dtype == torch.float64
    assert slope[:, 1].all()


@pytest.mark.parametrize("warm", [False, True])
def test_a_compiler_sees_the_weights(warm):
    ours, theirs, attr = sums("mean")
    attr = attr.clone().requires_grad_()
    if warm:
        ours(attr, normal(6, 3))
    h = normal(6, 3)
    found = torch.compile(ours, backend="eager")(attr, h)
    slopes = [torch.autograd.grad(y.square().sum(), attr)[0] for y in (found, theirs(attr, h))]
    torch.testing.assert_close(*slopes)


def test_a_compiler_sees_what_was_written_to():
    attr, h = small().edge_attr.clone(), normal(6, 2)
    topology = small().replace(edge_attr=attr)
    felt = torch.compile(lambda h: topology.adjacency("mean_degree", 0) @ h, backend="eager")
    for _ in range(4):
        torch.testing.assert_close(felt(h), dense(attr[:, 0], "mean_degree") @ h)
        attr.mul_(torch.arange(1.0, 17.0).reshape(8, 2))


@pytest.mark.parametrize("pair", [None, EdgeNetwork(width=4, features=1)])
def test_a_field_on_a_graph_has_derivatives_by_the_weights(pair):
    topology = small().replace(edge_attr=normal(8, 1).abs())
    field, x = GraphCoupled(pair=pair, weight=0, aggregation="mean").double(), normal(6, 1)

    def rate(attr):
        return field(0.0, x, topology.replace(edge_attr=attr))

    attr = topology.edge_attr.clone().requires_grad_()
    assert torch.autograd.gradcheck(rate, (attr,))


def test_the_weights_of_a_network_are_found_from_its_slopes():
    """Heat on a graph of 30 nodes whose conductances nobody knows, 40 states of it."""
    graph = ErdosRenyi(30, 0.2).draw(torch.Generator().manual_seed(3)).graph
    edges = graph.edge_index.shape[1]
    truth = Topology(graph, edge_attr=0.2 + normal(edges, 1, seed=1).abs())
    law, x = HeatLaw(), normal(40, 30, 1)
    with torch.no_grad():
        slopes = torch.stack([law(0.0, one, truth) for one in x])
    weights = torch.ones(edges, 1, dtype=torch.float64, requires_grad=True)
    learned = truth.replace(edge_attr=weights)
    solver = torch.optim.LBFGS([weights], max_iter=300, tolerance_grad=1e-14, tolerance_change=0.0)

    def closure():
        solver.zero_grad()
        found = torch.stack([law(0.0, one, learned) for one in x])
        loss = (found - slopes).square().mean()
        loss.backward()
        return loss

    solver.step(closure)
    torch.testing.assert_close(weights.detach(), truth.edge_attr, rtol=1e-6, atol=1e-6)
