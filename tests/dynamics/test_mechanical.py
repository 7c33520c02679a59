"""Learned mass matrices: positive definite, conservative, and the true ones can be written."""

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import ConstantMassEnergy, MechanicalEnergy, gradient_of
from simlearn.integrators import RK4, ImplicitMidpoint, Leapfrog, Yoshida4
from simlearn.simulator import Simulator
from simlearn.state import Topology

KINDS = [MechanicalEnergy, ConstantMassEnergy]


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def learned(kind, dim=6, loud=1.0, **more):
    field = kind(dim=dim, width=16, **more).double().requires_grad_(False)
    for k, value in enumerate(field.parameters()):
        value.mul_(loud).add_(0.3 * normal(*value.shape, seed=k))
    return field


def masses(field, q):
    if isinstance(field, MechanicalEnergy):
        return field.inverse_mass(q)
    return field.inverse_mass().expand(len(q), -1, -1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loud", [0.0, 1.0, 30.0])
def test_the_inverse_mass_is_positive_definite_at_any_weights(seeded, kind, loud):
    field = learned(kind, loud=loud, floor=1e-3)
    found = masses(field, 3 * normal(50, 3))
    torch.testing.assert_close(found, found.mT, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(found).min() > 0.999e-3
    assert (found - torch.eye(3)).abs().max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_singular_triangle_leaves_the_floor(kind):
    """L = 1 + the triangle; a triangle of −1 on the diagonal leaves nothing but the floor."""
    field = kind(dim=4, width=4, floor=0.02).double().requires_grad_(False)
    for value in field.parameters():
        value.zero_()
    entries = torch.tensor([-1.0, 0.0, -1.0], dtype=torch.float64)
    (field.triangle.layers[-1].bias if kind is MechanicalEnergy else field.triangle).copy_(entries)
    wanted = 0.02 * torch.eye(2, dtype=torch.float64).expand(5, -1, -1)
    torch.testing.assert_close(masses(field, normal(5, 2)), wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [2, 6])
def test_the_energy_is_the_quadratic_form_and_a_potential(seeded, kind, dim):
    field, x, topology = learned(kind, dim), normal(4, dim), Topology.isolated(4)
    field.standardize(normal(30, dim, seed=3) * 2 + 1, normal(30, dim, seed=4) * 5)
    q, p = x.chunk(2, dim=1)
    kinetic = torch.einsum("ri,rij,rj->r", p, masses(field, q), p) / 2
    torch.testing.assert_close(field.energy(x, topology), kinetic + field.potential(q))
    rest = torch.cat([q, torch.zeros_like(p)], dim=1)
    torch.testing.assert_close(field.energy(rest, topology), field.potential(q))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("dim", [2, 6])
def test_the_field_written_by_hand_equals_autograd(seeded, kind, depth, dim):
    field, x, topology = learned(kind, dim, depth=depth), normal(6, dim), Topology.isolated(6)
    field.standardize(normal(30, dim, seed=3) * 2 + 1, normal(30, dim, seed=4) * 5)
    slope = gradient_of(lambda s: field.energy(s, topology), x)
    wanted = torch.cat([slope[:, dim // 2 :], -slope[:, : dim // 2]], dim=1)
    torch.testing.assert_close(field(0.0, x, topology), wanted, rtol=1e-12, atol=1e-12)
    assert slope.abs().max() > 0.1


def test_the_field_has_the_right_derivatives_in_state_and_weights(seeded):
    field, x, topology = learned(MechanicalEnergy, 4), normal(3, 4), Topology.isolated(3)
    field.requires_grad_(True)
    found = []
    for f in (field.gradient, lambda s, t: gradient_of(lambda u: field.energy(u, t), s)):
        loss = f(x, topology).square().sum()
        found.append(torch.autograd.grad(loss, list(field.parameters()), materialize_grads=True))
        found[-1] += (torch.func.jacrev(lambda s, f=f: f(s, topology))(x),)
    for by_hand, by_autograd in zip(*found, strict=True):
        torch.testing.assert_close(by_hand, by_autograd, rtol=1e-10, atol=1e-12)


def test_forward_mode_vmap_and_inference_agree_with_the_plain_call(seeded):
    field, x, one = learned(MechanicalEnergy, 4), normal(3, 4), Topology.isolated(1)
    three = Topology.isolated(3)
    wanted = field(0.0, x, three)
    each = torch.func.vmap(lambda s: field(0.0, s[None], one)[0])(x)
    torch.testing.assert_close(each, wanted, rtol=1e-12, atol=1e-12)
    back = torch.func.jacrev(lambda s: field(0.0, s, three))(x)
    torch.testing.assert_close(torch.func.jacfwd(lambda s: field(0.0, s, three))(x), back)
    with torch.inference_mode():
        assert torch.equal(field(0.0, x, three), wanted)


def defect(simulator, x, topology):
    """Largest entry of JᵀΩJ − Ω of one step."""
    j = torch.func.jacrev(lambda s: simulator.step(s, topology))(x).reshape(x.numel(), -1)
    assert (j - torch.eye(x.numel(), dtype=x.dtype)).abs().max() > 0.05
    half = torch.eye(x.shape[1] // 2, dtype=x.dtype)
    turn = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=x.dtype), half)
    form = torch.kron(torch.eye(len(x), dtype=x.dtype), turn)
    return float((j.T @ form @ j - form).abs().max())


SYMPLECTIC = [
    (MechanicalEnergy, ImplicitMidpoint),
    (ConstantMassEnergy, ImplicitMidpoint),
    (ConstantMassEnergy, Leapfrog),
    (ConstantMassEnergy, Yoshida4),
]


@pytest.mark.parametrize(("kind", "scheme"), SYMPLECTIC)
@pytest.mark.parametrize("angles", [(), (1,)], ids=str)
def test_a_step_is_symplectic_at_random_weights(seeded, kind, scheme, angles):
    field = learned(kind, 4, angles=angles)
    assert defect(Simulator(field, scheme(), 0.1), normal(2, 4), Topology.isolated(2)) < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_tells_a_step_that_is_not_symplectic(seeded, kind):
    field = learned(kind, 4)
    assert defect(Simulator(field, RK4(), 0.3), normal(2, 4), Topology.isolated(2)) > 1e-8


@pytest.mark.parametrize(
    ("kind", "scheme", "ratio"),
    [
        (MechanicalEnergy, ImplicitMidpoint, 4),
        (ConstantMassEnergy, Leapfrog, 4),
        (ConstantMassEnergy, Yoshida4, 16),
    ],
)
def test_half_the_step_divides_the_energy_error_by_the_order(seeded, kind, scheme, ratio):
    field, topology, error = learned(kind, 4), Topology.isolated(3), []
    for parts in (1, 2):
        simulator = Simulator(field, scheme(), 0.04 / parts)
        rolled = simulator.rollout(normal(3, 4), 50 * parts, topology, every=parts)
        energy = torch.stack([field.energy(x, topology) for x in rolled.x])
        error.append((energy - energy[0]).abs().amax(0))
    found = error[0] / error[1]
    assert found.tolist() == pytest.approx([ratio] * 3, rel=0.1 if ratio == 4 else 0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_standardizing_turns_typical_momenta_into_typical_velocities(seeded, kind):
    """A mass of 50, one position in millimetres, a clock in milliseconds."""
    field = kind(dim=4, width=8).double().requires_grad_(False)
    x = normal(200, 4) * torch.tensor([1.0, 1e3, 50.0, 0.05], dtype=torch.float64)
    units = torch.tensor([1e3 / 50, 1e9 / 50], dtype=torch.float64)
    slope = torch.cat([x[:, 2:] * units, -x[:, :2] * 50 / torch.tensor([1, 1e6])], dim=1)
    field.standardize(x, slope)
    moved = field(0.0, x, Topology.isolated(200))[:, :2]
    ratio = moved.square().mean(0).sqrt() / slope[:, :2].square().mean(0).sqrt()
    assert ((ratio > 0.5) & (ratio < 2)).all()


def test_a_mass_matrix_is_learned_from_its_velocities(seeded):
    """The true M⁻¹ = [[2, .5], [.5, 1]] is found from dq/dt = M⁻¹ p alone."""
    field, p = ConstantMassEnergy(dim=4, width=4).double(), normal(100, 2)
    truth = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    optimizer = torch.optim.LBFGS([field.triangle], max_iter=50, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        error = (field.drift(p, Topology.isolated(100)) - p @ truth).square().mean()
        error.backward()
        return error

    optimizer.step(loss)
    torch.testing.assert_close(field.inverse_mass().detach(), truth, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [3, 0])
def test_a_state_without_halves_is_refused(kind, dim):
    with pytest.raises(ConfigError, match=f"dim must be even and positive, got {dim}"):
        kind(dim=dim)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("floor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_mass_that_could_be_infinite_is_refused(kind, floor):
    with pytest.raises(ConfigError, match=f"floor must be positive and finite.* got {floor}"):
        kind(dim=2, floor=floor)


def test_leapfrog_takes_the_constant_mass_and_refuses_the_other(seeded):
    Simulator(ConstantMassEnergy(dim=2, width=4), Leapfrog(), 0.1)
    with pytest.raises(ConfigError, match="Leapfrog needs a SplitField, got MechanicalEnergy"):
        Simulator(MechanicalEnergy(dim=2, width=4), Leapfrog(), 0.1)
