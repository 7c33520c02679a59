"""Rollouts side by side are those of each member alone."""

import math

import pytest
import torch

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Graph, Topology
from simlearn.training.network.abreast import errors_of
from simlearn.training.network.course import Data
from simlearn.training.network.fit import error_of


def drawn(**kind):
    """A basis, several sets of coefficients, and data near the first set's own path."""
    rng = torch.Generator().manual_seed(2)
    graph = Topology(Graph(torch.randint(20, (2, 60), generator=rng), 20))
    if kind.get("node"):
        attr = 1 + torch.rand(20, 1, generator=rng, dtype=torch.float64)
        graph = Topology(graph.graph, node_attr=attr)
    model = CoupledSeries(**kind).requires_grad_(False)
    x = torch.rand(30, 20, model.dim, generator=rng, dtype=torch.float64)
    model.measure(x.flatten(0, 1), graph.node_attr)
    shape = (5, *model.coefficients.shape)
    sets = 0.02 * torch.randn(shape, generator=rng, dtype=torch.float64)
    return model, sets, Data(torch.linspace(0, 2, 30, dtype=torch.float64), x, graph)


KINDS = [{"own": 4, "pair": 0}, {"dim": 2, "own": 5, "pair": 4, "angles": [0]}, {"node": [0]}]


@pytest.mark.parametrize("kind", KINDS)
def test_members_side_by_side_move_as_they_do_alone(kind):
    model, sets, data = drawn(**kind)
    rng = torch.Generator().manual_seed(3)
    states = 3 * torch.randn(
        5, *data.x[0].shape, generator=rng, dtype=torch.float64
    )  # inside and outside
    together = model.side_by_side(sets)(0.0, states.flatten(0, 1), data.topology.repeat(5))
    for k, one in enumerate(sets):
        model.coefficients.copy_(one)
        alone = model(0.0, states[k], data.topology)
        torch.testing.assert_close(together.unflatten(0, (5, -1))[k], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_those_of_each_member_alone(kind):
    model, sets, data = drawn(**kind)
    found = errors_of(model, sets, [data, data.until(10)])
    for k, one in enumerate(sets):
        model.coefficients.copy_(one)
        assert float(found[k]) == pytest.approx(error_of(model, [data, data.until(10)]), rel=1e-5)


def test_a_member_that_is_lost_does_not_touch_the_others():
    model, sets, data = drawn(own=4, pair=4)
    alone = errors_of(model, sets, [data])
    sets[1] *= math.nan
    sets[3, 0] = 1e4  # runs away at once
    found = errors_of(model, sets, [data])
    assert found[[1, 3]].isinf().all()
    torch.testing.assert_close(found[[0, 2, 4]], alone[[0, 2, 4]], rtol=1e-5, atol=0)


def test_a_stiff_member_is_followed_alone():
    model, sets, data = drawn(own=4, pair=0)
    sets[2] = 0.0
    sets[2, 1] = -400.0  # decays 400 times in a unit of time
    data.x[1:] *= 1e-3  # as such a member has it, and no other
    model.coefficients.copy_(sets[2])
    found = errors_of(model, sets, [data])
    assert int(found.argmin()) == 2
    assert float(found[2]) == pytest.approx(error_of(model, [data]), rel=1e-5)
