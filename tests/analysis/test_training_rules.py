"""Optimizers as maps: they step as torch does, and lose stability where theory says."""

import dataclasses
import math

import pytest
import torch

from simlearn.analysis.training import Adam, Descent, RMSprop

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


PAIRS = [
    (Descent(0.1), lambda w: torch.optim.SGD(w, lr=0.1)),
    (Descent(0.1, decay=0.03), lambda w: torch.optim.SGD(w, lr=0.1, weight_decay=0.03)),
    (Descent(0.1, 0.9), lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9)),
    (
        Descent(0.1, 0.9, dampening=0.4),
        lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, dampening=0.4),
    ),
    (
        Descent(0.1, 0.9, nesterov=True, decay=0.01),
        lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    (Adam(0.01), lambda w: torch.optim.Adam(w, lr=0.01)),
    (
        Adam(0.01, (0.8, 0.95), 1e-6, decay=0.1),
        lambda w: torch.optim.Adam(w, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    ),
    (Adam(0.01, shrink=0.2), lambda w: torch.optim.AdamW(w, lr=0.01, weight_decay=0.2)),
    (RMSprop(0.01), lambda w: torch.optim.RMSprop(w, lr=0.01)),
    (
        RMSprop(0.01, 0.9, 1e-6, 0.5, 0.1),
        lambda w: torch.optim.RMSprop(
            w, lr=0.01, alpha=0.9, eps=1e-6, momentum=0.5, weight_decay=0.1
        ),
    ),
]


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(("rule", "make"), PAIRS)
def test_a_rule_steps_as_torch_does(rule, make, clip):
    rule = dataclasses.replace(rule, clip=clip)
    root = normal(6, 6, seed=1)
    weights = torch.nn.Parameter(normal(6))
    state = torch.zeros(rule.parts, 6, dtype=F64)
    state[0] = weights.detach()
    optimizer = make([weights])
    for number in range(30):
        optimizer.zero_grad()
        (root @ weights).square().sum().backward()
        slope = 2 * root.T @ root @ state[0]
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([weights], clip)
        optimizer.step()
        state = rule.step(state, slope, number)
        torch.testing.assert_close(state[0], weights.detach(), rtol=1e-10, atol=1e-12)


def test_each_weight_may_have_a_rate_of_its_own():
    a, b = torch.nn.Parameter(normal(2)), torch.nn.Parameter(normal(3))
    optimizer = torch.optim.SGD([{"params": [a], "lr": 0.3}, {"params": [b], "lr": 0.1}])
    state = torch.cat([a, b]).detach()[None]
    (a.square().sum() + b.square().sum()).backward()
    optimizer.step()
    rates = torch.tensor([0.3, 0.3, 0.1, 0.1, 0.1], dtype=F64)
    found = Descent(rates).step(state, 2 * state[0], 0)
    torch.testing.assert_close(found[0], torch.cat([a, b]).detach())


RULES = [
    (Descent(0.7), 2.0),
    (Descent(0.7, 0.9), 3.8),
    (Descent(0.7, 0.9, dampening=0.9), 38.0),
    (Descent(0.7, 0.9, nesterov=True), 3.8 / 2.8),
    (Adam(0.7), 38.0),
    (Adam(0.7, (0.5, 0.999)), 6.0),
    (Adam(0.7, shrink=0.1), 1.9 / 0.1 * 1.93),
    (RMSprop(0.7), 2.0),
    (RMSprop(0.7, momentum=0.5), 3.0),
]


@pytest.mark.parametrize(("rule", "limit"), RULES)
def test_a_quadratic_loses_stability_at_the_limit(rule, limit):
    assert rule.limit == pytest.approx(limit, rel=1e-12)
    edge = torch.tensor(rule.limit, dtype=F64)
    below, at, above = (float(rule.exponents(edge * f)[0]) for f in (1 - 1e-6, 1.0, 1 + 1e-6))
    assert below < 0 < above
    assert at == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("rule", "limit"), RULES[:4])
def test_the_companion_is_the_step_along_an_eigenvector(rule, limit):
    h = 0.4
    one = rule.companion(torch.tensor(rule.rate * h, dtype=F64))
    state = normal(rule.parts, 1)
    scaled = torch.cat([state[:1], rule.rate * state[1:]])  # memory in units of the weight
    ahead = rule.step(state, h * state[0], 1)
    wanted = one[: rule.parts, : rule.parts] @ scaled
    torch.testing.assert_close(torch.cat([ahead[:1], rule.rate * ahead[1:]]), wanted)


@pytest.mark.parametrize("beta", [0.3, 0.9, 0.99])
def test_the_exponents_of_a_heavy_ball_add_up_to_ln_beta(beta):
    rule = Descent(0.1, beta)
    values = torch.tensor([0.01, 0.5, 3.0, 3.9], dtype=F64)
    found = rule.exponents(values)
    wanted = torch.full((4,), math.log(beta), dtype=F64)
    torch.testing.assert_close(found.sum(-1), wanted, rtol=0, atol=1e-12)
    # roots of z² − (1 + β − η h) z + β
    b = (1 + beta - values).to(torch.complex128)
    root = (b + (b**2 - 4 * beta).sqrt()) / 2
    larger = torch.maximum(root.abs(), beta / root.abs()).log()
    torch.testing.assert_close(found[:, 0], larger, rtol=0, atol=1e-12)


def test_adam_leaves_its_edge_at_38():
    """A thousandth below the roots are complex, a thousandth above one has left the circle."""
    values = torch.tensor([38 * 0.999, 38.0, 38 * 1.001], dtype=F64)
    radius = Adam(0.1).exponents(values)[:, 0].exp()
    assert float(radius[0]) == pytest.approx(math.sqrt(0.9), abs=1e-9)
    assert float(radius[1]) == pytest.approx(1.0, abs=1e-9)
    assert float(radius[2]) == pytest.approx(1.0300, abs=1e-4)


def test_rates_of_a_weight_that_never_had_a_gradient_have_a_tangent():
    rule = Adam(0.1)
    state = torch.tensor([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]], dtype=F64)
    slope = torch.tensor([0.0, 1.0], dtype=F64)
    _, moved = torch.func.jvp(
        lambda s, g: rule.step(s, g, 0), (state, slope), (torch.ones_like(state), slope)
    )
    assert bool(moved.isfinite().all())
    assert float(rule.rates(state, 0).abs().max()) == 0
