"""SympNets, Hénon nets and generalised HNN: exactly symplectic, undone exactly, trainable."""

import contextlib

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import GHNN, GSympNet, HenonNet, LASympNet, SplitField
from simlearn.integrators import SymplecticEuler
from simlearn.simulator import Simulator
from simlearn.state import Topology

KINDS = {
    "LASympNet": lambda dim: LASympNet(dim, layers=3, sublayers=3),
    "GSympNet": lambda dim: GSympNet(dim, layers=4, width=8),
    "HenonNet": lambda dim: HenonNet(dim, layers=2, width=8),
    "HenonNet, one V": lambda dim: HenonNet(dim, layers=2, width=8, tied=True),
    "GHNN": lambda dim: GHNN(dim, layers=2, width=8),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def loud(kind, dim=4, units=True):
    """Random weights, larger than at the start of training, in units that are not 1."""
    net = KINDS[kind](dim).double().requires_grad_(False)
    for k, value in enumerate(net.parameters()):
        value.copy_(0.7 * normal(*value.shape, seed=k))
    if units:
        stretch = torch.logspace(-1, 1, dim, dtype=torch.float64)
        net.standardize(2 + stretch * normal(50, 1, dim), 3 * stretch * normal(50, 1, dim, seed=1))
    return net


def omega(dim):
    half = torch.eye(dim // 2, dtype=torch.float64)
    return torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), half)


@kinds
@pytest.mark.parametrize("dim", [2, 4, 6])
@pytest.mark.parametrize("dt", [0.4, -0.4])
@pytest.mark.parametrize("units", [False, True])
def test_the_jacobian_is_symplectic_for_random_weights(seeded, kind, dim, dt, units):
    net, x, one = loud(kind, dim, units), normal(5, 1, dim, seed=3), Topology.isolated(1)
    form, jacobians = (
        omega(dim),
        torch.stack(
            [
                torch.func.jacrev(lambda s: net(0.0, s, dt, one))(state).reshape(dim, dim)
                for state in x
            ]
        ),
    )
    assert (jacobians - torch.eye(dim, dtype=torch.float64)).abs().max() > 0.005
    assert (jacobians.mT @ form @ jacobians - form).abs().max() < 1e-10


@kinds
@pytest.mark.parametrize("dt", [0.3, -0.7, "rows"])
def test_the_inverse_undoes_a_step(seeded, kind, dt):
    net, x, topology = loud(kind), normal(6, 4, seed=3), Topology.isolated(6)
    step = 0.3 * normal(6, 1, seed=5) if dt == "rows" else dt
    there = net(0.0, x, step, topology)
    assert (there - x).abs().max() > 0.05
    for back in (net.inverse(0.0, there, step, topology), net(0.0, x, 0.0, topology)):
        torch.testing.assert_close(back, x, rtol=1e-12, atol=1e-12)


@kinds
def test_every_row_may_have_a_step_of_its_own(seeded, kind):
    net, x, topology = loud(kind), normal(3, 4, seed=3), Topology.isolated(3)
    steps = torch.tensor([[0.1], [-0.2], [0.9]], dtype=torch.float64)
    together = net(0.0, x, steps, topology)
    for k, dt in enumerate(steps.flatten().tolist()):
        alone = net(0.0, x[k : k + 1], dt, Topology.isolated(1))
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("tied", [False, True])
def test_a_henon_layer_is_four_henon_maps(seeded, tied):
    net, x = HenonNet(2, 2, 8, tied=tied).double().requires_grad_(False), normal(4, 2)
    y = x
    for stage in net.stages():
        stage.shift.copy_(normal(1, seed=2))
        for turn in range(4):
            hidden, last = stage.slopes[0 if tied else turn % 2].net.layers
            q, p = y.unbind(-1)
            bend = 1 / torch.cosh(p[:, None] * hidden.weight.T + hidden.bias) ** 2
            push = (last.weight * hidden.weight.T * bend).sum(-1)  # d/dp of last · tanh(hidden)
            y = torch.stack([p + stage.shift, -q + 0.3 / 2 * push], dim=-1)
    torch.testing.assert_close(net(0.0, x, 0.3, Topology.isolated(4)), y, rtol=1e-12, atol=1e-12)


def test_one_potential_in_a_henon_layer_ties_kinetic_to_potential_energy(seeded):
    """To first order in h a layer of one V has T(s) = U(−s); one of two has not."""
    x = normal(1, 2)
    for tied in (True, False):
        net = HenonNet(2, 2, 8, tied=tied).double().requires_grad_(False)
        turned = torch.stack([-x[:, 1], -x[:, 0]], dim=-1)
        here, there = ((net(0.0, s, 1e-6, Topology.isolated(1)) - s) / 1e-6 for s in (x, turned))
        gap = (here - there.flip(-1)).abs().max()
        assert bool(gap < 1e-5) is tied, float(gap)


class Separable(SplitField):
    """The Hamiltonian of one layer of a GHNN."""

    def __init__(self, kick, drift):
        super().__init__()
        self.first, self.second, self.dim = kick, drift, 4

    def drift(self, p, topology):
        return self.second.gradient(p)

    def kick(self, t, q, topology):
        return self.first.gradient(q)

    def energy(self, x, topology):
        raise NotImplementedError


def test_a_ghnn_is_symplectic_euler_on_one_energy_after_the_other(seeded):
    net, x, topology = loud("GHNN", units=False), normal(3, 4), Topology.isolated(3)
    y, stages = x, net.stages()
    for kick, drift in zip(stages[::2], stages[1::2], strict=True):
        field = Separable(kick, drift)
        carry = SymplecticEuler().start(field, 0.0, y, topology)
        y, _ = SymplecticEuler().step(field, 0.0, y, 0.4 / net.layers, topology, carry)
    torch.testing.assert_close(net(0.0, x, 0.4, topology), y, rtol=1e-14, atol=1e-14)
    assert (y - x).abs().max() > 0.05


def test_a_linear_module_is_a_product_of_shears(seeded):
    net = LASympNet(2, layers=1, sublayers=2).double().requires_grad_(False)
    for stage in net.stages()[2:]:
        for value in stage.parameters():
            value.zero_()
    a, b = (2 * stage.gradient.matrix for stage in net.stages()[:2])
    wanted = torch.stack([torch.stack([1 + 0.04 * a * b, 0.2 * b]),
                          torch.stack([0.2 * a, torch.ones_like(a)])]).squeeze()  # fmt: skip
    x = normal(3, 2)
    found = net(0.0, x, 0.2, Topology.isolated(3))
    torch.testing.assert_close(found, x @ wanted.T, rtol=1e-12, atol=1e-12)


@kinds
def test_units_of_length_momentum_and_time_change_nothing(seeded, kind):
    """Data in other units, standardized, are stepped as before."""
    x, slope = normal(40, 1, 4), normal(40, 1, 4, seed=1)
    net, other = loud(kind, units=False), loud(kind, units=False)
    other.load_state_dict(net.state_dict())
    stretch = torch.tensor([5.0, 0.1, 0.02, 1.0], dtype=torch.float64)  # q_i p_i by 0.1 each
    net.standardize(x, slope)
    other.standardize(7 + stretch * x, stretch * slope / 60)
    topology = Topology.isolated(40)
    there = net(0.0, x[:, 0], 0.1, topology)
    elsewhere = other(0.0, 7 + stretch * x[:, 0], 6.0, topology)
    torch.testing.assert_close(elsewhere, 7 + stretch * there, rtol=1e-10, atol=1e-10)


@kinds
def test_it_runs_in_every_mode_of_autograd(seeded, kind):
    net, x, topology = loud(kind), normal(5, 3, 4), Topology.isolated(3)

    def step(state):
        return net(0.0, state, 0.2, topology)

    wanted = torch.stack([step(one) for one in x])
    torch.testing.assert_close(torch.func.vmap(step)(x), wanted)
    push = normal(3, 4, seed=4)
    _, slope = torch.func.jvp(step, (x[0],), (push,))
    jacobian = torch.func.jacrev(step)(x[0])
    torch.testing.assert_close(slope, torch.einsum("abcd,cd->ab", jacobian, push))
    for mode in (torch.no_grad, torch.inference_mode, contextlib.nullcontext):
        with mode():
            assert torch.equal(step(x[0]), wanted[0])
    found = net.float()(0.0, x[0].float(), 0.2, topology)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted[0], rtol=1e-4, atol=1e-4)


def after(x, time, steps):
    """A pendulum after so many leapfrog steps."""
    q, p = x.unbind(-1)
    h = time / steps
    for _ in range(steps):
        p = p - h / 2 * q.sin()
        q = q + h * p
        p = p - h / 2 * q.sin()
    return torch.stack([q, p], dim=-1)


def swings(step, count, seed):
    """One step of pendulums from random states."""
    rng = torch.Generator().manual_seed(seed)
    x = 3 * torch.rand(count, 2, generator=rng, dtype=torch.float64) - 1.5
    return x, after(x, step, 100)


def learn(net, x, y, dt, steps):
    """Least squares on single steps, by L-BFGS."""
    optimizer = torch.optim.LBFGS(
        net.parameters(),
        max_iter=steps,
        history_size=50,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-14,
        tolerance_change=1e-18,
    )
    topology = Topology.isolated(len(x))

    def closure():
        optimizer.zero_grad()
        loss = (net(0.0, x, dt, topology) - y).div(dt).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)


FITTED = {
    "LASympNet": lambda: LASympNet(2),
    "GSympNet": lambda: GSympNet(2, layers=4, width=8),
    "HenonNet": lambda: HenonNet(2, layers=2, width=10),
    "GHNN": lambda: GHNN(2, layers=2, width=10, depth=1),
}


@pytest.mark.parametrize("kind", FITTED)
def test_one_step_of_a_pendulum_is_learned(seeded, kind):
    net, (x, y), (a, b) = (
        FITTED[kind]().double(),
        swings(0.1, 100, seed=1),
        swings(0.1, 100, seed=2),
    )
    net.standardize(x, (y - x) / 0.1)
    learn(net, x, y, 0.1, 90)
    with torch.no_grad():
        error = (net(0.0, a, 0.1, Topology.isolated(100)) - b).square().mean()
    assert error < 1e-3 * (b - a).square().mean(), float(error)


def test_the_pendulum_of_the_sympnets_is_learned_from_forty_steps(seeded):
    """Its protocol: 40 steps of 0.1 from (q, p) = (1, 0), tested on the next hundred.

    The paper takes 50 000 steps of Adam; 300 of L-BFGS end at a test error of 8e-10.
    """
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    path = [x]
    for _ in range(1040):
        path.append(after(path[-1], 0.1, 20))
    path = torch.cat(path)
    net = LASympNet(2, layers=3, sublayers=2).double()
    learn(net, path[:40], path[1:41], 0.1, 300)
    with torch.no_grad():
        test = (net(0.0, path[40:140], 0.1, Topology.isolated(100)) - path[41:141]).square().mean()
        rolled = Simulator(net, None, 0.1).rollout(path[40:41], 1000).x[:, 0]
    energy = rolled[:, 1] ** 2 / 2 + 1 - rolled[:, 0].cos()
    assert test < 5e-8
    assert (energy - energy[0]).square().mean() < 1e-6


def test_steps_of_other_lengths_are_steps_of_nearly_the_same_flow(seeded):
    """A map trained at 0.1 steps by 0.05, too: the step stands inside its shears."""
    net, (x, y) = GHNN(2, 1, 10, 1).double(), swings(0.1, 60, seed=1)
    learn(net, x, y, 0.1, 80)
    with torch.no_grad():
        once = Simulator(net, None, 0.1).rollout(x, 20).x[-1]
        twice = Simulator(net, None, 0.05).rollout(x, 40).x[-1]
    assert (once - x).abs().mean() > 0.5
    assert (once - twice).abs().mean() < 0.1


@pytest.mark.parametrize("kind", [LASympNet, GSympNet, HenonNet, GHNN])
@pytest.mark.parametrize("dim", [3, 0])
def test_a_state_without_halves_is_refused(kind, dim):
    with pytest.raises(ConfigError, match=f"dim must be even and positive, got {dim}"):
        kind(dim)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [(LASympNet, "sublayers"), (GSympNet, "width"), (HenonNet, "depth"), (GHNN, "layers")],
)
def test_a_chain_without_links_is_refused(kind, argument):
    with pytest.raises(ConfigError, match=f"{argument} must be at least 1, got 0"):
        kind(2, **{argument: 0})


@pytest.mark.parametrize("kind", [LASympNet, GSympNet, HenonNet, GHNN])
def test_it_says_what_it_is(kind):
    assert kind.symplectic
    assert kind.any_step
