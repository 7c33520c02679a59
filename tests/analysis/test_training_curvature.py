"""Sharpness by Lanczos, against dense Hessians."""

import math

import pytest
import torch

from simlearn.analysis import training
from simlearn.analysis.training import Adam, Descent, RMSprop, edge, hessian_products, lanczos
from simlearn.component import ConfigError

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def network(n_in=2, width=8, count=20):
    """Mean squared error of a tanh network as a function of all its weights, and some weights."""
    x = normal(count, n_in, seed=1)
    y = torch.sin(2 * x[:, :1]) * x[:, -1:]
    sizes = [n_in * width, width, width, 1]

    def loss(w):
        a, b, c, d = w.split(sizes)
        return ((torch.tanh(x @ a.view(n_in, width) + b) @ c.view(width, 1) + d - y) ** 2).mean()

    return loss, 0.7 * normal(sum(sizes), seed=2)


def energies(values, count=40):
    """Samples whose second moment is diag(values) in another basis."""
    values = torch.tensor(values, dtype=F64)
    white = torch.linalg.qr(normal(count, len(values), seed=3))[0] * math.sqrt(count)
    return white * values.sqrt() @ torch.linalg.qr(normal(len(values), len(values), seed=4))[0].T


def linear(values):
    """|W x − y|² / 2 on average: its Hessian is I ⊗ C."""
    x = energies(values)
    n = len(values)
    y = normal(len(x), n, seed=5)
    return lambda w: (x @ w.view(n, n).T - y).square().sum() / (2 * len(x)), x.T @ x / len(x)


def test_the_sharpness_of_a_linear_layer_is_the_largest_energy():
    loss, _ = linear([2.0, 1.1, 0.6, 0.2, 0.05])
    _, product = hessian_products(loss, normal(25))
    found = lanczos(product, normal(25, seed=7), tolerance=1e-12, least=1)
    assert found.value == pytest.approx(2.0, abs=1e-9)
    assert found.products <= 6  # five distinct eigenvalues
    assert found.residual < 1e-9


@pytest.mark.parametrize("width", [4, 16])
def test_the_sharpness_of_a_network_is_that_of_its_dense_hessian(width):
    loss, w = network(width=width)
    values, vectors = torch.linalg.eigh(torch.func.hessian(loss)(w))
    slope, product = hessian_products(loss, w)
    torch.testing.assert_close(slope, torch.func.grad(loss)(w), rtol=1e-12, atol=1e-14)
    found = lanczos(product, normal(len(w), seed=8), most=len(w), tolerance=1e-11)
    assert found.value == pytest.approx(float(values[-1]), abs=1e-9)
    assert abs(float(found.vector @ vectors[:, -1])) == pytest.approx(1.0, abs=1e-9)
    loose = lanczos(product, normal(len(w), seed=8))
    assert loose.products <= 20
    assert abs(loose.value - float(values[-1])) <= loose.residual <= 1e-2 * loose.value


def test_a_start_on_another_eigenvector_does_not_hide_the_largest():
    loss, w = network()
    values, vectors = torch.linalg.eigh(torch.func.hessian(loss)(w))
    found = edge(loss, w[None], Descent(0.1), start=vectors[:, -2], most=60, tolerance=1e-6)
    assert found.sharpness == pytest.approx(float(values[-1]), rel=1e-6)


def test_a_warm_start_is_cheaper():
    loss, w = network(width=16)
    cold = edge(loss, w[None], Descent(0.1), tolerance=1e-6)
    moved = w + 1e-3 * normal(len(w), seed=9)
    warm = edge(loss, moved[None], Descent(0.1), tolerance=1e-6, start=cold.vector)
    assert warm.products < cold.products


def state_of(rule, w, spread=1.0):
    """A state with a second moment that differs by decades from weight to weight."""
    state = torch.zeros(rule.parts, len(w), dtype=F64)
    state[0] = w
    if rule.parts == 3:
        state[2] = (10 ** normal(len(w), seed=10)).square() * 1e-2 * spread
    return state


@pytest.mark.parametrize(
    "rule",
    [
        Descent(0.2),
        Descent(0.2, 0.9, decay=0.3),
        Adam(0.01),
        Adam(0.01, (0.8, 0.99), decay=0.1),
        RMSprop(0.01, momentum=0.3),
    ],
)
def test_the_edge_of_an_optimizer_is_that_of_the_preconditioned_hessian(rule):
    loss, w = network()
    state, number = state_of(rule, w), 50
    found = edge(loss, state, rule, number, most=80, tolerance=1e-10)
    dense = torch.func.hessian(loss)(w) + rule.decay * torch.eye(len(w), dtype=F64)
    root = rule.rates(state, number).sqrt()
    largest = float(torch.linalg.eigvalsh(root[:, None] * dense * root)[-1])
    assert found.sharpness * rule.rate == pytest.approx(largest, abs=1e-9 * largest + 1e-9)
    assert found.share == pytest.approx(largest / rule.limit, rel=1e-8)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_beyond_the_edge_a_step_leaves_a_quadratic_and_below_it_returns(momentum):
    loss, moment = linear([2.0, 1.0, 0.5, 0.3, 0.1])
    best = torch.linalg.lstsq(
        torch.func.hessian(loss)(normal(25)), -torch.func.grad(loss)(torch.zeros(25, dtype=F64))
    ).solution
    for share in (0.98, 1.02):
        rule = Descent(share * 2 * (1 + momentum) / 2.0, momentum)
        assert edge(loss, best[None], rule).share == pytest.approx(share, rel=1e-6)
        state = torch.zeros(rule.parts, 25, dtype=F64)
        state[0] = best + 1e-3 * normal(25, seed=11)
        for number in range(600):
            state = rule.step(state, torch.func.grad(loss)(state[0]), number)
        assert (float((state[0] - best).norm()) > 5e-3) == (share > 1)
    assert float(torch.linalg.eigvalsh(moment)[-1]) == pytest.approx(2.0)


def test_torch_averages_over_outputs_so_that_the_edge_moves():
    x = energies([1.0, 0.3])
    layer_loss = lambda w: torch.nn.functional.mse_loss(x @ w.view(4, 2).T, normal(len(x), 4))  # noqa: E731
    found = edge(layer_loss, normal(1, 8), Descent(0.1), tolerance=1e-12)
    assert found.sharpness == pytest.approx(2 * 1.0 / 4, abs=1e-9)


def test_a_loss_that_does_not_bend_has_no_sharpness():
    assert edge(lambda w: w.sum(), normal(1, 5), Descent(0.1)).sharpness == 0.0
    assert edge(lambda w: (0 * w).sum(), normal(1, 5), Descent(0.1)).sharpness == 0.0


def test_a_loss_that_only_bends_down_has_a_negative_one():
    found = edge(lambda w: -(w * w).sum(), normal(1, 5), Descent(0.1))
    assert found.sharpness == pytest.approx(-2.0)


def test_a_loss_that_overflows_has_no_sharpness():
    found = edge(lambda w: (w**400).sum(), 100 * normal(1, 5).abs(), Descent(0.1))
    assert math.isnan(found.sharpness)


def test_without_a_step_there_is_no_edge():
    loss, w = network()
    for rule, number in ((Descent(0.0), 1), (Adam(0.1), 0)):
        with pytest.raises(ConfigError, match="no edge of stability"):
            edge(loss, state_of(rule, w), rule, number)


@pytest.mark.parametrize(
    ("start", "most"),
    [(torch.zeros(3, dtype=F64), 5), (torch.full((3,), torch.nan), 5), (normal(3), 0)],
)
def test_lanczos_refuses_what_it_cannot_start_from(start, most):
    with pytest.raises(ConfigError, match="finite start"):
        lanczos(lambda v: v, start, most)


def test_everything_is_at_the_door():
    assert all(hasattr(training, name) for name in training.__all__)
