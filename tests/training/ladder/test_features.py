"""Random features and series: derivatives against autograd, inside and outside the box."""

import copy
import math
import pickle

import pytest
import torch
from torch.func import jacrev, jvp, vmap

import simlearn
from simlearn import Simulator, Topology
from simlearn.archive import load, save
from simlearn.component import build, describe
from simlearn.dynamics.features import MARGIN, RandomFeatures, Scale
from simlearn.dynamics.frozen import both_with, slope_with
from simlearn.dynamics.inertia import MechanicalSeries
from simlearn.dynamics.separable import SeparableSeries
from simlearn.dynamics.series import GenericSeries, shaken
from simlearn.integrators import ImplicitMidpoint, Yoshida4

SCALES = [Scale(1.0), Scale(0.5), Scale(0.5, periodic=True)]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def measured(dim, scale, **arguments):
    made = RandomFeatures(dim, 9, **arguments)
    made.measure(normal(50, dim, seed=1) * 0.7 + 0.3, scale)
    return made


def everywhere(dim):
    """Inside the box, outside in some columns, far outside in all."""
    return torch.cat([normal(8, dim, seed=2), 4 * normal(12, dim, seed=3), 40 * normal(4, dim)])


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("arguments", [{}, {"degree": 0, "constant": True}], ids=str)
def test_slopes_and_bends_are_derivatives(dim, scale, arguments):
    made, x = measured(dim, scale, **arguments), everywhere(dim)
    weights = normal(made.count, 2, seed=4)

    def one(row):
        return made.values(row[None])[0]

    slopes = vmap(jacrev(one))(x).mT
    torch.testing.assert_close(made.slopes(x), slopes, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(made.slope_of(x, weights), slopes @ weights, rtol=1e-9, atol=1e-9)
    bends = vmap(jacrev(jacrev(lambda row: one(row) @ weights)))(x).movedim(1, 3)
    torch.testing.assert_close(made.bend_of(x, weights), bends, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(made.value_of(x, weights), made.values(x) @ weights)
    value, slope = both_with(made, weights)(x)
    torch.testing.assert_close(value, made.values(x) @ weights, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slope, slopes @ weights, rtol=1e-9, atol=1e-9)
    fast = slope_with(made, weights[:, 0])(x)
    torch.testing.assert_close(fast, slopes @ weights[:, 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 2])
def test_values_and_slopes_are_continuous_across_the_edge_of_the_box(dim):
    made = measured(dim, Scale(0.5))
    for edge, way in ((made.low, -1), (made.high, 1)):
        z = 0.2 * normal(20, dim, seed=5)
        z[:, 0] = edge[0]
        on, off = (z[:] * made.spread + made.centre for _ in range(2))
        off[:, 0] += way * 1e-9
        torch.testing.assert_close(made.values(off), made.values(on), rtol=0, atol=1e-7)
        torch.testing.assert_close(made.slopes(off), made.slopes(on), rtol=0, atol=1e-6)


def test_the_box_is_the_samples_and_a_quarter_of_a_length():
    x = normal(50, 2, seed=1)
    made = RandomFeatures(2, 5)
    made.measure(x, Scale(2.0))
    z = (x - x.mean(0)) / x.std(0, correction=0)
    torch.testing.assert_close(made.low, z.amin(0) - 2 * MARGIN)
    torch.testing.assert_close(made.high, z.amax(0) + 2 * MARGIN)


def waves_far_away(dim):
    """Largest slope of the cosines at the edge and far from it, in the first column."""
    made = measured(dim, Scale(0.5))
    sizes = []
    for far in (10.0, 1e3, 1e6):
        x = normal(30, dim, seed=6)
        x[:, 0] = far
        sizes.append(float(made.slopes(x)[..., -made.features :].abs().max()))
    return sizes


def test_forces_of_the_cosines_are_bounded_outside_in_one_dimension():
    near, middle, far = waves_far_away(1)
    assert near == pytest.approx(middle, rel=1e-9) == pytest.approx(far, rel=1e-9)


def test_forces_of_the_cosines_grow_at_most_linearly_outside_in_two_dimensions():
    _, middle, far = waves_far_away(2)
    assert far <= 1.01e3 * middle


def test_periodic_features_have_the_period():
    made = measured(2, Scale(1.0, periodic=True))
    x, turn = normal(10, 2), 2 * math.pi * torch.tensor([1.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(made.slopes(x + turn), made.slopes(x), rtol=0, atol=1e-11)
    held = made.values(x + turn) - made.values(x)
    assert float(held.abs().max()) < 1e-11
    assert bool((made.frequency.abs().sum(0) > 0).all())


def test_the_cosines_are_draws_of_a_gaussian_process():
    """φ(x)·φ(y) of many cosines is ℓ² exp(−|x − y|²/2ℓ²) (Rahimi and Recht, claim 1)."""
    made = RandomFeatures(2, 60_000, degree=0)
    made.measure(normal(400, 2, seed=1), Scale(1.5))
    x = normal(12, 2, seed=2) * 0.5
    z = (x - made.centre) / made.spread
    values = made.values(x)
    kernel = 1.5**2 * (-torch.cdist(z, z).square() / 2 / 1.5**2).exp()
    torch.testing.assert_close(values @ values.T, kernel, rtol=0, atol=0.04)


@pytest.mark.parametrize("dim", [1, 3])
def test_float32_agrees_with_float64(dim):
    double = measured(dim, Scale(0.5))
    x, weights = everywhere(dim), normal(double.count, 1, seed=4)
    whole = double.slope_of(x, weights)
    half = double.float().slope_of(x.float(), weights.float())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), whole, rtol=3e-4, atol=3e-3)


SERIES = [(SeparableSeries, 2), (SeparableSeries, 4), (MechanicalSeries, 2), (MechanicalSeries, 4),
          (GenericSeries, 2), (GenericSeries, 4)]  # fmt: skip


def series(kind, dim, periodic=False):
    field = shaken(kind(dim=dim, features=10), seed=3).double()
    scales = [Scale(1.0)] * len(field.equations())
    if periodic:
        scales[-1] = Scale(1.0, periodic=True)
    field.measure(normal(60, dim, seed=1), scales)
    return field.requires_grad_(False)


@pytest.mark.parametrize(("kind", "dim"), SERIES)
def test_columns_rates_and_tangent_of_a_series_are_those_of_its_energy(kind, dim):
    field, x = series(kind, dim, periodic=kind is not GenericSeries), everywhere(dim)[:20]

    def energy(row):
        return field.energy(row[None], Topology.isolated(1))[0]

    slope = vmap(jacrev(energy))(x)
    half = dim // 2
    exact = torch.cat([slope[:, half:], -slope[:, :half]], dim=1)
    topology = Topology.isolated(len(x))
    torch.testing.assert_close(field(0.0, x, topology), exact, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(field.rates()(x), exact, rtol=1e-9, atol=1e-9)
    columns = field.columns(x)
    torch.testing.assert_close(columns @ field.coefficients, exact, rtol=1e-9, atol=1e-9)
    for number, (own, block) in enumerate(field.equations()):
        torch.testing.assert_close(field.columns(x, number), columns[:, own, block])
    tangent = vmap(jacrev(lambda row: field(0.0, row[None], Topology.isolated(1))[0]))(x)
    torch.testing.assert_close(field.tangent(x), tangent, rtol=1e-8, atol=1e-8)
    _, moved = jvp(lambda y: field(0.0, y, topology), (x,), (torch.ones_like(x),))
    torch.testing.assert_close(moved, tangent.sum(-1), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("kind", "dim"), SERIES)
def test_a_step_with_random_weights_is_symplectic(kind, dim):
    field = series(kind, dim)
    scheme = Yoshida4() if kind is SeparableSeries else ImplicitMidpoint()
    simulator = Simulator(field, scheme, 0.05)
    half = dim // 2
    omega = torch.zeros(dim, dim, dtype=torch.float64)
    omega[:half, half:], omega[half:, :half] = torch.eye(half).double(), -torch.eye(half).double()
    for x in (0.5 * normal(1, dim, seed=7), 5 * normal(1, dim, seed=8)):
        jacobian = jacrev(lambda y: simulator.step(y))(x)[0, :, 0]
        assert float((jacobian.T @ omega @ jacobian - omega).abs().max()) <= 1e-10


@pytest.mark.parametrize(("kind", "dim"), SERIES[1::2])
def test_an_archive_keeps_scales_and_boxes(kind, dim, tmp_path):
    field, x = series(kind, dim), everywhere(dim)
    scheme = Yoshida4() if kind is SeparableSeries else ImplicitMidpoint()
    again = load(save(Simulator(field, scheme, 0.1), tmp_path / "it")).dynamics
    topology = Topology.isolated(len(x))
    assert torch.equal(again(0.0, x, topology), field(0.0, x, topology))
    assert describe(build(describe(field), lambda name: kind)) == describe(field)


def test_odd_dimensions_are_refused():
    for kind in (SeparableSeries, MechanicalSeries, GenericSeries):
        with pytest.raises(simlearn.ConfigError):
            kind(dim=3)


def used_series():
    field = shaken(SeparableSeries(2, 8)).double().requires_grad_(False)
    x = normal(4, 2)
    return field, x, field(0.0, x, Topology.isolated(4))


def test_a_series_that_was_used_can_be_pickled():
    field, x, force = used_series()
    again = pickle.loads(pickle.dumps(field))
    torch.testing.assert_close(again(0.0, x, Topology.isolated(4)), force)


def test_what_a_series_keeps_is_that_of_its_weights():
    """In inference mode and out of it; after other weights, other scales and fused Adam."""
    field, x, force = used_series()
    topology = Topology.isolated(4)
    with torch.inference_mode():
        field(0.0, x, topology)
    field(0.0, x.clone().requires_grad_(), topology).sum().backward()
    field.potential.measure(3 * normal(30, 1), Scale(1.0))
    other = field(0.0, x, topology)
    assert float((other - force).abs().max()) > 1e-3
    field.coefficients.requires_grad_()
    adam = torch.optim.Adam([field.coefficients], lr=0.1, fused=True)
    field(0.0, x, topology).square().sum().backward()
    adam.step()
    with torch.no_grad():
        learned = field(0.0, x, topology)
    field.coefficients.requires_grad_(False)
    torch.testing.assert_close(field(0.0, x, topology), learned)
    torch.testing.assert_close(copy.deepcopy(field)(0.0, x, topology), learned)
    assert float((learned - other).abs().max()) > 1e-3


@pytest.mark.parametrize("far", [0.3, 2.0, 20.0])
def test_nothing_changes_across_empty_directions(far):
    """Samples on a line: moved off it, inside the box and outside, values and slopes stay."""
    made, along = RandomFeatures(2, 9), normal(40, 1, seed=1)
    made.measure(along.expand(40, 2) * torch.tensor([1.0, 2.0]).double(), Scale(1.0))
    x = along[:5].expand(5, 2) * torch.tensor([1.0, 2.0]).double()
    across = made.spread * torch.tensor([1.0, -1.0]).double()
    torch.testing.assert_close(made.values(x + far * across), made.values(x))
    torch.testing.assert_close(made.slopes(x + far * across), made.slopes(x))
    turned = (made.slopes(x) * across[:, None]).sum(1)
    assert float(turned.abs().max()) < 1e-12
