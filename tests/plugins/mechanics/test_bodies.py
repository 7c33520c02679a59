"""Kepler's equation, Lagrange's triangle, the figure eight, and the two-body limit."""

import numpy as np
import pytest
import torch

from simlearn import ConfigError, System, Topology, sample_times
from simlearn.dynamics import Newtonian
from simlearn_mechanics import GravityLaw, KeplerTwoBody, NBody, ThreeBody

TIMES = sample_times(200, 0.1)
BODIES = ("a", "b", "c")


@pytest.mark.parametrize(("eccentricity", "limit"), [(0.0, 1e-8), (0.3, 4e-7), (0.8, 2e-5)])
@pytest.mark.parametrize("i", [0, 1, 2])
def test_the_two_body_problem_follows_keplers_equation(
    eccentricity, limit, i, alone, within, kepler
):
    """To the accuracy that the system measures of itself: near points amplify errors."""
    system = KeplerTwoBody(1.7, eccentricity, eccentricity, semi_major_axis=2.0)
    track = alone(system, TIMES, i)
    within(track.x[:, 0], kepler(track.x[0, 0], TIMES, 1.7), limit)


def test_orbits_have_the_elements_asked_for():
    """Eccentricity from the Laplace-Runge-Lenz vector, the axis from the energy, both senses."""
    system = KeplerTwoBody(2.0, 0.2, 0.6, semi_major_axis=3.0)
    found = system.invariants()
    senses = set()
    for track in system.draw(range(64), sample_times(2, 0.1), seed=0):
        told = {name: float(law(track.x[0], track.topology)) for name, law in found.items()}
        e = np.hypot(told["laplace_runge_lenz_x"], told["laplace_runge_lenz_y"]) / 2.0
        axis = -2.0 / (2 * told["energy"])
        assert 0.2 - 1e-12 <= e <= 0.6 + 1e-12
        assert 1.5 - 1e-12 <= axis <= 3.0 + 1e-12
        assert told["angular_momentum"] ** 2 == pytest.approx(2.0 * axis * (1 - e * e), rel=1e-10)
        senses.add(told["angular_momentum"] > 0)
    assert senses == {True, False}


class Eight(System):
    """The figure eight of Chenciner and Montgomery 2000, with the digits of Simó."""

    stack = False

    def truth(self):
        return GravityLaw(BODIES, [1.0, 1.0, 1.0])

    def start(self, rng):
        q = torch.tensor([0.97000436, -0.24308753])
        v = torch.tensor([0.93240737, 0.86473146])
        rows = [[*q, *v / 2], [*-q, *v / 2], [0.0, 0.0, *-v]]
        return torch.tensor(rows), Topology.complete(3, BODIES)


def test_the_figure_eight_closes_after_its_period(within):
    """After a third of it, each body stands where another began."""
    times = torch.tensor([0.0, 6.32591398 / 3, 2 * 6.32591398 / 3, 6.32591398])
    (track,) = Eight().draw(range(1), times, seed=0)
    within(track.x[3], track.x[0], 1e-6)
    for k in (1, 2):
        apart = (track.x[k][:, None] - track.x[0][None]).abs().amax(-1)
        assert apart.min(1).values.max() < 1e-6
        assert (apart.argmin(1) != torch.arange(3)).all()


@pytest.mark.parametrize("softening", [0.0, 0.4])
def test_the_undisturbed_triangle_turns_as_a_whole(softening, alone, within):
    """Lagrange's solution: ω² = 3 G m / (3 r² + ε²)^(3/2)."""
    times = sample_times(50, 0.1)
    system = ThreeBody(mass=2.0, gravity=0.7, radius=1.5, noise=0.0, softening=softening)
    track = alone(system, times)
    r = float(track.x[0, 0, :2].norm())
    angle = np.sqrt(3 * 0.7 * 2.0 * (3 * r * r + softening**2) ** -1.5) * times.numpy()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    q = np.einsum("ijt,nj->tni", turn, track.x[0, :, :2].numpy())
    within(track.x[..., :2], q, 1e-7)


@pytest.mark.parametrize("dimension", [2, 3])
def test_two_bodies_move_about_each_other_as_kepler_says(dimension, alone, within, kepler):
    system = NBody(2, dimension, masses=[1.0, 0.3], gravity=1.4, softening=0.0)
    track = alone(system, TIMES, i=1)
    apart = (track.x[:, 1] - track.x[:, 0]).numpy()
    within(apart, kepler(apart[0], TIMES, 1.4 * 1.3), 1e-6)
    still = track.x[:, 0] + 0.3 * track.x[:, 1]
    assert still.abs().max() < 1e-9


def test_many_bodies_agree_with_sums_over_all_pairs(alone, within, reference):
    mass, gravity, soft = np.array([1.0, 2.0, 0.5, 0.1]), 0.8, 0.2
    system = NBody(4, 3, masses=mass.tolist(), gravity=gravity, softening=soft)

    def rhs(y):
        q, v = y.reshape(2, 4, 3)
        force = np.zeros((4, 3))
        for i in range(4):
            for j in range(4):
                d = q[j] - q[i]
                force[i] += gravity * mass[j] * d / (d @ d + soft**2) ** 1.5
        return np.concatenate([v, force]).ravel()

    times = sample_times(40, 0.05)
    track = alone(system, times)
    y0 = torch.cat(track.x[0].chunk(2, dim=-1)).numpy().ravel()
    y = reference(rhs, y0, times).reshape(-1, 2, 4, 3)
    within(track.x, np.concatenate([y[:, 0], y[:, 1]], axis=-1), 1e-7)


@pytest.mark.parametrize("virial", [0.1, 0.5])
def test_a_cluster_begins_with_the_energies_asked_for(virial):
    system = NBody(6, 3, virial=virial, mass=2.0)
    (track,) = system.draw(range(1), sample_times(2, 0.01), seed=0)
    q, v = track.x[0].chunk(2, dim=-1)
    kinetic = (v * v).sum()  # of six masses of 2
    apart = torch.pdist(q)
    bound = -(4 / (apart**2 + 0.01).sqrt()).sum()
    assert float(kinetic / -bound) == pytest.approx(virial, rel=1e-10)


def test_without_softening_it_is_newtons_law():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, generator=rng, dtype=torch.float64)
    on = Topology.complete(3, BODIES)
    hard = GravityLaw(BODIES, [1.0, 2.0, 3.0], gravity=0.5)
    known = Newtonian(BODIES, [1.0, 2.0, 3.0], gravity=0.5)
    torch.testing.assert_close(hard(0.0, x, on), known(0.0, x, on), rtol=1e-14, atol=0)
    torch.testing.assert_close(hard.energy(x, on), known.energy(x, on), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: KeplerTwoBody(max_eccentricity=1.0), "max_eccentricity must stay below 1"),
        (lambda: KeplerTwoBody(1.0, 0.6, 0.5), "min_eccentricity is 0.6, above"),
        (lambda: NBody(3, masses=[1.0]), "1 masses for 3 bodies"),
        (lambda: NBody(3, dimension=4), "dimension must be 2 or 3, got 4"),
        (lambda: NBody(1), "bodies must be at least 2"),
        (lambda: NBody(virial=1.0), "virial must stay below 1"),
        (lambda: GravityLaw(["a"], [1.0, 2.0]), "1 names and 2 masses"),
    ],
)
def test_arguments_without_a_sense_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
