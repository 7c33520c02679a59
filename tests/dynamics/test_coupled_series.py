"""Splines and series on graphs: against scipy's splines, plain sums and automatic derivatives."""

import pytest
import torch
from scipy.interpolate import BSpline
from torch.func import jacrev, vmap

from simlearn import Graph, Topology
from simlearn.component import ConfigError, DataError
from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.dynamics.splinebasis import SplineBasis


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def network(rows=12, edges=40, seed=0):
    rng = torch.Generator().manual_seed(seed)
    index = torch.randint(rows, (2, edges), generator=rng)
    weight = torch.rand(edges, 1, generator=rng, dtype=torch.float64)
    nodes = normal(rows, 3, seed=seed + 7)
    return Topology(Graph(index, rows), edge_attr=weight, node_attr=nodes)


def random(dim, own, pair, **arguments):
    """A series with random coefficients and the range of normal samples."""
    field = CoupledSeries(dim, own, pair, **arguments).requires_grad_(False)
    field.measure(3 * normal(200, dim, seed=1), normal(20, 3, seed=4))
    field.coefficients.copy_(normal(*field.coefficients.shape, seed=2))
    return field


@pytest.mark.parametrize("count", [4, 5, 12])
def test_splines_are_those_of_scipy(count):
    basis, x = SplineBasis(1, count), 5 * normal(300, 1)
    basis.measure(x)
    found = basis.values(x)[:, 2:]
    cells, gap, first = count - 3, float(basis.gap), float(basis.start)
    knots = first + gap * torch.arange(-3, cells + 4, dtype=torch.float64)
    u = (x[:, 0] / basis.unit).asinh().clamp(first, first + cells * gap)
    for k in range(count):
        weights = torch.zeros(count, dtype=torch.float64)
        weights[k] = 1.0
        wanted = torch.from_numpy(BSpline(knots.numpy(), weights.numpy(), 3)(u.numpy()))
        torch.testing.assert_close(found[:, k], wanted, rtol=0, atol=1e-12)
    assert (found.sum(1) - 1).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("dim", "angles", "products"),
    [(1, (), False), (2, (), True), (1, (0,), False), (3, (1,), True), (2, (0, 1), True)],
)
def test_derivatives_of_the_functions_are_those_of_autograd(dim, angles, products):
    basis = SplineBasis(dim, 6, angles, products)
    basis.measure(normal(100, dim))
    x = torch.cat([0.9 * normal(20, dim, seed=1), 50 + normal(4, dim), -50 + normal(4, dim)])
    values, gradient = basis.jet(x)
    assert values.shape == (28, basis.size)
    torch.testing.assert_close(values, basis.values(x))
    each = vmap(jacrev(lambda row: basis.values(row[None])[0]))(x)
    torch.testing.assert_close(gradient, each, rtol=0, atol=1e-12)


def test_an_angle_counts_up_to_whole_turns_and_has_no_range():
    field, topology = random(2, 4, 4, angles=[0], node=[1]), network()
    x = normal(12, 2)
    turned = x + torch.tensor([[20 * torch.pi, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(field(0.0, x, topology), field(0.0, turned, topology))
    assert not field.outside(turned, topology).any()


def test_parameters_of_nodes_multiply_what_the_node_feels():
    field, topology = random(1, 0, 0, node=[2]), network()
    x = 0.1 * normal(12, 1)
    found = field(0.0, x, topology)
    more = topology.replace(node_attr=topology.node_attr * torch.tensor([5.0, 7.0, 1.0]))
    torch.testing.assert_close(field(0.0, x, more), found)
    none = topology.replace(node_attr=0 * topology.node_attr)
    twice = topology.replace(node_attr=2 * topology.node_attr)
    still = field(0.0, x, none)
    torch.testing.assert_close(field(0.0, x, twice) - still, 2 * (found - still))
    with pytest.raises(DataError, match=r"columns \[2\] of node_attr"):
        field(0.0, x, topology.replace(node_attr=None))


@pytest.mark.parametrize("dim", [1, 2])
def test_slopes_of_splines_vanish_outside(dim):
    basis = SplineBasis(dim, 6)
    basis.measure(normal(100, dim))
    x = torch.cat([0.9 * normal(20, dim, seed=1), 50 + normal(4, dim), -50 + normal(4, dim)])
    assert basis.jet(x)[1][20:].abs().max() == 0


@pytest.mark.parametrize(("dim", "own", "pair"), [(1, 10, 5), (1, 4, 0), (2, 4, 4), (3, 0, 0)])
def test_the_series_is_its_columns_and_the_sum_over_edges(dim, own, pair):
    field, topology = random(dim, own, pair, weight=0), network()
    low, high = field.self_basis.low, field.self_basis.high
    x = (3 * normal(12, dim, seed=3)).maximum(low).minimum(high)
    found = field(0.0, x, topology)
    torch.testing.assert_close(found, field.columns(x, topology) @ field.coefficients)
    size = field.self_basis.size
    wanted = field.self_basis.values(x) @ field.coefficients[:size]
    product = field.coefficients[size:].reshape(field.pair_basis.size, -1, dim)
    p = field.pair_basis.values(x)
    for (source, target), weight in zip(
        topology.graph.edge_index.T.tolist(), topology.edge_attr[:, 0].tolist(), strict=True
    ):
        wanted[target] += weight * torch.einsum("a,abm,b->m", p[target], product, p[source])
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("dim", "own", "pair", "more"),
    [
        (1, 10, 5, {}),
        (2, 4, 4, {}),
        (1, 4, 4, {"node": [0, 2]}),
        (2, 4, 0, {"angles": [0], "node": [1]}),
    ],
)
def test_the_tangent_is_the_jacobian_inside_and_outside_of_the_range(dim, own, pair, more):
    field, topology, rows = random(dim, own, pair, weight=0, **more), network(), 12
    x = 10 * normal(rows, dim, seed=3)
    assert field.outside(x, topology).any()
    assert not field.outside(x, topology).all()
    whole = jacrev(lambda state: field(0.0, state, topology))(x).permute(0, 2, 1, 3)
    diagonal, edges = field.tangent(x, topology)
    built = torch.zeros(rows, rows, dim, dim, dtype=torch.float64)
    built[torch.arange(rows), torch.arange(rows)] = diagonal
    source, target = topology.graph.edge_index
    built.index_put_((target, source), edges, accumulate=True)
    torch.testing.assert_close(built, whole, rtol=1e-10, atol=1e-10)


def test_far_outside_nothing_pushes_outward_by_more_than_a_bound():
    field, topology = random(1, 10, 5), network()
    for sign in (-1.0, 1.0):
        slopes = [
            sign * field(0.0, torch.full((12, 1), sign * far, dtype=torch.float64), topology)
            for far in (1e2, 1e4, 1e8)
        ]
        bound = slopes[0].clamp_min(0).max() + 1e-9
        assert all(float(one.max()) <= bound for one in slopes)


def test_a_restoring_self_term_goes_on_along_its_tangent():
    field = CoupledSeries(1, own=0, pair=0).requires_grad_(False)
    field.measure(torch.linspace(0, 4, 50, dtype=torch.float64)[:, None])
    field.coefficients[1] = -4.0  # −x, as the function is x/4
    x = torch.tensor([[-3.0], [2.0], [9.0]], dtype=torch.float64)
    found = field(0.0, x, Topology.isolated(3))
    torch.testing.assert_close(found, -x)
    field.coefficients[1] = 4.0
    found = field(0.0, x, Topology.isolated(3))
    torch.testing.assert_close(found, x.clamp(0.0, 4.0))


@pytest.mark.parametrize("sizes", [{"own": 3}, {"pair": 1}, {"own": -4}])
def test_too_few_splines_are_refused(sizes):
    with pytest.raises(ConfigError, match="0 or at least 4"):
        CoupledSeries(**sizes)


def test_parameters_of_nodes_that_are_not_numbers_are_refused():
    field, topology = random(1, 4, 0, node=[1]), network()
    broken = topology.node_attr.clone()
    broken[3, 1] = torch.nan
    with pytest.raises(DataError, match="node_attr"):
        field(0.0, normal(12, 1), topology.replace(node_attr=broken))
