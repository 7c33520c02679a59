"""What speaks of the graph: REL, its family, the range of inputs, and the words."""

import pytest
import torch

from simlearn import ConfigError, DataError, Graph, Topology
from simlearn.analysis.significance import (
    Box,
    doubt,
    relative_spread,
    resampled,
    rewired,
    significance,
)


def uniform(rows, rng):
    return torch.rand(rows, 1, generator=rng, dtype=torch.float64)


def ring(rows):
    here = torch.arange(rows)
    edges = torch.stack([here, here.roll(1)])
    return Topology(Graph(torch.cat([edges, edges.flip(0)], dim=1), rows))


def random(rows, links, seed=0, directed=False):
    rng = torch.Generator().manual_seed(seed)
    ends = torch.randint(rows, (2, links), generator=rng)
    ends = ends[:, ends[0] != ends[1]]
    if directed:
        return Topology(Graph(ends.unique(dim=1), rows))
    ends = ends.sort(0).values.unique(dim=1)
    return Topology(Graph(torch.cat([ends, ends.flip(0)], dim=1), rows))


def by_degree(x, topology):
    """Members part as the square of the degree, and all answer with the degree."""
    degree = topology.adjacency() @ torch.ones_like(x)
    return torch.stack([degree + w * degree.square() for w in (-1.0, 0.0, 1.0)])


def degrees(topology):
    source, target = topology.graph.edge_index
    count = topology.rows
    return torch.stack([torch.bincount(end, minlength=count) for end in (source, target)])


def links(topology):
    return set(map(tuple, topology.graph.edge_index.T.tolist()))


def test_spread_is_relative_to_size_and_to_the_family():
    family = [ring(n) for n in (5, 8, 11)]
    found = relative_spread(by_degree, Topology.complete(7), family, uniform)
    assert found.spread == pytest.approx(6.0)  # sd of (-1, 0, 1) k² over k
    torch.testing.assert_close(found.family, torch.full((3,), 2.0, dtype=torch.float64))
    assert found.rel == pytest.approx(3.0)
    assert found.p == pytest.approx(0.25)
    usual = relative_spread(by_degree, ring(9), family, uniform)
    assert usual.rel == pytest.approx(1.0)
    assert usual.p == 1.0


def test_relative_spread_is_defined_where_members_agree_or_are_lost():
    def same(x, topology):
        return x.expand(3, *x.shape)

    def lost(x, topology):
        return x.expand(3, *x.shape) / (0.0 if topology.rows_each > 9 else 1.0)

    assert relative_spread(same, ring(9), [ring(5)], uniform).rel == 1.0
    assert relative_spread(lost, ring(12), [ring(5)], uniform).rel == float("inf")
    with pytest.raises(ConfigError, match="0 graphs"):
        relative_spread(same, ring(9), [], uniform)


@pytest.mark.parametrize("directed", [False, True])
def test_rewired_graphs_keep_degrees_and_forget_neighbours(directed):
    given = random(60, 240, directed=directed)
    for one in rewired(given, 3, seed=1):
        assert torch.equal(degrees(one), degrees(given))
        assert len(links(one)) == given.graph.edge_index.shape[1]  # nothing twice
        assert not (one.graph.edge_index[0] == one.graph.edge_index[1]).any()
        assert (one.graph.pairs is None) == directed
        assert len(links(one) & links(given)) < 0.35 * len(links(given))
    first, second = rewired(given, 2)
    assert links(first) != links(second)
    assert links(rewired(given, 1)[0]) == links(first)


def test_a_family_on_which_members_are_lost_speaks_for_no_graph():
    def lost(x, topology):
        return by_degree(x, topology).where(
            topology.adjacency() @ torch.ones_like(x) > 2, torch.inf
        )

    family = [ring(n) for n in (5, 8, 11)]
    assert relative_spread(lost, Topology.complete(7), family, uniform).rel == torch.inf
    assert relative_spread(lost, ring(9), family, uniform).rel == torch.inf


def test_one_member_alone_has_no_spread():
    with pytest.raises(ConfigError, match="one only"):
        relative_spread(lambda x, topology: x[None], ring(9), [ring(5)], uniform)


def test_rewired_graphs_are_drawn_evenly():
    """All graphs of degrees (1, 1, 1, 1), three pairings, come up alike."""
    given = Topology(Graph(torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]), 4))
    partners = [next(b for a, b in links(one) if a == 0) for one in rewired(given, 150)]
    for partner in (1, 2, 3):
        assert abs(partners.count(partner) - 50) < 23  # four deviations


def test_loops_weights_and_nodes_stay_where_they_are():
    edges = torch.tensor([[0, 0, 1, 2, 3, 1, 4], [0, 1, 2, 3, 4, 0, 2]])
    weight, parameter = torch.arange(7.0)[:, None], torch.arange(5.0)[:, None]
    given = Topology(Graph(edges, 5), edge_attr=weight, node_attr=parameter)
    (one,) = rewired(given, 1)
    assert (0, 0) in links(one)
    assert torch.equal(one.graph.edge_index[0], edges[0])  # an edge keeps its source and weight
    assert torch.equal(one.edge_attr, weight)
    assert torch.equal(one.node_attr, parameter)


def test_graphs_that_cannot_be_rewired_stay_as_they_are():
    for given in (Topology.complete(5), Topology.isolated(1), ring(3)):
        assert links(rewired(given, 1)[0]) == links(given)
    with pytest.raises(ConfigError, match="at least 1"):
        rewired(ring(5), 0)


def sums(x, topology):
    """Two members that see the state, and the sum or twice the sum of the neighbours'."""
    felt = topology.adjacency() @ x
    return torch.stack([torch.cat([x, k * felt], dim=-1) for k in (1, 2)])


def test_inputs_leave_the_box_by_the_state_or_by_what_is_summed():
    x = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]
    box = Box.of(sums, [(x, ring(6)), (x.flip(0), ring(6))], margin=0.0)
    assert box.exit(x, ring(6)) == 0.0
    assert box.high.tolist() == [[1.0, 1.6], [1.0, 3.2]]
    far = x.clone()
    far[2] = 1.5
    assert box.outside(far, ring(6)).tolist() == [0, 0, 1, 1, 0, 0]  # it, and who feels it
    assert box.exit(x, Topology.complete(6)) == 1.0
    assert box.outside(torch.full_like(x, torch.nan), ring(6)).tolist() == [1.0] * 6
    wider = Box.of(sums, [(x, ring(6))], margin=0.1)
    torch.testing.assert_close(wider.low[:, 0], torch.full((2,), -0.1, dtype=x.dtype))
    torch.testing.assert_close(wider.high[:, 0], torch.full((2,), 1.1, dtype=x.dtype))
    with pytest.raises(DataError, match="there is none"):
        Box.of(sums, [])


def test_a_member_that_sees_more_leaves_alone():
    box = Box(torch.zeros(2, 2), torch.tensor([[1.0, 9.0], [1.0, 3.0]]), sums)
    x = torch.full((4, 1), 0.9)
    assert box.outside(x, ring(4)).tolist() == [0.5] * 4
    assert box.exit(x, ring(4)) == 0.5


def test_doubt_says_which_kind_it_is():
    topology, draw = ring(20), resampled(torch.rand(500, 1, generator=torch.Generator()))

    def members(x, t):
        return torch.stack([w * x**3 + x for w in (-1.0, -0.3, 0.4, 1.0)])

    x = draw(20, torch.Generator().manual_seed(3))[None]
    fine = significance(members, topology, x, draw, level=0.01)
    odd = significance(members, topology, 2 * x, draw, level=0.01)
    far = relative_spread(by_degree, Topology.complete(7), [ring(5)], uniform)
    near = relative_spread(by_degree, ring(8), [ring(5)], uniform)
    outside = torch.zeros(2, 20)
    none = doubt(fine, near, outside)
    assert not none
    assert str(none).startswith("Nothing speaks against the forecast.")
    outside[1, 4] = 0.5
    every = doubt(odd, far, outside)
    assert (every.state, every.graph, every.inputs) == (True, True, 1)
    for words in ("state is unusual for this graph", "graph is unlike", "3 times", "at 1 node"):
        assert words in str(every)
    for one in (none, every, doubt()):
        assert "all members share" in one.sentences[-1]
