"""Blocks of the Jacobian, verdicts, leaks and escapes, clamped rollouts, symmetries."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlearn.analysis import directions
from simlearn.analysis.growth import spectrum

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def frame(n, r, seed=0):
    q = torch.linalg.qr(normal(n, n, seed=seed))[0]
    return q[:, :r], q[:, r:]


def linear(a):
    return lambda x, t=0.0: x @ a.T


def values(*numbers):
    return torch.tensor(numbers, dtype=F64)


def test_blocks_of_a_linear_step():
    a, (s, n) = normal(5, 5, seed=1), frame(5, 3)
    found = directions.blocks(linear(a), normal(4, 5), s, n)
    for block, left, right in (
        (found.inside, s, s),
        (found.response, s, n),
        (found.leak, n, s),
        (found.outside, n, n),
    ):
        torch.testing.assert_close(block, (left.T @ a @ right).expand_as(block))
    outside = n.T @ a @ n
    size = torch.linalg.eigvals(outside)
    torch.testing.assert_close(found.radius, size.abs().amax().expand(4))
    torch.testing.assert_close(found.abscissa, size.real.amax().expand(4))
    torch.testing.assert_close(found.norm, torch.linalg.matrix_norm(outside, 2).expand(4))
    symmetric = torch.linalg.eigvalsh((outside + outside.T) / 2)[-1]
    torch.testing.assert_close(found.log_norm, symmetric.expand(4))


def test_blocks_see_the_time():
    s, n = frame(3, 2)
    found = directions.blocks(lambda x, t: (1 + t) * x, normal(2, 3), s, n, t=1.5)
    torch.testing.assert_close(found.outside, torch.full((2, 1, 1), 2.5, dtype=F64))


@pytest.mark.parametrize(
    ("exponent", "error", "said"),
    [
        (0.5, 0.1, "unstable"),
        (0.1, 0.1, "neutral"),
        (-0.1, 0.1, "neutral"),
        (-0.5, 0.1, "ok"),
        (0.0, 0.0, "neutral"),
        (math.nan, 0.1, "unstable"),
    ],
)
def test_the_verdict_on_one_exponent(exponent, error, said):
    assert directions.verdict(values(exponent), values(error)) == said


def test_the_verdict_is_on_the_largest():
    assert directions.verdict(values(-0.5, -3.0), values(0.1, 0.1)) == "ok"
    assert directions.verdict(values(0.5, -3.0), values(0.1, 0.1)) == "unstable"
    assert directions.verdict(values(0.0, -3.0), values(0.1, 0.1)) == "neutral"
    assert directions.verdict(values(-0.5, math.nan), values(0.1, 0.1)) == "unstable"


@pytest.mark.parametrize(
    ("errors", "exponents", "said"),
    [((0.1, 0.01), (0.1, 0.05), "unstable"), ((0.01, 0.2), (-0.1, -0.15), "neutral")],
)
def test_the_verdict_asks_every_exponent(errors, exponents, said):
    """A smaller exponent that is known better may be unstable where the largest is vague."""
    assert directions.verdict(values(*exponents), values(*errors)) == said


def test_errors_of_many_orbits_cover_differences_between_them():
    rate = torch.linspace(1.0, 4.0, 40, dtype=F64)[:, None]  # steady along each orbit
    found = spectrum(lambda x, t: rate * x, torch.full((40, 1), 1e-30, dtype=F64), 40)
    each = rate[:, 0].log()
    torch.testing.assert_close(found.each[:, 0], each)
    assert float(found.errors[0]) == pytest.approx(float(each.std()) / math.sqrt(40), rel=1e-9)


def test_a_verdict_is_no_finer_than_its_resolution():
    exponent, error = values(-0.5), values(0.01)
    assert directions.verdict(exponent, error) == "ok"
    assert directions.verdict(exponent, error, resolution=0.6) == "neutral"
    assert directions.verdict(exponent, error, resolution=0.4) == "ok"
    assert directions.verdict(-exponent, error, resolution=0.6) == "neutral"
    assert directions.verdict(exponent[:0], error[:0]) == "ok"


def test_the_leak_is_the_error_across_the_data():
    a, (s, n) = normal(4, 4, seed=1), frame(4, 2)
    x = normal(30, 2) @ s.T
    ahead = x @ (s @ s.T @ a).T
    found = directions.leak(linear(a), x, ahead, n)
    off = (x @ a.T - ahead) @ n
    assert found == pytest.approx(float(off.square().sum(-1).mean().sqrt()))
    each = directions.leak(linear(a), x, ahead, n.expand(30, 4, 2))
    assert each == pytest.approx(found)
    assert directions.leak(linear(a), x, x @ a.T, n) < 1e-15


# Escape


@given(factor=st.floats(0.05, 1.5), leak=st.floats(1e-4, 0.05), tolerance=st.floats(0.06, 1.0))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_escape_step_is_that_of_the_recursion(factor, leak, tolerance):
    """e⁺ = ρ e + l until it reaches τ."""
    told, e = directions.escape_step(factor, leak, tolerance), 0.0
    for step in range(1, 400):
        e = factor * e + leak
        if e >= tolerance * (1 - 1e-12):
            # a step later or earlier where rounding decides
            assert told == step or abs(e - tolerance) < 1e-9
            return
    assert told >= 400 or (factor < 1 and leak / (1 - factor) - tolerance < 1e-6)


@pytest.mark.parametrize(
    ("factor", "leak", "tolerance", "step"),
    [
        (1.1, 1e-6, 0.1, 97),
        (1.0, 0.01, 0.1, 10),
        (0.5, 0.1, 0.1, 1),
        (0.5, 0.04, 0.1, math.inf),
        (0.5, 0.05, 0.1, math.inf),
        (2.0, 0.0, 0.1, math.inf),
        (0.0, 0.2, 0.1, 1),
        (0.0, 0.05, 0.1, math.inf),
    ],
)
def test_escape_steps(factor, leak, tolerance, step):
    assert directions.escape_step(factor, leak, tolerance) == step


def test_a_linear_error_escapes_when_it_was_foretold():
    rho, leak, tolerance = 1.07, 1e-5, 0.05
    orbit = directions.rolled(
        lambda x, t: torch.stack([x[:, 0], rho * x[:, 1] + leak], -1),
        torch.zeros(2, 2, dtype=F64),
        200,
    )
    normal_part, mean = torch.eye(2, dtype=F64)[:, 1:], torch.zeros(2, dtype=F64)
    distance = directions.off_data(orbit, normal_part, mean)
    assert distance.shape == (201, 2)
    found = directions.escaped(distance, tolerance)
    foretold = directions.escape_step(rho, leak, tolerance)
    assert found.tolist() == [foretold, foretold]


def test_escapes_of_what_stays_and_of_what_is_lost():
    distance = torch.tensor([[0.0, 0.0, 0.0], [0.1, 2.0, 0.1], [0.2, 0.1, math.nan]])
    assert directions.escaped(distance, 1.0).tolist() == [math.inf, 1.0, 2.0]


def test_a_clamped_rollout_stays_on_the_data():
    a, (s, n) = 1.2 * normal(4, 4, seed=1), frame(4, 2)
    mean, x = normal(4, seed=2), normal(3, 2, seed=4) @ s.T
    x = x + mean
    free = directions.rolled(linear(a), x, 6)
    clamped = directions.rolled(linear(a), x, 6, data=s, mean=mean)
    assert free.shape == clamped.shape == (7, 3, 4)
    assert float(directions.off_data(clamped, n, mean).max()) < 1e-12
    assert float(directions.off_data(free, n, mean).max()) > 1e-2
    wanted = mean + (x @ a.T - mean) @ s @ s.T
    torch.testing.assert_close(clamped[1], wanted)
    plain = directions.rolled(linear(a), x - mean, 1, data=s)
    torch.testing.assert_close(plain[1], (x - mean) @ a.T @ s @ s.T)


def test_rollouts_see_the_time():
    orbit = directions.rolled(lambda x, t: x + t, torch.zeros(1, 1, dtype=F64), 3, dt=0.5, t0=1.0)
    assert orbit[:, 0, 0].tolist() == [0.0, 1.0, 2.5, 4.5]


# Sensitivity to the draw, symmetries


def test_sensitivity_of_models_that_keep_half_of_the_draw():
    drawn = normal(6, 3, 4, 2)
    share = values(0.5, 0.0)
    found = directions.sensitivity(1.7 + share * drawn, drawn)
    torch.testing.assert_close(found, values(0.25, 0.0), rtol=0, atol=1e-14)


def test_response_is_the_jacobian_along_directions():
    a, (_, n) = normal(4, 4, seed=1), frame(4, 2)
    found = directions.response(linear(a), normal(3, 4), n)
    torch.testing.assert_close(found, (a @ n).expand(3, 4, 2))


def test_without_models_or_normals_nothing_is_a_symmetry():
    _, n = frame(4, 2)
    exact, rest = directions.by_symmetry([], normal(3, 4), n)
    assert exact.shape == (4, 0)
    torch.testing.assert_close(rest, n)
    exact, rest = directions.by_symmetry([linear(torch.eye(4, dtype=F64))], normal(3, 4), n[:, :0])
    assert exact.shape == rest.shape == (4, 0)


def test_one_anchor_and_many_null_directions():
    """Fewer equations than directions: those without one are symmetries."""
    n = torch.eye(4, dtype=F64)
    kept = torch.diag(values(1.0, 1.0, 0.5, 0.2))
    exact, rest = directions.by_symmetry([linear(kept)], normal(1, 4), n)
    assert exact.shape == rest.shape == (4, 2)
    assert float(exact[2:].abs().max()) < 1e-9


def test_a_symmetry_of_one_model_only_is_none():
    shifted = torch.diag(values(1.0, 0.5))
    other = torch.diag(values(0.5, 1.0))
    exact, rest = directions.by_symmetry(
        [linear(shifted), linear(other)], normal(2, 2), torch.eye(2, dtype=F64)
    )
    assert exact.shape == (2, 0)
    assert rest.shape == (2, 2)


def test_many_anchors_of_a_wide_state_are_cheap_to_ask():
    """The equations are not squared: 300 columns, of which ten are asked."""
    n, x = torch.linalg.qr(normal(300, 10))[0], normal(64, 300)
    exact, rest = directions.by_symmetry([lambda y, t=0.0: y + 0.0 * y] * 2, x, n)
    assert exact.shape == (300, 10)
    assert rest.shape == (300, 0)
