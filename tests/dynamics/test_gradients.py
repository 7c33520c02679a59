"""Gradients written by hand against automatic differentiation, in every autograd mode."""

import contextlib

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import Energy, SeparableEnergy, gradient_of
from simlearn.dynamics.neural import TanhNet
from simlearn.state import Topology


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sizes", [[3, 1], [1, 8, 1], [4, 16, 16, 1], [2, 5, 7, 3, 1]])
@pytest.mark.parametrize("rows", [1, 6])
def test_the_networks_own_gradient_equals_autograd(seeded, sizes, rows):
    net = TanhNet(sizes).double()
    x = normal(rows, sizes[0]).requires_grad_()
    (wanted,) = torch.autograd.grad(net(x).sum(), x)
    close(net.gradient(x), wanted)
    assert wanted.abs().max() > 1e-3


def test_the_networks_own_gradient_has_the_right_derivative_itself(seeded):
    net = TanhNet([2, 8, 8, 1]).double()
    x = normal(1, 2)
    hessian = torch.autograd.functional.hessian(lambda s: net(s).sum(), x)
    close(torch.func.jacrev(net.gradient)(x), hessian)


@pytest.mark.parametrize(
    "topology",
    [Topology.isolated(6), Topology.complete(3).repeat(2)],
    ids=["vectors", "graphs"],
)
def test_the_gradient_of_an_energy_is_the_shared_one(seeded, topology):
    field = Energy(dim=4, width=16).double()
    x = normal(6, 4)
    close(field.gradient(x, topology), gradient_of(lambda s: field.energy(s, topology), x))


def test_a_hamiltonian_field_turns_the_gradient(seeded):
    field = Energy(dim=4, width=16).double()
    x, topology = normal(3, 4), Topology.isolated(3)
    dh = gradient_of(lambda s: field.energy(s, topology), x)
    close(field(0.0, x, topology), torch.cat([dh[:, 2:], -dh[:, :2]], dim=1))


def test_a_separable_energy_turns_the_gradients_of_its_parts(seeded):
    field = SeparableEnergy(dim=4, width=16).double()
    x, topology = normal(3, 4), Topology.isolated(3)
    dh = gradient_of(lambda s: field.energy(s, topology), x)
    close(field(0.0, x, topology), torch.cat([dh[:, 2:], -dh[:, :2]], dim=1))


@pytest.mark.parametrize(
    "mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode], ids=lambda m: m.__name__
)
def test_a_gradient_is_found_in_every_autograd_mode(mode):
    matrix = normal(4, 4)
    x = normal(3, 4)
    with mode():
        found = gradient_of(lambda s: 0.5 * ((s @ matrix) * s).sum(-1), x)
    close(found.clone(), 0.5 * x @ (matrix + matrix.T))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=lambda m: m.__name__)
def test_a_field_of_learned_energy_moves_without_a_graph(seeded, mode):
    field = Energy(dim=2, width=8).double()
    x, topology = normal(3, 2), Topology.isolated(3)
    wanted = field(0.0, x, topology).detach()
    with mode():
        assert torch.equal(field(0.0, x, topology), wanted)


def test_a_gradient_can_be_trained_through(seeded):
    field = Energy(dim=2, width=8).double()
    x, topology = normal(3, 2), Topology.isolated(3)
    found = []
    for slope in (
        field(0.0, x, topology),
        gradient_of(lambda s: field.energy(s, topology), x),
    ):
        loss = slope.square().sum()
        found.append(torch.autograd.grad(loss, list(field.parameters()), materialize_grads=True))
    for by_hand, by_autograd in zip(*found, strict=True):
        close(by_hand, by_autograd)
    assert max(float(g.abs().max()) for g in found[0]) > 1e-4


@pytest.mark.parametrize("kind", [Energy, SeparableEnergy])
@pytest.mark.parametrize("dim", [3, 1, 0, -2])
def test_an_energy_refuses_a_state_that_has_no_halves(kind, dim):
    with pytest.raises(ConfigError, match=f"dim must be even and positive, got {dim}"):
        kind(dim=dim)


@pytest.mark.parametrize("kind", [Energy, SeparableEnergy])
@pytest.mark.parametrize("argument", ["width", "depth"])
def test_an_energy_refuses_a_network_without_neurons(kind, argument):
    with pytest.raises(ConfigError, match=f"{argument} must be at least 1, got 0"):
        kind(dim=2, **{argument: 0})


@pytest.mark.parametrize("kind", [Energy, SeparableEnergy])
def test_the_symplectic_form_lives_where_the_topology_does(kind):
    form = kind(dim=2).form(Topology.isolated(3).to("meta"))
    assert form.shape == (3,)
    assert form.device.type == "meta"
