"""What noisy inputs teach linear dynamics: normal equations of exact designs, and certificates."""

import math

import pytest
import torch
from torch import nn

from simlearn import ConfigError
from simlearn.analysis import linear

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def samples(energies, count=12, seed=0):
    """Data ``[count, n]`` with the second moment U diag(λ) Uᵀ exactly, and U."""
    energies = torch.tensor(energies, dtype=F64)
    n = len(energies)
    u = torch.linalg.qr(normal(n, n, seed=seed))[0]
    white = torch.linalg.qr(normal(count, n, seed=seed + 1))[0] * math.sqrt(count)
    return white @ (energies.sqrt()[:, None] * u.T), u


def exact(q):
    """Points ``[2n, n]`` of mean zero and covariance Q exactly: as good as infinitely many."""
    values, vectors = torch.linalg.eigh(q)
    root = vectors * values.clamp_min(0.0).sqrt()
    return math.sqrt(len(q)) * torch.cat([root.T, -root.T])


def paired(x, noise):
    """Every sample with every noise, ``[N · M, n]`` each: noise independent of the data."""
    return x.repeat_interleave(len(noise), 0), noise.repeat(len(x), 1)


def fitted(inputs, targets):
    """The matrix of least squares, of minimal norm."""
    return torch.linalg.lstsq(inputs, targets, driver="gelsd").solution.T


def setting(isotropic):
    """Truth, data, second moment and noise covariance, with one direction without data."""
    x, _ = samples([1.0, 0.4, 0.05, 0.0])
    root = 0.3 * torch.eye(4, dtype=F64) if isotropic else 0.3 * normal(4, 4, seed=9)
    return torch.eye(4) + 0.3 * normal(4, 4, seed=5), x, x.T @ x / len(x), root @ root.T


def close(found, wanted, atol=1e-12):
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


both = pytest.mark.parametrize("isotropic", [True, False])


# Table 1.3


@both
def test_maps_with_clean_or_freshly_noisy_targets(isotropic):
    """V1 and V1b: M C (C + Q)⁻¹."""
    m, x, c, q = setting(isotropic)
    clean, xi = paired(x, exact(q))
    for convention in ("corrected", "measured"):
        close(fitted(clean + xi, clean @ m.T), linear.noisy(m, c, q, convention))
    (a, b), other = paired(clean, exact(q)), paired(xi, exact(q))[0]
    close(fitted(a + other, a @ m.T + b), linear.noisy(m, c, q, "measured"))


@both
def test_increments_with_corrected_and_uncorrected_targets(isotropic):
    """V2, V3 and V4."""
    m, x, c, q = setting(isotropic)
    clean, xi = paired(x, exact(q))
    z, y, one = clean + xi, clean @ m.T, torch.eye(4, dtype=F64)
    close(one + fitted(z, y - z), linear.noisy(m, c, q, "corrected"))
    close(one + fitted(z, y - clean), linear.noisy(m, c, q, "uncorrected"))
    close(fitted(z, y + xi), linear.noisy(m, c, q, "uncorrected"))


@both
@pytest.mark.parametrize("kappa", [0.0, 0.2, 1.0])
def test_restoring_targets(isotropic, kappa):
    """V6k of a map: slopes get − κ ξ."""
    m, x, c, q = setting(isotropic)
    clean, xi = paired(x, exact(q))
    found = fitted(clean + xi, clean @ m.T + (1 - kappa) * xi)
    close(found, linear.noisy(m, c, q, "restoring", kappa=kappa))


@both
def test_resimulated_targets_have_no_bias(isotropic):
    """V5: also directions without data are learned."""
    m, x, c, q = setting(isotropic)
    clean, xi = paired(x, exact(q))
    close(fitted(clean + xi, (clean + xi) @ m.T), linear.noisy(m, c, q, "resimulated"))


@both
@pytest.mark.parametrize("kappa", [0.0, 0.7, 10.0])
def test_fields_with_clean_and_with_restoring_slopes(isotropic, kappa):
    """V6 and V6k: (A C − κ Q)(C + Q)⁻¹."""
    a, x, c, q = setting(isotropic)
    clean, xi = paired(x, exact(q))
    found = fitted(clean + xi, clean @ a.T - kappa * xi)
    close(found, linear.noisy_generator(a, c, q, kappa), 1e-11)


@both
def test_slopes_differenced_from_noisy_measurements(isotropic):
    """V7: forward differences make it dead, central ones leave it neutral."""
    _, x, c, q = setting(isotropic)
    h, one = 0.1, torch.eye(4, dtype=F64)
    a = 0.5 * normal(4, 4, seed=5)
    m = torch.linalg.matrix_exp(h * a)
    clean, xi = paired(x, exact(q))
    (now, later), first = paired(clean, exact(q)), paired(xi, exact(q))[0]
    forward = fitted(now + first, (now @ m.T + later - now - first) / h)
    close(forward, (linear.noisy(m, c, q, "measured") - one) / h, 1e-11)
    back = torch.linalg.inv(m)
    # noise before and after the middle state is independent of it and of mean zero
    central = fitted(clean + xi, (clean @ m.T - clean @ back.T) / (2 * h))
    close(central, linear.noisy_generator((m - back) / (2 * h), c, q), 1e-11)


def test_what_each_convention_does_without_data():
    m, _, c, _ = setting(True)
    null = torch.linalg.eigh(c)[1][:, :1]
    for convention, kappa, share in [
        ("corrected", 0.0, 0.0),
        ("measured", 0.0, 0.0),
        ("uncorrected", 0.0, 1.0),
        ("restoring", 0.2, 0.8),
    ]:
        w = linear.noisy(m, c, 0.1, convention, kappa=kappa)
        close(w @ null, share * null)
    a = normal(4, 4, seed=6)
    close(linear.noisy_generator(a, c, 0.1) @ null, 0 * null)
    close(linear.noisy_generator(a, c, 0.1, 2.0) @ null, -2.0 * null)


@pytest.mark.parametrize("noise", [0.3, 0.3**2 * torch.eye(4, dtype=F64)])
def test_a_number_of_noise_is_an_isotropic_covariance(noise):
    m, _, c, _ = setting(True)
    wanted = m @ c @ torch.linalg.inv(c + 0.09 * torch.eye(4, dtype=F64))
    close(linear.noisy(m, c, noise, "corrected"), wanted)


def test_an_unknown_convention_is_refused():
    with pytest.raises(ConfigError, match="convention"):
        linear.noisy(torch.eye(2), torch.eye(2), 0.1, "backwards")


def test_noise_in_the_complement_only_has_no_bias_on_the_data():
    """z = x + s P₀ ξ: W = M P_S exactly."""
    m, _, c, _ = setting(True)
    null = torch.linalg.eigh(c)[1][:, :1]
    p0 = null @ null.T
    close(linear.noisy(m, c, 0.09 * p0, "corrected"), m - m @ p0, 1e-12)
    close(linear.noisy_generator(m, c, 0.09 * p0, 0.5), m - m @ p0 - 0.5 * p0, 1e-12)


@pytest.mark.parametrize(("kappa", "rate"), [(0, -0.0495050), (2, -0.0693069), (10, -0.1485149)])
def test_the_price_of_restoring(kappa, rate):
    one = torch.ones(1, 1, dtype=F64)
    found = float(linear.noisy_generator(-0.05 * one, one, 0.1, kappa))
    assert found == pytest.approx(rate, abs=5e-8)
    assert found == pytest.approx((-0.05 - kappa * 0.01) / 1.01, abs=1e-12)
    assert found == pytest.approx(-0.05 + linear.spurious_rate(1.0, -0.05, 0.1, kappa), abs=1e-12)


def test_corrected_targets_are_restoring_ones_of_a_whole_step():
    m, _, c, q = setting(False)
    close(linear.noisy(m, c, q, "restoring", kappa=1.0), linear.noisy(m, c, q, "corrected"))


# Training under noise, and without it afterwards


def test_noise_shrinks_the_start_off_the_data_by_its_variance():
    """(1 − η s²)^K by real gradient descent on every pair of a sample and a noise."""
    m, x, c, _ = setting(True)
    null = torch.linalg.eigh(c)[1][:, :1]
    s, rate, steps = 0.3, 0.5, 100
    clean, xi = paired(x, exact(s**2 * torch.eye(4, dtype=F64)))
    layer = nn.Linear(4, 4, bias=False, dtype=F64)
    first = normal(4, 4, seed=7)
    with torch.no_grad():
        layer.weight.copy_(first)
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        ((layer(clean + xi) - clean @ m.T).square().sum() / (2 * len(clean))).backward()
        optimizer.step()
    found = layer.weight.detach()
    close(found @ null, (1 - rate * s**2) ** steps * first @ null)
    c_noisy = c + s**2 * torch.eye(4, dtype=F64)
    close(found, linear.descended(first, linear.noisy(m, c, s, "corrected"), c_noisy, rate, steps))


def phases(energy, rate, noise, first, noisy_time, clean_time):
    """Two gradient flows of one number, one after the other."""
    one = torch.ones(1, 1, dtype=F64)
    biased = linear.noisy_generator(rate * one, energy * one, noise)
    between = linear.flowed(first * one, biased, (energy + noise**2) * one, noisy_time)
    return float(linear.flowed(between, rate * one, energy * one, clean_time))


ANNEALED = [
    (1.0, -0.5, 0.3, 0.8, 3.0, 2.0),
    (0.04, -0.05, 0.5, 1.3, 40.0, 25.0),
    (0.0, -0.05, 0.5, 1.3, 7.0, 25.0),
    (2.0, 1.0, 0.1, -0.4, 0.0, 0.0),
]


@pytest.mark.parametrize("case", ANNEALED[:3])
def test_annealing_in_two_phases(case):
    assert linear.annealed(*case) == pytest.approx(phases(*case), abs=1e-12)


@pytest.mark.parametrize("case", ANNEALED)
def test_annealing_in_two_phases_roughly(case):
    assert linear.annealed(*case) == pytest.approx(phases(*case), abs=1e-6)


def test_annealing_cannot_repair_what_is_not_learned_in_time():
    """λ = 0.04, s² = 0.25, T₂ = 25: 31.7 % of the bias is left."""
    found = linear.annealed(0.04, 1.0, 0.5, 0.0, 1e4, 25.0)
    assert 1 - found == pytest.approx(0.317, abs=5e-4)


# Certificates


def joint(n, seed):
    """Second moments S00, S11 and S10 of random pairs (x, y), now and then of low rank."""
    rng = torch.Generator().manual_seed(seed)
    count = int(torch.randint(max(1, n - 1), 3 * n + 1, (), generator=rng))
    pairs = torch.randn(count, 2 * n, generator=rng, dtype=F64)
    pairs = pairs @ torch.randn(2 * n, 2 * n, generator=rng, dtype=F64)
    x, y = pairs[:, :n], pairs[:, n:]
    return x.T @ x / count, y.T @ y / count, y.T @ x / count


def test_enough_noise_certifies_a_map():
    """Theorem 1: ρ ≤ 1 where s² ≥ λ_max(S₁₁ − S₀₀)."""
    for seed in range(200):
        s00, s11, s10 = joint(1 + seed % 6, seed)
        certain = linear.certifying_noise(s00, s11)
        assert certain >= 0
        truth = s10 @ torch.linalg.pinv(s00, hermitian=True)
        for share in (1.0, 1.3):
            noise = math.sqrt(share * certain)
            w = linear.noisy(truth, s00, noise, "corrected")
            assert float(torch.linalg.eigvals(w).abs().max()) <= 1 + 1e-10


def test_stationary_data_are_certified_by_any_noise():
    for seed in range(100):
        n = 2 + seed % 5
        s00 = joint(n, seed)[0] + 0.01 * torch.eye(n, dtype=F64)
        root = torch.linalg.cholesky(s00)
        turned = torch.linalg.qr(normal(n, n, seed=seed))[0]
        truth = root @ turned @ torch.linalg.inv(root)  # keeps s00
        after = truth @ s00 @ truth.T
        # rounding of a difference of equal matrices asks for noise of the same size
        assert linear.certifying_noise(s00, after) < 1e-10 * float(s00.norm())
        for noise in (0.0, 1e-3, 1.0, 30.0):
            w = linear.noisy(truth, s00, noise, "corrected")
            assert float(torch.linalg.eigvals(w).abs().max()) <= 1 + 1e-10


def test_enough_restoring_noise_certifies_a_flow():
    """Theorem 2: Hurwitz where κ s² ≥ λ_max(D) / 2, D = d/dt E xxᵀ."""
    for seed in range(200):
        n, noise = 1 + seed % 6, 0.5
        s00 = joint(n, seed)[0] + 0.01 * torch.eye(n, dtype=F64)
        a = normal(n, n, seed=seed + 1000)
        growth = a @ s00 + s00 @ a.T
        kappa = max(0.0, float(torch.linalg.eigvalsh(growth)[-1]) / 2) / noise**2
        for share in (1.0, 1.5):
            w = linear.noisy_generator(a, s00, noise, share * kappa)
            assert float(torch.linalg.eigvals(w).real.max()) <= 1e-10


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_noise_without_restoring_never_damps_a_stationary_flow(n, noise):
    s00 = samples([1.0 / (k + 1) for k in range(n)])[0]
    s00 = s00.T @ s00 / len(s00)
    skew = normal(n, n, seed=n)
    a = (skew - skew.T) @ torch.linalg.inv(s00)  # d/dt E xxᵀ = 0
    w = linear.noisy_generator(a, s00, noise)
    assert float(torch.linalg.eigvals(w).real.abs().max()) < 1e-12


FLOW, MAP = [[1.0, -2.0], [3.0, -2.0]], [[1.2, -0.8], [1.0, -0.6]]


def test_noise_destabilises_a_stable_flow():
    a = torch.tensor(FLOW, dtype=F64)
    c = torch.diag(torch.tensor([1e8, 1.0], dtype=F64))
    assert float(torch.linalg.eigvals(a).real.max()) == pytest.approx(-0.5, abs=1e-12)
    for s2 in (0.5, 2.0, 9.0):
        w = linear.noisy_generator(a, c, math.sqrt(s2))
        assert float(w.trace()) == pytest.approx(1 - 2 / (1 + s2), abs=1e-5)
    values = torch.linalg.eigvals(linear.noisy_generator(a, c, math.sqrt(2.0)))
    assert float(values.real.max()) == pytest.approx(1 / 6, abs=1e-5)
    assert float(values.imag.max()) == pytest.approx(1.1426, abs=1e-4)
    for s2, unstable in ((1 - 1e-4, False), (1 + 1e-4, True)):
        w = linear.noisy_generator(a, c, math.sqrt(s2))
        assert (float(torch.linalg.eigvals(w).real.max()) > 0) is unstable


@pytest.mark.parametrize(("s2", "radius"), [(0.0, 0.4), (3.0, 1.0306), (9.0, 1.133)])
def test_noise_destabilises_a_stable_map(s2, radius):
    c = torch.diag(torch.tensor([1e6, 1.0], dtype=F64))
    m = torch.tensor(MAP, dtype=F64)
    w = linear.noisy(m, c, math.sqrt(s2), "corrected")
    assert float(torch.linalg.eigvals(w).abs().max()) == pytest.approx(radius, abs=5e-4)
    after = m @ c @ m.T
    certain = math.sqrt(linear.certifying_noise(c, after))
    assert certain > 9
    w = linear.noisy(m, c, certain, "corrected")
    assert float(torch.linalg.eigvals(w).abs().max()) <= 1 + 1e-10


def test_noise_on_a_quadratic_energy_weakens_its_entries_pairwise():
    """S_ij (λ_i + λ_j) / (λ_i + λ_j + 2 s²), by least squares over symmetric matrices."""
    energies, s = [1.0, 0.3, 0.02, 0.0], 0.2
    x, u = samples(energies)
    stiff = normal(4, 4, seed=3)
    stiff = stiff + stiff.T
    clean, xi = paired(x, exact(s**2 * torch.eye(4, dtype=F64)))
    form = torch.zeros(4, 4, dtype=F64)
    form[:2, 2:], form[2:, :2] = torch.eye(2), -torch.eye(2)
    basis = []
    for i in range(4):
        for j in range(i, 4):
            one = torch.zeros(4, 4, dtype=F64)
            one[i, j] = one[j, i] = 1.0
            basis.append(one)
    design = torch.stack([((clean + xi) @ (form @ one).T).ravel() for one in basis], 1)
    wanted = (clean @ (form @ stiff).T).ravel()
    weights = torch.linalg.lstsq(design, wanted[:, None]).solution[:, 0]
    found = u.T @ sum(w * one for w, one in zip(weights, basis, strict=True)) @ u
    lam = torch.tensor(energies, dtype=F64)
    pair = lam[:, None] + lam
    close(found, (u.T @ stiff @ u) * pair / (pair + 2 * s**2), 1e-12)
