"""Bounded and orthogonal layers: the guarantees by exact SVD."""

import pytest
import torch

import simlearn
from simlearn.dynamics import LinearField, MLPField, PairForce
from simlearn_stabilizers.constraints import Bjorck, Orthogonal, SpectralNorm
from simlearn_stabilizers.norms import (
    NewtonSchulz,
    NormBound,
    layer_norms,
    newton_schulz,
    norm_product,
    polar,
)

EPS = torch.finfo(torch.float64).eps


def weights_of(field):
    return [one.weight.detach() for one in field.modules() if isinstance(one, torch.nn.Linear)]


def defect(weight):
    if weight.shape[0] < weight.shape[1]:
        weight = weight.mT
    return float((weight.mT @ weight - torch.eye(weight.shape[1]).to(weight)).abs().max())


@pytest.mark.parametrize("bound", [0.3, 1.0])
def test_every_norm_is_inside_the_bound_by_svd(bound, seeded):
    field = MLPField(dim=3, width=16).double()
    for one in field.modules():
        if isinstance(one, torch.nn.Linear):
            one.weight.data.mul_(7)
    SpectralNorm(bound).wrap(field)
    for weight in weights_of(field):
        assert float(torch.linalg.svdvals(weight)[0]) <= bound * (1 + 4 * EPS)
    assert set(layer_norms(field)) == {f"net.layers.{k}" for k in range(3)}
    assert norm_product(field) <= bound**3 * (1 + 16 * EPS)


def test_a_power_iteration_would_not_have_been_exact(seeded):
    """Why the norm is an SVD: torch's estimate lies below it, so what it divides is too large."""
    layer = torch.nn.Linear(32, 32).double()
    layer = torch.nn.utils.parametrizations.spectral_norm(layer).eval()
    assert float(torch.linalg.svdvals(layer.weight.detach())[0]) > 1 + 1e-9


def test_a_matrix_inside_the_bound_stays_as_it_is(seeded):
    field = MLPField(dim=3, width=16).double()
    before = weights_of(field)
    SpectralNorm(100.0).wrap(field)
    for old, new in zip(before, weights_of(field), strict=True):
        assert torch.equal(old, new)


def test_the_certificate_bounds_how_states_part(seeded):
    field = MLPField(dim=3, width=16).double()
    SpectralNorm(0.9).wrap(field)
    x, y = torch.randn(2, 500, 3, dtype=torch.float64)
    topology = simlearn.Topology.isolated(500)
    parted = (field(0.0, x, topology) - field(0.0, y, topology)).norm(dim=1) / (x - y).norm(dim=1)
    assert float(parted.detach().max()) <= norm_product(field)


def test_weights_that_are_nan_stay_nan():
    """A training that diverged is seen by its loss; LAPACK's own error would hide it."""
    weight = torch.full((3, 3), torch.nan, dtype=torch.float64)
    assert NormBound(1.0)(weight).isnan().all()


@pytest.mark.parametrize("shape", [(8, 8), (24, 3), (3, 24), (64, 64)])
def test_orthogonal_to_rounding_and_as_near_as_possible(shape, seeded):
    layer = torch.nn.Linear(shape[1], shape[0])
    field = LinearField(2)
    field.linear = layer
    before = layer.weight.detach().double()
    Orthogonal().wrap(field)
    field.double()  # a training casts after it wraps
    weight = layer.weight.detach()
    assert defect(weight) <= 10 * max(shape) * EPS
    torch.testing.assert_close(weight, polar(before), rtol=0, atol=1e-5)
    with torch.no_grad():
        for _, value in layer.parametrizations.named_parameters():
            value.add_(torch.randn_like(value))
    assert defect(layer.weight.detach()) <= 10 * max(shape) * EPS
    assert (layer.weight.detach() - weight).abs().max() > 0.01


def test_singular_values_follow_the_scalar_recursion():
    u, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=rng(1)))
    v, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=rng(2)))
    for start in ([0.015, 0.3, 0.9, 1.0], [0.5, 1.2, 1.6, 1.73]):
        s = torch.tensor(start, dtype=torch.float64)
        weight = u[:, :4] @ torch.diag(s) @ v.T
        for its in (1, 3, 10, 15):
            want = s
            for _ in range(its):
                want = 1.5 * want - 0.5 * want**3
            got = newton_schulz(weight, its)
            torch.testing.assert_close(
                u[:, :4].T @ got @ v, torch.diag(want), rtol=1e-12, atol=1e-12
            )
            torch.testing.assert_close(newton_schulz(weight.mT, its), got.mT, rtol=0, atol=1e-13)


def test_the_recursion_needs_fifteen_iterations_from_a_small_value_and_fails_above_sqrt3():
    def after(s, its):
        return float(newton_schulz(torch.tensor([[s]], dtype=torch.float64), its))

    assert 1 - after(0.015, 15) ** 2 < 1e-9
    assert 1 - after(0.015, 10) ** 2 > 0.2
    assert after(1.8, 40) == pytest.approx(-1.0)  # beyond √3 the sign turns
    assert abs(after(2.3, 6)) > 1e3  # beyond √5 it diverges


@pytest.mark.parametrize("iterations", [1, 5, 30])
def test_bjorck_never_passes_norm_one_and_ends_orthogonal(iterations, seeded):
    field = MLPField(dim=3, width=16).double()
    before = weights_of(field)
    Bjorck(iterations).wrap(field)
    for old, new in zip(before, weights_of(field), strict=True):
        assert float(torch.linalg.svdvals(new)[0]) <= 1 + 8 * EPS
        if iterations == 30:
            assert defect(new) <= 10 * 16 * EPS
            torch.testing.assert_close(new, polar(old), rtol=0, atol=1e-10)
    assert torch.equal(NewtonSchulz(iterations)(torch.zeros(3, 3)), torch.zeros(3, 3)), (
        "nothing is divided by zero"
    )


def test_arguments_and_layers_that_do_not_fit_are_refused():
    with pytest.raises(simlearn.ConfigError, match="bound > 0, got 0"):
        SpectralNorm(0)
    with pytest.raises(simlearn.ConfigError, match="at least 1 iteration"):
        Bjorck(0)
    for one in (SpectralNorm(), Orthogonal(), Bjorck()):
        with pytest.raises(simlearn.ConfigError, match=r"needs dynamics with nn\.Linear layers"):
            one.wrap(PairForce(("a", "b")))
    with pytest.raises(simlearn.ConfigError, match="constrained already"):
        Bjorck().wrap(SpectralNorm().wrap(MLPField(dim=2, width=4)))


def rng(seed):
    return torch.Generator().manual_seed(seed)
