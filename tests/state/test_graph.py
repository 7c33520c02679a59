"""The graph: what it refuses, its pairs, and that unions carry them instead of sorting anew."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlearn.component import DataError
from simlearn.state import Graph


def edges(*pairs):
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous()


def both_ways(*pairs):
    return edges(*pairs, *[(b, a) for a, b in pairs])


def fresh(graph):
    """The same graph without any cache."""
    return Graph(graph.edge_index.clone(), graph.rows)


@st.composite
def symmetric_graphs(draw):
    rows = draw(st.integers(1, 6))
    possible = [(i, j) for i in range(rows) for j in range(i)]
    chosen = draw(st.lists(st.sampled_from(possible), max_size=8)) if possible else []
    directed = draw(st.permutations([*chosen, *[(b, a) for a, b in chosen]]))
    return Graph(edges(*directed), rows)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (torch.zeros((2, 1), dtype=torch.int32), "int32"),
        (torch.zeros((2, 1)), "float32"),
        (torch.zeros((3, 1), dtype=torch.int64), r"\[3, 1\]"),
        (torch.zeros(4, dtype=torch.int64), r"\[4\]"),
        (edges((0, 3)), "rows 0 to 3, but the graph has rows 0 to 2"),
        (edges((-1, 2)), "rows -1 to 2"),
    ],
)
def test_an_edge_index_of_another_kind_or_range_is_refused(index, said):
    with pytest.raises(DataError, match=said):
        Graph(index, 3)


def test_pairs_name_each_undirected_edge_once():
    graph = Graph(edges((2, 1), (0, 2), (1, 2), (2, 0)), 4)
    assert graph.pairs.T.tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize(
    "index",
    [
        edges((0, 1), (1, 0), (1, 2)),
        edges((0, 1), (1, 2), (2, 0)),
        edges((0, 1), (1, 0), (2, 2)),
        edges((0, 1), (0, 1), (1, 0)),
    ],
    ids=["one way", "directed ring", "self-loop", "twice there, once back"],
)
def test_a_graph_that_is_not_symmetric_has_no_pairs(index):
    assert Graph(index, 3).pairs is None


def test_an_edge_given_twice_in_both_directions_counts_twice():
    graph = Graph(both_ways((0, 1), (0, 1), (1, 2)), 3)
    assert graph.pairs.T.tolist() == [[0, 1], [0, 1], [1, 2]]


def test_a_graph_without_edges_has_no_pair_but_is_symmetric():
    assert Graph(edges(), 3).pairs.shape == (2, 0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(symmetric_graphs(), min_size=1, max_size=5))
def test_the_pairs_of_a_union_equal_a_fresh_computation(graphs):
    joined = Graph.union(graphs)
    assert "pairs" in joined.__dict__, "the union sorted anew"
    assert torch.equal(joined.pairs, fresh(joined).pairs)
    assert joined.rows == sum(g.rows for g in graphs)
    first = 0
    for graph in graphs:
        inside = (joined.edge_index >= first) & (joined.edge_index < first + graph.rows)
        assert torch.equal(
            joined.edge_index[:, inside.all(0)] - first,
            graph.edge_index,
        )
        first += graph.rows


def test_a_union_with_a_directed_graph_has_no_pairs():
    joined = Graph.union([Graph(both_ways((0, 1)), 2), Graph(edges((0, 1)), 2)])
    assert joined.pairs is None
    assert fresh(joined).pairs is None


def test_repeat_carries_the_pairs_with_offsets():
    graph = Graph(both_ways((0, 2), (1, 2)), 3)
    three = graph.repeat(3)
    assert three.pairs.T.tolist() == [[0, 2], [1, 2], [3, 5], [4, 5], [6, 8], [7, 8]]
    assert torch.equal(three.pairs, fresh(three).pairs)


def test_repeat_hands_out_the_same_object():
    graph = Graph(both_ways((0, 1)), 2)
    assert graph.repeat(4) is graph.repeat(4)
    assert graph.repeat(4) is not graph.repeat(5)


def test_to_keeps_one_copy_a_device_and_returns_itself_at_home():
    graph = Graph(edges(), 3)
    assert graph.pairs.numel() == 0
    moved = graph.to("meta")
    assert moved.edge_index.device.type == "meta"
    assert moved.pairs.device.type == "meta"
    assert graph.to("meta") is moved
    assert graph.to("cpu") is graph


def test_the_key_tells_graphs_apart_by_their_content():
    graph = Graph(edges((0, 1)), 3)
    assert fresh(graph).key == graph.key
    assert Graph(edges((1, 0)), 3).key != graph.key
    assert Graph(edges((0, 1)), 4).key != graph.key
