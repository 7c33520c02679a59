"""Graph files of a forecast: who is connected to whom, and what is refused."""

import json

import networkx
import pytest
import torch

from simlearn import DataError, EnvironmentFault
from simlearn.data.importing import memory
from simlearn.data.importing.graphs import read_edges
from simlearn.forecasting.networks import network
from simlearn.forecasting.numbered import numbered


def pairs(found):
    return sorted(map(tuple, found.topology.graph.edge_index.T.tolist()))


BOTH = [(0, 1), (1, 0), (1, 2), (2, 1)]


@pytest.mark.parametrize(
    "text",
    ["0,1\n1,2\n", "0 1\n1 2\n", "source;target\n0;1\n1;2\n", "# a comment\n0\t1\n\n1\t2\n",
     "% of another program\n0 1\n1 2\n"],
)  # fmt: skip
def test_an_edge_list_is_read_however_it_is_written(put, text):
    found = network(put("g.txt", text))
    assert pairs(found) == BOTH
    assert found.topology.rows == 3
    assert found.topology.node_names == ()


def test_a_direction_is_kept(put):
    assert pairs(network(put("g.csv", "0,1\n1,2\n"), directed=True)) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("directed", [False, True])
def test_the_fast_reader_agrees_with_the_patient_one(put, directed):
    rng = torch.Generator().manual_seed(0)
    ends = torch.triu_indices(40, 40)[:, torch.randperm(820, generator=rng)[:200]].T.tolist()
    text = "".join(f"{a},{b},{a * b / 7},{a}\n" for a, b in ends)
    path = put("g.csv", "from,to,weight,age\n" + text)
    fast, patient = numbered(path, directed), read_edges(path, directed)
    assert fast is not None
    assert fast[0].T.tolist() == [[int(a), int(b)] for a, b in patient.pairs]
    assert torch.equal(fast[1], patient.weights)


def test_weights_follow_their_edges(put):
    found = network(put("g.csv", "source,target,w\n0,1,2.5\n2,1,-1\n"))
    source, target = found.topology.graph.edge_index
    ends = zip(source.tolist(), target.tolist(), strict=True)
    held = dict(zip(ends, found.topology.edge_attr[:, 0].tolist(), strict=True))
    assert held == {(0, 1): 2.5, (1, 0): 2.5, (2, 1): -1.0, (1, 2): -1.0}


def test_numbers_that_are_no_rows_stay_names_without_a_start(put):
    found = network(put("g.csv", "10,20\n20,5\n"))
    assert list(found.labels) == ["5", "10", "20"]
    assert pairs(found) == [(0, 2), (1, 2), (2, 0), (2, 1)]
    assert found.topology.node_names == ("5", "10", "20")


def test_nodes_of_a_start_decide_the_rows(put):
    """By name, in the order of the start; a node without an edge is isolated, and told."""
    for text in ("c,a\n", "30,10\n"):
        names = ["a", "b", "c"] if "a" in text else ["10", "20", "30"]
        found = network(put("g.csv", text), names=names)
        assert pairs(found) == [(0, 2), (2, 0)]
        assert "1 of 3 nodes has no edge" in found.notes[0]
    found = network(put("g.csv", "0,1\n"), rows=4)
    assert found.topology.rows == 4
    assert "2 of 4 nodes have no edge" in found.notes[0]


def test_self_edges_are_kept_and_told(put):
    found = network(put("g.csv", "0,0\n0,1\n"))
    assert pairs(found) == [(0, 0), (0, 1), (1, 0)]
    assert "1 edge leads from a node to itself; they are kept" in found.notes[0]


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("kind", ["graphml", "json"])
def test_graphml_and_json_say_it_themselves(tmp_path, kind, directed):
    graph = networkx.DiGraph() if directed else networkx.Graph()
    graph.add_node("u", k=1.5, name="one")
    graph.add_node("v", k=2.5, name="two")
    graph.add_node("w", k=3.5, name="three")
    graph.add_edge("u", "v", weight=2.0)
    path = tmp_path / f"g.{kind}"
    if kind == "graphml":
        networkx.write_graphml(graph, path)
    else:
        path.write_text(json.dumps(networkx.node_link_data(graph, edges="edges")))
    found = network(path, names=["w", "v", "u"])
    assert pairs(found) == ([(2, 1)] if directed else [(1, 2), (2, 1)])
    assert found.features["k"] == [3.5, 2.5, 1.5]
    assert float(found.topology.edge_attr[0]) == 2.0
    alone = network(path)
    assert list(alone.labels) == ["u", "v", "w"]


def test_json_of_old_networkx_is_read(put):
    told = {"nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 0, "target": 1, "key": 0}]}
    found = network(put("g.json", json.dumps(told)), rows=2)
    assert pairs(found) == [(0, 1), (1, 0)]
    assert found.topology.edge_attr is None


NODE_LINK = {"nodes": [{"id": "a"}, {"id": "b"}], "edges": [{"source": "a", "target": "b"}]}


def linked(**changes):
    return json.dumps({**NODE_LINK, **changes})


@pytest.mark.parametrize(
    ("name", "text", "given", "told"),
    [
        ("g.csv", "0,1\n1,0\n", {}, "the edge 1 - 0 stands there twice (first: "),
        ("g.csv", "0,1\n0,1\n", {"directed": True}, "line 2: the edge 0 - 1 stands there twice"),
        ("g.csv", "0,1\n1,3\n", {"rows": 3}, "names node 3; the start has rows 0 to 2"),
        ("g.csv", "1,2\n2,3\n", {"rows": 3}, "Does the file count from 1?"),
        ("g.csv", "0,1\n-1,0\n", {"rows": 3}, "-1"),
        ("g.csv", "1.5,2\n0,1\n", {}, "1.5: nodes are whole numbers or names"),
        ("g.csv", "0,1\n1.5,2\n", {}, "1.5: nodes are whole numbers or names, no decimal"),
        ("g.csv", "0.0,1.0\n", {"rows": 2}, "no decimal numbers"),
        ("g.csv", "a,b\n", {"rows": 2}, "Give the start as csv with a node column"),
        ("g.csv", "a,b\nb,x\n", {"names": ["a", "b"]}, "nodes that the start does not have: x"),
        ("g.csv", "0,1\n1,7\n", {"names": ["0", "1"]}, "does not have: 7"),
        ("g.csv", "0,1,2\n1,2,nan\n", {}, "line 2: a weight is a finite number, got nan"),
        ("g.csv", "0,1,2\n1,2\n", {}, "line 2: an edge is two nodes and its weights"),
        ("g.csv", "# nothing\n", {}, "holds no edge"),
        ("g.csv", "", {}, "holds no edge"),
        ("g.json", "{", {}, "is no node-link JSON"),
        ("g.json", linked(nodes=[{"id": "a"}]), {}, "b is no node of the file"),
        ("g.json", linked(nodes=[]), {}, "is no node of the file"),
        ("g.json", linked(nodes=[], edges=[]), {}, "holds no node"),
        ("g.json", linked(edges=NODE_LINK["edges"] * 2), {}, "stands there twice"),
        ("g.json", linked(nodes=[{"id": "a"}] * 2), {}, "the node a stands there twice"),
        ("g.json", linked(edges=[{"source": "a", "target": "b", "weight": "x"}]), {}, "the text"),
        ("g.json", linked(), {"names": ["a", "b", "c"]}, "nodes that"),
        ("g.json", linked(), {"rows": 3}, "has 2 nodes, the start has 3 rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_graph_is_refused(put, name, text, given, told):
    with pytest.raises(DataError) as caught:
        network(put(name, text), **given)
    assert told in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no graph .*nowhere.csv"):
        network(tmp_path / "nowhere.csv")


def test_a_graph_too_large_for_memory_is_refused_before_it_is_read(put, monkeypatch):
    path = put("g.csv", "0,1\n" * 1000)
    monkeypatch.setattr(memory, "budget", lambda: 1000)
    with pytest.raises(EnvironmentFault, match=r"the graph would take about 100 kB of memory"):
        network(path)


def test_json_that_is_nested_too_deep_is_refused(put):
    with pytest.raises(DataError, match="no node-link JSON"):
        network(put("deep.json", "[" * 100_000))
