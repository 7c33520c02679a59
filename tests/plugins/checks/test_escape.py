"""Escape: what grows slowly is foretold, what comes to rest or is kept off is not."""

import math
from dataclasses import replace

import pytest
import torch

import simlearn
from simlearn import ConfigError, Evidence, Simulator, Topology, Trajectory
from simlearn.integrators import RK4
from simlearn_checks.divergence import box_around
from simlearn_checks.escape import Escape
from simlearn_checks.starts import starts
from simlearn_checks.stitched import LOST, Stitched, pushed
from simlearn_mechanics import ThreeBody
from simlearn_networks import ErdosRenyi, Kuramoto


@pytest.fixture
def disc():
    """States in a disc of radius one, four tracks of a rotation."""
    t = simlearn.sample_times(64, 0.1)
    tracks = []
    for radius in (0.25, 0.5, 0.75, 1.0):
        x = radius * torch.stack([t.cos(), t.sin()], 1)[:, None]
        tracks.append(Trajectory(t, x, Topology.isolated(1)))
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


def line_of(first, ends, parts, origin=None):
    """Rollouts of states on a line; a part is where it begins, where it ends, and its size."""
    begin, end, size = (torch.tensor(one, dtype=torch.float64) for one in zip(*parts, strict=True))
    origin = torch.tensor(origin or [0] * len(parts))
    first, ends = (torch.tensor(one, dtype=torch.float64) for one in (first, ends))
    return Stitched(first, ends[:, None], begin[:, None], end[:, None], size, origin)


def test_a_rollout_goes_on_as_the_one_that_began_nearest_to_its_end():
    parts = [(0.5, 0.6, 0.7), (0.75, 0.9, 0.95), (0.95, 9.0, LOST), (7.0, 1.0, 7.0)]
    found = line_of([0.7, 0.5], [0.7, 0.55], parts)
    sizes, widest = found.course(3)
    # .7 → .75 … .9 → .95 … lost; .55 → .5 … .6 → .5, again and again, never from 7
    assert sizes.tolist() == [[0.7, 0.5], [0.95, 0.7], [LOST, 0.7], [LOST, 0.7]]
    assert widest == pytest.approx(math.asinh(0.6) - math.asinh(0.5))
    assert found.course(0)[0].tolist() == [[0.7, 0.5]]


def test_beyond_the_data_growth_goes_on_in_proportion():
    parts = [(1.0, 1.0, 1.0), (2.0, 3.0, 3.5), (-2.0, -1.0, 2.0)]
    sizes = line_of([2.4, 2.4], [2.4, -2.4], parts).course(3)[0]
    assert sizes[:, 0].tolist() == pytest.approx([2.4, 4.2, 6.3, 9.45])  # 2.4, 3.6, 5.4, 8.1
    assert sizes[:, 1].tolist() == pytest.approx([2.4] * 4)  # 2.4, 1.2, 1.2, 1.2
    gone = line_of([2.0], [2.0], [(2.0, 30.0, 30.0)]).course(400)[0]
    assert gone.max() == LOST
    assert gone.isfinite().all()


def test_halves_are_of_every_second_held_out_state():
    parts = [(1.0, 1.0, 1.0), (1.0, 1.0, 5.0)]
    found = line_of([1.0, 1.0], [1.0, 1.0], parts, origin=[0, 1])
    assert [found.largest(odd, 2) for odd in (False, True)] == [1.0, 5.0]
    alone = line_of([1.0], [1.0], parts[:1], origin=[0])
    assert alone.largest(True, 2) == 0.0


def test_slow_growth_is_foretold(disc, simulator, metric):
    # e^0.9 in a horizon of 30, so e^9 after ten: far beyond all pushes
    grows = simulator(Spiral(0.03), 0.1)
    found = Escape(horizon=300).run(grows, disc)
    assert found.verdict == "fail"
    assert metric(found, "after one horizon").value == pytest.approx(math.exp(0.9), rel=0.05)
    assert metric(found, "size foretold").value > 10
    assert metric(found, "beyond the limit").value > 0.5
    soon = Escape(horizon=300, horizons=1).run(grows, disc)
    assert soon.verdict == "pass"
    assert metric(soon, "size foretold").value == metric(found, "after one horizon").value


@pytest.mark.parametrize("rate", [0.005, 0.01])
def test_the_size_that_is_foretold_is_between_those_after_as_long_and_twice_as_long(
    disc, simulator, metric, rate
):
    found = Escape(horizon=300, horizons=5).run(simulator(Spiral(rate), 0.1), disc)
    size = math.exp(rate * 150)
    assert 0.9 * size < metric(found, "size foretold").value < size**2


def test_growth_that_comes_to_rest_passes(disc, simulator, metric):
    found = Escape(horizon=300).run(simulator(Spiral(0.05, end=2.0), 0.1), disc)
    assert found.verdict == "pass"
    assert metric(found, "size foretold").value == pytest.approx(2.0, rel=0.15)


def test_what_decays_stays_with_the_data(disc, simulator, metric):
    found = Escape(horizon=300).run(simulator(Spiral(-0.01), 0.1), disc)
    assert found.verdict == "pass"
    assert metric(found, "size foretold").value == pytest.approx(1.0, abs=0.01)
    assert metric(found, "beyond the limit").value == 0


@pytest.mark.parametrize(("rate", "verdict"), [(0.3, "fail"), (-0.3, "pass")])
def test_growth_off_the_data_is_foretold(disc, fields, simulator, metric, rate, verdict):
    # the third column holds a hundredth of noise, which grows by e^1.5 in a horizon
    rng = torch.Generator().manual_seed(0)
    flat = []
    for one in disc.held_out:
        noise = 0.01 * torch.randn(one.x[..., :1].shape, generator=rng, dtype=torch.float64)
        flat.append(replace(one, x=torch.cat([one.x, noise], -1)))
    turns = [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, rate]]
    found = Escape(horizon=50).run(simulator(fields.Linear(turns), 0.1), Evidence(flat))
    assert found.verdict == verdict


@pytest.mark.parametrize(("border", "verdict"), [(0.9, "fail"), (3.0, "pass")])
def test_only_what_can_be_reached_counts(disc, fields, simulator, border, verdict):
    found = Escape(horizon=100).run(simulator(fields.Escaping(border), 0.1), disc)
    assert found.verdict == verdict


def test_no_number_is_beyond_all_bounds(disc, fields, simulator, metric):
    found = Escape(horizon=40).run(simulator(fields.Nothing(), 0.1), disc)
    assert found.verdict == "fail"
    assert metric(found, "size foretold").value == LOST
    assert "beyond all bounds" in found.summary
    assert found.worst.step == 1


def test_a_value_that_half_of_the_states_do_not_see_is_flagged(simulator, metric):
    # every second held-out state lies where the field leads away
    class Split(simlearn.VectorField):
        dim = 2

        def forward(self, t, x, topology):
            return torch.cat([torch.where(x[:, :1] > 0, 5.0 * x[:, :1], 0.0), 0 * x[:, :1]], -1)

    t = simlearn.sample_times(8, 0.1)
    x = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(4)
    data = Trajectory(t, torch.stack([x, x], 1)[:, None], Topology.isolated(1))
    found = Escape(horizon=40, starts=8).run(simulator(Split(), 0.1), Evidence([data]))
    judged = metric(found, "size foretold")
    assert judged.value == LOST
    assert judged.noise == LOST - 1
    assert judged.marginal
    assert not found.metrics[0].passed


def test_pushes_begin_everywhere_in_the_data(disc):
    found = starts(disc, 32)
    begins = pushed(found, 320, box_around(disc, 1.0), 0)
    far = {begins.origin[k] for k in range(begins.near, len(begins.states))}
    assert len(begins.states) - begins.near == 32 * 7 + 16 * 9
    assert {k % 8 for k in far} == set(range(8))  # samples of a trajectory
    assert {k // 8 for k in far} == set(range(4))  # trajectories


def test_systems_of_several_sizes_go_on_as_their_like(simulator):
    t = simlearn.sample_times(40, 0.1)
    turns = torch.stack([t.cos(), t.sin()], 1)[:, None]
    held = Evidence([Trajectory(t, turns.repeat(1, n, 1), Topology.complete(n)) for n in (2, 3)])
    found = Escape(horizon=60, starts=20).run(simulator(Spiral(0.1), 0.1), held)
    assert found.verdict == "fail"
    assert Escape(horizon=60, starts=20).run(simulator(Spiral(0.0), 0.1), held).verdict == "pass"


LEAVE = {
    "phases": (lambda: Kuramoto(ErdosRenyi(6, 0.5)), 0.1),
    "three bodies": (ThreeBody, 0.05),
}


@pytest.mark.parametrize("name", LEAVE)
def test_nobody_is_blamed_for_what_the_law_does(name):
    make, dt = LEAVE[name]
    system = make()
    data = list(system.draw(range(4), simlearn.sample_times(60, dt), 0))
    law, check = Simulator(system.truth(), RK4(), dt), Escape(horizon=300, starts=60)
    assert check.run(law, Evidence(data)).verdict == "fail"
    found = check.run(law, Evidence(data, truth=system.truth()))
    assert found.verdict == "pass"
    assert "the true law" in found.summary
    assert found.metrics[0].beside["true law"] == pytest.approx(found.metrics[0].value, rel=0.5)


def test_who_leaves_where_the_law_does_not_is_blamed(disc, simulator):
    known = Evidence(disc.held_out, truth=Spiral(-0.01))
    found = Escape(horizon=300).run(simulator(Spiral(0.03), 0.1), known)
    assert found.verdict == "fail"
    assert found.metrics[0].limit == pytest.approx(Escape().limit, rel=0.01)


def test_it_says_the_same_twice(disc, simulator):
    grows = simulator(Spiral(0.01), 0.1)
    assert (
        Escape(horizon=50).run(grows, disc).metrics == Escape(horizon=50).run(grows, disc).metrics
    )


@pytest.mark.parametrize(
    "given", [{"limit": 1.0}, {"horizon": 0}, {"horizon": 19}, {"horizons": 0}, {"starts": 0}]
)
def test_what_could_not_be_judged_is_refused(given):
    with pytest.raises(ConfigError):
        Escape(**given)
