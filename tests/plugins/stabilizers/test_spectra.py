"""Eigenvalues of square layers: antisymmetric, Hurwitz, Schur."""

import math
import warnings

import pytest
import torch

import simlearn
from simlearn.dynamics import (
    Energy,
    LinearField,
    LinearMap,
    MLPField,
    PairForce,
    ResidualMap,
    SeparableEnergy,
)
from simlearn.integrators import Euler
from simlearn_stabilizers.matrices import Hurwitz, Schur, Skew
from simlearn_stabilizers.spectra import Antisymmetric, HurwitzStable, SchurStable


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def eigenvalues(matrix):
    return torch.linalg.eigvals(matrix)


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_antisymmetric_real_parts_are_the_damping(damping):
    for seed in range(20):
        a = Skew(damping)(normal(7, 7, seed=seed))
        assert torch.equal(a + a.mT, -2 * damping * torch.eye(7, dtype=torch.float64))
        assert float((eigenvalues(a).real + damping).abs().max()) < 1e-13 * 10


def test_antisymmetric_takes_the_nearest_skew_matrix(seeded):
    field = LinearField(5).double()
    before = field.linear.weight.detach().clone()
    Antisymmetric(0.2).wrap(field)
    want = (before - before.mT) / 2 - 0.2 * torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(field.linear.weight.detach(), want, rtol=0, atol=1e-15)


def test_euler_follows_an_antisymmetric_field_up_to_its_bound_and_no_further():
    """h_c = 2γ/(γ² + ω²): the spectral radius of the step crosses 1 there, within 0.1 %."""
    gamma, omega = 0.3, 1.7
    field = LinearField(2).double()
    Antisymmetric(gamma).wrap(field)
    skew = torch.tensor([[0.0, omega], [-omega, 0.0]], dtype=torch.float64)
    field.linear.weight = skew - gamma * torch.eye(2)
    critical = 2 * gamma / (gamma**2 + omega**2)
    for share, stable in ((0.999, True), (1.001, False)):
        simulator = simlearn.Simulator(field, Euler(), share * critical)
        step = torch.func.jacrev(lambda x, s=simulator: s.step(x[None])[0])(normal(2))
        radius = float(eigenvalues(step.detach()).abs().max())
        assert (radius < 1) is stable
        assert radius == pytest.approx(1, abs=1e-3)


def test_every_hurwitz_matrix_decays_and_has_its_lyapunov_function():
    worst = -math.inf
    for seed in range(200):
        parametrization = Hurwitz(0.01)
        free = normal(3, 6, 6, seed=seed)
        a = parametrization(free)
        j, r, q = parametrization.parts(free)
        torch.testing.assert_close((j - r) @ q, a, rtol=1e-9, atol=1e-9)
        scale = float((q @ r @ q).abs().max())
        residual = (a.mT @ q + q @ a + 2 * q @ r @ q).abs().max()
        assert float(residual) <= 1e-10 * scale
        assert float(torch.linalg.eigvalsh(r)[0]) > 0
        worst = max(worst, float(eigenvalues(a).real.max()))
    assert worst <= -0.01 + 1e-9


def test_a_hurwitz_matrix_is_found_again_and_another_is_moved_no_further_than_needed():
    for seed in range(20):
        a = normal(6, 6, seed=seed)
        alpha = float(eigenvalues(a).real.max())
        stable = a - (alpha + 0.5) * torch.eye(6)
        back = Hurwitz(1e-3)(Hurwitz(1e-3).right_inverse(stable))
        torch.testing.assert_close(back, stable, rtol=0, atol=1e-9)
        moved = Hurwitz(1e-3)(Hurwitz(1e-3).right_inverse(a))
        assert float(eigenvalues(moved).real.max()) <= -1e-3
        shift = math.sqrt(6) * (alpha + 1e-3 + 0.01 * float(eigenvalues(a).abs().max()))
        assert float((moved - a).norm()) <= shift + 1e-9, "a plain shift would have been nearer"


def test_every_schur_matrix_decays_and_has_its_lyapunov_function():
    for seed in range(200):
        parametrization = Schur(0.01)
        free = normal(2, 6, 6, seed=seed) * 3
        a = parametrization(free)
        s, k = parametrization.parts(free)
        assert float(torch.linalg.svdvals(k)[0]) <= 0.99
        torch.testing.assert_close(torch.linalg.solve(s, k @ s), a)
        assert float(eigenvalues(a).abs().max()) <= 0.99 + 1e-9


def test_the_discrete_lyapunov_norm_is_exact():
    """‖P^½ A P^-½‖ = √(1 − 1/λmax(P)) with P = AᵀPA + I."""
    a = 0.8 * normal(6, 6, seed=4)
    a = a / eigenvalues(a).abs().max() * 0.9
    p, power = torch.eye(6, dtype=torch.float64), a
    for _ in range(8):  # doubling: 256 terms of Σ Aᵀᵏ Aᵏ
        p, power = p + power.mT @ p @ power, power @ power
    values, vectors = torch.linalg.eigh(p)
    root = vectors * values.sqrt() @ vectors.mT
    norm = float(torch.linalg.svdvals(root @ a @ torch.linalg.inv(root))[0])
    assert norm == pytest.approx(math.sqrt(1 - 1 / float(values[-1])), abs=1e-12)
    _, k = Schur(1e-9).parts(Schur(1e-9).right_inverse(a))
    assert float(torch.linalg.svdvals(k)[0]) == pytest.approx(norm, abs=1e-7)


def test_a_schur_matrix_is_found_again_and_another_is_moved_into_the_disc():
    for seed in range(20):
        a = normal(5, 5, seed=seed)
        stable = a * 0.9 / eigenvalues(a).abs().max()
        back = Schur(1e-3)(Schur(1e-3).right_inverse(stable))
        torch.testing.assert_close(back, stable, rtol=0, atol=1e-9)
        moved = Schur(1e-3)(Schur(1e-3).right_inverse(a))
        assert float(eigenvalues(moved).abs().max()) <= 1 - 1e-3
        shrunk = float((a - a * 0.989 / eigenvalues(a).abs().max()).norm())
        assert float((moved - a).norm()) <= shrunk + 1e-9, "shrinking all would have been nearer"
    zero = Schur(0.1)(Schur(0.1).right_inverse(torch.zeros(3, 3)))
    assert torch.equal(zero, torch.zeros(3, 3))


def test_the_guarantee_says_nothing_of_transients():
    """A Hurwitz matrix of logarithmic norm 1.05: allowed, and reached."""
    a = torch.tensor([[-1.0, 5.0], [0.0, -2.0]], dtype=torch.float64)
    back = Hurwitz(1e-3)(Hurwitz(1e-3).right_inverse(a))
    torch.testing.assert_close(back, a, rtol=0, atol=1e-12)
    assert float(torch.linalg.eigvalsh((back + back.mT) / 2)[-1]) == pytest.approx(1.0495098)


def test_what_a_constraint_cannot_hold_is_refused(seeded):
    refused = [
        (HurwitzStable(), LinearMap(2), "Take SchurStable"),
        (Antisymmetric(), ResidualMap(2, 4), "Take SchurStable"),
        (SchurStable(), LinearField(2), "Take HurwitzStable"),
        (HurwitzStable(), SeparableEnergy(2, 4), "conserves its energy"),
        (HurwitzStable(), Energy(2, 4), "conserves its energy"),
        (HurwitzStable(), MLPField(2, 4, depth=1), "needs dynamics with square nn.Linear"),
        (Antisymmetric(), PairForce(("a", "b")), "needs dynamics with nn.Linear"),
    ]
    for stabilizer, dynamics, said in refused:
        with pytest.raises(simlearn.ConfigError, match=said):
            stabilizer.wrap(dynamics)
    for bad in (lambda: HurwitzStable(0), lambda: SchurStable(1), lambda: Antisymmetric(-1)):
        with pytest.raises(simlearn.ConfigError, match="got"):
            bad()


def test_inside_a_network_it_warns_that_the_dynamics_are_not_certified(seeded):
    with pytest.warns(UserWarning, match="1 of the 3 layers of MLPField"):
        Antisymmetric().wrap(MLPField(2, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Antisymmetric().wrap(LinearField(2))
