"""Forecasts tell of parameters of nodes and of weights that no training graph had."""

import pytest
import torch

from simlearn import Ensemble, Graph, Simulator, Topology, Trajectory
from simlearn.dynamics import CoupledSeries, EdgeNetwork, GraphCoupled, MLPField
from simlearn.forecasting.attributes import edge_columns, node_columns, unseen
from simlearn.forecasting.limits import Limits
from simlearn.integrators import RK4
from simlearn.training.record import ranges

ROWS, LINKS = 5, 4
LINE = Topology(Graph(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]), ROWS))
FREE = MLPField(dim=1, width=2)  # does not say what it looks at


def seen(node=None, edge=None):
    """What an archive keeps of trajectories on a graph with these, and on one without any."""
    full = LINE.replace(node_attr=node, edge_attr=edge)
    x = torch.zeros(2, ROWS, 1, dtype=torch.float64)
    return ranges([Trajectory(torch.arange(2.0), x, one) for one in (full, LINE)])


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


NODE = torch.cat([column(-1, 1, 0, 0, 0), torch.full((ROWS, 1), 0.1, dtype=torch.float64)], 1)
EDGE = column(1, 3, 2, 2)
TRAINING = seen(NODE, EDGE)
NAMES = ["power [W]", "damping"]


def told(node=NODE, edge=EDGE, training=TRAINING, field=FREE, names=NAMES):
    return unseen(LINE.replace(node_attr=node, edge_attr=edge), field, training, names)


def test_the_ranges_are_those_of_the_graphs_that_have_some():
    assert TRAINING["node_attr"] == [[-1, 1], [0.1, 0.1]]
    assert TRAINING["edge_attr"] == [[1, 3]]
    assert not {"node_attr", "edge_attr"} & set(seen())


def test_what_leaves_its_range_is_told_with_how_far():
    node, edge = NODE.clone(), EDGE.clone()
    node[0, 0], node[1:3, 1], edge[0] = -5.0, 0.2, 4.0
    assert told(node, edge) == [
        "power [W] is outside the training's [-1, 1] at 1 of 5 nodes, by up to 2 widths of it",
        "damping is outside the training's 0.1 at 2 of 5 nodes, as far as 0.2",
        "weight is outside the training's [1, 3] on 1 of 4 edges, by up to 0.5 widths of it",
    ]
    assert told(node, names=[])[0].startswith("parameter 0 is outside")
    two = torch.cat([EDGE, EDGE], 1)
    (only,) = told(edge=torch.cat([EDGE, edge], 1), training=seen(edge=two))
    assert only.startswith("attribute 1 is outside the training's [1, 3]")


def test_single_precision_and_a_tenth_of_the_width_are_no_exit():
    assert not told(NODE.float(), EDGE.float())
    assert not told(edge=EDGE + 0.19)
    assert told(edge=EDGE + 0.21)
    rounded = seen(torch.cat([column(0.1, 0.1, 0.1, 0.1), column(0.1).expand(1, 1)]).float())
    assert not told(column(0.1, 0.1, 0.1, 0.1, 0.1), training=rounded, names=[])


def test_numbers_that_are_none_are_outside():
    (one,) = told(edge=column(1, 2, float("nan"), float("inf")))
    assert one == "weight is outside the training's [1, 3] on 2 of 4 edges"
    assert not {"edge_attr"} & set(seen(edge=column(1, 2, float("nan"), 3)))


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64])
def test_whole_numbers_and_flat_ones_count(kind):
    flags = torch.tensor([1, 0, 1, 0, 1]).to(kind)
    kept = seen(flags)
    assert kept["node_attr"] == [[0, 1]]
    assert not told(flags, training=kept)
    assert told(3 * flags.long(), training=kept)


SPOILT = [None, 3, [], [None], ["ab"], [[None, None]], [[1]], [[1, float("nan")]], {"0": [1, 2]}]


@pytest.mark.parametrize("spoilt", SPOILT, ids=str)
def test_an_archive_that_tells_nonsense_tells_nothing(spoilt):
    assert not told(edge=EDGE + 9, training={"edge_attr": spoilt})


def test_graphs_of_other_widths_are_not_compared():
    wide = LINE.replace(edge_attr=torch.cat([EDGE, EDGE], 1))
    narrow = LINE.replace(edge_attr=EDGE)
    x = torch.zeros(2, ROWS, 1, dtype=torch.float64)
    both = ranges([Trajectory(torch.arange(2.0), x, one) for one in (wide, narrow)])
    assert "edge_attr" not in both
    assert not told(edge=EDGE + 9, training=seen(edge=torch.cat([EDGE, EDGE], 1)))


def test_ranges_are_taken_of_data_that_are_being_differentiated():
    x = torch.ones(2, ROWS, 1, dtype=torch.float64, requires_grad=True)
    assert ranges([Trajectory(torch.arange(2.0), x, LINE)])["high"] == [1]


def test_only_what_a_field_looks_at_counts():
    unweighted, weighted = CoupledSeries(weight=None), CoupledSeries(weight=0)
    assert edge_columns(FREE) is None
    assert node_columns(FREE) is None
    assert edge_columns(unweighted) == set()
    assert edge_columns(Ensemble.of([weighted, CoupledSeries(weight=0)])) == {0}
    assert edge_columns(CoupledSeries(weight=0, aggregation="mean")) == {0}
    assert edge_columns(CoupledSeries(weight=0, aggregation="mean"), sized=True) == set()
    assert node_columns(unweighted) == set()
    assert node_columns(CoupledSeries(node=[1])) == {1}
    assert node_columns(GraphCoupled(node_parameters=2)) is None
    assert node_columns(GraphCoupled()) == set()
    assert edge_columns(GraphCoupled(pair=EdgeNetwork(features=1))) is None
    assert told(edge=EDGE + 9, field=weighted)
    for field in (unweighted, CoupledSeries(weight=0, aggregation="mean")):
        assert not told(edge=EDGE + 9, field=field)
    node = NODE + 9
    assert len(told(node, field=CoupledSeries(node=[1]))) == 1


def test_the_alarm_of_a_forecast_has_them():
    simulator = Simulator(CoupledSeries(weight=0), RK4(), 0.1)
    simulator.provenance = {"training": TRAINING, "data": {"columns": {"parameters": NAMES}}}
    found = Limits(simulator).graph(LINE.replace(edge_attr=EDGE + 9))
    assert any("weight is outside" in one for one in found)


def test_the_range_that_is_told_is_the_one_that_is_judged_by():
    field = CoupledSeries(own=4, pair=0)
    field.measure(column(0, 1, 2))
    simulator = Simulator(field, RK4(), 0.1)
    simulator.provenance = {"training": {"low": [-9.0], "high": [9.0]}}
    limits = Limits(simulator)
    assert (float(limits.low), float(limits.high)) == (float(field.self_basis.low), 2.0)
