"""Double pendulum, rigid body and Hénon-Heiles against other formulations of the same motion."""

import numpy as np
import pytest
import torch
from scipy.special import ellipj, ellipkinc

from simlearn import ConfigError, Topology, sample_times
from simlearn_mechanics import DoublePendulum, HenonHeiles, HenonHeilesLaw, RigidBody

TIMES = sample_times(100, 0.1)


def momenta(y, m1, m2, l1, l2):
    """∂L/∂θ' from angles and velocities ``[..., 4]``."""
    a, b, va, vb = np.moveaxis(y, -1, 0)
    both = m2 * l1 * l2 * np.cos(a - b)
    p1, p2 = (m1 + m2) * l1**2 * va + both * vb, m2 * l2**2 * vb + both * va
    return np.stack([a, b, p1, p2], axis=-1)


@pytest.mark.parametrize("amplitude", [0.5, 2.0])
def test_the_double_pendulum_obeys_its_lagrangian(amplitude, alone, within, reference):
    m1, m2, l1, l2, g = 1.0, 0.6, 0.8, 1.3, 2.0

    def rhs(y):
        a, b, va, vb = y
        cos, sin = np.cos(a - b), np.sin(a - b)
        matrix = [[(m1 + m2) * l1, m2 * l2 * cos], [l1 * cos, l2]]
        force = [
            -m2 * l2 * vb**2 * sin - (m1 + m2) * g * np.sin(a),
            l1 * va**2 * sin - g * np.sin(b),
        ]
        return np.concatenate([[va, vb], np.linalg.solve(matrix, force)])

    track = alone(DoublePendulum(m1, m2, l1, l2, g, amplitude), TIMES, i=1)
    assert (track.x[0, 0, 2:] == 0).all()
    y = reference(rhs, track.x[0, 0].numpy(), TIMES)
    within(track.x[:, 0], momenta(y, m1, m2, l1, l2), 1e-6)


def top(omega, moments, t):
    """Angular velocity of a free body, Landau and Lifshitz, Mechanics, §37."""
    i1, i2, i3 = moments
    energy2, square = (moments * omega**2).sum(), (moments**2 * omega**2).sum()
    if (square - energy2 * i2) * (i3 - i1) < 0:
        return -top(-omega[::-1], moments[::-1], t)[:, ::-1]
    high, low = energy2 * i3 - square, square - energy2 * i1
    size = np.sqrt([high / (i1 * (i3 - i1)), high / (i2 * (i3 - i2)), low / (i3 * (i3 - i1))])
    rate = np.sign(i3 - i2) * np.sqrt((i3 - i2) * low / (i1 * i2 * i3))
    m, side = (i2 - i1) * high / ((i3 - i2) * low), np.sign(omega[2])
    phase = ellipkinc(np.arctan2(side * omega[1] / size[1], omega[0] / size[0]), m)
    sn, cn, dn, _ = ellipj(rate * t + phase, m)
    return np.stack([size[0] * cn, side * size[1] * sn, side * size[2] * dn], axis=1)


@pytest.mark.parametrize("i", range(6))
def test_the_rigid_body_follows_the_elliptic_functions(i, alone, within):
    moments = np.array([1.0, 1.6, 2.3])
    times = sample_times(200, 0.2)
    track = alone(RigidBody(moments.tolist(), momentum=3.0), times, i)
    exact = moments * top(track.x[0, 0].numpy() / moments, moments, times.numpy())
    within(track.x[:, 0], exact, 1e-8)


def test_both_kinds_of_rotation_are_drawn():
    """About the axis of the largest and of the smallest moment."""
    system = RigidBody()
    kinds = set()
    for track in system.draw(range(12), sample_times(2, 0.1), seed=0):
        found = {k: float(f(track.x[0], track.topology)) for k, f in system.invariants().items()}
        assert 0.25 - 1e-12 <= found["angular_momentum_squared"] <= 1 + 1e-12
        kinds.add(found["angular_momentum_squared"] > 2 * found["energy"] * 1.5)
    assert kinds == {True, False}


@pytest.mark.parametrize("coupling", [0.5, 1.0])
def test_henon_heiles_is_one_complex_equation(coupling, alone, within, reference):
    """z'' = −z − i λ z̄²."""

    def rhs(y):
        z = y[0] + 1j * y[1]
        pull = -z - 1j * coupling * np.conj(z) ** 2
        return [y[2], y[3], pull.real, pull.imag]

    track = alone(HenonHeiles(coupling, 0.16 / coupling**2), TIMES)
    within(track.x[:, 0], reference(rhs, track.x[0, 0].numpy(), TIMES), 1e-8)


def test_henon_heiles_has_its_threefold_potential():
    """V = r²/2 + λ r³ sin(3φ)/3, with saddles of 1 / (6 λ²) at distance 1/λ."""
    r, angle = torch.rand(2, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angle = 6 * angle
    q = r[:, None] * torch.stack([angle.cos(), angle.sin()], dim=-1)
    exact = r**2 / 2 + 0.7 * r**3 * torch.sin(3 * angle) / 3
    torch.testing.assert_close(HenonHeilesLaw(0.7).potential(q), exact, rtol=1e-12, atol=1e-14)
    saddle = torch.tensor([[0.0, 1 / 0.7, 0.0, 0.0]], dtype=torch.float64)
    law, on = HenonHeilesLaw(0.7), Topology.isolated(1)
    assert float(law.energy(saddle, on)) == pytest.approx(1 / (6 * 0.49), rel=1e-12)
    assert law(0.0, saddle, on).abs().max() < 1e-14


def test_orbits_stay_in_the_triangle_with_the_energy_asked_for():
    system = HenonHeiles(energy=0.16)
    for track in system.draw(range(64), sample_times(100, 0.5), seed=0):
        assert 0.032 <= float(system.truth().energy(track.x[0], track.topology)) < 0.16
        x, y = track.x[:, 0, 0], track.x[:, 0, 1]
        assert (y > -0.5).all()
        assert (y + 3**0.5 * x.abs() < 1).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HenonHeiles(2.0, 0.05), "energy must stay below 0.0416667"),
        (lambda: RigidBody([1.0, 1.0, 3.0]), "the largest must not exceed"),
        (lambda: RigidBody([1.0, 1.0]), "3 principal moments of inertia, got 2"),
        (lambda: RigidBody([1.0, 1.0, -1.0]), "moments must be positive"),
        (lambda: DoublePendulum(length2=0.0), "length2 must be positive"),
    ],
)
def test_arguments_without_a_sense_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
