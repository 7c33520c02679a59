"""Verlet layers: symplectic for any weights, stable below their bound."""

import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.testing.cases import symplectic_defect, wave
from simlearn_stabilizers.hamiltonian import GradientLayer, HamiltonianLayers

TOPOLOGY = simlearn.Topology.isolated(1)


@pytest.mark.parametrize("dim", [2, 6])
def test_symplectic_with_determinant_one_for_any_weights(dim):
    for seed in range(5):
        torch.manual_seed(seed)
        step = HamiltonianLayers(dim, layers=3, width=9).double()
        for value in step.parameters():
            value.data.mul_(3)
        x = torch.randn(1, dim, dtype=torch.float64)

        def moved(x, step=step):
            return step(0.0, x, 0.5, TOPOLOGY)

        assert symplectic_defect(moved, x, torch.ones(1)) < 1e-10
        j = torch.func.jacfwd(moved)(x).reshape(dim, dim)
        assert float(torch.linalg.det(j.detach())) == pytest.approx(1, abs=1e-10)


def test_a_layer_is_the_gradient_of_an_energy(seeded):
    layer = GradientLayer(3, 7).double()
    z = torch.randn(3, dtype=torch.float64)

    def energy(z):
        return torch.cosh(layer.matrix @ z + layer.bias).log().sum()

    torch.testing.assert_close(layer(z), torch.func.grad(energy)(z), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("product", "radius"), [(1.998, 1.0), (2.002, 1.0936)])
def test_the_linear_layer_is_stable_below_two(product, radius):
    """h ‖K₁‖ ‖K₂‖ = 1.998 and 2.002, in the linear regime: biases 0, at the origin."""
    step = HamiltonianLayers(dim=6, layers=1, width=3).double()
    k = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    k = k / torch.linalg.matrix_norm(k, 2)
    for part in (*step.drifts, *step.kicks):
        part.bias.data.zero_()
        part.matrix.data.copy_(k)
    assert float(step.stiffness(product).detach().max()) == pytest.approx(product)
    origin = torch.zeros(1, 6, dtype=torch.float64)
    j = torch.func.jacfwd(lambda x: step(0.0, x, product, TOPOLOGY))(origin).reshape(6, 6)
    assert float(torch.linalg.eigvals(j.detach()).abs().max()) == pytest.approx(radius, abs=1e-4)


def test_different_norms_bound_it_by_their_product(seeded):
    for seed in range(50):
        torch.manual_seed(seed)
        step = HamiltonianLayers(dim=6, layers=1, width=5).double()
        for part in (*step.drifts, *step.kicks):
            part.bias.data.zero_()
        dt = 1.99 / float(step.stiffness(1.0).detach())
        origin = torch.zeros(1, 6, dtype=torch.float64)
        j = torch.func.jacfwd(lambda x, s=step, h=dt: s(0.0, x, h, TOPOLOGY))(origin).reshape(6, 6)
        assert float(torch.linalg.eigvals(j.detach()).abs().max()) <= 1 + 1e-7


def test_without_the_transpose_in_front_it_is_not_symplectic(seeded):
    """Why: tanh(K p) is no gradient unless K is symmetric and commutes with the slopes."""
    k = torch.randn(2, 2, dtype=torch.float64)

    def step(x):
        q, p = x.chunk(2, dim=-1)
        p = p - 0.5 * torch.tanh(q @ k)
        return torch.cat([q + 0.5 * torch.tanh(p @ k.T), p], dim=-1)

    x = torch.randn(1, 4, dtype=torch.float64)
    assert symplectic_defect(step, x, torch.ones(1)) > 1e-2


def test_it_learns_a_rotation(seeded):
    simulator = Simulator(HamiltonianLayers(2, layers=2, width=16), None, 0.1)
    fitted = simlearn.fit(
        simulator,
        wave(40, systems=4),
        max_epochs=150,
        optimizer=lambda w: torch.optim.Adam(w, 0.02),
        progress=False,
    )
    track = wave(40, systems=4)
    error = (fitted.rollout(track.x[0], 39).x - track.x).square().mean().sqrt()
    assert float(error) < 0.05


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(simlearn.ConfigError, match="even dim"):
        HamiltonianLayers(3)
