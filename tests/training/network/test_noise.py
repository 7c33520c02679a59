"""How noisy data are, smooth curves through them, and ladders that learn from them."""

from dataclasses import replace

import pytest
import torch
from scipy.interpolate import CubicSpline

from simlearn import Topology
from simlearn.training.network import network_ladder
from simlearn.training.network.data import Data
from simlearn.training.network.noise import Observed, _roughness, noise_of, smoothed
from simlearn_networks import Grid8, Heat, Kuramoto, NewmanWattsStrogatz


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def irregular(steps, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(steps, generator=rng, dtype=torch.float64).add(0.1).cumsum(0)


def test_the_roughness_is_that_of_the_natural_spline():
    t, y = irregular(9), normal(9)
    curve = CubicSpline(t.numpy(), y.numpy(), bc_type="natural")
    nodes, weights = torch.tensor([-1.0, 1.0], dtype=torch.float64) / 3**0.5, 1.0
    wanted = 0.0
    for a, b in zip(t[:-1].tolist(), t[1:].tolist(), strict=True):
        at = (a + b) / 2 + (b - a) / 2 * nodes
        wanted += weights * (b - a) / 2 * float((curve(at.numpy(), 2) ** 2).sum())
    assert float(y @ _roughness(t) @ y) == pytest.approx(wanted, rel=1e-10)


def test_smooth_curves_lose_noise_and_keep_straight_lines():
    t = irregular(80)
    line = (2.0 - 0.3 * t)[:, None]
    torch.testing.assert_close(smoothed(t, line, torch.ones(80)), line, rtol=0, atol=1e-8)
    truth = torch.stack([(0.2 * t).sin(), (-0.1 * t).exp()], dim=1)
    noisy = truth + 0.05 * normal(80, 2)
    left = (smoothed(t, noisy, torch.ones(80, dtype=torch.float64)) - truth).square().mean().sqrt()
    assert left < 0.5 * 0.05
    weight = torch.ones(80, dtype=torch.float64)
    weight[0] = 1e6
    assert (smoothed(t, noisy, weight)[0] - noisy[0]).abs().max() < 1e-3


def test_noise_is_told_from_motion():
    t, rows = irregular(100), 200
    cubic = torch.stack([1 + t, t**2 / 100, (t / 30) ** 3])
    x = cubic.T.repeat(1, rows)[:, :rows, None]
    topology = Topology.isolated(rows)
    assert noise_of(Data(t, x, topology)) < 1e-12
    found = noise_of(Data(t, x + 0.02 * normal(*x.shape), topology))
    assert found == pytest.approx(0.02, rel=0.05)


def test_where_there_is_noise_every_fifth_stamp_is_kept_aside():
    t = irregular(50)
    x = (-0.05 * t).exp()[:, None, None].expand(-1, 30, 1)
    clean = [Data(t, x, Topology.isolated(30))]
    observed = Observed.of(clean)
    assert observed.judged is observed.fitted is observed.smooth
    noisy = Observed.of([Data(t, x + 0.01 * normal(50, 30, 1), clean[0].topology)])
    (one,) = noisy.fitted
    aside = noisy.judged[0].weight
    assert aside.sum() == 10
    assert aside[0] == aside[-1] == 0
    torch.testing.assert_close(one.weight + aside, torch.ones(50, dtype=torch.float64))
    assert len(noisy.smooth[0].t) == 40
    parts = noisy.pieces(3, 1)
    assert parts.noise == 0
    assert torch.equal(parts.fitted[1].x, noisy.smooth[0].x[3:7])


def test_a_ladder_learns_from_noisy_data_what_they_were_before():
    (truth,) = Heat(Grid8(8), initial="ndcn").draw(range(1), torch.linspace(0, 2, 60).double(), 0)
    noise = 0.01 * truth.x.mean() * normal(*truth.x.shape)
    noise[0] = 0.0
    learned = network_ladder(replace(truth, x=truth.x + noise, derivative=None))
    found = learned.rollout(truth.x[0], 59, truth.topology)
    error = float((found.x - truth.x).abs().mean() / truth.x.mean())
    assert error < 0.1 * 0.01  # a tenth of the noise


def test_phases_are_learned_with_the_frequencies_that_nodes_are_given():
    system = Kuramoto(NewmanWattsStrogatz(20, 4, 0.2), fresh=True)
    times = 0.05 * torch.arange(41).double()
    learned = network_ladder(
        list(system.draw(range(3), times, 0)), aggregation="mean_degree", angles=[0], node=[0]
    )
    (other,) = system.draw(range(9, 10), times, 1)
    found = learned.rollout(other.x[0], 40, other.topology)
    assert (found.x - other.x).abs().max() < 1e-4
