"""Noise, re-integration and smoothing: against known noise and dense Gaussian processes."""

import pytest
import torch

from simlearn import Topology, Trajectory
from simlearn.training.ladder import smooth
from simlearn.training.ladder.samples import Samples, noise_of, reintegrated
from simlearn.training.ladder.smooth import LENGTHS, _process, evened


def irregular(steps, gap, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (gap * (0.5 + torch.rand(steps, generator=rng, dtype=torch.float64))).cumsum(0)


def without(one, row):
    """A state that is missing."""
    x = one.x.clone()
    x[row] = torch.nan
    return Trajectory(one.t, x, one.topology, derivative=one.derivative)


@pytest.mark.parametrize("noise", [0.01, 0.1])
@pytest.mark.parametrize("even", [True, False])
def test_known_noise_is_found(exact, noise, even):
    times = exact.clock(31, 0.1) if even else irregular(31, 0.1)
    data = exact.drawn(exact.pendulum, exact.starts(25, 2), times, noise)
    assert noise_of(Samples.of(data)).tolist() == pytest.approx([noise] * 2, rel=0.15)


def test_noise_of_each_column_is_its_own(exact):
    data = exact.drawn(exact.spring, exact.starts(25, 2), exact.clock(31, 0.1))
    rng = torch.Generator().manual_seed(3)
    sizes = torch.tensor([0.2, 0.02], dtype=torch.float64)
    shaken = [
        Trajectory(o.t, o.x + sizes * torch.randn(o.x.shape, generator=rng), o.topology)
        for o in data
    ]
    assert noise_of(Samples.of(shaken)).tolist() == pytest.approx(sizes.tolist(), rel=0.15)


@pytest.mark.parametrize("gap", [0.1, 0.5, 1.0])
def test_clean_data_have_no_noise(exact, gap):
    data = exact.drawn(exact.spring, exact.starts(15, 2), exact.clock(31, gap))
    assert noise_of(Samples.of(data)).tolist() == [0.0, 0.0]


def test_clean_data_that_are_sampled_three_times_a_period_have_no_noise(exact):
    data = exact.drawn(exact.spring, exact.starts(15, 2), exact.clock(31, 2.2), parts=60)
    samples = Samples.of(data)
    assert float((noise_of(samples) / samples.x.flatten(0, 1).std(0)).max()) < 0.2


@pytest.mark.parametrize("steps", [4, 6])
def test_clean_short_trajectories_keep_their_states(exact, steps):
    data = exact.drawn(exact.spring, exact.starts(60, 2), exact.clock(steps, 0.5))
    samples = Samples.of(data)
    assert torch.equal(evened(samples).samples.x, samples.x)


def test_slopes_take_the_noise_out_of_states(exact):
    begin, times = exact.starts(25, 2), exact.clock(31, 0.1)
    clean = torch.stack([o.x[:, 0] for o in exact.drawn(exact.pendulum, begin, times)])
    samples = Samples.of(exact.drawn(exact.pendulum, begin, times, 0.1))
    better = reintegrated(samples, noise_of(samples)).x
    apart = better - clean
    shift = (samples.x - clean).mean(1, keepdim=True)
    assert float((apart - shift).abs().max()) < 1e-4  # only the mean noise is left
    assert evened(samples).how == "re-integrated from recorded slopes"


def test_states_that_slopes_do_not_explain_stay(exact):
    data = exact.drawn(exact.pendulum, exact.starts(25, 2), exact.clock(31, 0.1), 0.01)
    rng = torch.Generator().manual_seed(3)
    rough = [
        Trajectory(
            o.t,
            o.x,
            o.topology,
            derivative=o.derivative + 0.3 * torch.randn(o.x.shape, generator=rng).double(),
        )
        for o in data
    ]
    for trajectories in (
        rough,
        exact.drawn(exact.pendulum, exact.starts(9, 2), exact.clock(31, 0.1)),
    ):
        samples = Samples.of(trajectories)
        assert torch.equal(evened(samples).samples.x, samples.x)


def lengths(exact, gap):
    """The same short trajectories alone, and among longer ones."""
    unit = 0.1 / gap

    def slow(x):
        return unit * exact.pendulum(x)

    short = exact.drawn(slow, exact.starts(10, 2), exact.clock(13, gap), 0.02)
    long = exact.drawn(slow, exact.starts(2, 2, seed=5), exact.clock(31, gap), 0.02)
    return Samples.of(short), Samples.of(short + long)


@pytest.mark.parametrize("gap", [0.1, 10.0])
def test_padding_does_not_change_re_integrated_states(exact, gap):
    alone, among = lengths(exact, gap)
    noise = torch.full((2,), 0.02, dtype=torch.float64)
    found, other = reintegrated(alone, noise), reintegrated(among, noise)
    assert found is not alone
    assert other is not among
    torch.testing.assert_close(other.x[:10, :13], found.x, rtol=0, atol=1e-12)


def test_padding_does_not_change_noise_or_pieces(exact):
    alone, among = lengths(exact, 0.1)
    assert noise_of(Samples(among.t[:10], among.x[:10], None, among.mask[:10])).tolist() == (
        pytest.approx(noise_of(alone).tolist(), rel=1e-12)
    )
    pieces = among.cut(6)
    assert float(pieces.mask.sum(1).min()) > 1
    assert pieces.x[pieces.mask > 0].shape[0] == 10 * 14 + 2 * 35  # edges of pieces count twice


def dense(t, y, length, ratio):
    """Posterior with an unknown mean by dense matrices (Rasmussen and Williams, eq. 2.41)."""
    apart = t[:, None] - t
    kernel = ratio * (-((apart / length) ** 2) / 2).exp()
    inverse = torch.linalg.inv(kernel + torch.eye(len(t)).double())
    ones = torch.ones(len(t), 1).double()
    free = inverse - inverse @ ones @ ones.T @ inverse / (ones.T @ inverse @ ones)
    noise, steep = float(y @ free @ y) / len(t), -apart / length**2 * kernel
    state = y - free @ y
    spread = noise * (1 - free.diagonal())
    rate = noise * (ratio / length**2 - ((steep @ free) * steep).sum(1))
    return state, steep @ free @ y, spread.sqrt(), rate.clamp_min(0).sqrt()


@pytest.fixture(scope="module")
def processes():
    t = irregular(24, 0.1)
    rng = torch.Generator().manual_seed(2)
    y = (2 * t).sin() + 0.1 * torch.randn(24, generator=rng, dtype=torch.float64)
    gap = float(t[-1] - t[0]) / 23
    found, wanted = [], []
    for number in (3, 5, 7):
        process = _process(t, torch.ones(24).double(), gap)[number]
        found.append([one[0] for one in process.posterior(y[:, None], 100.0)])
        wanted.append(dense(t, y, float(LENGTHS[number]) * gap, 100.0))
    return found, wanted


def test_smoothed_states_and_slopes_are_the_posterior_mean(processes):
    for found, wanted in zip(*processes, strict=True):
        torch.testing.assert_close(found[0], wanted[0], rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(found[1], wanted[1], rtol=1e-8, atol=1e-8)


def test_the_spread_of_smoothed_states_lacks_at_most_that_of_their_mean(processes):
    """The doubt about the mean, σ²/N, is left out: a tenth of the spread here."""
    for found, wanted in zip(*processes, strict=True):
        assert bool((found[2] <= wanted[2] * (1 + 1e-9)).all())
        assert bool((found[2] >= 0.8 * wanted[2]).all())


def test_the_spread_of_smoothed_slopes_is_the_posterior_spread(processes):
    for found, wanted in zip(*processes, strict=True):
        torch.testing.assert_close(found[3], wanted[3], rtol=1e-6, atol=1e-9)


@pytest.fixture(scope="module")
def smoothed(exact):
    begin, times = exact.starts(30, 2), exact.clock(31, 0.1)
    clean = torch.stack([o.x[:, 0] for o in exact.drawn(exact.pendulum, begin, times)])
    noisy = Samples.of(exact.drawn(exact.pendulum, begin, times, 0.1, slopes=False))
    return clean, exact.pendulum(clean.flatten(0, 1)).reshape(clean.shape), noisy, evened(noisy)


def test_smoothing_is_better_than_the_data_and_honest_about_states(smoothed):
    clean, _, noisy, even = smoothed
    apart = even.samples.x - clean
    assert float(apart.square().mean().sqrt()) < 0.06
    assert 0.7 < float((apart / even.state).square().mean().sqrt()) < 1.6
    assert torch.equal(even.samples.t, noisy.t)


def test_smoothing_is_honest_about_slopes(smoothed):
    _, slope, _, even = smoothed
    apart = even.samples.slope - slope
    assert 0.5 < float((apart / even.slope).square().mean().sqrt()) < 2.0


def test_smoothing_passes_over_states_that_are_missing(exact):
    begin, times = exact.starts(12, 2), exact.clock(25, 0.1)
    data = exact.drawn(exact.pendulum, begin, times, 0.02, slopes=False)
    holes = Samples.of([without(one, 12) for one in data])
    assert float(holes.mask.sum()) == 12 * 24
    slope = exact.pendulum(torch.stack([o.x[:, 0] for o in data]).flatten(0, 1)).reshape(12, 25, 2)
    there = holes.mask > 0
    apart = (evened(holes).samples.slope - slope)[there]
    assert float(apart.square().mean().sqrt()) < 0.1


def test_two_states_give_the_midpoint(exact):
    (one,) = exact.drawn(exact.spring, exact.starts(1, 2), exact.clock(2, 0.1), slopes=False)
    even = evened(Samples.of([one]))
    torch.testing.assert_close(even.samples.x[0, 0], one.x[:, 0].mean(0))
    torch.testing.assert_close(even.samples.slope[0, 0], (one.x[1, 0] - one.x[0, 0]) / 0.1)


def test_times_of_each_system_are_its_own(exact):
    """``t [steps, systems]``: rows of one trajectory on clocks of their own."""
    x = torch.stack([o.x[:, 0] for o in exact.drawn(exact.spring, exact.starts(3, 2), exact.clock(9, 0.1))], 1)  # fmt: skip  # noqa: E501
    t = exact.clock(9, 0.1)[:, None] + torch.tensor([0.0, 5.0, -2.0])
    samples = Samples.of([Trajectory(t, x, Topology.isolated(3))])
    assert samples.shape == (3, 9, 2)
    torch.testing.assert_close(samples.t, t.double().T)
    torch.testing.assert_close(samples.x, x.movedim(1, 0))


def test_long_trajectories_are_smoothed_in_pieces_that_fit(exact, monkeypatch):
    """In pieces or whole: equally near the truth, away from the ends as well as at seams."""
    times = exact.clock(120, 0.1)
    data = exact.drawn(exact.pendulum, exact.starts(3, 2, scale=0.7), times, 0.02, slopes=False)
    samples, clean = (
        Samples.of(data),
        exact.drawn(exact.pendulum, exact.starts(3, 2, scale=0.7), times),
    )
    truth = torch.stack([one.derivative[:, 0] for one in clean])
    whole = evened(samples).samples.slope - truth
    monkeypatch.setattr(smooth, "PIECE", 50)
    monkeypatch.setattr(smooth, "OVERLAP", 12)
    pieces = evened(samples).samples.slope - truth
    inner = slice(5, -5)
    assert float(pieces[:, inner].square().mean()) < 2 * float(whole[:, inner].square().mean())
    assert float(pieces.abs().max()) < 2 * float(whole.abs().max())


def test_one_length_for_fine_and_coarse_clocks(exact):
    """Lengths are times, not numbers of samples."""
    fine = exact.drawn(
        exact.pendulum, exact.starts(4, 2, scale=0.7), exact.clock(60, 0.05), 0.02, slopes=False
    )
    coarse = exact.drawn(
        exact.pendulum, exact.starts(4, 2, scale=0.7), exact.clock(8, 0.6), 0.02, slopes=False
    )
    truth = exact.drawn(exact.pendulum, exact.starts(4, 2, scale=0.7), exact.clock(60, 0.05))
    wanted = torch.stack([one.derivative[:, 0] for one in truth])
    alone = evened(Samples.of(fine)).samples.slope - wanted
    both = evened(Samples.of([*fine, *coarse])).samples.slope[:4, :60] - wanted
    assert float(both.square().mean()) < 4 * float(alone.square().mean())
