"""The reversible gradient is the full one, needs no stored steps, and says when it is wrong."""

import warnings

import pytest
import torch

from simlearn import ConfigError, Simulator, SplitField, Topology
from simlearn.dynamics import Energy, LinearMap, SeparableEnergy
from simlearn.integrators import (
    RK4,
    DiscreteGradient,
    ImplicitMidpoint,
    Leapfrog,
    SymplecticEuler,
    Tao,
    Tao4,
    Yoshida4,
    Yoshida6,
)
from simlearn.simulator import RebuildWarning

SCHEMES = [Leapfrog(), Yoshida4(), Yoshida6(), Tao(2.0), Tao4(2.0)]
SCHEMES += [ImplicitMidpoint(), DiscreteGradient()]


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def slopes(simulator, x0, steps, gradient, every=1, t0=0.0):
    """Gradients of a loss on all kept states, one after the other in a vector."""
    x0 = x0.clone().requires_grad_()
    x = simulator.rollout(x0, steps, every=every, gradient=gradient, t0=t0).x
    weights = normal(*x.shape, seed=5).to(x)
    inputs = [x0, *simulator.parameters()]
    found = torch.autograd.grad((weights * x**2).sum(), inputs)
    return torch.cat([one.flatten() for one in found])


def apart(a, b):
    assert b.norm() > 1e-3
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("every", [1, 4, 10])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: type(s).__name__)
def test_it_is_the_full_gradient(seeded, scheme, every):
    """At every kept state, also where steps are left over after the last."""
    simulator, x0 = Simulator(SeparableEnergy(dim=4, width=8).double(), scheme, 0.1), normal(3, 4)
    full = slopes(simulator, x0, 10, "full", every)
    assert apart(slopes(simulator, x0, 10, "reversible", every), full) < 1e-12


@pytest.mark.parametrize("scheme", [Tao(2.0), ImplicitMidpoint()], ids=lambda s: type(s).__name__)
def test_it_is_the_full_gradient_of_an_energy_that_does_not_split(seeded, scheme):
    simulator, x0 = Simulator(Energy(dim=4, width=8).double(), scheme, 0.1), normal(3, 4)
    full = slopes(simulator, x0, 20, "full", 20)
    assert apart(slopes(simulator, x0, 20, "reversible", 20), full) < 1e-12


class Driven(SplitField):
    """A spring whose stiffness is a weight, pushed by cos t; its drift has no weights."""

    autonomous = False
    dim = 2

    def __init__(self):
        super().__init__()
        self.stiffness = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))

    def drift(self, p, topology):
        return p

    def kick(self, t, q, topology):
        return torch.as_tensor(t, dtype=q.dtype).cos() - self.stiffness * q

    def energy(self, x, topology):
        raise NotImplementedError


@pytest.mark.parametrize("scheme", [Leapfrog(), Yoshida4(), Tao()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("rows", [False, True])
def test_forces_that_depend_on_time_are_asked_at_the_same_times(scheme, rows):
    simulator, t0 = Simulator(Driven(), scheme, 0.1), 0.7
    if rows:
        t0 = torch.tensor([[0.7], [2.0], [-1.0]], dtype=torch.float64)
    full = slopes(simulator, normal(3, 2), 15, "full", 5, t0)
    assert apart(slopes(simulator, normal(3, 2), 15, "reversible", 5, t0), full) < 1e-12


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_a_thousand_steps_to_the_last_state(seeded, dtype, limit):
    simulator, x0 = Simulator(SeparableEnergy(dim=4, width=16), Leapfrog(), 0.05), normal(4, 4)
    simulator, x0 = simulator.to(dtype), x0.to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RebuildWarning)
        found = slopes(simulator, x0, 1000, "reversible", 1000)
    assert apart(found, slopes(simulator, x0, 1000, "full", 1000)) < limit


def test_what_is_saved_does_not_grow_with_the_steps(seeded):
    simulator = Simulator(SeparableEnergy(dim=4, width=16).double(), Leapfrog(), 0.05)

    def saved(steps, gradient):
        sizes = []
        keep = torch.autograd.graph.saved_tensors_hooks(
            lambda t: (sizes.append(t.numel()), t)[1], lambda t: t
        )
        start = normal(4, 4).requires_grad_()
        with keep:
            simulator.rollout(start, steps, every=steps, gradient=gradient)
        return sum(sizes)

    assert saved(10, "reversible") == saved(200, "reversible")
    assert saved(200, "full") > 10 * saved(10, "full") > saved(10, "reversible")


class Chaos(SplitField):
    """A spring and a force of many hills: neighbours part quickly."""

    dim = 4

    def __init__(self):
        super().__init__()
        self.depth = torch.nn.Parameter(torch.tensor(20.0, dtype=torch.float64))

    def drift(self, p, topology):
        return p

    def kick(self, t, q, topology):
        turned = q.flip(-1)
        return self.depth * (3 * q).sin() * (3 * turned).cos() - q

    def energy(self, x, topology):
        raise NotImplementedError


def test_it_warns_where_the_start_cannot_be_rebuilt_and_kept_states_help():
    simulator, x0 = Simulator(Chaos(), Leapfrog(), 0.1), normal(6, 4)
    with pytest.warns(RebuildWarning, match=r"over 1000 steps are off by .*every < 1000"):
        slopes(simulator, x0, 1000, "reversible", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RebuildWarning)
        slopes(simulator, x0, 1000, "reversible", 20)


def test_a_rollout_that_blows_up_has_no_gradient_and_still_a_status():
    simulator = Simulator(Driven(), Leapfrog(), 5.0)
    x0 = normal(3, 2).requires_grad_()
    found = simulator.rollout(x0, 1000, every=10, gradient="reversible")
    assert (found.status, found.x.shape) == ("diverged", (101, 3, 2))
    (slope,) = torch.autograd.grad(found.x[-1].sum(), x0)
    assert slope.isnan().all()


def test_without_anything_to_learn_it_is_a_plain_rollout(seeded):
    simulator = Simulator(SeparableEnergy(dim=4, width=8).double(), Leapfrog(), 0.1)
    with torch.no_grad():
        found = simulator.rollout(normal(3, 4), 20, every=3, gradient="reversible")
    assert torch.equal(found.x, simulator.rollout(normal(3, 4), 20, every=3).x)
    assert not found.x.requires_grad
    assert torch.equal(simulator.rollout(normal(3, 4), 0, gradient="reversible").x[0], normal(3, 4))


@pytest.mark.parametrize(
    ("make", "given", "told"),
    [
        (lambda: (Driven(), RK4()), {}, "RK4 cannot be run backwards"),
        (lambda: (Driven(), SymplecticEuler()), {}, "SymplecticEuler cannot be run backwards"),
        (lambda: (LinearMap(2).double(), None), {}, "A map cannot be run backwards"),
        (lambda: (Driven(), Leapfrog()), {"inputs": torch.zeros(4, 3, 1)}, "takes no inputs"),
        (lambda: (Driven(), Leapfrog()), {"gradient": "adjoint"}, "must be"),
    ],
)
def test_it_refuses_what_cannot_be_run_backwards(make, given, told):
    dynamics, scheme = make()
    simulator = Simulator(dynamics, scheme, 0.1)
    with pytest.raises(ConfigError, match=told):
        simulator.rollout(normal(3, 2), 4, **{"gradient": "reversible", **given})


def test_weights_that_were_swapped_in_are_refused():
    """functional_call takes them out again before the backward pass."""

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.simulator = Simulator(Driven(), Leapfrog(), 0.1)

        def forward(self, x0):
            return self.simulator.rollout(x0, 5, every=5, gradient="reversible").x[-1].sum()

    loss = Loss()
    other = {name: v.detach().clone().requires_grad_() for name, v in loss.named_parameters()}
    value = torch.func.functional_call(loss, other, (normal(3, 2),))
    with pytest.raises(ConfigError, match="not those of the rollout any more"):
        value.backward()


def test_graphs_keep_their_topology(seeded):
    simulator = Simulator(SeparableEnergy(dim=4, width=8).double(), Leapfrog(), 0.1)
    x0, topology = normal(3, 4).requires_grad_(), Topology.complete(3)
    found = [
        torch.autograd.grad(simulator.rollout(x0, 8, topology, gradient=way).x.sum(), x0)[0]
        for way in ("full", "reversible")
    ]
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


class Tuned(Driven):
    """The spring with a stiffness of each system, from outside."""

    autonomous = True

    def kick(self, t, q, topology):
        return -self.stiffness * topology.per_row(topology.system_attr) * q - topology.node_attr


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize(
    "scheme", [Leapfrog(), Tao(), ImplicitMidpoint()], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("frozen", [False, True])
def test_attributes_of_the_topology_have_their_gradient(scheme, every, frozen):
    """Also where they are made of the weights, whose own gradient must not count twice."""
    simulator = Simulator(Tuned().requires_grad_(not frozen), scheme, 0.1)
    found = []
    for way in ("full", "reversible"):
        factor, push = normal(3, 1, seed=1).requires_grad_(), normal(3, 1, seed=2).requires_grad_()
        system = 1 + factor**2 * simulator.dynamics.stiffness
        topology = Topology.isolated(3).replace(system_attr=system, node_attr=push)
        x = simulator.rollout(normal(3, 2), 15, topology, every=every, gradient=way).x
        assert x.requires_grad
        wanted = [factor, push, *([] if frozen else simulator.parameters())]
        slopes = torch.autograd.grad((normal(*x.shape, seed=5) * x**2).sum(), wanted)
        assert all(float(one.norm()) > 1e-3 for one in slopes)
        found.append(torch.cat([one.flatten() for one in slopes]))
    assert apart(found[1], found[0]) < 1e-12


def test_it_refuses_gradients_that_it_would_lose():
    simulator, t0 = Simulator(Driven(), Leapfrog(), 0.1), torch.zeros(3, 1, dtype=torch.float64)
    with pytest.raises(ConfigError, match=r'no gradient of t0\. Use gradient="full"'):
        simulator.rollout(normal(3, 2), 4, t0=t0.requires_grad_(), gradient="reversible")
    with torch.no_grad():
        simulator.rollout(normal(3, 2), 4, t0=t0, gradient="reversible")
    simulator.dynamics.register_buffer("mass", torch.ones(1).requires_grad_())
    with pytest.raises(ConfigError, match="no gradient of the buffer mass"):
        simulator.rollout(normal(3, 2), 4, gradient="reversible")
