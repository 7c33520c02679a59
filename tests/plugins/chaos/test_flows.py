"""Lorenz, Rössler, Hopf: equations by hand, divergence, fixed points, and what an attractor obeys.

Bounds of the attractor of Lorenz 1963: Doering and Gibbon 1995, Dynamics and Stability of Systems
10, 255.
"""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.spatial import cKDTree

from simlearn import ConfigError, Topology
from simlearn_chaos import (
    Hopf,
    HopfLaw,
    Lorenz63,
    Lorenz63Law,
    Lorenz96,
    Lorenz96Law,
    Roessler,
    RoesslerLaw,
)


def lorenz63(s, sigma=10.0, rho=28.0, beta=8 / 3):
    x, y, z = s
    return np.array([sigma * y - sigma * x, rho * x - x * z - y, x * y - beta * z])


def lorenz96(s, forcing=8.0):
    n = len(s)
    return np.array(
        [(s[(i + 1) % n] - s[i - 2]) * s[i - 1] - s[i] + forcing for i in range(n)], dtype=float
    )


def roessler(s, a=0.2, b=0.2, c=5.7):
    x, y, z = s
    return np.array([-(y + z), x + a * y, b + x * z - c * z])


def hopf(s, mu=1.0, omega=1.0, gamma=0.3, sign=1):
    """From polar coordinates."""
    r, phi = np.hypot(s[0], s[1]), np.arctan2(s[1], s[0])
    out, turn = sign * (mu * r - r**3), omega * r
    along, across = np.array([np.cos(phi), np.sin(phi)]), np.array([-np.sin(phi), np.cos(phi)])
    return np.append(out * along + turn * across, -gamma * s[2])


LAWS = [
    (Lorenz63Law(), lorenz63, 3),
    (Lorenz63Law(4.0, 15.0, 1.5), lambda s: lorenz63(s, 4.0, 15.0, 1.5), 3),
    (Lorenz96Law(), lorenz96, 8),
    (Lorenz96Law(5, 3.5), lambda s: lorenz96(s, 3.5), 5),
    (RoesslerLaw(), roessler, 3),
    (RoesslerLaw(0.1, 0.3, 4.0), lambda s: roessler(s, 0.1, 0.3, 4.0), 3),
    (HopfLaw(), hopf, 3),
    (HopfLaw(0.7, 2.0, 0.5), lambda s: hopf(s, 0.7, 2.0, 0.5), 3),
    (HopfLaw(0.7, 2.0, 0.5, attracting=False), lambda s: hopf(s, 0.7, 2.0, 0.5, -1), 3),
]
SYSTEMS = [
    (Lorenz63(), lorenz63),
    (Lorenz96(6, 7.0), lambda s: lorenz96(s, 7.0)),
    (Roessler(0.15, 0.2, 5.0), lambda s: roessler(s, 0.15, 0.2, 5.0)),
    (Hopf(2.0, 3.0, 0.5), lambda s: hopf(s, 2.0, 3.0, 0.5)),
]


def ask(law, x):
    x = torch.as_tensor(x, dtype=torch.float64)
    return law.double()(0.0, x, Topology.isolated(len(x)))


def divergence(law, x):
    """The trace of the Jacobian of each row."""
    one = Topology.isolated(1)
    jacobian = torch.func.jacrev(lambda s: law(0.0, s[None], one)[0])
    return torch.stack([jacobian(s).trace() for s in x])


@pytest.mark.parametrize(("law", "by_hand", "dim"), LAWS)
def test_the_law_is_the_equation_written_by_hand(law, by_hand, dim, normal, within):
    x = 5 * normal(20, dim)
    within(ask(law, x), np.stack([by_hand(s) for s in x.numpy()]), 1e-12 * 5**3)


@pytest.mark.parametrize(("system", "by_hand"), SYSTEMS)
def test_the_data_solve_the_equation_written_by_hand(system, by_hand, tracks, within):
    (track,) = tracks(system, 1, steps=21)[:, :, 0]
    times = 0.1 * np.arange(21)
    by = solve_ivp(
        lambda t, s: by_hand(s), (0, 2), track[0], "DOP853", times, rtol=1e-12, atol=1e-12
    )
    within(track, by.y.T, 1e-7)


def test_volumes_shrink_at_the_known_rates(normal, within):
    within(divergence(Lorenz63Law(), 9 * normal(5, 3)), -41 / 3, 1e-12)
    within(divergence(Lorenz63Law(4.0, 15.0, 1.5), 9 * normal(5, 3)), -6.5, 1e-12)
    for sites in (4, 5, 40):
        within(divergence(Lorenz96Law(sites), 9 * normal(5, sites)), -sites, 1e-12)
    x = normal(5, 3)
    within(divergence(RoesslerLaw(0.1, 0.3, 4.0), x), 0.1 + x[:, 0] - 4.0, 1e-12)


def test_the_rate_on_the_cycle_is_the_sum_of_the_exponents(tracks, within):
    for attracting in (True, False):
        system = Hopf(0.7, 2.0, 0.5, attracting)
        x = torch.from_numpy(tracks(system, 4)[:, 0, 0])
        within(divergence(system.truth(), x), sum(system.exponents()), 1e-12)


def test_fixed_points_stay():
    away = math.sqrt(8 / 3 * 27)
    rest = [[0.0, 0.0, 0.0], [away, away, 27.0], [-away, -away, 27.0]]
    assert ask(Lorenz63Law(), rest).abs().max() < 1e-12
    assert ask(Lorenz96Law(7, 5.0), [[5.0] * 7]).abs().max() < 1e-12
    for sign in (1, -1):
        z = (5.7 + sign * math.sqrt(5.7**2 - 4 * 0.2 * 0.2)) / (2 * 0.2)
        assert ask(RoesslerLaw(), [[0.2 * z, -z, z]]).abs().max() < 1e-12
    assert ask(HopfLaw(attracting=False), [[0.0, 0.0, 0.0]]).abs().max() == 0


def test_symmetries(normal, within):
    x, turned = 9 * normal(5, 3), torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
    within(ask(Lorenz63Law(), turned * x), turned * ask(Lorenz63Law(), x), 1e-12)
    x = 9 * normal(5, 8)
    within(ask(Lorenz96Law(), x.roll(3, -1)), ask(Lorenz96Law(), x).roll(3, -1), 1e-12)


def test_lorenz63_starts_inside_the_bounds_of_its_attractor(tracks):
    """x² ≤ 2σz and y² + (z − ρ)² ≤ β²ρ²/4(β − 1), which hold on the attractor, not around it."""
    x, y, z = tracks(Lorenz63(), 64)[:, 0, 0].T
    assert (x**2 <= 20 * z).all()
    assert (y**2 + (z - 28) ** 2 <= (8 / 3 * 28) ** 2 / (4 * 5 / 3)).all()
    assert 5 < (x > 0).sum() < 59, "both wings"


def test_lorenz63_has_the_averages_of_its_attractor(tracks):
    """⟨x²⟩ = ⟨xy⟩ = β⟨z⟩; ⟨z⟩ = 23.55 (d⟨x²⟩/dt = d⟨z⟩/dt = 0)."""
    x, y, z = tracks(Lorenz63(), 64, 501, 0.05).reshape(-1, 3).T
    assert (x * x).mean() == pytest.approx((x * y).mean(), rel=0.02)
    assert (x * y).mean() == pytest.approx(8 / 3 * z.mean(), rel=0.02)
    assert z.mean() == pytest.approx(23.55, rel=0.01)


@pytest.mark.parametrize("sites", [5, 8, 40])
def test_lorenz96_starts_inside_the_ball_of_its_attractor(sites, tracks):
    """|x|² ≤ N F², and ⟨|x|²⟩ = F ⟨Σ x⟩, for the advection keeps |x|²."""
    x = tracks(Lorenz96(sites), 64, 101, 0.1)[:, :, 0]
    assert ((x**2).sum(-1) <= 64 * sites).all()
    assert (x**2).mean() == pytest.approx(8 * x.mean(), rel=0.03)
    assert (x[:, 0] - 8).std() > 2, "starts are still near the fixed point"


@pytest.mark.parametrize(
    ("system", "by_hand", "near"), [(Lorenz63(), lorenz63, 1.0), (Roessler(), roessler, 0.5)]
)
def test_starts_lie_on_a_long_orbit(system, by_hand, near, tracks):
    """Each has a neighbour on one orbit of an independent solver, after its transient."""
    times = np.linspace(100, 700, 30001)
    orbit = solve_ivp(
        lambda t, s: by_hand(s), (0, 700), [1.0, 2.0, 3.0], "LSODA", times, rtol=1e-8, atol=1e-8
    )
    distance, _ = cKDTree(orbit.y.T).query(tracks(system, 64)[:, 0, 0])
    assert np.median(distance) < near / 4
    assert distance.max() < near


def test_roessler_covers_all_phases_and_stays_above_the_plane(tracks):
    x, y, z = tracks(Roessler(), 64)[:, 0, 0].T
    quarters = np.histogram(np.arctan2(y, x), 4)[0]
    assert (quarters > 4).all(), quarters
    assert (z > 0).all()
    assert (np.hypot(x, y) < 13).all()


@pytest.mark.parametrize("attracting", [True, False])
def test_hopf_goes_round_its_circle(attracting, tracks, within):
    track = tracks(Hopf(2.0, 3.0, 0.5, attracting), 8, 31)[:, :, 0]
    phase = np.arctan2(track[:, 0, 1], track[:, 0, 0])[:, None] + 3.0 * 0.1 * np.arange(31)
    exact = np.stack([np.cos(phase), np.sin(phase), 0 * phase], -1) * math.sqrt(2)
    within(track, exact, 1e-6 if attracting else 1e-5)


def test_the_twin_has_the_same_data(tracks, within):
    within(tracks(Hopf(), 8, 51), tracks(Hopf(attracting=False), 8, 51), 1e-6)


def test_the_twin_differs_off_the_cycle_only_radially(normal, within):
    x = normal(20, 3)
    one, other = ask(HopfLaw(), x), ask(HopfLaw(attracting=False), x)
    within((one - other)[:, 2], 0, 1e-15)
    around = one[:, 1] * x[:, 0] - one[:, 0] * x[:, 1]
    within(around, other[:, 1] * x[:, 0] - other[:, 0] * x[:, 1], 1e-12)
    within(around, (x[:, :2] ** 2).sum(-1), 1e-12)
    along = ((one + other)[:, :2] * x[:, :2]).sum(-1)
    within(along, 0, 1e-12)


@pytest.mark.parametrize(("attracting", "sign"), [(True, 1), (False, -1)])
def test_the_radius_follows_the_closed_form_off_the_cycle(attracting, sign, within):
    """r² = μ / (1 + (μ/r₀² − 1) exp(∓2μt)), so 2μ is the rate across the cycle."""
    law, mu, t = HopfLaw(0.7, 2.0, 0.5, attracting), 0.7, np.linspace(0, 2, 9)
    for r0 in (0.5, 0.8):
        done = solve_ivp(
            lambda _, s, law=law: ask(law, s[None])[0].numpy(),
            (0, 2),
            [r0, 0.0, 1.0],
            "DOP853",
            t,
            rtol=1e-11,
            atol=1e-12,
        ).y
        exact = np.sqrt(mu / (1 + (mu / r0**2 - 1) * np.exp(-2 * sign * mu * t)))
        within(np.hypot(*done[:2]), exact, 1e-8)
        within(done[2], np.exp(-0.5 * t), 1e-8)


def test_reference_exponents_add_up_and_belong_to_their_arguments(within):
    within(sum(Lorenz63().exponents()), -41 / 3, 1e-3)
    within(sum(Lorenz96(5).exponents()), -5, 1e-2)
    assert Lorenz63(rho=60).exponents() == Roessler(c=6).exponents() == ()
    assert Lorenz96(6).exponents() == Lorenz96(forcing=10).exponents() == ()
    assert Lorenz96(8).exponents()[0] == 1.605
    assert Hopf().exponents() == (0, -0.3, -2)
    assert Hopf(attracting=False).exponents() == (2, 0, -0.3)
    assert Hopf(0.1).exponents() == (0, -0.2, -0.3)
    for system in (Lorenz63(), Lorenz96(5), Roessler(), Hopf()):
        found = system.exponents()
        assert list(found) == sorted(found, reverse=True)
        assert len(found) == system.truth().dim


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Lorenz63(sigma=0), "sigma must be positive, got 0"),
        (lambda: Lorenz63(rho=-1), "rho must be positive"),
        (lambda: Lorenz63(beta=math.nan), "beta must be positive"),
        (lambda: Lorenz63(transient=0), "transient must be positive"),
        (lambda: Lorenz63Law(rho=0), "rho must be positive"),
        (lambda: Lorenz96(3), "sites must be at least 4, got 3"),
        (lambda: Lorenz96(forcing=-8), "forcing must be positive"),
        (lambda: Lorenz96Law(2), "sites must be at least 4"),
        (lambda: Lorenz96(transient=-1), "transient must be positive"),
        (lambda: Roessler(a=0), "a must be positive"),
        (lambda: Roessler(b=-0.2), "b must be positive"),
        (lambda: RoesslerLaw(c=0), "c must be positive"),
        (lambda: Hopf(mu=0), "mu must be positive"),
        (lambda: Hopf(omega=0), "omega must be positive"),
        (lambda: HopfLaw(gamma=-1), "gamma must be positive"),
    ],
)
def test_arguments_without_a_sense_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_parameters_without_an_attractor_are_refused(tracks):
    with pytest.raises(ConfigError, match="do not stay bounded"):
        tracks(Roessler(0.9, 0.2, 5.7), 1)
