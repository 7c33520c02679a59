"""``simlearn forecast --graph``: a graph never seen, by command line."""

import csv
import json

import h5py
import networkx
import numpy as np
import pytest
import torch

import simlearn
from simlearn import Ensemble, Simulator, Trajectory
from simlearn.data import room
from simlearn.dynamics import CoupledSeries, GraphCoupled
from simlearn.forecasting import size
from simlearn.integrators import RK4
from simlearn.randomness import generator
from simlearn_networks import ErdosRenyi

NAMES = {"columns": {"node": "gene", "state": ["x"], "parameters": ["k"], "time": "t"}}


def series(seed):
    field = CoupledSeries(own=5, pair=0)
    field.measure(torch.rand(200, 1, generator=generator(0), dtype=torch.float64))
    noise = 0.05 * torch.randn(field.coefficients.shape, generator=generator(seed, 9))
    with torch.no_grad():
        field.coefficients.copy_(noise)
        field.coefficients[1] -= 0.5
    return field


@pytest.fixture
def here(tmp_path):
    """An ensemble, a single member and its sisters, a field with parameters, and data."""
    made = [Simulator(series(k), RK4(), 0.1) for k in range(3)]
    for k, one in enumerate(made):
        simlearn.save(one, tmp_path / f"member{k}")
    ensemble = Simulator(Ensemble.of([one.dynamics for one in made]), RK4(), 0.1)
    graph = ErdosRenyi(20, 0.3).draw(generator(0))
    x = torch.rand(30, 20, 1, generator=generator(1), dtype=torch.float64)
    data = [Trajectory(torch.zeros(1), one[None], graph) for one in x]
    simlearn.write(tmp_path / "train.h5", data, {})
    from simlearn.training.fit import ranges

    ensemble.provenance = {"data": {"file": "train.h5"}, "training": ranges(data)}
    simlearn.save(ensemble, tmp_path / "model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        genes = GraphCoupled(width=4, node_parameters=1).double()
        weighted = GraphCoupled(width=4, aggregation="mean", weight=0).double()
    known = Simulator(genes, RK4(), 0.1)
    known.provenance = {"data": NAMES}
    simlearn.save(known, tmp_path / "genes")
    simlearn.save(Simulator(weighted, RK4(), 0.1), tmp_path / "weighted")
    (tmp_path / "g.csv").write_text("source,target\na,b\nb,c\n")
    (tmp_path / "n.csv").write_text("0,1\n1,2\n")
    (tmp_path / "x0.csv").write_text("gene,x,k\nc,0.3,1\na,0.1,2\nb,0.2,3\n")
    return tmp_path


def graph(x0="x0.csv", model="model", file="g.csv", steps=3, out="f.h5"):
    return ["forecast", model, "--graph", file, "--x0", x0, "--steps", steps, "--out", out]


def test_it_runs_on_another_graph_and_tells_its_doubt(here, command, capsys):
    assert command(*graph(), "--draws", "19") == 0
    out, err = capsys.readouterr()
    assert "f.h5: 1 forecast of 3 steps of 0.1" in out
    assert "f-plots/nodes.png, f-plots/trust.png, f-plots/graph.png" in out
    assert "training data: train.h5" in err
    assert "the graph has 3 nodes, in the training 20" in err
    assert "p = " in err
    assert "REL = " in err
    assert "\r" not in err, "no progress bar where no terminal listens"
    one = simlearn.read("f.h5")[0]
    assert one.topology.node_names == ("c", "a", "b")
    assert one.x[0, :, 0].tolist() == [0.3, 0.1, 0.2]
    wanted = simlearn.load("model").rollout(one.x[0], 3, one.topology)
    assert torch.equal(one.x, wanted.x)
    with h5py.File("f.h5") as file:
        assert file["forecast/0/p"].attrs["members"] == 3
    assert command("data", "verify", "f.h5") == 0
    assert command("data", "show", "f.h5") == 0
    assert "3 a system, 4 edges" in capsys.readouterr().out


def test_sisters_bring_the_test(here, command, capsys):
    assert command(*graph(model="member0"), "--plots", "none") == 0
    assert "--sibling SIM" in capsys.readouterr().err
    assert not (here / "f-plots").exists()
    given = ["--sibling", "member1", "--sibling", "member2", "--draws", "19", "--plots", "p"]
    assert command(*graph(model="member0", out="s.h5"), *given) == 0
    assert "--training-data FILE.h5" in capsys.readouterr().err
    given += ["--training-data", "train.h5"]
    assert command(*graph(model="member0", out="t.h5"), *given) == 0
    assert "3 members against 19 draws of node states" in capsys.readouterr().err
    assert sorted(one.name for one in (here / "p").iterdir()) == [
        "graph.png", "nodes.png", "trust.png"
    ]  # fmt: skip


def test_parameters_of_nodes_come_by_name(here, command):
    assert command(*graph(model="genes")) == 0
    assert simlearn.read("f.h5")[0].topology.node_attr.tolist() == [[1], [2], [3]]
    made = networkx.Graph([("a", "b"), ("b", "c")])
    networkx.set_node_attributes(made, {"a": 2.0, "b": 3.0, "c": 1.0}, "k")
    networkx.write_graphml(made, "g.graphml")
    (here / "g.json").write_text(json.dumps(networkx.node_link_data(made, edges="edges")))
    (here / "bare.csv").write_text("gene,x\nc,0.3\na,0.1\nb,0.2\n")
    for file in ("g.graphml", "g.json"):
        given = graph("bare.csv", "genes", file, out=f"{file}.h5")
        assert command(*given, "--plots", "none") == 0
        found, wanted = simlearn.read(f"{file}.h5")[0], simlearn.read("f.h5")[0]
        torch.testing.assert_close(found.x, wanted.x)


def test_a_start_for_all_nodes_and_one_that_is_drawn(here, command):
    assert command(*graph("0.25", file="n.csv"), "--plots", "none", "--draws", "19") == 0
    assert simlearn.read("f.h5")[0].x[0].flatten().tolist() == [0.25] * 3
    for seed, out in ((1, "a.h5"), (1, "b.h5"), (2, "c.h5")):
        given = [*graph("sample", file="n.csv", out=out), "--seed", seed, "--plots", "none"]
        assert command(*given, "--draws", "19") == 0
    first, again, other = (simlearn.read(f"{n}.h5") for n in "abc")
    assert first.digest == again.digest != other.digest


def test_a_table_has_the_names_of_the_nodes(here, command):
    assert command(*graph(model="genes", out="f.csv"), "--plots", "none") == 0
    rows = list(csv.DictReader((here / "f.csv").open()))
    assert [row["gene"] for row in rows[:3]] == ["c", "a", "b"]
    assert len(rows) == 12


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (graph()[:4] + graph()[6:], 2, "--graph FILE with --x0 FILE"),
        ([*graph(), "--data", "train.h5"], 2, "give one"),
        ([*graph(), "--draws", "1"], 2, "--draws is at least 2"),
        ([*graph(), "--level", "2"], 2, "level is a probability"),
        ([*graph(), "--null", "else"], 2, "null"),
        (graph("x0.csv", out="f.txt"), 2, "--out ends in .h5 or .csv"),
        (graph(file="nowhere.csv"), 3, "There is no graph nowhere.csv"),
        (graph("nowhere.npz"), 3, "There is no start nowhere.npz"),
        (graph("1,2,3"), 3, "the state of a node has 1"),
        (graph("bad.npy"), 3, "must be [nodes, 1]"),
        (graph("few.csv"), 3, "nodes that the start does not have: c"),
        (graph("twice.csv"), 3, "the node a stands there twice"),
        (graph("nan.csv"), 3, "line 2, column x: the state is nan"),
        (graph(file="double.csv"), 3, "stands there twice"),
        (graph(file="float.csv"), 3, "no decimal numbers"),
        (graph(file="empty.csv"), 3, "holds no edge"),
        (graph("three.npy", file="far.csv"), 3, "names node 9; the start has rows 0 to 2"),
        (graph(model="genes", x0="bare.csv"), 3, "has k. Add a column of that name"),
        (graph(model="genes", x0="nank.csv"), 3, "k of node a is nan"),
        (graph(model="weighted", x0="0.1", file="minus.csv"), 3, "has the weight -1"),
        (graph(model="weighted", x0="0.1"), 3, "has 0 columns"),
        (graph(model="nothing"), 7, "There is no simulator"),
    ],
)
def test_bad_input_has_its_code_and_leaves_nothing(here, command, capsys, given, code, told):
    np.save(here / "bad.npy", np.zeros((3, 2)))
    np.save(here / "three.npy", np.zeros((3, 1)))
    for name, text in {
        "few.csv": "gene,x\na,1\nb,2\n",
        "twice.csv": "gene,x\na,1\nb,2\na,3\n",
        "nan.csv": "gene,x\na,nan\nb,2\nc,3\n",
        "bare.csv": "gene,x\na,1\nb,2\nc,3\n",
        "nank.csv": "gene,x,k\na,1,nan\nb,2,1\nc,3,1\n",
        "double.csv": "a,b\nb,c\nb,a\n",
        "float.csv": "0.5,1\n1,2\n",
        "empty.csv": "source,target\n",
        "far.csv": "0,1\n1,9\n",
        "minus.csv": "0,1,-1\n1,2,1\n",
    }.items():
        (here / name).write_text(text)
    before = sorted(one.name for one in here.iterdir())
    assert command(*given) == code
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert sorted(one.name for one in here.iterdir()) == before


@pytest.mark.fault(24)
def test_too_large_for_memory_or_disk_is_refused_with_the_estimate(
    here, command, capsys, monkeypatch
):
    monkeypatch.setattr(size, "budget", lambda: 2000)
    assert command(*graph()) == 6
    assert "would take about" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: type("Use", (), {"free": 10}))
    assert command(*graph()) == 6
    assert "Keep fewer states with --every" in capsys.readouterr().err
    assert not (here / "f.h5").exists()


def test_why_there_is_no_test_is_told_once(here, command, capsys):
    assert (
        command("forecast", "member0", "--data", "train.h5", "--steps", "1", "--out", "f.h5") == 0
    )
    assert capsys.readouterr().err.count("not tested for significance") == 1
