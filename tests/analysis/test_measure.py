"""Distances between measures: closed forms, truth against truth, and models that are wrong."""

import math

import pytest
import torch
from scipy.stats import wasserstein_distance

from simlearn import ConfigError, DataError
from simlearn.analysis import measure


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def autoregressive(steps, phi, seed=0):
    """Stationary with variance one; the true correlation time is (1 + φ) / (1 − φ)."""
    x, out = normal(1, seed=seed), []
    for kick in normal(steps, seed=seed + 1) * math.sqrt(1 - phi**2):
        x = phi * x + kick
        out.append(x)
    return torch.stack(out)


def test_the_wasserstein_distance_of_a_shift_is_the_shift():
    x = normal(500, 3)
    shift = torch.tensor([0.5, -1.25, 0.0], dtype=torch.float64)
    torch.testing.assert_close(measure.wasserstein(x + shift, x), shift.abs(), rtol=0, atol=1e-12)


def test_the_wasserstein_distance_of_two_normals_of_other_width():
    # W1 of N(0, 1) and N(0, s²) is (s − 1) √(2/π)
    a, b = normal(200_000, 1), 2 * normal(200_000, 1, seed=1)
    assert float(measure.wasserstein(a, b)) == pytest.approx(math.sqrt(2 / math.pi), abs=0.02)


@pytest.mark.parametrize("other", [300, 471])
def test_equal_and_unequal_lengths_agree_with_scipy(other):
    a, b = normal(300, 2), normal(other, 2, seed=5) * 1.3 + 0.2
    found = measure.wasserstein(a, b)
    for k in range(2):
        wanted = wasserstein_distance(a[:, k].numpy(), b[:, k].numpy())
        assert float(found[k]) == pytest.approx(wanted, abs=1e-13)


def test_the_sliced_distance_sees_how_coordinates_go_together():
    # equal marginals, opposite correlation: W1 of the coordinates is blind to it
    u, v = normal(4000, 1), normal(4000, 1, seed=1)
    a, b = torch.cat([u, u + 0.1 * v], 1), torch.cat([u, -u + 0.1 * v], 1)
    assert float(measure.wasserstein(a, b).max()) < 0.1
    assert measure.sliced(a, b) > 0.3
    assert measure.sliced(a, b) == measure.sliced(a, b)
    assert measure.sliced(a, b, seed=1) != measure.sliced(a, b)


def test_the_sliced_distance_of_a_shift_in_the_plane():
    # the mean of |cos| over directions is 2/π
    x = normal(100, 2)
    found = measure.sliced(x + torch.tensor([3.0, 0.0]), x, projections=20_000)
    assert found == pytest.approx(3 * 2 / math.pi, rel=0.02)


def test_the_hellinger_distance_of_two_normals():
    # H² = 1 − exp(−δ²/8) for equal widths one
    delta = 1.5
    a, b = normal(400_000, 1), normal(400_000, 1, seed=3) + delta
    wanted = math.sqrt(1 - math.exp(-(delta**2) / 8))
    assert float(measure.hellinger(a, b, bins=200)) == pytest.approx(wanted, abs=0.005)


def test_the_hellinger_distance_has_its_ends():
    x = normal(100, 2)
    assert measure.hellinger(x, x).tolist() == [0.0, 0.0]
    assert float(measure.hellinger(x, x + 100).min()) == 1.0
    still = torch.ones(10, 1, dtype=torch.float64)
    assert measure.hellinger(still, still).tolist() == [0.0]


def test_mmd_of_two_normals():
    # population value with kernel width w: 2 (c − c exp(−δ²/(2 (w² + 2)))), c = w/√(w² + 2)
    w, delta = 1.0, 2.0
    a, b = normal(3000, 1), normal(3000, 1, seed=3) + delta
    c = w / math.sqrt(w**2 + 2)
    wanted = math.sqrt(2 * c * (1 - math.exp(-(delta**2) / (2 * (w**2 + 2)))))
    assert measure.mmd(a, b, width=w) == pytest.approx(wanted, abs=0.02)
    assert measure.mmd(b, b) == pytest.approx(0.0, abs=1e-7)


def test_mmd_of_states_that_do_not_move():
    still = torch.ones(10, 2, dtype=torch.float64)
    assert measure.mmd(still, still) == 0.0
    assert measure.mmd(still + 1, still) == 1.0


def test_the_power_of_a_wave_stands_at_its_frequency():
    t = 0.01 * torch.arange(4000, dtype=torch.float64)
    x = torch.stack([(2 * math.pi * 3 * t).sin(), (2 * math.pi * 11 * t).cos()], 1)
    frequency, density = measure.power(x, 0.01)
    assert frequency[density.argmax(0)].tolist() == pytest.approx([3.0, 11.0])
    area = density.sum(0) * (frequency[1] - frequency[0])
    assert area.tolist() == pytest.approx([0.5, 0.5], rel=0.02)  # Parseval


def test_the_spectral_distance_sees_a_time_scale_that_the_measure_does_not():
    t = 0.00971 * torch.arange(4000, dtype=torch.float64)[:, None]
    slow, fast = (2 * math.pi * 3 * t).sin(), (2 * math.pi * 5 * t).sin()
    assert float(measure.wasserstein(slow, fast)) < 0.01
    assert float(measure.spectral(slow, fast)) > 0.9
    assert float(measure.spectral(slow, slow)) == pytest.approx(0.0, abs=1e-7)
    assert float(measure.spectral(3 * slow, slow)) == pytest.approx(0.0, abs=1e-7)  # a shape


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_correlation_time_of_an_autoregression(phi):
    x = autoregressive(40_000, phi)
    wanted = (1 + phi) / (1 - phi)
    assert float(measure.correlation_time(x)) == pytest.approx(wanted, rel=0.12)
    assert float(measure.effective(x)) == pytest.approx(len(x) / wanted, rel=0.12)


def test_a_coordinate_that_does_not_move_is_worth_one_sample():
    x = torch.cat([torch.ones(50, 1, dtype=torch.float64), normal(50, 1)], 1)
    assert float(measure.effective(x)[0]) == 1.0
    assert float(measure.effective(x)[1]) > 20


def test_decorrelated_states_are_far_apart_and_few():
    x = autoregressive(20_000, 0.9)
    kept = measure.decorrelated(x, 300)
    assert 100 < len(kept) <= 300
    assert float(measure.correlation_time(kept)) < 2


def segments(seeds, shift=0.0, width=1.0):
    return [width * autoregressive(600, 0.8, 10 * s + 1) + shift for s in seeds]


def apart(a, b):
    return float(measure.wasserstein(a, b).mean())


@pytest.mark.parametrize("distance", [apart, measure.sliced])
def test_truth_against_truth_is_one_within_its_noise(distance):
    found = measure.calibrated(distance, segments(range(100, 110)), segments(range(10)))
    assert abs(found.ratio - 1) < 3 * found.noise
    assert found.noise < 0.5
    assert found.distance == pytest.approx(found.ratio * found.floor, rel=1e-6)


@pytest.mark.parametrize(("shift", "width"), [(1.0, 1.0), (0.0, 2.0)])
def test_a_wrong_model_stands_out(shift, width):
    wrong = segments(range(100, 110), shift, width)
    found = measure.calibrated(apart, wrong, segments(range(10)))
    assert found.ratio - 2 * found.noise > 1.5


def test_a_pair_with_one_start_is_left_out():
    truth = segments(range(6))
    free = measure.calibrated(apart, truth, truth)
    paired = measure.calibrated(apart, truth, truth, paired=True)
    assert paired.ratio == pytest.approx(1.0, abs=1e-12)  # the very same pairs
    assert free.ratio < paired.ratio


def test_segments_that_are_all_alike_make_a_ratio_of_one_or_a_huge_one():
    still = [torch.ones(20, 1, dtype=torch.float64)] * 3
    assert measure.calibrated(apart, still, still).ratio == 1.0
    assert measure.calibrated(apart, [still[0] + 1], still).ratio > 1e6


def test_a_number_that_is_none_makes_every_distance_nan():
    x = normal(100, 2)
    bad = x.clone()
    bad[3, 0] = math.nan
    for distance in (measure.wasserstein, measure.hellinger, measure.spectral):
        assert bool(distance(bad, x).isnan().all())
    assert math.isnan(measure.sliced(bad, x))
    assert math.isnan(measure.mmd(bad, x))
    found = measure.calibrated(apart, [bad], [x, x + 1, x + 2])
    assert math.isnan(found.ratio)
    assert math.isnan(float(measure.correlation_time(bad)[0]))


def test_what_cannot_be_compared_is_refused():
    x = normal(100, 2)
    with pytest.raises(DataError, match="samples, d"):
        measure.wasserstein(x, normal(100, 3))
    with pytest.raises(DataError, match="two samples"):
        measure.hellinger(x[:1], x)
    with pytest.raises(DataError, match="three true segments"):
        measure.calibrated(apart, [x], [x, x])
    with pytest.raises(DataError, match="three true segments"):
        measure.calibrated(apart, [x], [x, x, x], paired=True)
    with pytest.raises(DataError, match="equally long"):
        measure.calibrated(apart, [x], [x, x, x[:50]])
    with pytest.raises(ConfigError, match="projection"):
        measure.sliced(x, x, projections=0)
