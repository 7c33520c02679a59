"""The period of the data, and horizons that are counted in it."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Evidence, Simulator, Topology, Trajectory
from simlearn.integrators import RK4, Leapfrog
from simlearn_chaos import Lorenz63
from simlearn_checks import (
    Bounded,
    Divergence,
    EnergyDrift,
    ForecastError,
    InvariantDrift,
    InvariantMeasure,
    MomentumDrift,
    StepHalving,
    UnlearnableDirections,
    ValidPredictionTime,
)
from simlearn_checks.times import period
from simlearn_mechanics import DampedPendulum, MassSpring, MassSpringLaw

SPRING = Simulator(MassSpringLaw(), Leapfrog(), 0.1)


def drawn(system, count=3, steps=400, dt=0.1):
    return Evidence(tuple(system.draw(range(count), simlearn.sample_times(steps, dt), 0)))


def of(*columns, dt=0.1):
    """Evidence of one trajectory with these columns."""
    x = torch.stack(columns, -1)[:, None]
    t = dt * torch.arange(len(x), dtype=torch.float64)
    return Evidence((Trajectory(t, x, Topology.isolated(1)),))


def clock(steps=400, dt=0.1):
    return dt * torch.arange(steps, dtype=torch.float64)


def test_a_spring_swings_in_two_pi():
    found = period(drawn(MassSpring()))
    assert found.value == pytest.approx(2 * math.pi, rel=1e-3)
    assert found.spread < 1e-3


def test_wide_swings_of_a_pendulum_are_slower_and_their_spread_is_told():
    found = period(drawn(DampedPendulum(), 6, 300))
    assert found.value > 2 * math.pi
    assert 1e-3 < found.spread < 0.5


def test_each_column_counts_alike_whatever_its_size_and_drift():
    t = clock()
    small = 1e-6 * torch.sin(2 * math.pi * t / 4.0)
    drifting = t + 1e-3 * torch.cos(2 * math.pi * t / 4.0)
    assert period(of(small, drifting, torch.ones_like(t))).value == pytest.approx(4.0, rel=1e-2)


@pytest.mark.parametrize(
    "x",
    [
        torch.exp(-clock()),
        torch.sin(2 * math.pi * clock() / 30.0),  # seen 1.3 times
        torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        torch.zeros(400, dtype=torch.float64),
        torch.sin(clock())[:10],
    ],
    ids=["rest", "too slow", "noise", "still", "short"],
)
def test_what_shows_no_period_has_none(x):
    assert period(of(x)) is None


def test_chaos_has_no_period():
    assert period(drawn(Lorenz63(), 2, 1000, 0.02)) is None


def test_data_of_several_paces_have_none():
    paces = [torch.sin(2 * math.pi * clock() / one) for one in (0.5, 0.9, 1.7, 3.1, 5.3, 8.0)]
    assert period(of(*paces)) is None


@pytest.mark.parametrize("sampled", ["unevenly", "system by system"])
def test_only_evenly_sampled_data_show_one(sampled):
    (one,) = drawn(MassSpring(), 1).held_out
    t = one.t + (0.03 * torch.sin(3 * one.t) if sampled == "unevenly" else 0)
    t = t[:, None] if sampled != "unevenly" else t
    assert period(Evidence((Trajectory(t, one.x, one.topology),))) is None


@pytest.mark.parametrize(
    ("check", "more"),
    [
        (Bounded, {}),
        (EnergyDrift, {}),
        (MomentumDrift, {}),
        (StepHalving, {"limit": 1.0}),
        (ForecastError, {"limit": 1.0}),
        (InvariantDrift, {"starts": 2}),
        (Divergence, {"starts": 80}),
        (ValidPredictionTime, {"exponent": 1.0, "starts": 4}),
        (InvariantMeasure, {"transient": 10, "segments": 3}),
    ],
)
def test_three_periods_are_as_many_steps(check, more):
    data = Evidence(drawn(MassSpring()).held_out, truth=MassSpringLaw())
    steps = round(3 * period(data).value / SPRING.dt)
    counted, named = (check(h, **more).run(SPRING, data) for h in (steps, "3 periods"))
    assert steps == 188
    assert [(m.name, m.value) for m in counted.metrics] == [
        (m.name, m.value) for m in named.metrics
    ]


def test_errors_off_the_data_are_followed_for_periods_too(fields, simulator):
    t = clock()
    x = torch.stack([t.sin(), t.cos(), 0 * t], -1)[:, None]
    flat = Trajectory(t, x, Topology.isolated(1))
    turning = simulator(fields.Linear([[0, 1, 0], [-1, 0, 0], [0, 0, -0.5]]), 0.1)
    found = UnlearnableDirections("4 periods", anchors=8).run(turning, Evidence((flat,), (flat,)))
    assert found.verdict == "pass"


@pytest.mark.parametrize(
    "horizon", ["", "periods", "0 periods", "-1 periods", "3 steps", "1.2.3 p"]
)
def test_other_words_are_refused(horizon):
    with pytest.raises(ConfigError, match="of periods of the data"):
        Bounded(horizon)


@pytest.mark.parametrize("horizon", [0, -3])
def test_no_step_is_refused(horizon):
    with pytest.raises(ConfigError, match="must be positive"):
        ForecastError(horizon, limit=1.0)


def test_periods_of_data_without_one_cannot_be_counted():
    with pytest.raises(DataError, match="do not show a period"):
        Bounded("3 periods").run(SPRING, of(torch.exp(-clock()), torch.exp(-clock())))


def test_energy_drifts_by_what_rk4_loses_in_a_period():
    """|R(iz)|² = 1 − z⁶/72 + z⁸/576 of a step of phase z: twice the logarithm for the energy."""
    z = 0.3
    lost = -math.log(1 - z**6 / 72 + z**8 / 576) * 2 * math.pi / z
    data = Evidence(drawn(MassSpring(), 1).held_out, truth=MassSpringLaw())
    rk4 = Simulator(MassSpringLaw(), RK4(), z)
    found = EnergyDrift("10 periods", max_drift=2 * lost).run(rk4, data)
    drift = next(m for m in found.metrics if m.name == "energy drift")
    assert drift.value == pytest.approx(lost, rel=0.02)
    assert drift.unit == "1/period"
    assert drift.passed
    assert not EnergyDrift("10 periods", max_drift=lost / 2).run(rk4, data).metrics[-1].passed


def test_a_drift_per_period_is_told_where_there_is_one_and_asked_for_only_there():
    data = Evidence(drawn(MassSpring(), 1, 60).held_out, truth=MassSpringLaw())
    assert period(data) is None
    names = [m.name for m in EnergyDrift(200).run(SPRING, data).metrics]
    assert "energy drift" not in names
    with pytest.raises(DataError, match="max_drift is per period"):
        EnergyDrift(200, max_drift=1.0).run(SPRING, data)
    with pytest.raises(DataError, match="asked for per period"):
        InvariantDrift(200, per="period").run(SPRING, data)


def test_invariants_drift_per_period_by_the_period_of_the_data():
    data = Evidence(drawn(MassSpring(), 2).held_out, truth=MassSpringLaw())
    rk4 = Simulator(MassSpringLaw(), RK4(), 0.3)
    by_time, by_period = (InvariantDrift(400, per=p).run(rk4, data) for p in ("time", "period"))
    ratio = by_period.metrics[0].value / by_time.metrics[0].value
    assert ratio == pytest.approx(period(data).value, rel=1e-9)
    assert by_period.metrics[0].unit == "1/period"
    with pytest.raises(ConfigError, match="per time or per period"):
        InvariantDrift(per="step")
