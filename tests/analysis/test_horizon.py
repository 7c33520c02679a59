"""Valid prediction times of errors that are known, and shares with their intervals."""

import math

import pytest
import torch

from simlearn import ConfigError
from simlearn.analysis import horizon

LAMBDA, DT = 0.9, 0.01


def growing(first, steps=4000):
    t = DT * torch.arange(steps, dtype=torch.float64)
    return torch.stack([e * (LAMBDA * t).exp() for e in first], 1)


@pytest.mark.parametrize("theta", [0.4, 0.1])
def test_an_error_that_grows_exponentially_is_valid_for_ln_theta_over_e0(theta):
    first, scale = [1e-3, 1e-4, 1e-6], 2.5
    found = horizon.valid_time(growing(first), scale, theta, DT, LAMBDA)
    wanted = [math.log(theta * scale / e) for e in first]
    for value, exact in zip(found.times.tolist(), wanted, strict=True):
        assert exact <= value <= exact + LAMBDA * DT * (1 + 1e-9)  # the first sample beyond it
    assert found.median == found.times[1]
    assert not found.censored.any()
    plain = horizon.valid_time(growing(first), scale, theta, DT)
    torch.testing.assert_close(plain.times * LAMBDA, found.times)


def test_starts_that_outlast_the_horizon_are_censored():
    error = growing([1e-2, 1e-300, 1e-300], steps=1001)
    found = horizon.valid_time(error, 1.0, 0.4, DT)
    assert found.censored.tolist() == [False, True, True]
    assert found.horizon == pytest.approx(10.0)
    assert found.median == found.horizon
    assert found.at_least
    assert found.quartiles[0] < found.horizon
    assert not horizon.valid_time(error[:, :1], 1.0, 0.4, DT).at_least


def test_an_error_that_is_no_number_is_too_large():
    error = torch.zeros(10, 3, dtype=torch.float64)
    error[4:, 0], error[6:, 1] = math.nan, math.inf
    found = horizon.valid_time(error, 1.0, dt=1.0)
    assert found.times.tolist() == [4.0, 6.0, 9.0]
    assert found.censored.tolist() == [False, False, True]
    assert horizon.valid_time(error * math.nan, 1.0).median == 0.0


def test_the_noise_of_the_median_is_that_of_order_statistics():
    rng = torch.Generator().manual_seed(0)
    medians = []
    for _ in range(400):
        times = torch.rand(100, generator=rng, dtype=torch.float64)
        medians.append(horizon.Validity(times, times < 0, 1.0))
    spread = torch.tensor([m.median for m in medians]).std()
    told = torch.tensor([m.noise for m in medians]).mean()
    assert float(told) == pytest.approx(float(spread), rel=0.15)


# Brown, Cai and DasGupta (2001); computed by hand from the closed form
@pytest.mark.parametrize(
    ("count", "trials", "low", "high"),
    [
        (0, 100, 0.0, 0.0369935),
        (5, 100, 0.0215437, 0.1117505),
        (50, 100, 0.4038315, 0.5961685),
        (100, 100, 0.9630065, 1.0),
    ],
)
def test_wilson_against_known_values(count, trials, low, high):
    found = horizon.wilson(count, trials)
    assert found == pytest.approx((low, high), abs=1e-6)
    z, p = 1.959963984540054, count / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials)
    half *= math.sqrt(p * (1 - p) / trials + z * z / (4 * trials**2))
    assert found == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-12)


@pytest.mark.parametrize("bad", [(1, 0), (-1, 5), (6, 5)])
def test_a_share_of_nothing_is_refused(bad):
    with pytest.raises(ConfigError, match="0 <= count <= trials"):
        horizon.wilson(*bad)
    with pytest.raises(ConfigError, match="confidence"):
        horizon.wilson(1, 5, 1.0)


@pytest.mark.parametrize(
    "given",
    [{"theta": 0.0}, {"scale": 0.0}, {"scale": math.nan}, {"dt": -1.0}, {"exponent": -0.1}],
)
def test_senseless_scales_are_refused(given):
    with pytest.raises(ConfigError, match="must be positive"):
        horizon.valid_time(torch.zeros(3, 2), **{"scale": 1.0, **given})
    with pytest.raises(ConfigError, match="samples, starts"):
        horizon.valid_time(torch.zeros(0, 2), 1.0)
