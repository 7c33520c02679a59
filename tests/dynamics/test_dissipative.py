"""Port-Hamiltonian and Rayleigh fields: for any weights energy falls by what they say."""

import contextlib

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import (
    Energy,
    MLPField,
    Newtonian,
    PortHamiltonian,
    RayleighField,
    SeparableEnergy,
    SplitField,
)
from simlearn.integrators import RK4
from simlearn.simulator import Simulator
from simlearn.state import Topology
from simlearn_mechanics import DampedPendulumLaw, PendulumLaw


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def states(rows, dim, seed=0, units=True):
    """States in columns of different units."""
    stretch = torch.logspace(-1, 1, dim, dtype=torch.float64)
    x = normal(rows, dim, seed=seed)
    return 2 + stretch * x if units else x


def loud(field, units=True):
    """Random weights, larger than at the start of training; in units of `states`."""
    field = field.double().requires_grad_(False)
    for k, value in enumerate(field.parameters()):
        value.copy_(0.7 * normal(*value.shape, seed=k))
    if units:
        x, inputs = states(50, field.dim)[:, None], getattr(field, "inputs", 0)
        drive = 4 * normal(50, 1, inputs, seed=2) if inputs else None
        field.standardize(x, 3 * (states(50, field.dim, seed=1)[:, None] - 2), drive)
    return field


def power(field, x, topology):
    """dH/dt by automatic differentiation, and the size of the terms in it, ``[systems]``."""
    gradient = torch.func.grad(lambda s: field.energy(s, topology).sum())(x)
    terms = gradient * field(0.0, x, topology)
    return terms.sum(-1), terms.abs().sum(-1)


@pytest.mark.parametrize("dim", [2, 4, 6])
@pytest.mark.parametrize("dissipation", ["constant", "state"])
@pytest.mark.parametrize("control", ["constant", "state"])
@pytest.mark.parametrize("units", [False, True])
def test_a_port_hamiltonian_is_passive(seeded, dim, dissipation, control, units):
    """dH/dt = yᵀu − |Lᵀ∇H|², so never more than is supplied, to rounding of its terms."""
    field = PortHamiltonian(dim, 2, 8, 2, dissipation=dissipation, control=control)
    field, x = loud(field, units), states(40, dim, 3, units)
    topology = Topology.isolated(40).replace(inputs=normal(40, 2, seed=4))
    found, size = power(field, x, topology)
    supplied = (field.output(x, topology) * topology.inputs).sum(-1)
    root, gradient = field.root(x), field.gradient(x, topology)
    lost = (root.mT @ gradient[..., None]).square().sum((-2, -1))
    assert (supplied > 0).any()
    assert lost.min() > 0
    assert ((found - supplied + lost).abs() / (size + supplied.abs() + lost)).max() < 1e-12
    still = topology.replace(inputs=torch.zeros(40, 2, dtype=torch.float64))
    assert (power(field, x, still)[0] < 0).all()


def test_dissipation_is_symmetric_and_positive_and_the_rest_turns(seeded):
    field = loud(PortHamiltonian(4, width=8))
    x, topology = states(30, 4), Topology.isolated(30)
    root = field.root(x)
    r = root @ root.mT
    assert torch.equal(r, r.mT)
    assert torch.linalg.eigvalsh(r).min() > -1e-12 * r.abs().max()
    dq, dp = field.gradient(x, topology).chunk(2, dim=-1)
    turned = torch.cat([dp, -dq], dim=-1)
    lost = (r @ field.gradient(x, topology)[..., None]).squeeze(-1)
    torch.testing.assert_close(field(0.0, x, topology), turned - lost, rtol=1e-10, atol=1e-12)


def test_no_input_is_no_push(seeded):
    """Standardizing scales the input and never shifts it."""
    field, free = (loud(PortHamiltonian(2, n, 8), units=False) for n in (1, 0))
    x, topology = normal(5, 2), Topology.isolated(5)
    drive = 7 + normal(50, 1, 1)
    field.standardize(normal(50, 1, 2), normal(50, 1, 2, seed=1), drive)
    free.standardize(normal(50, 1, 2), normal(50, 1, 2, seed=1))
    field.net.load_state_dict(free.net.state_dict())
    field.root.load_state_dict(free.root.state_dict())
    still = topology.replace(inputs=torch.zeros(5, 1, dtype=torch.float64))
    assert torch.equal(field(0.0, x, still), free(0.0, x, topology))
    pushed = topology.replace(inputs=torch.ones(5, 1, dtype=torch.float64))
    assert (field(0.0, x, pushed) - field(0.0, x, still)).abs().min() > 1e-3


RAYLEIGH = {
    "constant": lambda: RayleighField(SeparableEnergy(4, 8), 8, friction="constant"),
    "position": lambda: RayleighField(Energy(4, 8), 8),
    "state": lambda: RayleighField(SeparableEnergy(4, 8), 8, friction="state", least=0.2),
}


@pytest.mark.parametrize("friction", RAYLEIGH)
@pytest.mark.parametrize("units", [False, True])
def test_friction_takes_the_energy_that_rayleigh_says(seeded, friction, units):
    """dH/dt = −q̇ᵀ C q̇, C symmetric and at least `least`; the friction leaves dq/dt alone."""
    field, x = loud(RAYLEIGH[friction](), units), states(40, 4, 3, units)
    topology = Topology.isolated(40)
    found, size = power(field, x, topology)
    dq, dp = field(0.0, x, topology).chunk(2, dim=-1)
    c = field.resistance(x)
    wanted = -torch.einsum("ni,nij,nj->n", dq, c, dq)
    assert (wanted < 0).all()
    assert ((found - wanted).abs() / size).max() < 1e-12
    assert torch.equal(c, c.mT)
    assert torch.linalg.eigvalsh(c).min() >= field.least - 1e-12 * c.abs().max()
    bare_dq, bare_dp = field.conservative(0.0, x, topology).chunk(2, dim=-1)
    assert torch.equal(dq, bare_dq)
    assert (dp - bare_dp).abs().mean() > 1e-3


class Bodies(SplitField):
    """Two bodies of masses 1 and 50 in springs of their own, in the (q, v) chart."""

    dim = 4

    def drift(self, p, topology):
        return p

    def kick(self, t, q, topology):
        return -q / self.form(topology)[:, None]

    def energy(self, x, topology):
        q, v = x.chunk(2, dim=-1)
        return topology.per_system((q * q).sum(-1) + self.form(topology) * (v * v).sum(-1)) / 2

    def form(self, topology):
        return torch.tensor([1.0, 50.0], dtype=torch.float64)


def test_friction_of_bodies_with_masses_takes_their_energy(seeded):
    """In the (q, v) chart the force is divided by the mass of its row."""
    field = loud(RayleighField(Bodies(), 8), units=False)
    x, pair = normal(2, 4, seed=5), Topology.complete(2)
    v = x[:, 2:]
    wanted = -torch.einsum("ni,nij,nj->", v, field.resistance(x), v)
    torch.testing.assert_close(power(field, x, pair)[0].sum(), wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(field.form(pair), Bodies().form(pair))


def test_the_friction_of_a_known_pendulum_is_found(seeded):
    """With H given, one matrix is fitted: γ of the truth."""
    field = RayleighField(PendulumLaw(), friction="constant").double()
    x, topology = 1.5 * normal(50, 2), Topology.isolated(50)
    slope = DampedPendulumLaw(damping=0.17)(0.0, x, topology)
    fit(field, x, slope, topology, 40)
    assert float(field.resistance(x[:1]).detach()) == pytest.approx(0.17, rel=1e-6)


def fit(field, x, slope, topology, steps):
    """Least squares on slopes, each column in its own size."""
    size = slope.square().mean(0).sqrt()
    optimizer = torch.optim.LBFGS(
        field.parameters(),
        max_iter=steps,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
    )

    def closure():
        optimizer.zero_grad()
        loss = ((field(0.0, x, topology) - slope) / size).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)


def pushed_pendulum(count, seed, torque):
    """States of a damped pendulum with their slopes and torques; milliradians, minutes."""
    units = torch.tensor([1e3, 1e-2], dtype=torch.float64)
    rng = torch.Generator().manual_seed(seed)
    x = 3 * torch.rand(count, 2, generator=rng, dtype=torch.float64) - 1.5
    drive = torque * normal(count, 1, seed=seed)
    topology = Topology.isolated(count).replace(inputs=drive)
    slope = DampedPendulumLaw(damping=0.3)(0.0, x, topology)
    return x * units, slope * units * 60, topology


LEARNED = {
    "port, constant": lambda: PortHamiltonian(2, 1, 12, dissipation="constant"),
    "port, state": lambda: PortHamiltonian(2, 1, 12, control="state"),
    "rayleigh": lambda: RayleighField(SeparableEnergy(2, 12), 8),
}


@pytest.mark.parametrize("kind", LEARNED)
def test_a_damped_pendulum_is_learned_in_any_units(seeded, kind):
    """Slopes at states not seen, with the torque where the field sees one."""
    field, torque = LEARNED[kind]().double(), float("port" in kind)
    x, slope, topology = pushed_pendulum(100, 1, torque)
    field.standardize(x[:, None], slope[:, None], topology.inputs[:, None] if torque else None)
    fit(field, x, slope, topology, 150)
    x, slope, topology = pushed_pendulum(100, 2, torque)
    with torch.no_grad():
        error = (field(0.0, x, topology) - slope).square().mean(0) / slope.square().mean(0)
    assert error.max() < 1e-4, error


def test_energy_falls_along_a_free_rollout_and_the_port_moves_it(seeded):
    field = loud(PortHamiltonian(2, 1, 8), units=False)
    simulator, x = Simulator(field, RK4(), 0.02), normal(5, 2)
    none = torch.zeros(400, 5, 1, dtype=torch.float64)
    free = simulator.rollout(x, 400, inputs=none)
    energy = torch.stack([field.energy(s, free.topology) for s in free.x])
    assert (energy.diff(dim=0) <= 1e-12).all()
    assert (energy[0] - energy[-1]).min() > 1e-2
    pushed = simulator.rollout(x, 400, inputs=none + 1.0)
    assert (pushed.x[-1] - free.x[-1]).abs().min() > 1e-3


FIELDS = {
    "port": lambda: PortHamiltonian(4, width=8),
    "port, constant": lambda: PortHamiltonian(4, width=8, dissipation="constant"),
    **RAYLEIGH,
}


@pytest.mark.parametrize("kind", FIELDS)
def test_it_runs_in_every_mode_of_autograd(seeded, kind):
    field, x, topology = loud(FIELDS[kind](), False), normal(5, 3, 4), Topology.isolated(3)

    def slope(state):
        return field(0.0, state, topology)

    wanted = torch.stack([slope(one) for one in x])
    torch.testing.assert_close(torch.func.vmap(slope)(x), wanted)
    push = normal(3, 4, seed=4)
    _, turned = torch.func.jvp(slope, (x[0],), (push,))
    jacobian = torch.func.jacrev(slope)(x[0])
    torch.testing.assert_close(turned, torch.einsum("abcd,cd->ab", jacobian, push))
    for mode in (torch.no_grad, torch.inference_mode, contextlib.nullcontext):
        with mode():
            assert torch.equal(slope(x[0]), wanted[0])
    found = field.float()(0.0, x[0].float(), topology)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dim", [3, 0])
def test_a_state_without_halves_is_refused(dim):
    with pytest.raises(ConfigError, match=f"dim must be even and positive, got {dim}"):
        PortHamiltonian(dim)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": -1}, "inputs counts columns of the control input, got -1"),
        ({"width": 0}, "width must be at least 1, got 0"),
        (
            {"dissipation": "none"},
            r"dissipation must be one of \['constant', 'state'\], got 'none'",
        ),
        ({"control": "of x"}, r"control must be one of \['constant', 'state'\], got 'of x'"),
    ],
)
def test_a_port_hamiltonian_says_what_it_cannot_be(given, said):
    with pytest.raises(ConfigError, match=said):
        PortHamiltonian(2, **given)


@pytest.mark.parametrize("given", [None, 1, 3])
def test_inputs_of_another_width_are_refused(given):
    topology = Topology.isolated(3)
    if given is not None:
        topology = topology.replace(inputs=torch.zeros(3, given))
    with pytest.raises(ConfigError, match=f"made for 2 inputs, the data have {given or 0}"):
        PortHamiltonian(2, 2, 8)(0.0, torch.zeros(3, 2), topology)
    with pytest.raises(ConfigError, match="inputs 0 has no output"):
        PortHamiltonian(2).output(torch.zeros(3, 2), topology)


@pytest.mark.parametrize("least", [-0.1, float("nan"), float("inf")])
def test_friction_that_feeds_energy_in_is_refused(least):
    with pytest.raises(ConfigError, match="least must be a friction, zero or positive"):
        RayleighField(SeparableEnergy(2), least=least)


@pytest.mark.parametrize("conservative", [MLPField(2), Newtonian(("a", "b"), (1.0, 1.0))])
def test_friction_needs_an_energy_with_columns(conservative):
    with pytest.raises(ConfigError, match="needs a HamiltonianField or a SplitField with a dim"):
        RayleighField(conservative)


def test_a_friction_of_no_kind_is_refused():
    with pytest.raises(ConfigError, match="friction must be one of"):
        RayleighField(SeparableEnergy(2), friction="speed")
