"""One degree of freedom against closed forms: damped, driven, elliptic functions."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.special import ellipj, ellipkinc

from simlearn import ConfigError, sample_times
from simlearn_mechanics import (
    DampedMassSpring,
    DampedMassSpringLaw,
    DampedPendulum,
    DampedPendulumLaw,
    DrivenMassSpring,
    DrivenPendulum,
    MassSpringLaw,
    Pendulum,
    PendulumLaw,
)

TIMES = sample_times(200, 0.1)


def damped(x0, t, mass, stiffness, damping):
    """q and p of the damped oscillator; a complex frequency covers strong damping."""
    q0, v0 = x0[0], x0[1] / mass
    w = np.sqrt(complex(stiffness / mass - damping**2 / 4))
    a, b = q0, (v0 + damping / 2 * q0) / w
    fade, cos, sin = np.exp(-damping / 2 * t), np.cos(w * t), np.sin(w * t)
    q = fade * (a * cos + b * sin)
    v = fade * (w * (b * cos - a * sin) - damping / 2 * (a * cos + b * sin))
    return np.stack([q.real, mass * v.real], axis=1)


@pytest.mark.parametrize(
    ("mass", "stiffness", "damping"), [(1.0, 1.0, 0.1), (2.0, 3.0, 0.5), (0.5, 1.0, 5.0)]
)
def test_the_damped_mass_follows_its_closed_form(mass, stiffness, damping, alone, within):
    track = alone(DampedMassSpring(mass, stiffness, damping), TIMES, i=3)
    exact = damped(track.x[0, 0].numpy(), TIMES.numpy(), mass, stiffness, damping)
    within(track.x[:, 0], exact, 1e-9)


def test_the_driven_mass_follows_its_exact_sampled_system(alone, within):
    """x[k+1] = A x[k] + B u[k] with A and B from one matrix exponential, step by step."""
    track = alone(DrivenMassSpring(2.0, 3.0, 0.4, force=1.5, hold=3), TIMES)
    block = np.array([[0, 0.5, 0], [-3.0, -0.4, 1.0], [0, 0, 0]])
    step, x = expm(0.1 * block), track.x[0, 0].numpy()
    states = [x]
    for u in track.inputs[:-1, 0, 0].tolist():
        states.append(step[:2, :2] @ states[-1] + step[:2, 2] * u)
    within(track.x[:, 0], np.stack(states), 1e-9)
    free = damped(x, TIMES.numpy(), 2.0, 3.0, 0.4)
    assert np.abs(free - track.x[:, 0].numpy()).max() > 0.1


@pytest.mark.parametrize("amplitude", [0.3, 2.0, 3.1])
def test_the_pendulum_follows_the_elliptic_functions(amplitude, alone, within):
    """Sin(q/2) = k sn(ω t + φ, k²)."""
    mass, length, gravity = 1.3, 0.7, 2.0
    system = Pendulum(mass, length, gravity, amplitude)
    track = alone(system, TIMES, i=5)
    energy = float(system.truth().energy(track.x[0], track.topology))
    k, w = np.sqrt(energy / (2 * mass * gravity * length)), np.sqrt(gravity / length)
    angle, speed = track.x[0, 0, 0], track.x[0, 0, 1] / (mass * length**2)
    phase = ellipkinc(np.arctan2(np.sin(angle / 2) / k, speed / (2 * k * w)), k * k)
    sn, cn, _, _ = ellipj(w * TIMES.numpy() + float(phase), k * k)
    exact = np.stack([2 * np.arcsin(k * sn), mass * length**2 * 2 * k * w * cn], axis=1)
    within(track.x[:, 0], exact, 1e-8)


def swing(damping, torque=0.0):
    """Angle and angular velocity of a pendulum of mass 1.5, length 0.8 and gravity 2."""
    return lambda y: [
        y[1],
        -damping * y[1] - 2.0 / 0.8 * np.sin(y[0]) + torque / (1.5 * 0.8**2),
    ]


def test_the_damped_pendulum_agrees_with_its_second_order_equation(alone, within, reference):
    track = alone(DampedPendulum(1.5, 0.8, 2.0, 0.3, 2.5), TIMES)
    scale = np.array([1, 1.5 * 0.8**2])
    y = reference(swing(0.3), track.x[0, 0].numpy() / scale, TIMES)
    within(track.x[:, 0], y * scale, 1e-8)


def test_the_driven_pendulum_agrees_with_a_restart_at_each_sample(alone, within, reference):
    track = alone(DrivenPendulum(1.5, 0.8, 2.0, 0.3, torque=2.0, hold=4), TIMES)
    scale = np.array([1, 1.5 * 0.8**2])
    states = [track.x[0, 0].numpy() / scale]
    for k, u in enumerate(track.inputs[:-1, 0, 0].tolist()):
        states.append(reference(swing(0.3, u), states[-1], TIMES[k : k + 2])[-1])
    within(track.x[:, 0], np.stack(states) * scale, 1e-8)


@pytest.mark.parametrize(
    ("rubbing", "free"),
    [(DampedMassSpringLaw, MassSpringLaw), (DampedPendulumLaw, PendulumLaw)],
)
def test_without_friction_and_input_the_law_is_the_conservative_one(rubbing, free, alone):
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    still = alone(DrivenPendulum(), TIMES).topology.repeat(3)
    assert torch.equal(rubbing(damping=0.0)(0.0, x, still), free()(0.0, x, still))


def test_friction_takes_energy_at_the_rate_of_its_power():
    """dE/dt = −γ p²/m."""
    x = torch.tensor([[0.4, -1.2]], dtype=torch.float64, requires_grad=True)
    track = next(DampedMassSpring().draw(range(1), TIMES, 0))
    MassSpringLaw(2.0, 3.0).energy(x, track.topology).sum().backward()
    rate = (x.grad * DampedMassSpringLaw(2.0, 3.0, 0.3)(0.0, x, track.topology)).sum()
    assert float(rate.detach()) == pytest.approx(-0.3 * 1.2**2 / 2.0, rel=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DampedMassSpring(damping=-0.1), "damping must not be negative, got -0.1"),
        (lambda: DampedPendulum(amplitude=3.2), "amplitude must stay below π"),
        (lambda: DrivenPendulum(hold=0), "hold must be at least 1, got 0"),
        (lambda: DrivenMassSpring(force=0.0), "force must be positive, got 0.0"),
    ],
)
def test_arguments_without_a_sense_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
