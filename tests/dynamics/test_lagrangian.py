"""Learned Lagrangians: Euler-Lagrange, a conserved energy, and rows that cannot be solved."""

import math

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import LagrangianField
from simlearn.dynamics.lagrangian import curvature
from simlearn.dynamics.neural import TanhNet
from simlearn.integrators import RK4
from simlearn.simulator import Simulator
from simlearn.state import Topology


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def learned(dim=6, scaled=True, **more):
    """Random weights, and units that are nobody's defaults."""
    field = LagrangianField(dim=dim, width=16, **more).double().requires_grad_(False)
    for k, value in enumerate(field.parameters()):
        value.add_(0.2 * normal(*value.shape, seed=k))
    if scaled:
        field.standardize(normal(40, dim, seed=1) * 3 + 1, normal(40, dim, seed=2))
    return field


def cranmer(field, x):
    """Equation 6 of the paper by automatic differentiation, one row."""
    n = x.shape[-1] // 2

    def scalar(q, v):
        return field.lagrangian(torch.cat([q, v])[None])[0]

    q, v = x[:n], x[n:]
    hessian = torch.autograd.functional.hessian(scalar, (q, v))
    slope = torch.func.grad(scalar)(q, v)
    return torch.linalg.solve(hessian[1][1], slope - hessian[1][0] @ v)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_curvature_of_a_network_equals_autograd(seeded, depth):
    net = TanhNet([4] + [9] * depth + [1]).double()
    x, along = normal(5, 4), normal(5, 3, 4, seed=1)
    gradient, second = curvature(net, x, along)
    for row in range(5):
        hessian = torch.autograd.functional.hessian(lambda s: net(s).sum(), x[row])
        wanted = along[row] @ hessian @ along[row].T
        torch.testing.assert_close(second[row], wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, net.gradient(x))


@pytest.mark.parametrize("angles", [(), (0,), (2, 1)], ids=str)
@pytest.mark.parametrize("depth", [1, 2])
def test_the_acceleration_is_that_of_the_paper(seeded, angles, depth):
    field, x = learned(angles=angles, depth=depth), normal(4, 6)
    found = field(0.0, x, Topology.isolated(4))
    assert torch.equal(found[:, :3], x[:, 3:])
    wanted = torch.stack([cranmer(field, row) for row in x])
    torch.testing.assert_close(found[:, 3:], wanted, rtol=1e-10, atol=1e-10)
    assert wanted.abs().max() > 0.1


@pytest.mark.parametrize("angles", [(), (0,)], ids=str)
def test_the_momentum_changes_by_the_generalized_force(seeded, angles):
    """d/dt ∂L/∂v = ∂L/∂q along the motion, with no Hessian written down."""
    field, x, topology = learned(angles=angles), normal(4, 6), Topology.isolated(4)
    slope = torch.func.grad(lambda s: field.lagrangian(s).sum())
    motion = field(0.0, x, topology)
    value, change = torch.func.jvp(slope, (x,), (motion,))
    torch.testing.assert_close(change[:, 3:], value[:, :3], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("angles", [(), (0,)], ids=str)
def test_the_energy_is_constant_along_the_motion(seeded, angles):
    field, topology = learned(angles=angles), Topology.complete(3).repeat(2)
    x = normal(6, 6)
    energy = field.energy(x, topology)
    assert energy.shape == (2,)
    slope = torch.func.grad(lambda s: field.energy(s, topology).sum())(x)
    terms = slope * field(0.0, x, topology)
    assert topology.per_system(terms.sum(-1)).abs().max() < 1e-11 * terms.abs().sum()
    assert terms.abs().max() > 0.01


def test_a_rollout_loses_no_more_energy_than_the_scheme(seeded):
    field, topology, error = learned(4), Topology.isolated(3), []
    for parts in (1, 2):
        rolled = Simulator(field, RK4(), 0.1 / parts).rollout(normal(3, 4), 40 * parts)
        energy = torch.stack([field.energy(x, topology) for x in rolled.x])
        error.append(float((energy - energy[0]).abs().max()))
    assert error[0] < 1e-3
    assert error[1] < error[0] / 10


@pytest.mark.parametrize("dim", [2, 8])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_random_weights_are_far_from_singular(dim, depth):
    for seed in range(5):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            field = LagrangianField(dim=dim, width=32, depth=depth).double()
        eigenvalues = torch.linalg.eigvalsh(field.mass_matrix(3 * normal(100, dim)))
        assert eigenvalues.min() > 0.3
        assert eigenvalues.max() < 3


def test_a_free_particle_is_the_field_of_no_network(seeded):
    field = LagrangianField(dim=4, width=4).double().requires_grad_(False)
    field.net.net.layers[-1].weight.zero_()
    x, topology = normal(5, 4), Topology.isolated(5)
    still = torch.cat([x[:, 2:], torch.zeros(5, 2)], dim=1)
    torch.testing.assert_close(field(0.0, x, topology), still)
    torch.testing.assert_close(field.energy(x, topology), x[:, 2:].square().sum(1) / 2)


def one_neuron():
    """L = tanh(v + q/2) and no other mass: ∂²L/∂v² = tanh″ is zero where v = −q/2."""
    field = LagrangianField(dim=2, width=1, depth=1).double().requires_grad_(False)
    field.mass.fill_(-torch.inf)
    first, last = field.net.net.layers
    first.weight.copy_(torch.tensor([[0.5, 1.0]]))
    first.bias.zero_()
    last.weight.fill_(1.0)
    return field


def test_a_singular_row_is_lost_alone():
    field = one_neuron()
    x = torch.tensor([[1.0, 0.3], [1.0, -0.5], [-2.0, 0.4]], dtype=torch.float64)
    found = field(0.0, x, Topology.isolated(3))
    assert found[1, 1].isnan()
    for row in (0, 2):
        torch.testing.assert_close(found[row, 1], cranmer(field, x[row])[0])
    each = torch.func.vmap(lambda s: field(0.0, s[None], Topology.isolated(1))[0])(x)
    torch.testing.assert_close(each, found, equal_nan=True)


def test_a_rollout_from_a_singular_state_says_that_it_diverged():
    start = torch.tensor([[1.0, -0.5]], dtype=torch.float64)
    rolled = Simulator(one_neuron(), RK4(), 0.1).rollout(start, 5)
    assert (rolled.status, rolled.finite_steps) == ("diverged", 1)


def test_every_autograd_mode_agrees(seeded):
    field, x, three = learned(4), normal(3, 4), Topology.isolated(3)
    wanted = field(0.0, x, three)
    with torch.inference_mode():
        assert torch.equal(field(0.0, x, three), wanted)
    each = torch.func.vmap(lambda s: field(0.0, s[None], Topology.isolated(1))[0])(x)
    torch.testing.assert_close(each, wanted, rtol=1e-12, atol=1e-12)
    back = torch.func.jacrev(lambda s: field(0.0, s, three))(x)
    torch.testing.assert_close(torch.func.jacfwd(lambda s: field(0.0, s, three))(x), back)


def test_the_field_can_be_trained_through(seeded):
    """The derivative of a loss in the weights, against a difference."""
    field, x, topology = learned(4), normal(3, 4), Topology.isolated(3)

    def loss():
        return field(0.0, x, topology).square().sum()

    for value in field.parameters():
        value.requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(), value)
        value.requires_grad_(False)
        step = 1e-6 * normal(*value.shape, seed=9)
        value.add_(step)
        ahead = loss()
        value.sub_(2 * step)
        change = (ahead - loss()) / 2
        value.add_(step)
        assert float((slope * step).sum()) == pytest.approx(float(change), rel=1e-5, abs=1e-13)


def test_a_pendulum_is_learned_from_its_accelerations(seeded):
    """dv/dt = −4 sin q, from 200 states; judged at others, turns beyond the data included."""
    field = LagrangianField(dim=2, width=12, depth=1, angles=[0]).double()
    x, unseen, topology = 1.5 * normal(200, 2), 1.5 * normal(200, 2, seed=1), Topology.isolated(200)

    def error(states):
        acceleration = field(0.0, states, topology)[:, 1]
        return (acceleration + 4 * states[:, 0].sin()).square().mean()

    with torch.no_grad():
        field.standardize(x, field(0.0, x, topology))
        before = float(error(unseen))
    optimizer = torch.optim.LBFGS(field.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = error(x)
        value.backward()
        return value

    optimizer.step(loss)
    turned = unseen + torch.tensor([20 * math.pi, 0.0], dtype=torch.float64)
    assert before > 1
    assert float(error(turned).detach()) < 1e-4


@pytest.mark.parametrize("dim", [3, 0, -2])
def test_a_state_without_halves_is_refused(dim):
    with pytest.raises(ConfigError, match=f"dim must be even and positive, got {dim}"):
        LagrangianField(dim=dim)


@pytest.mark.parametrize("argument", ["width", "depth"])
def test_a_network_without_neurons_is_refused(argument):
    with pytest.raises(ConfigError, match=f"{argument} must be at least 1, got 0"):
        LagrangianField(dim=2, **{argument: 0})
