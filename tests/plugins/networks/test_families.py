"""Sizes and degrees of graph families; one generator state, one graph."""

import networkx
import numpy as np
import pytest
import torch

from simlearn import ConfigError
from simlearn.component import Component, build, describe
from simlearn_networks import (
    BarabasiAlbert,
    EdgeList,
    ErdosRenyi,
    GraphFamily,
    Grid8,
    NewmanWattsStrogatz,
    RandomGeometric,
    RandomPartition,
    bernoulli,
)

FAMILIES = [
    Grid8(6),
    ErdosRenyi(40, 0.15),
    ErdosRenyi(40, 0.15, directed=True),
    BarabasiAlbert(40, 3),
    NewmanWattsStrogatz(40, 5, 0.5),
    RandomPartition([12, 10, 8], 0.5, 0.05),
    RandomGeometric(40, 0.25),
    *EdgeList.examples(),
]
ALL = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)


def to_networkx(topology, directed=False):
    graph = networkx.DiGraph() if directed else networkx.Graph()
    graph.add_nodes_from(range(topology.rows))
    graph.add_edges_from(topology.graph.edge_index.T.tolist())
    return graph


def degrees(topology):
    return np.bincount(topology.graph.edge_index[1].numpy(), minlength=topology.rows)


@ALL
def test_a_graph_is_its_generator_state(family, rng):
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    one, again, other = (family.draw(rng(seed)) for seed in (3, 3, 4))
    assert one.graph.key == again.graph.key
    random = not isinstance(family, Grid8 | EdgeList)
    assert (one.graph.key != other.graph.key) == random
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


@ALL
def test_edges_are_sorted_and_stand_once_in_both_directions(family, rng):
    graph = family.draw(rng()).graph
    source, target = graph.edge_index
    key = source * graph.rows + target
    assert (key.diff() > 0).all()
    assert (source != target).all()
    assert (graph.pairs is None) == getattr(family, "directed", False)


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if hasattr(f, "weights")], ids=lambda f: type(f).__name__
)
def test_weights_are_uniform_and_one_for_both_directions(family, rng):
    arguments = describe(family)["init_args"]
    weighed = type(family)(**{**arguments, "weights": [0.5, 2.0]})
    topology, bare = weighed.draw(rng()), family.draw(rng())
    assert topology.graph.key == bare.graph.key
    assert bare.edge_attr is None
    weight = topology.edge_attr
    assert weight.shape == (topology.graph.edge_index.shape[1], 1)
    assert 0.5 <= weight.min() < 0.8
    assert 1.7 < weight.max() < 2
    dense = torch.zeros(topology.rows, topology.rows, dtype=torch.float64)
    dense[tuple(topology.graph.edge_index)] = weight[:, 0]
    assert torch.equal(dense, dense.T) != getattr(family, "directed", False)


@ALL
def test_a_family_is_a_component(family):
    told = describe(family)
    paths = {told["class_path"]: type(family)}
    assert describe(build(told, paths.__getitem__)) == told
    assert issubclass(GraphFamily, Component)


@pytest.mark.parametrize(
    ("family", "nodes", "links", "within"),
    [
        (Grid8(20), 400, 1482, 0),
        (ErdosRenyi(400, 0.1), 400, 7980, 340),
        (BarabasiAlbert(400, 5), 400, 1975, 0),
        (NewmanWattsStrogatz(400, 5, 0.5), 400, 1200, 80),
        (RandomPartition([133, 133, 100, 34], 0.25, 0.01), 400, 6334, 300),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, GraphFamily) else "",
)
def test_sizes_of_the_protocol_of_ndcn(family, nodes, links, within, rng):
    """Mean links: p n(n−1)/2; m (n−m); n k/2 (1 + p), k even; blocks. Within four deviations."""
    for seed in range(3):
        topology = family.draw(rng(seed))
        assert topology.rows == nodes
        assert abs(topology.graph.edge_index.shape[1] / 2 - links) <= within


def test_the_grid_is_that_of_networkx(rng):
    topology = Grid8(7).draw(rng())
    wanted = networkx.strong_product(networkx.path_graph(7), networkx.path_graph(7))
    wanted = networkx.relabel_nodes(wanted, {(a, b): 7 * a + b for a, b in wanted})
    assert {frozenset(e) for e in wanted.edges} == {
        frozenset(e) for e in to_networkx(topology).edges
    }
    counted = dict(zip(*np.unique(degrees(topology), return_counts=True), strict=True))
    assert counted == {3: 4, 5: 20, 8: 25}


@pytest.mark.parametrize("directed", [False, True])
def test_degrees_of_independent_links_are_binomial(directed, rng):
    """Chi-square of the degrees against their mean and variance n p, n p (1 − p)."""
    n, p = 3000, 0.004
    degree = degrees(ErdosRenyi(n, p, directed).draw(rng(1)))
    assert degree.mean() == pytest.approx((n - 1) * p, rel=0.03)
    assert degree.var() == pytest.approx((n - 1) * p * (1 - p), rel=0.1)


@pytest.mark.parametrize("p", [0.0, 1e-300, 1e-12, 0.3, 1.0])
def test_extreme_probabilities(p, rng):
    for directed in (False, True):
        edges = ErdosRenyi(30, p, directed).draw(rng()).graph.edge_index.shape[1]
        assert edges == {0.0: 0, 1.0: 870, 1e-300: 0, 1e-12: 0}.get(p, edges)


def test_every_pair_is_as_likely():
    """All 45 pairs of ten nodes, 4000 graphs: chi-square with 44 degrees of freedom."""
    numbers, count = np.random.default_rng(2), np.zeros((10, 10))
    for _ in range(4000):
        count[tuple(bernoulli.within(numbers, 10, 0.2))] += 1
    found = count[np.triu_indices(10, 1)]
    assert ((found - 800) ** 2 / (800 * 0.8)).sum() < 80
    assert count.sum() == found.sum()


def test_numbers_of_pairs_are_exact_where_roots_are_rounded():
    last = np.array([j * (j - 1) // 2 for j in (2, 10**6, 94906267, 10**9)])
    number = np.concatenate([last, last + 1, last - 1])
    smaller, larger = bernoulli.pair_of(number)
    assert (larger * (larger - 1) // 2 + smaller == number).all()
    assert ((smaller >= 0) & (smaller < larger)).all()


def test_preferential_attachment_has_hubs(rng):
    """The share of nodes of degree k is 2 m (m + 1)/(k (k + 1)(k + 2)) (Bollobás et al. 2001)."""
    m, degree = 3, degrees(BarabasiAlbert(20000, 3).draw(rng()))
    for k in (3, 4, 5, 8):
        wanted = 2 * m * (m + 1) / (k * (k + 1) * (k + 2))
        assert (degree == k).mean() == pytest.approx(wanted, rel=0.07)
    assert degree.max() > 200
    assert degree.min() == m


def test_a_small_world_keeps_its_ring(rng):
    topology = NewmanWattsStrogatz(60, 4, 0.3).draw(rng())
    ring = networkx.circulant_graph(60, [1, 2])
    graph = to_networkx(topology)
    assert set(map(frozenset, ring.edges)) <= set(map(frozenset, graph.edges))
    short, far = (networkx.average_shortest_path_length(g) for g in (graph, ring))
    assert short < far / 2


def test_a_small_world_without_room_for_shortcuts_is_complete(rng):
    topology = NewmanWattsStrogatz(5, 4, 1.0).draw(rng())
    assert topology.graph.edge_index.shape[1] == 20


def test_groups_keep_to_themselves(rng):
    topology = RandomPartition([200, 300], 0.2, 0.01).draw(rng())
    group = (torch.arange(500) >= 200).long()
    source, target = topology.graph.edge_index
    across = (group[source] != group[target]).sum().item() / (2 * 200 * 300)
    first = ((group[source] == 0) & (group[target] == 0)).sum().item() / (200 * 199)
    assert across == pytest.approx(0.01, rel=0.2)
    assert first == pytest.approx(0.2, rel=0.05)


def test_near_points_are_joined(rng):
    """In the plane without edges the mean degree is n π r²; the rim takes about 8 r/3π of it."""
    n, r = 4000, 0.05
    degree = degrees(RandomGeometric(n, r).draw(rng()))
    inside = n * np.pi * r * r
    assert degree.mean() == pytest.approx(inside * (1 - 8 * r / (3 * np.pi)), rel=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid8(0), "side must be at least 1, got 0"),
        (lambda: ErdosRenyi(10, 1.5), "p must be from 0 to 1, got 1.5"),
        (lambda: ErdosRenyi(10, float("nan")), "p must be from 0 to 1, got nan"),
        (lambda: ErdosRenyi(10, 0.1, weights=[2, 1]), r"weights must be \[low, high\].*got \[2, 1"),
        (lambda: BarabasiAlbert(5, 5), "nodes must be above m, got 5 nodes and m = 5"),
        (lambda: NewmanWattsStrogatz(4, 4), "nodes must be above k"),
        (lambda: NewmanWattsStrogatz(9, 1), "k must be at least 2"),
        (lambda: RandomPartition([3, 0]), r"sizes must be the nodes of each group.*got \[3, 0\]"),
        (lambda: RandomPartition([]), "sizes must be"),
        (lambda: RandomGeometric(10, 0.0), "radius must be positive"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_large_sparse_graph_is_drawn_edge_by_edge(rng):
    """10^10 pairs, a million directed edges."""
    topology = ErdosRenyi(100_000, 1e-4).draw(rng())
    assert topology.graph.edge_index.shape[1] / 2 == pytest.approx(5e5, rel=0.01)
