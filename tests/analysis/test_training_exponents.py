"""Exponents of training maps against closed forms; twins against tangents."""

import math

import pytest
import torch

from simlearn.analysis import growth
from simlearn.analysis.covariant import covariant
from simlearn.analysis.jacobian import push
from simlearn.analysis.training import (
    Adam,
    Descent,
    RMSprop,
    Twin,
    directions,
    pushed,
    training_map,
    twin_exponents,
)
from simlearn.component import ConfigError

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def network(width=6, count=20):
    """Mean squared error of a tanh network on a batch that changes from step to step."""
    x = normal(count, 2, seed=1)
    y = torch.sin(2 * x[:, :1]) * x[:, -1:]
    sizes = [2 * width, width, width, 1]

    def loss(w, number):
        a, b, c, d = w.split(sizes)
        at, to = (x, y) if number is None else (x.roll(number, 0)[:8], y.roll(number, 0)[:8])
        return ((torch.tanh(at @ a.view(2, width) + b) @ c.view(width, 1) + d - to) ** 2).mean()

    return loss, 0.7 * normal(sum(sizes), seed=2)


def quadratic(values, outputs):
    """|W X − Y|² / 2N with a second moment of these eigenvalues: H = I ⊗ C."""
    n = len(values)
    u = torch.linalg.qr(normal(n, n, seed=3))[0].contiguous()
    c = u * torch.tensor(values, dtype=F64) @ u.T
    target = normal(outputs, n, seed=4)

    def loss(w, number):
        off = w.view(outputs, n) - target
        return ((off @ c) * off).sum() / 2

    return loss, c, u


VALUES, RATE = [1.0, 0.7, 0.3, 0.1], 0.9


def wanted_of(values, rate, outputs):
    each = torch.tensor([math.log(abs(1 - rate * v)) for v in values], dtype=F64)
    return each.repeat_interleave(outputs).sort(descending=True).values


def test_exponents_of_descent_on_a_quadratic_from_eigenvectors():
    outputs = 3
    loss, c, u = quadratic(VALUES, outputs)
    dense = torch.func.hessian(lambda w: loss(w, 0))(normal(12))
    torch.testing.assert_close(dense, torch.kron(torch.eye(3, dtype=F64), c), rtol=0, atol=1e-14)
    # the slowest first, or rounding turns the frame
    frame = torch.kron(torch.eye(3, dtype=F64), u)[
        :, [k + 4 * o for k in (3, 2, 1, 0) for o in range(3)]
    ]
    state, total = normal(1, 12), torch.zeros(12, dtype=F64)
    for number in range(400):
        state, image = pushed(Descent(RATE), lambda w: loss(w, 0), state, frame, number)
        frame, r = torch.linalg.qr(image)
        total += r.diagonal().abs().log()
    found = (total / 400).sort(descending=True).values
    torch.testing.assert_close(found, wanted_of(VALUES, RATE, 3), rtol=0, atol=1e-12)


def test_exponents_of_descent_on_a_quadratic_from_a_random_frame():
    """At first wrong by O(1/K); exact once the frame has turned to the eigenvectors."""
    loss, _, _ = quadratic(VALUES, 2)
    motion, wanted = training_map(Descent(RATE), loss), wanted_of(VALUES, RATE, 2)
    rough = growth.spectrum(motion, normal(1, 8), 400).exponents
    assert 1e-5 < float((rough - wanted).abs().max()) < 5 / 400
    fine = growth.spectrum(motion, normal(1, 8), 100, transient=300).exponents
    torch.testing.assert_close(fine, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("h", [0.05, 1.0, 3.7])
def test_exponents_of_a_heavy_ball(h):
    rule = Descent(1.0, 0.9)
    motion = training_map(rule, lambda w, number: h * w.square().sum() / 2)
    found = growth.spectrum(motion, normal(1, 2), 400, transient=50)
    assert found.sum == pytest.approx(math.log(0.9), abs=1e-12)
    wanted = rule.exponents(torch.tensor(h, dtype=F64))
    torch.testing.assert_close(found.exponents, wanted, rtol=0, atol=1e-2)


def cubic(rate, steps, starts=1):
    """w³/3 − w²/2: descent is the logistic map of r = 1 + η in w η / (1 + η)."""
    motion = training_map(Descent(rate), lambda w, number: (w**3 / 3 - w**2 / 2).sum())
    x = torch.linspace(0.1, 1.2, starts, dtype=F64)[:, None]
    return float(growth.spectrum(motion, x, steps, transient=400).exponents[0])


@pytest.mark.parametrize("rate", [0.5, 1.5, 1.9])
def test_descent_on_a_cubic_rests_below_two_over_the_sharpness(rate):
    assert cubic(rate, 50) == pytest.approx(math.log(abs(1 - rate)), abs=1e-9)


def test_descent_on_a_cubic_beyond_the_edge_goes_to_and_fro_and_then_is_chaotic():
    assert cubic(2.3, 50) == pytest.approx(0.5 * math.log(0.29), abs=1e-9)
    assert cubic(3.0, 300, starts=300) == pytest.approx(math.log(2), abs=5e-3)
    assert math.log(1.9 - 1) == pytest.approx(-0.105361, abs=1e-6)
    assert 0.5 * math.log(0.29) == pytest.approx(-0.6189372, abs=1e-7)


RULES = [Descent(0.3), Descent(0.1, 0.9, nesterov=True), Adam(0.01), RMSprop(0.003)]


@pytest.mark.parametrize("rule", RULES)
def test_tangents_by_the_hessian_are_those_of_forward_mode(rule):
    loss, w = network()
    state = torch.zeros(rule.parts, len(w), dtype=F64)
    state[0] = w
    motion = training_map(rule, loss)
    frame = normal(state.numel(), 3, seed=5)
    for number in range(4):
        x, wanted = push(
            lambda s, n=number: motion(s, float(n)), state.flatten()[None], frame[None]
        )
        state, frame = pushed(rule, lambda w, n=number: loss(w, n), state, frame, number)
        torch.testing.assert_close(state.flatten(), x[0], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(frame, wanted[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rule", RULES)
def test_twins_and_tangents_grow_alike(rule):
    """Same batches, same memory of the optimizer: ln d / K of both, to 1e-6."""
    loss, w = network()
    steps = 300
    state = torch.zeros(rule.parts, len(w), dtype=F64)
    state[0] = w
    found = twin_exponents(
        training_map(rule, loss), state.flatten(), steps, rule.parts, size=1e-8, count=2, seed=6
    )
    tangents = torch.zeros(state.numel(), 2, dtype=F64)
    tangents[: len(w)] = directions(len(w), 2, 6).T
    for number in range(steps):
        state, tangents = pushed(rule, lambda w, n=number: loss(w, n), state, tangents, number)
    wanted = tangents[: len(w)].norm(dim=0).log() / steps
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert float(found.abs().min()) > 1e-4


def test_a_twin_that_is_drawn_back_seldom_says_the_same():
    loss, w = network()
    motion = training_map(Descent(0.3), loss)
    often, seldom = (
        twin_exponents(motion, w, 300, size=1e-8, every=every, count=3) for every in (1, 20)
    )
    torch.testing.assert_close(often, seldom, rtol=0, atol=1e-6)


def test_a_twin_of_another_start_is_refused():
    with pytest.raises(ConfigError, match="not zero"):
        Twin(normal(1, 3), torch.zeros(3, dtype=F64))
    with pytest.raises(ConfigError, match="between 0"):
        Twin(normal(1, 3), torch.ones(3, dtype=F64), size=0.0)
    with pytest.raises(ConfigError, match="steps >= every"):
        twin_exponents(lambda x, t: x, normal(3), 3, every=5)


def test_a_twin_that_meets_the_training_begins_anew():
    """η h = 1: one step, and where it began is forgotten."""
    motion = training_map(Descent(1.0), lambda w, number: w.square().sum() / 2)
    found = twin_exponents(motion, normal(3), 20)
    assert float(found[0]) == pytest.approx(math.log(1e-9), abs=1e-9)


def test_a_twin_of_a_training_that_is_lost_has_no_exponent():
    motion = training_map(Descent(50.0), lambda w, number: (w**4).sum())
    assert math.isnan(float(twin_exponents(motion, normal(3), 20)[0]))


def test_a_twin_on_a_flat_loss_neither_leaves_nor_returns():
    motion = training_map(Descent(0.3), lambda w, number: (0 * w).sum())
    found = twin_exponents(motion, normal(4), 50, count=3)
    torch.testing.assert_close(found, torch.zeros(3, dtype=F64), rtol=0, atol=1e-8)


# Covariant vectors


def test_the_covariant_vectors_of_descent_on_a_quadratic_are_eigenvectors():
    loss, _, u = quadratic(VALUES, 1)
    found = covariant(training_map(Descent(RATE), loss), normal(1, 4), 10, transient=300, tail=300)
    order = torch.tensor([abs(1 - RATE * v) for v in VALUES]).argsort(descending=True)
    along = (found.vectors[0, 0].T @ u[:, order]).abs()
    torch.testing.assert_close(along, torch.eye(4, dtype=F64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("rule", [Descent(0.3), Descent(0.1, 0.5)])
def test_a_training_carries_covariant_vectors_to_covariant_vectors(rule):
    loss, w = network(width=3)
    state = torch.zeros(rule.parts, len(w), dtype=F64)
    state[0] = w
    motion = training_map(rule, loss)
    found = covariant(motion, state.flatten()[None], 20, 4, transient=50, tail=50)
    for k in (0, 7, 19):
        number = float(50 + k)
        _, image = push(lambda s, t=number: motion(s, t), found.orbit[k], found.vectors[k])
        image = image / image.norm(dim=-2, keepdim=True)
        along = (image * found.vectors[k + 1]).sum(-2).abs()
        torch.testing.assert_close(along, torch.ones_like(along), rtol=0, atol=1e-10)
