"""Escape: what grows slowly is foretold, what comes to rest or is kept off is not."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, Evidence, Trajectory
from simlearn_checks.escape import Escape
from simlearn_checks.hops import Hops


@pytest.fixture
def disc():
    """States in a disc of radius one, four tracks of a rotation."""
    t = simlearn.sample_times(64, 0.1)
    tracks = []
    for radius in (0.25, 0.5, 0.75, 1.0):
        x = radius * torch.stack([t.cos(), t.sin()], 1)[:, None]
        tracks.append(Trajectory(t, x, simlearn.Topology.isolated(1)))
    return Evidence(tracks)


class Spiral(simlearn.VectorField):
    """Rotation, with r' = rate · r (1 − (r / end)²)."""

    dim = 2

    def __init__(self, rate, end=math.inf):
        super().__init__()
        self.rate, self.end = rate, end

    def forward(self, t, x, topology):
        square = x.square().sum(-1, keepdim=True) / self.end**2
        return self.rate * x * (1 - square) + torch.cat([x[:, 1:], -x[:, :1]], -1)


def hops(before, after, near=None, aside=None, apart=None):
    count = len(before)
    near = torch.tensor(near or [k == 0 for k in range(count)])
    none = [0.0] * count
    rest = (torch.tensor(part or none) for part in (aside, apart))
    return Hops(torch.tensor(before), torch.tensor(after), near, *rest)


def test_reach_goes_from_the_end_of_half_a_horizon_to_the_start_of_the_next():
    found = hops([0.5, 1.0, 1.5, 2.5, 9.0], [0.9, 1.5, 2.5, 3.0, math.inf])
    assert found.reach(3) == [1.0, 1.5, 2.5, 3.0, 3.0]  # none was between 2.5 and 9
    assert found.reach(1) == [1.0]
    lost = hops([0.5, 0.9], [0.9, math.inf])
    assert lost.reach(2) == [1.0, math.inf, math.inf]
    assert hops([0.5, 0.9], [math.inf, 1.0]).reach(1) == [math.inf]


def test_errors_grow_as_three_in_four_that_are_as_large_do():
    aside = [0.0] + [0.01] * 5 + [0.03] * 5
    fast = [0.0, 0.02, 0.05, 0.05, 0.05, 9.0, 0.03, 0.3, 0.3, 0.3, 9.0]
    found = hops([1.0] * 11, [1.0] * 11, aside=aside, apart=fast)
    assert found.growth(0.02) == pytest.approx(5)
    assert found.growth(7.0) == pytest.approx(10)
    assert found.growth(0.001) == 1.0
    assert found.errors(3) == pytest.approx([0.01, 0.05, 0.5, 5.0])
    heals = hops([1.0] * 2, [1.0] * 2, aside=[0.0, 0.01], apart=[0.0, 0.001])
    assert heals.errors(3) == [0.01] * 4


def test_slow_growth_is_foretold(disc, simulator, metric):
    # e^0.9 in a horizon of 30, far beyond all pushes in ten of them
    grows = simulator(Spiral(0.03), 0.1)
    found = Escape(horizon=300).run(grows, disc)
    assert found.verdict == "fail"
    assert metric(found, "after one horizon").value == pytest.approx(math.exp(0.9), rel=0.05)
    assert metric(found, "size foretold").value > 10
    assert metric(found, "error").value == pytest.approx(0.01 * math.exp(9), rel=0.5)
    assert Escape(horizon=300, horizons=1).run(grows, disc).verdict == "pass"


def test_growth_that_comes_to_rest_passes(disc, simulator, metric):
    found = Escape(horizon=300).run(simulator(Spiral(0.05, end=2.0), 0.1), disc)
    assert found.verdict == "pass"
    assert metric(found, "size foretold").value == pytest.approx(2.0, rel=0.1)


def test_what_decays_stays_with_the_data(disc, simulator, metric):
    found = Escape(horizon=300).run(simulator(Spiral(-0.01), 0.1), disc)
    assert found.verdict == "pass"
    assert metric(found, "size foretold").value == 1.0
    assert metric(found, "error").value == 0.01
    assert metric(found, "lost").value == 0


def test_growth_off_the_data_is_foretold_while_it_is_small(disc, fields, simulator, metric):
    # the third column is empty: nothing is seen there of growth by e^3 in a horizon
    flat = [
        Trajectory(one.t, torch.cat([one.x, 0 * one.x[..., :1]], -1), one.topology)
        for one in disc.held_out
    ]
    hidden = fields.Linear([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.3]])
    found = Escape(horizon=100).run(simulator(hidden, 0.1), Evidence(flat))
    assert metric(found, "size after one horizon").value == pytest.approx(1.0, abs=0.05)
    assert metric(found, "error").value > 4
    assert found.verdict == "fail"


@pytest.mark.parametrize(("border", "verdict"), [(0.9, "fail"), (3.0, "pass")])
def test_only_what_can_be_reached_counts(disc, fields, simulator, border, verdict):
    found = Escape(horizon=100).run(simulator(fields.Escaping(border), 0.1), disc)
    assert found.verdict == verdict


def test_no_number_is_beyond_all_bounds(disc, fields, simulator, metric):
    found = Escape(horizon=40).run(simulator(fields.Nothing(), 0.1), disc)
    assert found.verdict == "fail"
    assert metric(found, "size foretold").value == math.inf
    assert "beyond all bounds" in found.summary


def test_it_says_the_same_twice(disc, simulator):
    grows = simulator(Spiral(0.01), 0.1)
    assert (
        Escape(horizon=50).run(grows, disc).metrics == Escape(horizon=50).run(grows, disc).metrics
    )


@pytest.mark.parametrize("given", [{"limit": 1.0}, {"horizon": 0}, {"horizons": 0}, {"starts": 0}])
def test_limits_that_nothing_could_meet_are_refused(given):
    with pytest.raises(ConfigError):
        Escape(**given)
