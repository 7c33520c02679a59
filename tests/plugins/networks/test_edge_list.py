"""Graphs from files: what is read, and what is refused and how."""

import json

import networkx
import pytest
import torch

from simlearn import DataError
from simlearn_networks import EdgeList, Heat


@pytest.fixture
def written(tmp_path):
    def write(text, name="g.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def drawn(path, **arguments):
    return EdgeList(path, **arguments).draw(torch.Generator())


def edges(topology):
    return list(map(tuple, topology.graph.edge_index.T.tolist()))


BOTH = [(0, 1), (1, 0), (1, 2), (2, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "0,1\n1,2\n",
        "source,target\n0,1\n1,2\n",
        "From;To\n0;1\n1;2",
        "# a comment\n% another\n0\t1\n\n1\t2\n",
        "  0   1\n1 2  \n",
        "\ufeffnode_from,node_to\n0,1\n1,2\n",
        '"0","1"\n"1","2"\n',
        "7,10\n10,30\n",
        "2,1\n1,0\n",
    ],
)
def test_separators_headers_comments_and_the_order_of_numbers(text, written):
    topology = drawn(written(text))
    assert edges(topology) == BOTH
    assert topology.rows == 3
    assert topology.edge_attr is None
    assert topology.node_names == ()


@pytest.mark.parametrize("head", ["", "source,target,weight\n", "a,b,strength\n"])
def test_weights(head, written):
    path = written(head + "0,1,0.5\n2,1,-2e1\n")
    topology = drawn(path)
    assert edges(topology) == BOTH
    assert topology.edge_attr[:, 0].tolist() == [0.5, 0.5, -20, -20]
    assert drawn(path, weighted=False).edge_attr is None
    directed = drawn(path, directed=True)
    assert edges(directed) == [(0, 1), (2, 1)]


def test_names_stay_in_the_order_of_their_appearance(written):
    topology = drawn(written("from,to\nZoe,Ann\nAnn,Bob\n"))
    assert topology.node_names == ("Zoe", "Ann", "Bob")
    assert topology.node_type.tolist() == [0, 1, 2]
    assert edges(topology) == BOTH


def test_edges_to_oneself_are_kept_only_when_asked(written):
    path = written("0,1\n1,1\n2,2\n")
    alone = drawn(path)
    assert edges(alone) == [(0, 1), (1, 0)]
    assert alone.rows == 3, "a node is there though its only edge is left out"
    assert edges(drawn(path, self_edges=True)) == [(0, 1), (1, 0), (1, 1), (2, 2)]


def test_duplicates_are_refused_with_their_lines_or_summed(written):
    path = written("# twice\n0,1,2\n1,2,3\n1,0,5\n2,1,1\n")
    wanted = (
        r"g.csv: the edge 0 - 1 stands there 2 times \(line 2, line 4\), and 1 other edges more "
        r"than once. Remove all but one, or say duplicates: sum .*, or directed: true"
    )
    with pytest.raises(DataError, match=wanted):
        drawn(path)
    summed = drawn(path, duplicates="sum")
    assert edges(summed) == BOTH
    assert summed.edge_attr[:, 0].tolist() == [7, 7, 4, 4]
    assert len(edges(drawn(path, directed=True))) == 4
    with pytest.raises(DataError, match="Remove all but one, or say duplicates: sum to add their"):
        drawn(written("a b\na b\n"), directed=True)


def test_duplicates_without_weights_are_counted(written):
    summed = drawn(written("a b\nb c\na b\n"), directed=True, duplicates="sum")
    assert edges(summed) == [(0, 1), (1, 2)]
    assert summed.edge_attr[:, 0].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no edge. Write two nodes a line"),
        ("# nothing\n", "holds no edge"),
        ("source,target\n", "holds no edge"),
        ("0,1\n2\n", "line 2: an edge is two nodes, or two and a weight, got 2"),
        ("0,1,1\n1,2\n", "line 2: an edge is two nodes and a weight, got 1, 2"),
        ("0,1,1\n1,2,x\n", "line 2: a weight is a finite number, got x"),
        ("0,1,1\n1,2,inf\n", "line 2: a weight is a finite number, got inf"),
        ("0,1,1\n1,2,\n", "line 2: a weight is a finite number, got"),
        ("0,\n", "line 1: an edge is two nodes, or two and a weight, got 0"),
        ("0,1,2,3\n", "line 1: an edge is two nodes, or two and a weight, got 0, 1, 2, 3"),
    ],
)
def test_bad_lines_are_named(text, message, written):
    with pytest.raises(DataError, match=message):
        drawn(written(text))


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(DataError, match=r"There is no graph .*none.csv"):
        drawn(str(tmp_path / "none.csv"))
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no UTF-8 text"):
        drawn(str(tmp_path / "bytes.csv"))


def small(directed, weights=True):
    graph = networkx.DiGraph() if directed else networkx.Graph()
    graph.add_nodes_from(["c", "a", "b", "lonely"])
    graph.add_edge("a", "b", **({"weight": 2.5} if weights else {}))
    graph.add_edge("b", "c", **({"weight": 1} if weights else {}))
    return graph


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("kind", ["graphml", "edges.json", "links.json"])
def test_graphml_and_node_link_json(kind, directed, tmp_path):
    graph, path = small(directed), tmp_path / f"g.{kind}"
    if kind == "graphml":
        networkx.write_graphml(graph, path)
    else:
        told = networkx.node_link_data(graph, edges=kind.split(".")[0])
        path.write_text(json.dumps(told))
    topology = drawn(str(path))
    assert topology.node_names == ("c", "a", "b", "lonely")
    wanted = [(1, 2), (2, 0)] if directed else [(0, 2), (1, 2), (2, 0), (2, 1)]
    assert edges(topology) == wanted
    weights = dict(zip(edges(topology), topology.edge_attr[:, 0].tolist(), strict=True))
    assert (weights[1, 2], weights[2, 0]) == (2.5, 1)


def test_json_that_is_no_graph(written):
    for text in ("{", "[]", '{"nodes": []}', '{"nodes": [{"id": 1}], "edges": [{"source": 1}]}'):
        with pytest.raises(DataError, match="is no node-link JSON"):
            drawn(written(text, "g.json"))
    text = '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}'
    with pytest.raises(DataError, match=r"edge 1: 1 - 2 ends at 2, which is no node"):
        drawn(written(text, "g.json"))
    with pytest.raises(DataError, match="holds no node"):
        drawn(written('{"nodes": [], "edges": []}', "g.json"))


def test_some_weights_are_no_weights(tmp_path):
    graph = small(False)
    del graph.edges["a", "b"]["weight"]
    path = tmp_path / "g.graphml"
    networkx.write_graphml(graph, path)
    with pytest.raises(DataError, match="has no weight, others have one"):
        drawn(str(path))
    path.write_text("<graphml")
    with pytest.raises(DataError, match="is no GraphML that can be read"):
        drawn(str(path))


def test_the_karate_club_comes_along():
    (family,) = EdgeList.examples()
    topology = family.draw(torch.Generator())
    assert topology.rows == 34
    assert topology.graph.edge_index.shape[1] == 2 * 78
    x, carried = Heat(family).start(torch.Generator().manual_seed(0))
    assert x.shape == (34, 1)
    assert carried.graph.key == topology.graph.key
