"""Errors by graph, and what graphs are like."""

import csv

import networkx
import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Simulator, Trajectory
from simlearn.forecasting.transfer import clustering
from simlearn.integrators import DormandPrince
from simlearn.randomness import generator
from simlearn_networks import BarabasiAlbert, ErdosRenyi, GeneRegulation, NewmanWattsStrogatz
from simlearn_networks.gene import GeneRegulationLaw


def cases():
    graphs = {"ER": ErdosRenyi(60, 0.15), "BA": BarabasiAlbert(200, 3)}
    times = simlearn.sample_times(5, 0.1)
    return {
        name: list(GeneRegulation(graph, highest=2.0).draw(range(2), times, 0))
        for name, graph in graphs.items()
    }


@pytest.mark.parametrize("family", [NewmanWattsStrogatz(60, 6, 0.2), BarabasiAlbert(80, 3)])
def test_clustering_is_that_of_networkx(family):
    topology = family.draw(generator(1))
    graph = networkx.Graph(topology.graph.edge_index.T.tolist())
    assert clustering(topology) == pytest.approx(networkx.average_clustering(graph))


def test_a_large_graph_is_sampled():
    topology = NewmanWattsStrogatz(4000, 8, 0.1).draw(generator(1))
    graph = networkx.Graph(topology.graph.edge_index.T.tolist())
    assert clustering(topology) == pytest.approx(networkx.average_clustering(graph), abs=0.02)


def test_the_truth_transfers_and_a_wrong_law_is_measured(tmp_path):
    """The decay is a tenth too fast: dx/dt is off by a tenth of the decay, exactly."""
    scheme = DormandPrince(rtol=1e-8, atol=1e-10)
    truth = simlearn.transfer(Simulator(GeneRegulationLaw(), scheme, 0.1), cases())
    assert [row.graph for row in truth.rows] == ["ER", "BA"]
    assert all(row.field_error < 1e-12 and row.rollout_error < 1e-6 for row in truth.rows)
    wrong = simlearn.transfer(Simulator(GeneRegulationLaw(decay=1.1), scheme, 0.1), cases())
    for row, data in zip(wrong.rows, cases().values(), strict=True):
        x, rate = (torch.cat([getattr(o, n).flatten() for o in data]) for n in ("x", "derivative"))
        assert row.field_error == pytest.approx(float(0.1 * x.abs().sum() / rate.abs().sum()))
        degree = torch.bincount(data[0].topology.graph.edge_index[1], minlength=row.nodes)
        assert (row.mean_degree, row.largest_degree) == (degree.double().mean(), degree.max())
    paths = wrong.write(tmp_path)
    assert [path.name for path in paths] == ["transfer.csv", "transfer.md", "transfer.png"]
    rows = list(csv.DictReader(paths[0].open()))
    assert float(rows[1]["rollout_error"]) == wrong.rows[1].rollout_error
    assert "| BA | 200 |" in paths[1].read_text()
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_without_a_case_there_is_no_report():
    with pytest.raises(ConfigError, match="one graph at least"):
        simlearn.transfer(Simulator(GeneRegulationLaw(), DormandPrince(), 0.1), {})


def test_samples_that_are_missing_are_refused():
    (one, *_), _ = cases().values()
    seen = Trajectory(one.t, one.x, one.topology, mask=torch.ones(one.x.shape[:2]).bool())
    with pytest.raises(DataError, match="Samples are missing on ER"):
        simlearn.transfer(Simulator(GeneRegulationLaw(), DormandPrince(), 0.1), {"ER": seen})
