"""FPUT and Toda: linear limits, independent formulations, Lax eigenvalues."""

import numpy as np
import pytest
import torch

from simlearn import ConfigError, sample_times
from simlearn_mechanics import FPUT, FPUTLaw, Toda, TodaLaw

TIMES = sample_times(100, 0.2)


def chain(tension):
    """Second-order equations of a chain; ``ends`` are put around the displacements."""

    def rhs_of(ends):
        def rhs(y):
            q, p = np.split(y, 2)
            pull = tension(np.diff(ends(q)))
            return np.concatenate([p, np.diff(pull)])

        return rhs

    return rhs_of


def walls(q):
    return np.concatenate([[0.0], q, [0.0]])


def ring(q):
    return np.concatenate([q[-1:], q, q[:1]])


def columns(y):
    return np.stack(np.split(y, 2, axis=1), axis=-1)


@pytest.mark.parametrize(("alpha", "beta"), [(0.25, 0.0), (0.0, 2.0), (0.2, 0.5)])
def test_fput_agrees_with_its_second_order_equations(alpha, beta, alone, within, reference):
    track = alone(FPUT(16, alpha, beta, amplitude=1.0, modes=2), TIMES)
    rhs = chain(lambda r: r + alpha * r**2 + beta * r**3)(walls)
    y = reference(rhs, track.x[0].T.numpy().ravel(), TIMES)
    within(track.x, columns(y), 1e-7)


def test_fput_with_linear_bonds_keeps_each_mode_on_its_circle(alone, within):
    track = alone(FPUT(16, 0.0, 0.0, modes=3), TIMES)
    number = np.arange(1, 17)
    shapes = np.sin(np.pi * np.outer(number, number) / 17) * np.sqrt(2 / 17)
    w = 2 * np.sin(np.pi * number / 34)
    q, p = (shapes @ track.x[0].numpy()).T
    assert np.abs(q[3:]).max() < 1e-12
    phase = np.outer(TIMES.numpy(), w)
    exact = (q * np.cos(phase) + p / w * np.sin(phase)) @ shapes
    within(track.x[..., 0], exact, 1e-7)


def test_a_nonlinear_bond_feeds_the_higher_modes(alone):
    track = alone(FPUT(16, 0.25, 0.0), sample_times(100, 1.0))
    number = np.arange(1, 17)
    shapes = np.sin(np.pi * np.outer(number, number) / 17)
    q = np.abs(track.x[..., 0].numpy() @ shapes)
    assert q[0, 1] < 1e-12
    assert q[:, 1].max() > 1e-2 * q[:, 0].max()


def test_a_bond_has_the_energy_of_fermi_pasta_ulam_and_tsingou():
    """One displaced mass stretches the bond before it and presses the one behind."""
    (track,) = FPUT(4).draw(range(1), sample_times(2, 0.1), seed=0)
    x = torch.zeros(4, 2, dtype=torch.float64)
    x[0, 0], x[3, 1] = 0.5, 2.0
    law = FPUTLaw(alpha=0.3, beta=0.7)
    bonds = sum(r**2 / 2 + 0.3 * r**3 / 3 + 0.7 * r**4 / 4 for r in (0.5, -0.5))
    assert float(law.energy(x, track.topology)) == pytest.approx(bonds + 2.0, rel=1e-12)


@pytest.mark.parametrize("b", [0.3, 1.5])
def test_toda_agrees_with_its_second_order_equations(b, alone, within, reference):
    track = alone(Toda(6, b, 0.4), TIMES)
    rhs = chain(lambda r: (1 - np.exp(-b * r)) / b)(ring)
    within(track.x, columns(reference(rhs, track.x[0].T.numpy().ravel(), TIMES)), 1e-7)


@pytest.mark.parametrize("masses", [3, 8])
def test_the_lax_eigenvalues_of_toda_stay(masses, alone, within):
    """Against a matrix built by hand, in the order of the ring."""
    track, b = alone(Toda(masses, 0.8), TIMES), 0.8
    values = []
    for q, p in track.x.transpose(1, 2).numpy():
        bonds = 0.5 * np.exp(-b * (np.roll(q, -1) - q) / 2)
        step = np.roll(np.eye(masses), 1, axis=1) * bonds[:, None]
        values.append(np.linalg.eigvalsh(np.diag(b * p / 2) + step + step.T))
    within(np.stack(values), values[0], 1e-8)
    assert np.ptp(values[0]) > 0.1
    law = TodaLaw(b).lax(track.x[-1], track.topology)
    within(np.linalg.eigvalsh(law.numpy()), values[-1], 1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FPUT(4, modes=5), "masses must be at least 5"),
        (lambda: FPUT(alpha=-0.1), "alpha must not be negative"),
        (lambda: Toda(2), "masses must be at least 3, got 2"),
    ],
)
def test_arguments_without_a_sense_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
