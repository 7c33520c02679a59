"""InvariantMeasure: the truth is as good as new data; a wrong place, width or pace is not."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Evidence, Map, Simulator, Topology, Trajectory
from simlearn_chaos import Lorenz63Law
from simlearn_checks.measure import InvariantMeasure


class Turning(Map):
    """A phase that turns at its own pace: x ↦ R x + shift, on circles."""

    dim = 2

    def __init__(self, angle=0.3, width=1.0, shift=0.0):
        super().__init__()
        c, s = math.cos(angle), math.sin(angle)
        self.turn = torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
        self.width, self.shift = width, shift

    def forward(self, t, x, dt, topology):
        x = x - self.shift
        to = x / x.norm(dim=-1, keepdim=True).clamp_min(1e-9) * self.width
        return to @ self.turn.T + self.shift


def circles(count=6, steps=400):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(count, 2, generator=rng, dtype=torch.float64)
    rolled = Simulator(Turning(), None, 1.0).rollout(x / x.norm(dim=1, keepdim=True), steps - 1)
    return tuple(
        Trajectory(rolled.t, rolled.x[:, k : k + 1].clone(), Topology.isolated(1))
        for k in range(count)
    )


@pytest.fixture(scope="module")
def turning():
    return Evidence(circles())


def judged(check, model, evidence, dt=1.0):
    return check.run(Simulator(model, None, dt), evidence)


CHECK = InvariantMeasure(horizon=200, transient=100, limit=3.0, distances=["sliced", "spectrum"])


def test_the_truth_is_as_good_as_new_data(lorenz, metric, simulator):
    found = InvariantMeasure(horizon=400, transient=800).run(
        simulator(Lorenz63Law()), Evidence(lorenz)
    )
    assert found.verdict == "pass", found.summary
    for name in ("wasserstein", "sliced", "hellinger", "mmd", "spectrum"):
        assert metric(found, name).value == pytest.approx(1.0, abs=3 * metric(found, name).noise)
    assert "as good as new data" in found.summary
    assert len(found.curves) == 4


def test_an_attractor_of_another_kind_fails(lorenz, metric, simulator):
    found = InvariantMeasure(horizon=400, transient=800).run(
        simulator(Lorenz63Law(rho=18.0)), Evidence(lorenz)
    )
    assert found.verdict == "fail"
    assert metric(found, "wasserstein").value > 2
    assert "do not live where" in found.summary


def test_a_wrong_width_fails_and_a_right_one_passes(turning, metric):
    assert judged(CHECK, Turning(), turning).verdict == "pass"
    for wrong in (Turning(width=2.0), Turning(shift=1.0)):
        found = judged(CHECK, wrong, turning)
        assert found.verdict == "fail"
        assert not metric(found, "sliced").passed


def test_a_wrong_pace_is_seen_by_the_spectrum_only(turning, metric):
    found = judged(CHECK, Turning(angle=0.6), turning)
    assert found.verdict == "fail"
    assert metric(found, "sliced").passed
    assert not metric(found, "spectrum").passed
    blind = InvariantMeasure(horizon=200, transient=100, limit=3.0, distances=["sliced"])
    assert judged(blind, Turning(angle=0.6), turning).verdict == "pass"


def test_rollouts_that_are_lost_have_no_measure(turning, fields, metric):
    found = judged(CHECK, fields.LinearMap([[900.0, 0.0], [0.0, 900.0]]), turning)
    assert found.verdict == "fail"
    assert metric(found, "share of rollouts lost").value == 1.0
    assert math.isnan(metric(found, "sliced").value)
    assert "stop being finite, the first at step 1" in found.summary


def test_references_are_told_beside(turning, metric):
    beside = Evidence(turning.held_out, references={"slow": Simulator(Turning(0.1), None, 1.0)})
    found = judged(CHECK, Turning(), beside)
    assert metric(found, "spectrum").beside["slow"] > 3
    assert found.verdict == "pass"


def test_data_sampled_less_often_than_steps_are_met(fields, metric):
    data = [one.slice(0, None, 2) for one in circles()]
    found = judged(CHECK, Turning(), Evidence(data))
    assert found.verdict == "pass", found.summary
    assert found.metrics[0].value == 0


def test_evidence_that_is_too_short_is_refused(turning):
    with pytest.raises(DataError, match="3 segments of 300 steps"):
        judged(InvariantMeasure(horizon=300), Turning(), Evidence(turning.held_out[:2]))
    with pytest.raises(DataError, match="10 samples; 16 are needed"):
        judged(InvariantMeasure(horizon=10), Turning(), turning)
    with pytest.raises(DataError, match="held-out trajectory"):
        judged(InvariantMeasure(), Turning(), Evidence())


def test_driven_data_have_no_measure_of_their_own(simulator):
    from simlearn_mechanics import DrivenPendulum

    held = tuple(DrivenPendulum().draw(range(2), simlearn.sample_times(60, 0.05), 0))
    found = InvariantMeasure(horizon=20).run(
        simulator(DrivenPendulum().truth(), 0.05), Evidence(held)
    )
    assert found.verdict == "not_applicable"


@pytest.mark.parametrize(
    "given",
    [
        {"horizon": 0},
        {"transient": -1},
        {"limit": 0.5},
        {"limit": math.nan},
        {"segments": 2},
        {"distances": []},
        {"distances": ["euclid"]},
    ],
)
def test_senseless_arguments_are_refused(given):
    with pytest.raises(ConfigError):
        InvariantMeasure(**given)


def test_data_of_other_spacing_are_left_out(turning, metric):
    mixed = [*turning.held_out[:4], *(one.slice(0, None, 2) for one in turning.held_out[4:])]
    found = judged(CHECK, Turning(), Evidence(mixed))
    assert "2 of 6 held-out trajectories are sampled otherwise and left out" in found.summary
    alone = judged(CHECK, Turning(), Evidence(turning.held_out[:4]))
    assert found.metrics == alone.metrics


def test_a_reference_that_meets_no_sample_is_left_out(turning, metric):
    named = {"other": Simulator(Turning(), None, 0.7), "half": Simulator(Turning(0.15), None, 0.5)}
    found = judged(CHECK, Turning(), Evidence(turning.held_out, references=named))
    assert set(metric(found, "spectrum").beside) == {"half"}
    assert metric(found, "spectrum").beside["half"] < 3
