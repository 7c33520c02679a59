"""Minima that fit the data exactly, under full and under stochastic gradients."""

import math

import pytest
import torch

from simlearn.analysis.flat import random_frame
from simlearn.analysis.training import (
    descent_exponent,
    normal_space,
    scalar_exponents,
    sgd_exponent,
)
from simlearn.component import ConfigError, DataError

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def test_stochastic_full_and_mean_square_exponents_of_one_direction_differ():
    found = scalar_exponents(torch.tensor([1.0, 3.0], dtype=F64), 0.9)
    assert found == pytest.approx((-0.8859784, 0.18578, -0.22314), abs=5e-6)
    assert found[0] == pytest.approx((math.log(0.1) + math.log(1.7)) / 2, abs=1e-12)
    many = sgd_exponent(
        lambda w, number: (1.0 if number % 2 else 3.0) * w.square().sum() / 2,
        torch.zeros(1, dtype=F64),
        0.9,
        torch.ones(1, 1, dtype=F64),
        100,
    )
    assert many[0] == pytest.approx(-0.8859784, abs=1e-7)


def test_weight_decay_is_added_to_the_curvature_of_each_batch():
    """h of 1 and 3, η of 0.9, decay of 0.2: (ln |1 − 1.08| + ln |1 − 2.88|) / 2."""
    found = sgd_exponent(
        lambda w, number: (1.0 if number % 2 else 3.0) * w.square().sum() / 2,
        torch.zeros(1, dtype=F64),
        0.9,
        torch.ones(1, 1, dtype=F64),
        100,
        decay=0.2,
    )
    assert found[0] == pytest.approx((math.log(0.08) + math.log(1.88)) / 2, abs=1e-12)
    curved = torch.tensor([1.0, 3.0], dtype=F64)
    assert descent_exponent(curved, 0.9, 0.2) == pytest.approx(math.log(1.88), abs=1e-12)


def interpolating(weights=8, samples=4, seed=0):
    """Fewer samples than weights: a linear space of minima, a batch of one sample a step."""
    x = normal(samples, weights, seed=seed)
    minimum = normal(weights, seed=seed + 1)
    rng = torch.Generator().manual_seed(seed)
    order = torch.randint(samples, (4000,), generator=rng).tolist()

    def loss(w, number):
        off = x @ (w - minimum)
        return off.square().mean() / 2 if number is None else off[order[number]].square() / 2

    return loss, x, minimum, order


def test_the_exponent_across_the_minima_is_that_of_the_product_of_batches():
    loss, x, minimum, order = interpolating()
    rate, steps = 0.08, 300
    normals, curved = normal_space(torch.func.hessian(lambda w: loss(w, None))(minimum))
    assert normals.shape == (8, 4)
    torch.testing.assert_close(curved, torch.linalg.eigvalsh(x @ x.T / 4), rtol=1e-10, atol=1e-12)
    found = sgd_exponent(loss, minimum, rate, normals, steps)
    vector, total = normals @ random_frame(1, 4, 1, 0)[0, :, 0], 0.0
    for number in range(steps):
        one = x[order[number]]
        vector = vector - rate * one * (one @ vector)
        total += math.log(vector.norm())
        vector = vector / vector.norm()
    assert found[0] == pytest.approx(total / steps, abs=1e-10)
    assert found[0] < 0
    assert 0 < found[1] < -found[0]
    assert descent_exponent(curved, rate) == pytest.approx(
        float((1 - rate * curved).abs().log().max()), abs=1e-12
    )


@pytest.mark.parametrize("rate", [0.05, 0.9])
def test_the_sign_of_the_exponent_decides_where_stochastic_descent_ends(rate):
    loss, _, minimum, _ = interpolating()
    normals, _ = normal_space(torch.func.hessian(lambda w: loss(w, None))(minimum))
    found = sgd_exponent(loss, minimum, rate, normals, 300)
    w = minimum + 1e-3 * (normals @ normal(4, seed=7))
    for number in range(300):
        w = w - rate * torch.func.grad(loss)(w, number)
    returns = float((normals.T @ (w - minimum)).norm()) < 1e-3
    assert returns == (found[0] < 0)


def test_a_loss_without_curvature_has_no_normal_space():
    with pytest.raises(DataError, match="bends in no direction"):
        normal_space(torch.zeros(3, 3, dtype=F64))
    with pytest.raises(ConfigError, match="across the minima"):
        sgd_exponent(
            lambda w, number: w.sum(), torch.zeros(3, dtype=F64), 0.1, torch.eye(2, dtype=F64), 5
        )
