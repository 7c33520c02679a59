"""The forecast of a final loss: its features, its fit, and what it says of itself."""

import json
import math
from pathlib import Path

import pytest
import torch

from simlearn.analysis.training.final_loss import (
    EARLY,
    NAMES,
    Early,
    Forecaster,
    fitted,
    left_out,
    shipped,
)
from simlearn.component import ConfigError, DataError

F64 = torch.float64


def power(steps, exponent, first=2.0):
    """A loss that falls as a power of the step."""
    at = torch.arange(1, steps + 1, dtype=F64)
    return at, first * at**-exponent


def test_the_slope_of_a_power_law_is_its_exponent():
    at, losses = power(400, 0.7)
    seen = Early.of(at, losses)
    assert seen.slope == pytest.approx(-0.7, abs=1e-12)
    assert seen.bend == pytest.approx(0.0, abs=1e-12)
    assert -0.7 * math.log(400) < seen.fall < -0.7 * math.log(300)
    assert math.isnan(seen.growth)
    assert math.isnan(seen.edge)


def test_a_loss_that_begins_to_rest_bends():
    at, losses = power(400, 0.7)
    assert Early.of(at, losses + 0.05).bend < -0.1


def test_the_size_of_the_loss_and_of_the_steps_seen_does_not_count():
    at, losses = power(400, 0.5)
    one, other = Early.of(at, losses), Early.of(at[::4], 7 * losses[::4])
    assert other.slope == pytest.approx(one.slope, abs=1e-10)
    assert other.fall == pytest.approx(one.fall, abs=0.02)


def test_growth_and_edge_are_on_scales_of_their_own():
    at, losses = power(100, 0.5)
    seen = Early.of(at, losses, exponent=-0.02, share=5.0)
    assert seen.growth == pytest.approx(-math.log1p(2.0))
    assert seen.edge == pytest.approx(math.log(2.0))
    assert Early.of(at, losses, 0.0, 0.0).edge == pytest.approx(math.log(1e-4))


@pytest.mark.parametrize(
    "losses", [[1.0] * 7, [1.0] * 9 + [0.0], [1.0] * 9 + [math.nan], [1.0] * 9 + [-1.0]]
)
def test_what_is_no_loss_is_refused(losses):
    with pytest.raises(DataError, match="at least 8 positive losses"):
        Early.of(range(1, len(losses) + 1), losses)


def drawn(count, seed=0, use="both"):
    """Features at random, ends that are linear in them, and a little noise."""
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, 5, generator=rng, dtype=F64)
    weights = torch.tensor([1.0, -0.5, 0.2, 0.4, -0.3], dtype=F64)
    noise = 0.01 * torch.randn(count, generator=rng, dtype=F64)
    ends = rows @ weights - 1.0 + noise
    return [Early(*row) for row in rows.tolist()], ends.tolist()


def test_a_linear_law_is_found():
    seen, ends = drawn(400)
    made = fitted("both", seen, ends)
    off = [made.logarithm(one) - end for one, end in zip(seen, ends, strict=True)]
    inside = [o for o, one in zip(off, seen, strict=True) if max(map(abs, vars(one).values())) < 2]
    assert max(map(abs, inside)) < 0.15
    assert Forecaster(**made.to_json()) == made


def test_a_left_out_group_is_not_in_its_own_fit():
    seen, ends = drawn(60)
    ends = [end + (100.0 if k < 20 else 0.0) for k, end in enumerate(ends)]
    groups = ["a"] * 20 + ["b"] * 20 + ["c"] * 20
    found = left_out("both", seen, ends, groups)
    assert max(found[:20]) < 20, "the fit without a knows nothing of a's shift"


def test_too_few_trainings_tell_nothing():
    seen, ends = drawn(9)
    with pytest.raises(DataError, match="at least 10 trainings"):
        fitted("both", seen, ends)
    assert fitted("exponents", seen, ends).use == "exponents"


KEPT = json.loads(
    (Path(__file__).parents[2] / "benchmarks/results/training_dynamics.json").read_text()
)


@pytest.mark.parametrize("use", NAMES)
def test_the_shipped_forecast_says_what_the_study_found(use):
    made, found = shipped(use), KEPT["learning rates differ"]
    assert made.use == use
    assert made.low < 0 < made.high
    told = {name: made.skill[name] for name in ("r2", "rank_correlation", "median_factor")}
    assert told == found[f"fitted to {use}"]
    assert made.skill["trainings"] == KEPT["trainings"]["vary"] >= 500
    plain = found["the loss stays where it is"]
    assert made.skill["median_factor"] < plain["median_factor"]


def test_exponents_are_asked_for_where_they_are_used():
    at, losses = power(200, 0.5)
    with pytest.raises(ConfigError, match="needs the exponent"):
        shipped("both").logarithm(Early.of(at, losses))


def test_a_loss_that_falls_faster_is_forecast_to_end_lower():
    slow, fast = (Early.of(*power(200, exponent)) for exponent in (0.2, 0.8))
    made = shipped("loss")
    middle, low, high = made.forecast(slow, 2.0)
    assert low < middle < high
    assert made.forecast(fast, 2.0)[0] < middle
    assert made.forecast(slow, 4.0)[0] == pytest.approx(2 * middle)


def test_the_shipped_forecast_is_not_absurd_on_a_power_law():
    """From the first tenth of L ~ step^-1/2 the end is known; within a factor of five."""
    steps = 2000
    at, losses = power(round(EARLY * steps), 0.5)
    wanted = 2.0 * steps**-0.5
    found = shipped("loss").forecast(Early.of(at, losses), 2.0)[0]
    assert wanted / 5 < found < 5 * wanted
