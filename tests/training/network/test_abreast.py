"""Rollouts side by side are those of each member alone."""

import math
from dataclasses import replace

import pytest
import torch

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Graph, Topology
from simlearn.training.network.abreast import Abreast, errors_of
from simlearn.training.network.course import Stepper, path
from simlearn.training.network.data import Data
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
def test_errors_are_those_of_each_member_alone(kind):
    model, sets, data = drawn(**kind)
    found = errors_of(model, sets, [data, data.pieces(9)[0]])
    for k, one in enumerate(sets):
        model.coefficients.copy_(one)
        assert float(found[k]) == pytest.approx(
            error_of(model, [data, data.pieces(9)[0]]), rel=1e-5
        )


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


def lost(*sets):
    """Sets that run away at once."""
    for one in sets:
        one.zero_()
        one[0] = 1e4


def test_where_all_are_lost_all_errors_are_infinite():
    model, sets, data = drawn(own=4, pair=4)
    lost(*sets)
    assert errors_of(model, sets, [data]).isinf().all()
    assert errors_of(model, sets * math.nan, [data, data.pieces(9)[0]]).isinf().all()


def test_who_is_hopeless_beside_the_best_is_dropped():
    """The best one's error stays what it is; of the hopeless one nothing is told."""
    model, sets, data = drawn(own=4, pair=4)
    model.coefficients.copy_(sets[0])
    data.x.copy_(path(model, data))
    sets = sets[:2].clone()
    sets[1, 0] += 50.0
    found = errors_of(model, sets, [data])
    assert float(found[0]) < 1e-5
    assert float(found[1]) == math.inf
    whole = errors_of(model, sets, [data], math.inf)
    model.coefficients.copy_(sets[1])
    assert float(whole[1]) == pytest.approx(error_of(model, [data]), rel=1e-4)


def test_the_best_is_that_of_all_data():
    """Each of two members follows another piece of the data; the pieces are not of one weight."""
    model, sets, data = drawn(own=4, pair=0)
    sets = torch.zeros_like(sets[:2])
    sets[1, 1] = -3.0
    one, two = (replace(data, x=data.x.clone()) for _ in range(2))
    for piece, coefficients in ((one, sets[0]), (two, sets[1])):
        model.coefficients.copy_(coefficients)
        piece.x.copy_(path(model, piece))
    two.x.mul_(1e-2)
    found = errors_of(model, sets, [one, two])
    model.coefficients.copy_(sets[0])
    assert float(found[0]) == pytest.approx(error_of(model, [one, two]), rel=1e-5)


def test_a_leader_that_is_lost_in_the_end_takes_nobody_with_it():
    model, sets, data = drawn(own=4, pair=0)
    sets = torch.zeros_like(sets[:2])
    sets[0, 1] = 40.0  # follows nobody, and runs away late where it starts at nothing
    data.x.zero_()
    data.x[0] = 1e-12
    data.x[1:] = 1e-3
    data.x[-1] = 1.0
    wanted = []
    for one in sets:
        model.coefficients.copy_(one)
        wanted.append(error_of(model, [data]))
    assert wanted[0] == math.inf
    found = errors_of(model, sets, [data])
    assert float(found[1]) == pytest.approx(wanted[1], rel=1e-5)


def test_a_good_slow_member_is_followed_to_its_end_where_the_fast_are_lost():
    model, sets, data = drawn(own=4, pair=0)
    sets = torch.zeros_like(sets[:3])
    sets[0, 1], sets[1, 0], sets[2, 0] = -400.0, 40.0, 44.0
    data.x[1:] *= 1e-3
    model.coefficients.copy_(sets[0])
    assert errors_of(model, sets, [data]).tolist() == [
        pytest.approx(error_of(model, [data]), rel=1e-5),
        math.inf,
        math.inf,
    ]


def test_steps_near_the_shortest_grow_again_where_they_are_accurate():
    """`even` makes them shorter than the shortest, which once kept them there to the end."""
    model, sets, data = drawn(own=4, pair=0)
    model.coefficients.copy_(sets[0])
    alone, members = Stepper(model, data), Abreast(model, sets[:1], data)
    x = data.x.numpy()[:1]
    slope = alone.lean.rate(x)
    short = 1.005 * alone.shortest
    for part in (0.9, 0.4):
        alone.accurate, members.accurate[:] = short, short
        alone.judge(x, part * alone.shortest, slope, slope)
        members.step(part * members.shortest)
        if part > 0.5:
            assert alone.accurate > short
            assert members.accurate > short
        else:  # two stamps nearly coincide
            assert alone.accurate == short
            assert members.accurate == short
