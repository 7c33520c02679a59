"""Edge lists and GraphML: whose nodes they are, and every line told that is wrong."""

import sys

import networkx
import pytest

from simlearn.component import ConfigError, DataError, EnvironmentFault
from simlearn.data.importing.graphs import read_edges


@pytest.fixture
def chain(put):
    """Three nodes, two samples, with these names."""

    def write(names=("0", "1", "2")):
        rows = [f"{n},{t},{k + t * t + 0.5}" for t in range(3) for k, n in enumerate(names)]
        return put("data.csv", "node,t,x\n" + "\n".join(rows) + "\n")

    return write


def edges(dataset):
    return [tuple(e) for e in dataset[0].topology.graph.edge_index.T.tolist()]


BOTH = [(0, 1), (1, 2), (1, 0), (2, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "0,1\n1,2\n",
        "0;1\r\n1;2\r\n",
        "0\t1\n1\t2",
        "0 1\n1   2\n",
        "# made by hand\n% and more\n\nsource,target\n0,1\n\n1,2\n",
        "from to\n0 1\n1 2\n",
        "Source Node,Target Node\n0,1\n1,2\n",
        "\ufeff0, 1\n1, 2\n",
    ],
)
def test_edge_lists(put, take, chain, text):
    dataset = take(chain(), graph=put("edges.txt", text))
    assert edges(dataset) == BOTH
    assert dataset[0].topology.edge_attr is None


def test_directed_edges(put, take, chain):
    path = put("edges.csv", "0,1\n1,0\n2,1\n")
    assert edges(take(chain(), graph=path, directed=True)) == [(0, 1), (1, 0), (2, 1)]


@pytest.mark.parametrize("header", ["", "source,target,weight,w2\n", "a,b,w1,w2\n"])
def test_weights(put, take, chain, header):
    topology = take(chain(), graph=put("e.csv", f"{header}0,1,2.5,-1\n1,2,0.1,3\n"))[0].topology
    assert topology.edge_attr.tolist() == [[2.5, -1.0], [0.1, 3.0], [2.5, -1.0], [0.1, 3.0]]


def test_self_loops_stand_once(put, take, chain):
    assert edges(take(chain(), graph=put("e.csv", "0,0\n0,1\n"))) == [(0, 0), (0, 1), (1, 0)]


def test_named_nodes_lose_no_edge(put, take, chain):
    """A first line of names is an edge and no header."""
    dataset = take(chain(["sun", "earth", "moon"]), graph=put("e.csv", "sun,earth\nearth,moon\n"))
    assert edges(dataset) == BOTH
    topology = dataset[0].topology
    assert topology.node_names == ("sun", "earth", "moon")
    assert topology.node_type.tolist() == [0, 1, 2]


def test_complete(take, chain):
    assert sorted(edges(take(chain(), graph="complete"))) == [
        (a, b) for a in range(3) for b in range(3) if a != b
    ]


def test_wide_tables_have_nodes(put, take):
    from simlearn.data.importing import Columns

    data = put("data.csv", "t,p,q\n0,1,2\n1,3,5\n")
    dataset = take(data, Columns(time="t", wide=True), graph=put("e.csv", "q,p\n"), directed=True)
    assert edges(dataset) == [(1, 0)]


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("weights", [True, False])
def test_graphml(tmp_path, take, chain, directed, weights):
    graph = networkx.DiGraph() if directed else networkx.Graph()
    graph.add_nodes_from("012")
    for a, b, w in [("0", "1", 0.1), ("1", "2", 3.0)]:
        graph.add_edge(a, b, **({"weight": w} if weights else {}))
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    topology = take(chain(), graph=tmp_path / "g.graphml")[0].topology
    pairs = [tuple(e) for e in topology.graph.edge_index.T.tolist()]
    assert sorted(pairs) == sorted(BOTH[:2] if directed else BOTH)
    if weights:
        found = dict(zip(pairs, topology.edge_attr[:, 0].tolist(), strict=True))
        assert all(w == (0.1 if 0 in e else 3.0) for e, w in found.items())
    else:
        assert topology.edge_attr is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0,1\n# note\n\n1,9\n", ["line 4", "no node '9'", "0, 1, 2"]),
        ("0,1\n1\n", ["line 2", "two nodes"]),
        ("0,1,1.5\n1,2\n", ["line 2"]),
        ("0,1,1.5\n1,2,heavy\n", ["line 2", "heavy"]),
        ("0,1,1.5\n1,2,nan\n", ["line 2", "finite"]),
        ("0,1\n1,2\n\n1,0\n", ["line 4", "1 - 0", "line 1", "--directed"]),
        ("# nothing\n", ["no edge"]),
        ("source,target\n", ["no edge"]),
        ("", ["no edge"]),
    ],
)
def test_edge_lists_are_refused(put, take, chain, text, told):
    with pytest.raises(DataError) as error:
        take(chain(), graph=put("edges.csv", text))
    for part in ["edges.csv", *told]:
        assert part in str(error.value)


def test_directed_doubles_are_refused(put, take, chain):
    with pytest.raises(DataError, match="line 3: the edge 0 - 1 stands there twice"):
        take(chain(), graph=put("e.csv", "0,1\n1,0\n0,1\n"), directed=True)


def test_other_graphs_are_refused(put, take, chain, tmp_path, swing_text):
    with pytest.raises(DataError, match=r"There is no graph .*nowhere"):
        take(chain(), graph=tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match=r"g.graphml is no GraphML"):
        take(chain(), graph=put("g.graphml", "<graphml><broken"))
    with pytest.raises(DataError, match="no UTF-8"):
        take(chain(), graph=put("e.csv", b"\xe9,1\n"))
    with pytest.raises(ConfigError, match="--node"):
        take(put("v.csv", swing_text), graph=put("f.csv", "0,1\n"))


def test_weights_on_some_edges_only(tmp_path):
    graph = networkx.Graph()
    graph.add_edge("0", "1", weight=1.0)
    graph.add_edge("1", "2")
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    with pytest.raises(DataError, match="has no weight"):
        read_edges(tmp_path / "g.graphml")


def test_graphml_without_networkx(put, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(EnvironmentFault, match=r"simlearn\[graph\]"):
        read_edges(put("g.graphml", "<graphml/>"))
