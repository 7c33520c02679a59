"""Graph networks of differences: a shift of everything is a null direction of any weights."""

import math

import pytest
import torch
from torch import nn

import simlearn
from simlearn import Simulator
from simlearn.analysis import directions
from simlearn.analysis.flat import slopes, stepper
from simlearn.analysis.jacobian import central, defect, jacobian
from simlearn.integrators import RK4, Euler
from simlearn.state import Graph, Topology

MessagePassing = pytest.importorskip("torch_geometric.nn").MessagePassing
F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


class Relative(MessagePassing):
    """Messages of differences alone: nothing moves when everything is shifted."""

    def __init__(self, aggr, dim=2):
        super().__init__(aggr=aggr)
        self.net = nn.Sequential(nn.Linear(dim, 8), nn.Tanh(), nn.Linear(8, dim))

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)

    def message(self, x_i, x_j):
        return self.net(x_j - x_i)


class RelativeField(simlearn.VectorField):
    dim = 2

    def __init__(self, aggr, seed=0):
        super().__init__()
        self.layer = Relative(aggr).double()
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for one in self.parameters():
                one.copy_(torch.randn(one.shape, generator=rng, dtype=F64) / 2)

    def forward(self, t, x, topology):
        return self.layer(x, topology.graph.edge_index)


def small_graph():
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (4, 1), (3, 4)]
    source, target = torch.tensor(edges).T
    both = torch.cat([torch.stack([source, target]), torch.stack([target, source])], 1)
    return Topology(Graph(both, 5))


SHIFTS = torch.eye(2, dtype=F64).repeat(5, 1) / math.sqrt(5)  # 1 ⊗ e


@pytest.mark.parametrize("aggr", ["add", "mean", "max"])
def test_a_shift_is_a_null_direction_of_relative_features(aggr):
    field, topology = RelativeField(aggr), small_graph()
    slope, x = slopes(field, topology), normal(3, 10)
    assert float((jacobian(slope, x) @ SHIFTS).abs().max()) < 1e-14
    v = normal(3, 10, 2, seed=4)
    pushed = jacobian(slope, x) @ v
    assert float((pushed - central(slope, x, v)).abs().max()) < 1e-8
    assert defect(slope, x) < 1e-6
    assert defect(stepper(Simulator(field, RK4(), 0.1), topology), x) < 1e-6


@pytest.mark.parametrize("aggr", ["add", "mean"])
def test_the_symmetry_is_told_from_nulls_by_data(aggr):
    topology, x = small_graph(), normal(4, 10)
    drawn = [
        stepper(Simulator(RelativeField(aggr, seed), Euler(), 0.1), topology) for seed in (1, 2)
    ]
    frame = torch.linalg.qr(torch.cat([SHIFTS, normal(10, 3, seed=8)], 1))[0]
    mixed = frame @ torch.linalg.qr(normal(5, 5, seed=9))[0]
    exact, rest = directions.by_symmetry(drawn, x, mixed)
    assert exact.shape == (10, 2)
    assert rest.shape == (10, 3)
    torch.testing.assert_close(exact @ exact.T @ SHIFTS, SHIFTS, rtol=0, atol=1e-9)
    found = torch.cat([exact, rest], 1)
    torch.testing.assert_close(found.T @ found, torch.eye(5, dtype=F64), rtol=0, atol=1e-12)
    torch.testing.assert_close(found @ found.T, mixed @ mixed.T, rtol=0, atol=1e-12)
