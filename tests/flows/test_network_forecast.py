"""Trained on 100 nodes, forecast on 10 000 never seen: the alarms know what is usual there."""

import json

import h5py
import numpy as np
import pytest
import torch

import simlearn
from simlearn import Ensemble, Simulator, cli
from simlearn.dynamics import Factorised, GraphCoupled
from simlearn.integrators import RK4
from simlearn.randomness import generator
from simlearn.training.ensembles import Bootstrap
from simlearn_networks import ErdosRenyi, MassAction
from simlearn_stabilizers import Standardize

NODES = 10_000
START = torch.zeros(1, dtype=torch.float64)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An ensemble that learned mass action from 200 states on one graph of 100 nodes."""
    folder = tmp_path_factory.mktemp("network")
    data = list(MassAction(graph=ErdosRenyi(100, 0.1)).draw(range(200), START, 0))
    simlearn.write(folder / "train.h5", data, {})
    member = GraphCoupled(pair=Factorised(channels=6, width=8), width=8)
    simulator = Simulator(Ensemble(member, 6), RK4(), 0.01)
    simlearn.fit(
        simulator,
        data,
        objective=Bootstrap(),
        stabilizers=[Standardize()],
        optimizer=lambda weights: torch.optim.Adam(weights, lr=1e-2),
        max_epochs=120,
        batch_size=50,
        progress=False,
    )
    simlearn.save(simulator, folder / "model")
    ends = ErdosRenyi(NODES, 10 / NODES).draw(generator(7)).graph.edge_index
    ends = ends[:, ends[0] < ends[1]].T.numpy()
    np.savetxt(folder / "unseen.csv", ends, fmt="%d", delimiter=",", header="source,target")
    return folder


def forecast(place, x0, seed=0, out="f.h5"):
    words = ["forecast", "model", "--graph", "unseen.csv", "--x0", x0, "--steps", "2"]
    words += ["--training-data", "train.h5", "--draws", "39", "--seed", str(seed), "--out", out]
    assert cli.run([*words, "--overwrite", "--plots", "none"]) == 0
    return simlearn.read(place / out).provenance["forecast"]["summary"][0]


def test_states_like_those_of_the_training_are_usual(place, monkeypatch):
    """Exact for any trained weights: p is uniform on 1/40 ... 40/40."""
    monkeypatch.chdir(place)
    found = [forecast(place, "sample", seed) for seed in range(6)]
    p = [one["p_start"] for one in found]
    assert 0.15 < np.mean(p) < 0.85, p
    assert min(p) > 0.02, p
    # the degrees are those of the training, and so is what members say of the graph
    assert all(one["rel"] < 2 for one in found), found
    assert not any(one["doubt_of_graph"] for one in found)


def test_a_shifted_start_is_told(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    rng = np.random.default_rng(0)
    np.save("shifted.npy", rng.uniform(0, 1.5, NODES))
    found = forecast(place, "shifted.npy", out="shifted.h5")
    assert found["p_start"] == pytest.approx(1 / 40)
    assert found["doubt_of_state"]
    # a third of U[0, 1.5] is above 1, two fifteenths more than a tenth of the range above
    assert 0.24 * NODES < found["nodes_out_of_range"] < 0.34 * NODES
    told = capsys.readouterr().err
    assert "begins outside the range of the training data: x was in [" in told
    assert "states are unusual for this graph" in told
    with h5py.File("shifted.h5") as file:
        extra = file["forecast/0"]
        assert extra["outside"].shape == (3, NODES)
        assert extra["node_q"].shape == (3, NODES)
        assert extra["p"].attrs["members"] == 6
        high = simlearn.read("shifted.h5")[0].x[0, :, 0].numpy() > 1.5 / 1.1
        # nodes far out are found one by one, with few false discoveries
        found = extra["node_q"][0] <= 0.05
        assert found[high].mean() > 0.5
    assert cli.run(["data", "verify", "shifted.h5"]) == 0


def test_the_same_seed_gives_the_same_file(place, monkeypatch):
    monkeypatch.chdir(place)
    first = forecast(place, "sample", 3, "a.h5")
    again = forecast(place, "sample", 3, "b.h5")
    assert json.dumps(first) == json.dumps(again)
    assert simlearn.read("a.h5").digest == simlearn.read("b.h5").digest
