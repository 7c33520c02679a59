"""Ridges by evidence against brute force: dense covariances and explicit refits."""

import math

import pytest
import torch

from simlearn.training.ladder import algebra
from simlearn.training.ladder.evidence import RIDGES, cross_validated, regress, without_each


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(count=40, free=0, held=12, noise=0.1, seed=0):
    """A, y and what the prior holds; held columns fall off in size."""
    columns = normal(count, free + held, seed=seed)
    columns[:, free:] *= 0.5 ** torch.arange(held)
    truth = normal(free + held, seed=seed + 1)
    target = columns @ truth + noise * normal(count, seed=seed + 2)
    penalised = (torch.arange(free + held) >= free).double()
    return columns, target, penalised


def rows(columns, target):
    return torch.cat([columns, target[:, None]], dim=1)


def dense(columns, target, penalised, ridge):
    """The formula of the docstring with N × N matrices; noise variance and value."""
    free, held = columns[:, penalised == 0], columns[:, penalised > 0]
    count, k = len(target), free.shape[1]
    rest = torch.linalg.qr(free, mode="complete").Q[:, k:] if k else torch.eye(count).double()
    a, y = rest.T @ held, rest.T @ target
    matrix = torch.eye(len(y)).double() + a @ a.T / ridge
    noise = y @ torch.linalg.solve(matrix, y) / (count - k)
    value = -0.5 * ((count - k) * noise.log() + torch.logdet(matrix) + k * math.log(count))
    return float(value), float(noise), matrix


def test_without_free_columns_it_is_the_normal_density_of_the_data():
    columns, target, penalised = problem()
    found = regress(rows(columns, target), penalised)
    _, noise, matrix = dense(columns, target, penalised, found.ridge)
    density = torch.distributions.MultivariateNormal(torch.zeros(40).double(), noise * matrix)
    constant = -20 * (math.log(2 * math.pi) + 1)
    assert float(density.log_prob(target)) == pytest.approx(found.evidence + constant, rel=1e-10)
    assert found.noise == pytest.approx(noise, rel=1e-9)


@pytest.mark.parametrize("free", [0, 3])
@pytest.mark.parametrize("count", [18, 40])
def test_the_ridge_is_the_best_of_the_grid_by_dense_matrices(free, count):
    columns, target, penalised = problem(count, free, noise=0.3)
    found = regress(rows(columns, target), penalised)
    held = columns[:, penalised > 0]
    if free:
        q = torch.linalg.qr(columns[:, :free]).Q
        held = held - q @ (q.T @ held)
    top = float(torch.linalg.svdvals(held)[0]) ** 2
    within = RIDGES[RIDGES > 1e-9].tolist()  # below it dense matrices are rounding
    values = [dense(columns, target, penalised, ridge * top)[0] for ridge in within]
    best = max(range(len(values)), key=values.__getitem__)
    assert found.decades == pytest.approx(math.log10(within[best]), abs=1e-9)
    assert found.evidence == pytest.approx(values[best], rel=1e-8)


@pytest.mark.parametrize("count", [8, 60])
def test_the_weights_solve_the_ridge_problem(count):
    """Also with fewer samples than features."""
    columns, target, penalised = problem(count, 3)
    found = regress(rows(columns, target), penalised, 1e-4)
    matrix = columns.T @ columns + found.ridge * penalised.diag()
    explicit = torch.linalg.solve(matrix, columns.T @ target)
    torch.testing.assert_close(found.weights, explicit, rtol=1e-6, atol=1e-8)
    assert found.free == 3


def test_the_noise_that_was_put_in_is_found():
    columns, target, penalised = problem(2000, 2, noise=0.1)
    assert regress(rows(columns, target), penalised).noise ** 0.5 == pytest.approx(0.1, rel=0.05)


WITHIN = RIDGES[RIDGES > 1e-9]


def restricted(columns, target, penalised):
    """Largest of the likelihood with the free columns integrated out under a flat prior."""
    k = int((penalised == 0).sum())
    rest = torch.linalg.qr(columns[:, :k], mode="complete").Q[:, k:]
    a, y = rest.T @ columns[:, k:], rest.T @ target
    s = torch.linalg.svdvals(a)
    found = []
    for ridge in (WITHIN * s[0] ** 2).tolist():
        matrix = torch.eye(len(y)).double() + a @ a.T / ridge
        noise = y @ torch.linalg.solve(matrix, y) / len(y)
        found.append(float(-0.5 * (len(y) * noise.log() + torch.logdet(matrix))))
    return math.log10(float(WITHIN[max(range(len(found)), key=found.__getitem__)]))


def test_free_columns_move_the_ridge_little_while_samples_are_many():
    """N − k numbers are left (Patterson and Thompson 1971)."""
    columns, target, penalised = problem(200, 5, noise=0.3)
    best = restricted(columns, target, penalised)
    found = regress(rows(columns, target), penalised)
    assert abs(found.decades - best) <= 1 / 3 + 1e-9


def test_with_more_features_than_samples_free_columns_do_not_ask_for_no_ridge():
    columns, target, penalised = problem(40, 4, 40, noise=1.0)
    columns[:, 4:] = normal(40, 40, seed=9)
    best = restricted(columns, target, penalised)
    assert best > -3
    found = regress(rows(columns, target), penalised)
    assert abs(found.decades - best) <= 1


@pytest.mark.parametrize("case", ["repeated", "zero", "constant", "more columns"])
def test_singular_designs_give_finite_weights_that_fit(case):
    columns, target, penalised = problem(30, 2, noise=0.01)
    if case == "repeated":
        columns = torch.cat([columns, columns[:, 3:6]], dim=1)
        penalised = torch.cat([penalised, penalised[3:6]])
    elif case == "zero":
        columns[:, 1] = columns[:, 5] = 0.0
        target = columns @ normal(14, seed=1) + 0.01 * normal(30, seed=2)
    elif case == "constant":
        columns[:, 0] = 1.0
        target = columns @ normal(14, seed=1) + 0.01 * normal(30, seed=2)
    else:
        columns, target, penalised = columns[:6], target[:6], penalised
    found = regress(rows(columns, target), penalised)
    assert bool(found.weights.isfinite().all())
    assert float((columns @ found.weights - target).square().mean().sqrt()) < 0.05
    assert float(found.weights.abs().max()) < 30
    seen = found.basis.T @ found.basis
    torch.testing.assert_close(seen, torch.eye(len(seen)).double(), rtol=0, atol=1e-10)


def test_repeated_free_columns_give_finite_weights():
    columns, target, penalised = problem(30, 2, noise=0.01)
    columns[:, 1] = 2 * columns[:, 0]
    target = columns @ normal(14, seed=1) + 0.01 * normal(30, seed=2)
    found = regress(rows(columns, target), penalised)
    assert float(found.weights.abs().max()) < 100
    assert float((columns @ found.weights - target).square().mean().sqrt()) < 0.05


def test_targets_of_zero():
    columns, _, penalised = problem(30, 2)
    found = regress(rows(columns, torch.zeros(30).double()), penalised)
    assert float(found.weights.abs().max()) == 0.0
    assert math.isfinite(found.evidence)
    assert math.isfinite(found.noise)


def test_a_smallest_ridge_is_kept():
    columns, target, penalised = problem(200, noise=1e-9)
    free, held = (regress(rows(columns, target), penalised, least) for least in (0.0, 1e-3))
    assert free.decades < -6
    assert held.decades >= -3 - 1e-9


def test_the_wide_path_agrees_with_the_triangle(monkeypatch):
    columns, target, penalised = problem(300, 3, 30, noise=0.05)
    both = []
    for wide in (10, 1000):
        monkeypatch.setattr(algebra, "WIDE", wide)
        both.append(regress(rows(columns, target), penalised))
    wide, tall = both
    assert wide.decades == pytest.approx(tall.decades, abs=1e-6)
    torch.testing.assert_close(wide.weights, tall.weights, rtol=1e-5, atol=1e-7)
    assert wide.evidence == pytest.approx(tall.evidence, rel=1e-8)


def refits(folds, penalised, ridge):
    """Each fold left out, by normal equations from scratch."""
    found = []
    for k in range(len(folds)):
        rest = torch.cat([one for j, one in enumerate(folds) if j != k])
        a, y = rest[:, :-1], rest[:, -1]
        found.append(torch.linalg.solve(a.T @ a + ridge * penalised.diag(), a.T @ y))
    return found


def test_folds_left_out_are_explicit_refits():
    columns, target, penalised = problem(100, 2, noise=0.2)
    whole = rows(columns, target)
    solved, folds = regress(whole, penalised), list(whole.chunk(5))
    for found, explicit in zip(
        without_each(folds, solved), refits(folds, penalised, solved.ridge), strict=True
    ):
        torch.testing.assert_close(found, explicit, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wide", [10, 1000])
def test_cross_validation_takes_the_ridge_that_explicit_refits_take(wide, monkeypatch):
    monkeypatch.setattr(algebra, "WIDE", wide)
    columns, target, penalised = problem(60, 1, 20, noise=0.3)
    whole = rows(columns, target)
    folds = list(whole.chunk(5))
    found, error = cross_validated(folds, penalised)
    tried = []
    for decade in RIDGES.log10().tolist():
        if decade < -12:
            continue
        ridge = found.ridge / 10**found.decades * 10**decade
        each = refits(folds, penalised, ridge)
        pairs = zip(folds, each, strict=True)
        tried.append(sum(float((f[:, -1] - f[:, :-1] @ w).square().sum()) for f, w in pairs))
    assert error == pytest.approx((min(tried) / float(target.square().sum())) ** 0.5, rel=1e-6)
