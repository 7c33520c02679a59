"""Jᵀ Ω J = Ω for every integrator that claims it, in the field's own symplectic form."""

import pytest
import torch

from simlearn.dynamics import Energy, Newtonian, PairForce, SeparableEnergy
from simlearn.integrators import RK4, ImplicitMidpoint, Leapfrog, Yoshida4, Yoshida6
from simlearn.simulator import Simulator
from simlearn.state import Topology

NAMES, MASS = ("star", "near", "far"), (1.0, 0.5, 2.0)
BODIES = Topology.complete(3, NAMES)


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def omega(weights, dim):
    """Σ w_i dq_i ∧ dp_i as a matrix over the flattened state ``[rows · dim]``."""
    half = torch.eye(dim // 2, dtype=torch.float64)
    turn = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), half)
    return torch.kron(torch.diag(weights), turn)


def defect(simulator, x, topology, weights):
    """Largest entry of Jᵀ Ω J − Ω of one step, and how far J is from the identity."""
    j = torch.func.jacrev(lambda s: simulator.step(s, topology))(x).reshape(x.numel(), -1)
    form = omega(weights, x.shape[1])
    moved = (j - torch.eye(x.numel(), dtype=x.dtype)).abs().max()
    assert moved > 0.05, "the step hardly moves: nothing is shown"
    return float((j.T @ form @ j - form).abs().max())


def loud(field, scale=2.0):
    """Random weights, larger than usual, so that the flow is strongly nonlinear."""
    field = field.double().requires_grad_(False)
    for value in field.parameters():
        value.mul_(scale)
    return field


def learned_energy(kind, dim=4):
    return loud((Energy if kind is ImplicitMidpoint else SeparableEnergy)(dim=dim, width=16))


def learned_force():
    field = PairForce(NAMES, terms=6, r_min=0.3, r_max=5.0).double().requires_grad_(False)
    masses = torch.tensor(MASS, dtype=torch.float64)
    field.load({"mass": masses, "weights": normal(6, seed=3)})
    return field


@pytest.mark.parametrize("dim", [2, 4])
def test_learned_energies_keep_the_canonical_form(seeded, symplectic, dim):
    simulator = Simulator(learned_energy(symplectic, dim), symplectic(), 0.2)
    topology = Topology.isolated(2)
    weights = simulator.dynamics.form(topology)
    assert weights.tolist() == [1.0, 1.0]
    assert defect(simulator, normal(2, dim), topology, weights) < 1e-10


@pytest.mark.parametrize("kind", [Energy, SeparableEnergy])
def test_the_test_tells_schemes_that_are_not_symplectic(seeded, plain, kind):
    simulator = Simulator(loud(kind(dim=4, width=16)), plain(), 0.5)
    topology = Topology.isolated(2)
    assert defect(simulator, normal(2, 4), topology, torch.ones(2).double()) > 1e-8


@pytest.mark.parametrize(
    "make", [learned_force, lambda: Newtonian(NAMES, MASS, gravity=1.0)], ids=["learned", "newton"]
)
def test_pair_forces_keep_the_form_weighed_by_mass_and_no_other(symplectic, make):
    field = make()
    x = normal(3, 6)
    simulator = Simulator(field, symplectic(), 0.1)
    weights = field.form(BODIES)
    assert weights.tolist() == pytest.approx(MASS, abs=1e-15)
    assert defect(simulator, x, BODIES, weights) < 1e-10
    assert defect(simulator, x, BODIES, torch.ones(3).double()) > 1e-3


@pytest.mark.parametrize(
    "make", [learned_force, lambda: Newtonian(NAMES, MASS, gravity=1.0)], ids=["learned", "newton"]
)
def test_rk4_does_not_keep_the_form_of_pair_forces(make):
    field = make()
    assert defect(Simulator(field, RK4(), 0.5), normal(3, 6), BODIES, field.form(BODIES)) > 1e-6


def test_a_whole_rollout_keeps_the_form(seeded, symplectic):
    simulator = Simulator(learned_energy(symplectic), symplectic(), 0.2)
    topology = Topology.isolated(1)
    x = normal(1, 4)
    j = torch.func.jacrev(lambda s: simulator.rollout(s, 20, topology).x[-1])(x).reshape(4, 4)
    form = omega(torch.ones(1).double(), 4)
    assert (j.T @ form @ j - form).abs().max() < 1e-10
    assert (j - torch.eye(4).double()).abs().max() > 0.5


def energy_error(field, scheme, x, dt, steps):
    """Largest change of the energy along a rollout, of each system."""
    topology = Topology.isolated(len(x))
    rolled = Simulator(field, scheme, dt).rollout(x, steps, topology)
    energy = torch.stack([field.energy(one, topology) for one in rolled.x])
    return (energy - energy[0]).abs().amax(0)


@pytest.mark.parametrize(
    ("scheme", "dt", "ratio", "room"),
    [(Leapfrog(), 0.05, 4, 0.1), (Yoshida4(), 0.1, 16, 0.15), (Yoshida6(), 0.4, 64, 0.25)],
    ids=lambda v: type(v).__name__,
)
def test_half_the_step_divides_the_energy_error_by_two_to_the_order(
    seeded, scheme, dt, ratio, room
):
    field, x = loud(SeparableEnergy(dim=4, width=16)), normal(4, 4)
    steps = round(8 / dt)
    coarse = energy_error(field, scheme, x, dt, steps)
    fine = energy_error(field, scheme, x, dt / 2, 2 * steps)
    assert fine.min() > 1e-13
    found = (coarse / fine).median()
    assert float(found) == pytest.approx(ratio, rel=room)
