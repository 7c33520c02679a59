"""ValidPredictionTime: the logarithm of how good a law is, in Lyapunov times."""

import math

import pytest

import simlearn
from simlearn import ConfigError, DataError, Evidence, Simulator
from simlearn.integrators import RK4, Euler
from simlearn_chaos import Lorenz63Law
from simlearn_checks.horizon import ValidPredictionTime

LAMBDA = 0.9056


def test_a_hundredfold_better_law_holds_for_ln_100_longer(lorenz, metric, simulator):
    check = ValidPredictionTime(horizon=1500, exponent=LAMBDA)
    found = [
        metric(check.run(simulator(Lorenz63Law(rho=rho)), Evidence(lorenz)), "median")
        for rho in (28.28, 28.0028)
    ]
    gained = found[1].value - found[0].value
    assert gained == pytest.approx(math.log(100), abs=3 * math.hypot(*(m.noise for m in found)))
    assert all(0 < m.noise < 1 for m in found)


@pytest.mark.slow
def test_the_exponent_comes_from_the_truth_or_the_simulator(lorenz, metric, simulator):
    # the judged law is stable at rest: its own exponent is no scale of the data's chaos
    check, stable = ValidPredictionTime(horizon=600, starts=10), Lorenz63Law(rho=15.0)
    known = check.run(simulator(stable), Evidence(lorenz, truth=Lorenz63Law()))
    assert known.verdict == "fail"
    assert metric(known, "largest Lyapunov").value == pytest.approx(LAMBDA, abs=0.15)
    unknown = check.run(simulator(stable), Evidence(lorenz))
    assert unknown.verdict == "not_applicable"
    assert "cannot be told from zero" in unknown.summary


def test_a_perfect_law_outlasts_the_horizon(lorenz, metric, simulator):
    check = ValidPredictionTime(horizon=600, exponent=LAMBDA)
    found = check.run(simulator(Lorenz63Law()), Evidence(lorenz))
    assert found.verdict == "pass"
    assert metric(found, "median").value == pytest.approx(6 * LAMBDA)
    assert metric(found, "outlast").value == 1.0
    assert "at least" in found.summary
    assert "from 50 starts" in found.summary


def test_a_poor_scheme_fails(lorenz, metric):
    check = ValidPredictionTime(horizon=600, exponent=LAMBDA)
    named = Evidence(lorenz, references={"by RK4": Simulator(Lorenz63Law(), RK4(), 0.01)})
    found = check.run(Simulator(Lorenz63Law(), Euler(), 0.02), named)
    assert found.verdict == "fail"
    assert metric(found, "median").beside["by RK4"] > 5 * metric(found, "median").value
    assert len(found.curves["Forecasts that still hold"].lines) == 2


def test_no_number_is_no_pass(fields, lorenz, metric, simulator):
    check = ValidPredictionTime(horizon=600, exponent=LAMBDA)
    found = check.run(simulator(fields.Nothing()), Evidence(lorenz))
    assert found.verdict == "fail"
    assert metric(found, "median").value <= 0.01
    for field in (fields.Nothing(), fields.Detached()):
        found = ValidPredictionTime(horizon=600).run(simulator(field), Evidence(lorenz))
        assert found.verdict == "fail"
        assert "Jacobian" in found.metrics[0].name


def test_orbits_that_run_away_have_no_exponent(fields, tracks, simulator):
    found = ValidPredictionTime(horizon=3).run(
        simulator(fields.Escaping(-9.0), 0.1), Evidence(tracks(3, 2, steps=20))
    )
    assert found.verdict == "fail"
    assert "Every orbit leaves" in found.summary


def test_a_horizon_longer_than_the_evidence_is_refused(lorenz, simulator):
    with pytest.raises(DataError, match="3001 samples in a row"):
        ValidPredictionTime(horizon=3000, exponent=1.0).run(
            simulator(Lorenz63Law()), Evidence(lorenz)
        )
    with pytest.raises(ConfigError, match="nothing could pass"):
        ValidPredictionTime(horizon=100, minimum=5.0, exponent=LAMBDA).run(
            simulator(Lorenz63Law()), Evidence(lorenz)
        )


@pytest.mark.parametrize("name", ["horizon", "threshold", "minimum", "starts", "exponent"])
@pytest.mark.parametrize("value", [0, -1])
def test_senseless_arguments_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        ValidPredictionTime(**{name: value})


def every_other(lorenz):
    return (*lorenz[:2], *(one.slice(0, None, 2) for one in lorenz[2:]))


def test_data_of_other_spacing_are_not_compared(lorenz, metric, simulator):
    check = ValidPredictionTime(horizon=300, exponent=LAMBDA)
    found = check.run(simulator(Lorenz63Law()), Evidence(every_other(lorenz)))
    assert metric(found, "lower quartile").value == pytest.approx(3 * LAMBDA)
    assert "2 of 4 held-out trajectories are sampled otherwise and left out" in found.summary
    whole = check.run(simulator(Lorenz63Law()), Evidence(lorenz))
    assert "left out" not in whole.summary


def test_a_horizon_is_worth_whole_samples(lorenz, metric, simulator):
    coarse = Evidence([one.slice(0, None, 10) for one in lorenz])
    with pytest.raises(DataError, match="reaches no sample"):
        ValidPredictionTime(horizon=5, exponent=LAMBDA).run(simulator(Lorenz63Law()), coarse)
    # 119 steps are 11 samples of ten, 0.996 Lyapunov times
    with pytest.raises(ConfigError, match="A horizon of 110 steps is 0"):
        ValidPredictionTime(horizon=119, exponent=LAMBDA).run(simulator(Lorenz63Law()), coarse)
    found = ValidPredictionTime(horizon=120, exponent=LAMBDA).run(simulator(Lorenz63Law()), coarse)
    assert found.verdict == "pass"


@pytest.mark.parametrize("dt", [0.007, 7.0])
def test_a_reference_that_meets_no_sample_is_left_out(lorenz, metric, simulator, dt):
    named = {"other": simulator(Lorenz63Law(), dt), "like": simulator(Lorenz63Law(), 0.02)}
    check = ValidPredictionTime(horizon=300, exponent=LAMBDA)
    found = check.run(simulator(Lorenz63Law()), Evidence(lorenz, references=named))
    assert found.verdict == "pass"
    assert set(metric(found, "median").beside) == {"like"}
    assert len(found.curves["Forecasts that still hold"].lines) == 2


def test_a_driven_system_needs_an_exponent(simulator):
    from simlearn_mechanics import DrivenPendulum

    held = tuple(DrivenPendulum().draw(range(2), simlearn.sample_times(60, 0.05), 0))
    judged = simulator(DrivenPendulum().truth(), 0.05)
    found = ValidPredictionTime(horizon=40).run(judged, Evidence(held))
    assert found.verdict == "not_applicable"
    assert "Give `exponent`" in found.summary
    given = ValidPredictionTime(horizon=40, exponent=1.0).run(judged, Evidence(held))
    assert given.verdict == "pass", given.summary
