"""Multiple shooting from known states: pieces of trajectories, and what they find."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import simlearn
from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.training.network import fit, levels, shooting
from simlearn.training.network.fit import error_of, newton, weak
from simlearn.training.network.noise import Observed
from simlearn.training.network.shooting import Stage, in_pieces, stages_of
from simlearn.training.network.start import gathered
from simlearn_networks import ErdosRenyi, Grid8, Heat, Mutualistic


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def heat(steps=25, dt=0.08, count=1):
    system = Heat(graph=Grid8(side=6), highest=5.0)
    return gathered(system.draw(range(count), simlearn.sample_times(steps, dt), 0))


def observed(data):
    return Observed(data, data, data)


def series(data, own=4, pair=0):
    made = CoupledSeries(1, own, pair)
    made.measure(torch.cat([one.x.flatten(0, 1) for one in data]))
    return made.requires_grad_(False)


def test_pieces_start_where_others_end():
    (data,) = heat()
    data = replace(data, weight=torch.arange(len(data.t)).double())
    parts = data.pieces(5)
    assert [len(one.t) for one in parts] == [6, 6, 6, 6, 5]
    assert torch.equal(torch.cat([parts[0].t, *[one.t[1:] for one in parts[1:]]]), data.t)
    for one, after in pairwise(parts):
        assert torch.equal(one.x[-1], after.x[0])
        assert one.at(5) == after.at(0)
    assert {(one.duration, one.limit) for one in parts} == {(data.duration, data.limit)}
    some = data.pieces(5, every=2)
    assert [float(one.t[0]) for one in some] == [float(one.t[0]) for one in parts[::2]]
    (deep,) = parts[1].pieces(5)
    assert deep.whole is data


@pytest.mark.parametrize(
    ("intervals", "wanted"),
    [
        (2, []),
        (3, [(1, 1)]),
        (8, [(1, 1)]),
        (12, [(1, 2), (4, 1)]),
        (79, [(1, 2), (4, 1), (16, 1)]),
        (999, [(1, 2), (4, 1), (16, 1), (64, 1), (256, 1)]),
    ],
)
def test_pieces_grow_with_the_data(intervals, wanted):
    assert stages_of(intervals) == [Stage(*one) for one in wanted]


@pytest.mark.parametrize("start", [0.0, 1e6])
def test_what_the_weak_form_loses_is_fitted_in_pieces(monkeypatch, start):
    def lost(model, *given):
        model.coefficients.fill_(start)
        return math.inf

    monkeypatch.setattr(levels, "weak", lost)
    monkeypatch.setattr(levels, "SIZES", ((4, 0),))
    best, (record,) = levels.climbed(heat(count=2) + heat(steps=7))
    assert best.error < 1e-4
    stages = [one["stage"] for one in record["stages"]]
    assert stages[:2] == ["pieces of 1 interval", "pieces of 4 intervals"]


def test_a_transient_between_two_stamps_is_found_in_pieces():
    """States fall from 25 to 10 in the first interval, where no curve through them can follow."""
    system = Mutualistic(graph=ErdosRenyi(nodes=100, p=0.2), initial="ndcn")
    data = gathered(system.draw(range(1), simlearn.sample_times(41, 0.06), 0))
    model = series(data, 10, 5)
    before = weak(model, observed(data), [])
    assert before > levels.POOR
    assert in_pieces(model, observed(data), []) < 0.05 * before


@pytest.mark.parametrize(("start", "begun"), [(1e6, 0.0), (-1e3, 0.0), (None, None)])
def test_the_closer_start_is_taken(monkeypatch, start, begun):
    data, seen = heat(), []
    model = series(data)
    if start is None:
        newton(model, observed(data), [])
        begun = model.coefficients.clone()
    else:
        model.coefficients[1] = start

    def watched(model, *given):
        seen.append(model.coefficients.clone())
        return newton(model, *given)

    monkeypatch.setattr(shooting, "newton", watched)
    in_pieces(model, observed(data), [])
    torch.testing.assert_close(seen[0], torch.zeros_like(seen[0]) + begun)


def test_what_moves_nothing_ends_after_one_stage(monkeypatch):
    data, stages = heat(), []
    monkeypatch.setattr(shooting, "newton", lambda model, pieces, *given: 0.9 * still)
    model = series(data)
    still = error_of(model, data[0].pieces(1, 2))
    in_pieces(model, observed(data), stages)
    assert [one["stage"] for one in stages] == ["pieces of 1 interval"]


def test_lost_pieces_wait(monkeypatch):
    data, seen = heat(), []
    model, fifth = series(data), float(data[0].t[4])

    def lost(one):
        return len(one.t) == 5 and float(one.t[0]) == fifth

    def watched(model, pieces, *given):
        seen.append(len(pieces.fitted))
        gone = any(lost(one) for one in pieces.fitted)
        return math.inf if gone else newton(model, pieces, *given)

    def errors(model, some, *given):
        return math.inf if any(map(lost, some)) else error_of(model, some, *given)

    monkeypatch.setattr(shooting, "newton", watched)
    monkeypatch.setattr(shooting, "error_of", errors)
    assert in_pieces(model, observed(data), []) < 1e-3
    assert seen == [12, 6, 5]
    monkeypatch.setattr(shooting, "newton", lambda *given: math.inf)
    monkeypatch.setattr(shooting, "error_of", lambda *given: math.inf)
    assert in_pieces(model, observed(data), []) == math.inf


def test_a_fit_ends_where_it_is_close_enough():
    data, far, near = heat(), [], []
    model = series(data)
    assert newton(model, observed(data), far, exact=0.1) < 0.1
    model.coefficients.zero_()
    newton(model, observed(data), near)
    assert len(far) < len(near)


def test_stamps_that_nearly_coincide_lose_no_path():
    (data,) = heat()
    model = series([data])
    newton(model, observed([data]), [])
    kept = data.x[1:2]
    t = torch.cat([data.t[:2], data.t[1:2] + 1e-6, data.t[2:]])
    double = replace(data, t=t, x=torch.cat([data.x[:1], kept, kept, data.x[2:]]))
    assert error_of(model, [double]) < 1e-4
    found = fit.errors_of(model, model.coefficients[None], [double])
    assert float(found) < 1e-4
