"""Exponents, covariant vectors and symplectic structure against exact identities."""

import math

import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.analysis import contraction, directions
from simlearn.analysis.covariant import covariant
from simlearn.analysis.energy import energy
from simlearn.analysis.flat import stepper
from simlearn.analysis.growth import finite_time, kaplan_yorke, propagator, spectrum
from simlearn.analysis.jacobian import jacobian
from simlearn.analysis.local import LocalNormals, arc
from simlearn.dynamics import LinearMap
from simlearn.integrators import RK4, Leapfrog
from simlearn.state import Topology

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def rk4(field, h):
    """A step of an autonomous field, written anew."""

    def step(x, t=0.0):
        a = field(x)
        b = field(x + h / 2 * a)
        c = field(x + h / 2 * b)
        d = field(x + h * c)
        return x + h / 6 * (a + 2 * b + 2 * c + d)

    return step


def henon(x, t=0.0):
    q, p = x.unbind(-1)
    return torch.stack([1 + p - 1.4 * q * q, 0.3 * q], -1)


def lorenz63(x):
    a, b, c = x.unbind(-1)
    return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


def lorenz96(x):
    return (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1) - x + 8.0


def settled(step, x, steps):
    for _ in range(steps):
        x = step(x)
    return x


# Chaos


def test_the_logistic_map_has_the_exponent_ln_2():
    x = 0.1 + 0.8 * torch.rand(200, 1, generator=torch.Generator().manual_seed(0), dtype=F64)
    found = spectrum(lambda x, t: 4 * (x * (1 - x)), x, 1000, transient=20)
    assert float(found.exponents[0]) == pytest.approx(math.log(2), abs=5e-3)


def test_the_exponents_of_henon_add_up_to_the_logarithm_of_its_contraction():
    x = settled(henon, 0.1 * normal(50, 2), 100)
    found = spectrum(henon, x, 400, transient=100)
    assert found.sum == pytest.approx(math.log(0.3), abs=1e-10)
    sums = found.each.sum(-1)
    torch.testing.assert_close(sums, sums.new_full((50,), math.log(0.3)), rtol=0, atol=1e-10)
    assert float(found.exponents[0]) == pytest.approx(0.4192, abs=0.01)
    assert kaplan_yorke(found.exponents) == pytest.approx(1.258, abs=0.01)


def test_the_spectrum_of_lorenz():
    h = 0.01
    step = rk4(lorenz63, h)
    x = settled(step, normal(4000, 3) * 5 + torch.tensor([0, 0, 25.0]), 1500)
    found = spectrum(step, x, 1000, dt=h, transient=800, every=10)
    wanted = torch.tensor([0.9056, 0.0, -14.572], dtype=F64)
    torch.testing.assert_close(found.exponents, wanted, rtol=0, atol=0.01)
    assert found.sum == pytest.approx(-41 / 3, abs=1e-3)
    assert 0.002 < float(found.errors[0]) < 0.03
    assert kaplan_yorke(found.exponents) == pytest.approx(2.062, abs=2e-3)


@pytest.mark.parametrize("sites", [5, 8, 40])
def test_the_exponents_of_lorenz_96_add_up_to_minus_the_sites(sites):
    step = rk4(lorenz96, 0.02)
    x = settled(step, 8 + normal(4, sites), 500)
    found = spectrum(step, x, 150, dt=0.02)
    assert found.sum == pytest.approx(-sites, abs=1e-5 * sites)


# Finite times


@pytest.mark.parametrize("t", [0.1, 1.0, 30.0])
def test_a_shear(t):
    a = torch.tensor([[1.0, t], [0.0, 1.0]], dtype=F64)
    found = finite_time(lambda x, _: x @ a.T, normal(3, 2), 1, dt=t)
    wanted = torch.tensor([1.0, -1.0], dtype=F64) * math.asinh(t / 2) / t
    torch.testing.assert_close(found, wanted.expand(3, 2), rtol=0, atol=1e-12)


class ShearedOscillator(simlearn.HamiltonianField):
    """H + c (H − E₀)² / 2 with H = (q² + p²) / 2: the oscillator's own orbit at E₀."""

    dim = 2

    def __init__(self, c=3.0, level=0.5):
        super().__init__()
        self.c, self.level = c, level

    def energy(self, x, topology):
        plain = x.square().sum(-1) / 2
        return topology.per_system(plain + self.c * (plain - self.level) ** 2 / 2)

    def gradient(self, x, topology):
        plain = x.square().sum(-1, keepdim=True) / 2
        return x * (1 + self.c * (plain - self.level))


def test_an_energy_that_one_level_does_not_tell_shears():
    simulator = Simulator(ShearedOscillator(), RK4(), 0.04)
    x = torch.tensor([[1.0, 0.0], [0.6, -0.8]], dtype=F64)
    same = Simulator(ShearedOscillator(c=0.0), RK4(), 0.04).dynamics
    one = Topology.isolated(2)
    torch.testing.assert_close(simulator.dynamics(0.0, x, one), same(0.0, x, one))
    found = finite_time(stepper(simulator), x, 250, dt=0.04)[:, 0]
    assert math.asinh(15) / 10 == pytest.approx(0.3402307, abs=5e-8)
    torch.testing.assert_close(found, found.new_full((2,), math.asinh(15) / 10), rtol=0, atol=1e-6)


def test_a_stable_flow_that_grows_first():
    a = torch.tensor([[-1.0, 5.0], [0.0, -2.0]], dtype=F64)
    assert float(contraction.log_norm(a)) == pytest.approx(1.0495098, abs=1e-6)
    gain, when = contraction.transient_gain(a, torch.linspace(0, 3, 3001, dtype=F64))
    assert gain == pytest.approx(1.38362, abs=1e-4)
    assert when == pytest.approx(0.564, abs=2e-3)
    for t in (1e-3, 0.1, 0.5):
        bound = contraction.error_bound(float(contraction.log_norm(a)), 1.0, 0.0, t)
        size = float(torch.linalg.matrix_norm(torch.linalg.matrix_exp(a * t), 2))
        assert size <= bound
    assert (size := float(torch.linalg.matrix_norm(torch.linalg.matrix_exp(a * 1e-5), 2))) > 1
    assert math.log(size) / 1e-5 == pytest.approx(1.0495098, abs=1e-3)


# Covariant vectors


def test_the_covariant_vectors_of_a_linear_map_are_its_eigenvectors():
    basis = normal(4, 4, seed=3)
    values = torch.tensor([1.5, -0.9, 0.5, 0.2], dtype=F64)
    law = LinearMap(4).double()
    with torch.no_grad():
        law.linear.weight.copy_(basis * values @ torch.linalg.inv(basis))
    found = covariant(stepper(Simulator(law)), normal(3, 4), 10, transient=60, tail=60)
    wanted = basis / basis.norm(dim=0)
    overlap = (found.vectors * wanted).sum(-2).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), rtol=0, atol=1e-10)
    along = found.vectors - (found.vectors * wanted).sum(-2, keepdim=True) * wanted
    assert float(along.abs().max()) < 1e-10
    torch.testing.assert_close(found.rates, values.abs().log().expand(3, 4), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("step", "n"), [(henon, 2), (rk4(lorenz63, 0.01), 3)])
def test_the_map_carries_covariant_vectors_to_covariant_vectors(step, n):
    x = settled(step, 0.1 * normal(4, n) + 0.1, 1000)
    found = covariant(step, x, 30, transient=50, tail=50)
    assert found.orbit.shape == (31, 4, n)
    assert found.vectors.shape == (31, 4, n, n)
    for k in (0, 10, 29):
        torch.testing.assert_close(found.orbit[k + 1], step(found.orbit[k]))
        pushed = jacobian(step, found.orbit[k]) @ found.vectors[k]
        pushed = pushed / pushed.norm(dim=-2, keepdim=True)
        sign = (pushed * found.vectors[k + 1]).sum(-2, keepdim=True).sign()
        torch.testing.assert_close(sign * pushed, found.vectors[k + 1], rtol=0, atol=1e-10)


def test_growth_along_covariant_vectors_is_the_spectrum():
    x = settled(henon, 0.1 * normal(40, 2), 100)
    found = covariant(henon, x, 300, transient=50, tail=50)
    first = spectrum(henon, settled(henon, x, 50), 300)
    torch.testing.assert_close(found.rates.mean(0), first.exponents, rtol=0, atol=0.02)
    angles = found.angles(0, 1)
    assert angles.shape == (301, 40)
    assert float(angles.min()) >= 0
    assert float(angles.max()) <= math.pi / 2 + 1e-12


# Symplectic structure


class HenonHeiles(simlearn.SplitField):
    dim = 4

    def drift(self, p, topology):
        return p

    def kick(self, t, q, topology):
        x, y = q.unbind(-1)
        return torch.stack([-x - 2 * x * y, -y - x * x + y * y], -1)

    def energy(self, x, topology):
        raise NotImplementedError


FORM = torch.zeros(4, 4, dtype=F64)
FORM[:2, 2:], FORM[2:, :2] = torch.eye(2), -torch.eye(2)
BOUND = torch.tensor([[0.0, 0.1, 0.3, 0.0], [0.1, -0.2, 0.2, 0.25]], dtype=F64)


def pairing(integrator):
    step = stepper(Simulator(HenonHeiles(), integrator, 0.05))
    _, product = propagator(step, BOUND, 400, dt=0.05)
    s = torch.linalg.svdvals(product)
    broken = (product.mT @ FORM @ product - FORM).abs().amax()
    return float((s * s.flip(-1) - 1).abs().max()), float(broken)


def test_leapfrog_pairs_singular_values_and_runge_kutta_does_not():
    paired, form = pairing(Leapfrog())
    assert paired < 1e-9
    assert form < 1e-9
    paired, form = pairing(RK4())
    assert paired > 1e-8
    assert form > 1e-8


def test_exponents_of_a_symplectic_map_come_in_pairs():
    step = stepper(Simulator(HenonHeiles(), Leapfrog(), 0.05))
    found = finite_time(step, BOUND, 400, dt=0.05)
    torch.testing.assert_close(found, -found.flip(-1), rtol=0, atol=1e-9)
    assert abs(spectrum(step, BOUND, 200, dt=0.05).sum) < 1e-10


def test_a_step_with_friction_scales_the_form():
    gamma, h = 0.3, 0.05
    plain = stepper(Simulator(HenonHeiles(), Leapfrog(), h))
    shrink = torch.tensor([1.0, 1.0, math.exp(-gamma * h), math.exp(-gamma * h)], dtype=F64)

    def step(x, t=0.0):
        return plain(x, t) * shrink

    j = jacobian(step, BOUND)
    wanted = (math.exp(-gamma * h) * FORM).expand(2, 4, 4)
    torch.testing.assert_close(j.mT @ FORM @ j, wanted, rtol=0, atol=1e-14)
    found = finite_time(step, BOUND, 50, dt=h)
    torch.testing.assert_close(
        found + found.flip(-1), torch.full_like(found, -gamma), rtol=0, atol=1e-9
    )


# A limit cycle


def hopf(sign):
    """The cycle where the sign is + and its twin that repels where it is −, ``[anchors]``."""

    def field(x):
        a, b, z = x.unbind(-1)
        out = sign * (1 - a * a - b * b)
        return torch.stack([out * a - b, out * b + a, -0.3 * z], -1)

    return field


def on_cycle(count):
    phase = torch.linspace(0, 2 * math.pi, count + 1, dtype=F64)[:-1]
    return torch.stack([phase.cos(), phase.sin(), 0 * phase], -1)


def across(x):
    """Radial and vertical unit vectors, ``[anchors, 3, 2]``."""
    flat = torch.cat([x[:, :2] / x[:, :2].norm(dim=-1, keepdim=True), 0 * x[:, :1]], -1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=F64).expand_as(x)
    return torch.stack([flat, up], -1)


def back(x):
    """Onto the cycle."""
    return torch.cat([x[:, :2] / x[:, :2].norm(dim=-1, keepdim=True), 0 * x[:, 2:]], -1)


SIGN = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], dtype=F64)
ACROSS = torch.tensor([[-0.3, -2.0]] * 3 + [[2.0, -0.3]] * 3, dtype=F64)


def in_order(each):
    return each.sort(-1, descending=True).values


def test_normal_exponents_of_a_cycle_and_of_its_twin():
    found = spectrum(
        rk4(hopf(SIGN), 0.01),
        on_cycle(6),
        300,
        dt=0.01,
        transient=500,
        normal=across,
        follow=back,
    )
    torch.testing.assert_close(in_order(found.each), ACROSS, rtol=0, atol=1e-5)
    none = torch.zeros(2, dtype=F64)
    assert directions.verdict(found.each[0], none) == "ok"
    assert directions.verdict(found.each[3], none) == "unstable"


def test_the_twin_has_the_same_field_on_the_data():
    x = on_cycle(20)
    torch.testing.assert_close(hopf(1)(x), hopf(-1)(x), rtol=0, atol=1e-14)


def test_normal_exponents_with_normals_from_samples():
    normals = LocalNormals(on_cycle(2000), neighbours=15)
    assert normals.dimension == 1
    found = spectrum(
        rk4(hopf(SIGN), 0.01),
        on_cycle(6),
        300,
        dt=0.01,
        transient=500,
        normal=normals,
        follow=lambda x: normals.nearest(back(x))[1],
    )
    torch.testing.assert_close(in_order(found.each), ACROSS, rtol=0, atol=1e-4)


def test_all_exponents_of_the_cycle():
    found = spectrum(rk4(hopf(1.0), 0.05), on_cycle(4), 400, dt=0.05, transient=300)
    wanted = torch.tensor([0.0, -0.3, -2.0], dtype=F64)
    torch.testing.assert_close(found.exponents, wanted, rtol=0, atol=1e-4)


# Curved data


def test_the_variances_of_an_arc():
    along, normal_part = arc(torch.tensor(0.1))
    assert float(along) == pytest.approx(0.003326673, rel=1e-4)
    assert float(normal_part) == pytest.approx(2.21905e-6, rel=1e-4)
    small = arc(torch.tensor(0.01))
    assert float(small[1] / small[0]) == pytest.approx(0.01**2 / 15, rel=1e-2)


@pytest.mark.parametrize("neighbours", [41, 101])
def test_local_directions_of_a_sampled_arc_have_the_variances_it_says(neighbours):
    count = 2000
    x = on_cycle(count)[:, :2]
    normals = LocalNormals(x, neighbours=neighbours, dimension=1)
    # points in the middle of equal pieces: as uniform as so many can be
    along, off = arc(torch.tensor(math.pi * neighbours / count, dtype=F64))
    assert normals.thickness == pytest.approx(float(off / (along + off)), rel=5e-3)
    here = x[::100]
    found = normals(here)
    assert found.shape == (20, 2, 1)
    overlap = (found[..., 0] * here).sum(-1).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), rtol=0, atol=1e-10)
    assert float((normals.tangents(here)[..., 0] * here).sum(-1).abs().max()) < 1e-10


# Noise floor and rank


def test_pure_noise_ends_at_the_edge_of_marchenko_and_pastur():
    x = 0.1 * normal(2000, 50)
    found = energy(x, scale=torch.ones(50), noise=0.1)
    assert found.floor == pytest.approx(0.0134123, abs=5e-8)
    assert float(found.values[0]) == pytest.approx(found.floor, rel=0.05)


def test_energies_of_single_precision_data_are_told_from_rounding():
    """Singular values keep a relative energy of 1e-10; eigenvalues of C in float32 lose it."""
    energies = torch.tensor([1.0, 1e-2, 1e-4, 1e-10, 0.0, 0.0], dtype=F64)
    u = torch.linalg.qr(normal(6, 6, seed=2))[0]
    white = torch.linalg.qr(normal(500, 6, seed=3))[0] * math.sqrt(500)
    x = (white * energies.sqrt() @ u.T).float()
    found = energy(x, scale=torch.ones(6))
    assert 0.5e-10 < float(found.values[3]) < 2e-10
    assert float(found.values[4:].max()) < 1e-14
    assert found.rank == 4
    assert found.kinds() == ["learned"] * 4 + ["null"] * 2
    lost = torch.linalg.eigvalsh(x.T @ x / len(x)).flip(0)
    assert not 0.5e-10 < float(lost[3]) < 2e-10
    cast = energy(x.double(), scale=torch.ones(6))  # rounding stays rounding
    assert cast.floor == found.floor
    assert cast.rank == 4
