"""Many rows without names are told by the worst and the median of them."""

import torch

import simlearn
from simlearn import Evidence, Simulator, Topology, Trajectory
from simlearn.dynamics import LinearField
from simlearn.integrators import RK4
from simlearn_checks import ForecastError


def found(rows, limit=0.5, **arguments):
    """A field at rest against data that drift at 0, 1, 2 … per time, for one unit of time."""
    field = LinearField(dim=1).double().requires_grad_(False)
    for weight in field.parameters():
        weight.zero_()
    graph = simlearn.Graph(torch.zeros((2, 0), dtype=torch.int64), rows)
    t = simlearn.sample_times(11, 0.1)
    x = (t[:, None] * torch.arange(rows, dtype=torch.float64))[..., None]
    simulator = Simulator(field, RK4(), 0.1)
    evidence = Evidence(held_out=[Trajectory(t, x, Topology(graph))])
    return ForecastError(horizon=10, limit=limit, **arguments).run(simulator, evidence)


def test_few_rows_are_told_one_by_one():
    assert [m.name for m in found(3).metrics] == [
        "error of row 0",
        "error of row 1",
        "error of row 2",
    ]


def test_many_rows_are_told_by_the_worst_and_the_median():
    metrics = {m.name: m for m in found(101).metrics}
    assert set(metrics) == {"error of the worst row", "error of the median row"}
    assert abs(metrics["error of the worst row"].value - 100) < 1e-9
    assert abs(metrics["error of the median row"].value - 50) < 1e-9
    assert not metrics["error of the median row"].passed
    assert found(101, limit=100.5).verdict == "pass"


def test_rows_with_limits_of_their_own_are_told():
    names = [m.name for m in found(101, limit=None, limits={"row 7": 1.0}).metrics]
    assert names == ["error of row 7"]
