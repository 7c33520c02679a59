"""Tao's schemes: symplectic together with their copy, which a rollout carries and hides."""

import pytest
import torch

from simlearn import ConfigError
from simlearn.dynamics import Energy, HamiltonianField, MLPField, PairForce, SeparableEnergy
from simlearn.integrators import RK4, Integrator, Leapfrog, Tao, Tao4
from simlearn.simulator import Simulator
from simlearn.state import Topology
from simlearn.testing.integrators import step_is_symplectic

NAMES, MASS = ("star", "near", "far"), (1.0, 0.5, 2.0)


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


class Tangled(HamiltonianField):
    """H = (q² + 1)(p² + 1)/2, the example of Tao 2016."""

    dim = 2

    def energy(self, x, topology):
        q, p = x.unbind(-1)
        return topology.per_system((q * q + 1) * (p * p + 1) / 2)

    def gradient(self, x, topology):
        q, p = x.chunk(2, dim=-1)
        return torch.cat([q * (p * p + 1), p * (q * q + 1)], dim=-1)


def omega(weights, dim):
    half = torch.eye(dim // 2, dtype=torch.float64)
    turn = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), half)
    return torch.kron(torch.diag(weights), turn)


def several(scheme, field, topology, dt, steps):
    """Steps of state and copy, ``[2, rows, dim]``, begun where the two are apart."""

    def move(both):
        x, copy = both
        half = x.shape[1] // 2
        begun = scheme.start(field, 0.0, torch.cat([x[:, :half], copy[:, half:]], 1), topology)
        carry = (copy, *begun[1:])
        for k in range(steps):
            x, carry = scheme.step(field, k * dt, x, dt, topology, carry)
        return torch.stack([x, carry[0]])

    return move


def learned_force():
    field = PairForce(NAMES, terms=6, r_min=0.3, r_max=5.0).double().requires_grad_(False)
    field.load({"mass": torch.tensor(MASS, dtype=torch.float64), "weights": normal(6, seed=3)})
    return field


@pytest.mark.parametrize("steps", [1, 20])
@pytest.mark.parametrize("make", [Energy, SeparableEnergy, None], ids=str)
def test_the_form_of_state_and_copy_is_kept(seeded, extended, make, steps):
    if make is None:
        field, topology = learned_force(), Topology.complete(3, NAMES)
    else:
        field, topology = make(dim=4, width=16).double().requires_grad_(False), None
        for value in field.parameters():
            value.mul_(2.0)
    topology = topology or Topology.isolated(2)
    x = normal(topology.rows, 6 if make is None else 4)
    both = torch.stack([x, x + 0.1 * normal(*x.shape, seed=1)])
    move = several(extended(), field, topology, 0.05, steps)
    j = torch.func.jacrev(move)(both).reshape(both.numel(), -1)
    form = omega(field.form(topology).repeat(2), x.shape[1])
    assert (j - torch.eye(len(j)).double()).abs().max() > 0.02
    assert (j.T @ form @ j - form).abs().max() < 1e-10


def test_starting_the_copy_anew_at_every_step_is_another_scheme():
    """Why the copy is carried: det J − 1 of a step from (q, p) alone is far from rounding."""
    simulator = Simulator(Tangled(), Tao(), 0.1)
    j = torch.func.jacrev(simulator.step)(torch.tensor([[1.3, -0.4]]).double()).reshape(2, 2)
    assert abs(float(torch.linalg.det(j)) - 1) > 1e-4


def test_energy_stays_bounded_where_rk4_loses_it():
    field, x0 = Tangled(), torch.tensor([[0.0, -3.0]]).double()

    def error(scheme, dt, steps):
        x = Simulator(field, scheme, dt).rollout(x0, steps, every=10).x[:, 0]
        energy = field.energy(x, Topology.isolated(len(x)))
        return ((energy - energy[0]) / energy[0]).abs()

    kept, lost = error(Tao(20.0), 0.02, 3000), error(RK4(), 0.08, 1000)
    assert kept[-100:].max() < 1.5 * kept[:100].max() < 0.02
    assert lost[-30:].min() > 5 * lost[:10].max()


def test_a_rollout_hands_out_the_state_only(extended):
    rolled = Simulator(Tangled(), extended(), 0.05).rollout(normal(3, 2), 7)
    assert rolled.x.shape == (8, 3, 2)


def test_it_refuses_inputs_other_fields_and_no_binding(extended, seeded):
    simulator = Simulator(Tangled(), extended(), 0.05)
    with pytest.raises(ConfigError, match="carries a second copy of the state"):
        simulator.rollout(normal(3, 2), 4, inputs=torch.zeros(4, 3, 1).double())
    with pytest.raises(ConfigError, match="needs a HamiltonianField or SplitField, got MLPField"):
        Simulator(MLPField(dim=2), extended(), 0.1)
    with pytest.raises(ConfigError, match="omega must be positive"):
        extended(omega=0.0)


def test_it_meets_leapfrog_in_the_limit(extended, seeded):
    field = SeparableEnergy(dim=4, width=8).double().requires_grad_(False)
    x = normal(3, 4)
    ours = Simulator(field, extended(), 0.005).rollout(x, 200).x[-1]
    other = Simulator(field, Leapfrog(), 0.005).rollout(x, 200).x[-1]
    torch.testing.assert_close(ours, other, rtol=0, atol=1e-5)
    assert (ours - x).abs().max() > 0.02


def test_order_four_beats_order_two():
    x, wanted = torch.tensor([[0.5, -0.7]]).double(), None
    wanted = Simulator(Tangled(), RK4(), 0.005).rollout(x, 200).x[-1]
    errors = [
        float((Simulator(Tangled(), kind(), 0.02).rollout(x, 50).x[-1] - wanted).abs().max())
        for kind in (Tao, Tao4)
    ]
    assert errors[1] < errors[0] / 20


class Careless(Integrator):
    """Carries a copy, moves both by explicit Euler, and claims to keep their form."""

    order, symplectic, extended = 1, True, True

    def start(self, field, t, x, topology):
        return (x,)

    def step(self, field, t, x, dt, topology, carry):
        (copy,) = carry
        return x + dt * field(t, copy, topology), (copy + dt * field(t, x, topology),)


def test_the_contract_tells_a_copy_that_keeps_no_form():
    step_is_symplectic(Tao)
    with pytest.raises(AssertionError, match="JᵀΩJ"):
        step_is_symplectic(Careless)
