"""The discrete gradient keeps the energy of every system by itself, and says when it cannot."""

import pytest
import torch

from simlearn import ConfigError
from simlearn.dynamics import Energy, HamiltonianField, MLPField, PairForce, SeparableEnergy
from simlearn.integrators import RK4, DiscreteGradient, ImplicitMidpoint
from simlearn.simulator import Simulator
from simlearn.state import Topology
from simlearn.testing.fields import TrialForced

NAMES = ("star", "near", "far")


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


class Pendulum(HamiltonianField):
    """H = p²/2 − cos q, far from zero where nothing moves: all of it is rounding there."""

    dim = 2

    def energy(self, x, topology):
        q, p = x.unbind(-1)
        return topology.per_system(p * p / 2 - q.cos())

    def gradient(self, x, topology):
        q, p = x.chunk(2, dim=-1)
        return torch.cat([q.sin(), p], dim=-1)


def drift(simulator, x, steps, topology=None):
    """Largest relative change of the energy of any system, and whether it went anywhere."""
    topology = topology or Topology.isolated(len(x))
    rolled = simulator.rollout(x, steps, topology)
    assert rolled.status == "ok"
    energy = torch.stack([simulator.dynamics.energy(one, topology) for one in rolled.x])
    assert (rolled.x - x).abs().max() > 0.3
    return float((energy - energy[0]).abs().max() / energy[0].abs().min())


@pytest.mark.parametrize("make", [Energy, SeparableEnergy])
def test_the_energy_of_random_weights_is_kept_to_rounding(seeded, make):
    field = make(dim=4, width=16).double().requires_grad_(False)
    for value in field.parameters():
        value.mul_(2.0)
    x = normal(3, 4)
    assert drift(Simulator(field, DiscreteGradient(), 0.1), x, 80) < 2e-12
    assert drift(Simulator(field, ImplicitMidpoint(), 0.1), x, 80) > 1e-6


def test_positions_and_velocities_keep_the_energy_weighed_by_mass():
    field = PairForce(NAMES, terms=6, r_min=0.3, r_max=5.0).double().requires_grad_(False)
    masses = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    field.load({"mass": masses, "weights": normal(6, seed=3)})
    topology = Topology.complete(3, NAMES)
    assert drift(Simulator(field, DiscreteGradient(), 0.05), normal(3, 6), 40, topology) < 2e-12


def test_hundreds_of_large_steps_of_a_pendulum_lose_no_energy():
    x = torch.tensor([[2.5, 0.1], [0.3, -0.4]]).double()
    assert drift(Simulator(Pendulum(), DiscreteGradient(), 0.3), x, 200) < 1e-11
    assert drift(Simulator(Pendulum(), RK4(), 0.3), x, 200) > 1e-4


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-7, 1e-5, 1e-3])
def test_near_rest_the_rounding_of_the_energy_moves_nothing(size):
    """There H(x') − H(x) is rounding only; divided by |Δ|² it would throw the state away."""
    x = torch.tensor([[size, 0.0]]).double()
    ours, other = (
        Simulator(Pendulum(), scheme(), 0.1).rollout(x, 60)
        for scheme in (DiscreteGradient, ImplicitMidpoint)
    )
    assert ours.status == "ok"
    assert (ours.x - other.x).abs().max() <= 1e-3 * size


def test_a_batch_equals_its_parts(seeded):
    field = Energy(dim=4, width=16).double().requires_grad_(False)
    simulator, sizes = Simulator(field, DiscreteGradient(), 0.2), (3, 1, 4)
    parts = [Topology.complete(n) for n in sizes]
    x = normal(sum(sizes), 4)
    together = simulator.rollout(x, 10, Topology.union(parts)).x
    alone = [
        simulator.rollout(piece, 10, part).x
        for piece, part in zip(x.split(sizes), parts, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=0, atol=1e-13)


def test_its_jacobian_is_the_one_of_differences(seeded):
    simulator, x = Simulator(Pendulum(), DiscreteGradient(), 0.2), normal(1, 2)
    forth, back = torch.func.jacfwd(simulator.step)(x), torch.func.jacrev(simulator.step)(x)
    torch.testing.assert_close(forth, back, rtol=0, atol=1e-12)
    near = [
        (simulator.step(x + d) - simulator.step(x - d)) / 2e-6
        for d in 1e-6 * torch.eye(2)[:, None].double()
    ]
    torch.testing.assert_close(forth.reshape(2, 2), torch.cat(near).T, rtol=0, atol=1e-8)


def test_it_works_in_float32(seeded):
    field = Energy(dim=4, width=16).requires_grad_(False)
    assert drift(Simulator(field, DiscreteGradient(), 0.1), normal(3, 4).float(), 100) < 5e-4


def test_it_refuses_fields_without_an_energy_or_with_one_that_changes():
    with pytest.raises(ConfigError, match="needs a HamiltonianField or SplitField, got MLPField"):
        Simulator(MLPField(dim=2), DiscreteGradient(), 0.1)
    with pytest.raises(ConfigError, match="that of TrialForced changes with time"):
        Simulator(TrialForced(), DiscreteGradient(), 0.1)
