"""Implicit midpoint: batches equal parts, failures stay at home, quadratic invariants, vmap."""

import pytest
import torch

from simlearn.dynamics import Energy, HamiltonianField, VectorField
from simlearn.integrators import RK4, DiscreteGradient, ImplicitMidpoint
from simlearn.simulator import Simulator
from simlearn.state import Topology


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


class Quartic(HamiltonianField):
    """H = p²/2 + q²/2 + q⁴/4 with elementary operations only, so that bits can be compared."""

    dim = 2

    def energy(self, x, topology):
        q, p = x.chunk(2, dim=-1)
        return topology.per_system((p * p / 2 + q * q / 2 + q * q * q * q / 4).sum(-1))

    def gradient(self, x, topology):
        q, p = x.chunk(2, dim=-1)
        return torch.cat([q + q * q * q, p], dim=-1)


class RigidBody(VectorField):
    """Euler's equations, L' = L × ω with ω = L / I: |L|² and L·ω are conserved and quadratic."""

    dim = 3
    inertia = torch.tensor([1.0, 2.0, 3.5], dtype=torch.float64)

    def forward(self, t, x, topology):
        return torch.linalg.cross(x, x / self.inertia)


# some systems need 8 iterations a step, some 40
UNEVEN = torch.tensor([[1e-3, 0.0], [3.0, 0.0], [0.2, 0.1], [2.0, -2.0], [0.0, 0.0]]).double()


def counted(field):
    """How often the field was asked."""
    field.calls = 0
    field.register_forward_hook(lambda *_: setattr(field, "calls", field.calls + 1))
    return field


def test_a_batch_equals_its_parts_bit_for_bit():
    simulator = Simulator(Quartic(), ImplicitMidpoint(), 0.05)
    together = simulator.rollout(UNEVEN, 50).x
    for row in range(len(UNEVEN)):
        alone = simulator.rollout(UNEVEN[row : row + 1], 50).x
        assert torch.equal(together[:, row : row + 1], alone)


def test_the_systems_of_that_batch_do_need_different_numbers_of_iterations():
    calls = []
    for row in range(4):
        field = counted(Quartic())
        Simulator(field, ImplicitMidpoint(), 0.05).step(UNEVEN[row : row + 1])
        calls.append(field.calls)
    assert max(calls) - min(calls) >= 3


def test_a_ragged_union_equals_its_parts(seeded):
    simulator = Simulator(
        Energy(dim=4, width=16).double().requires_grad_(False), ImplicitMidpoint(), 0.2
    )
    sizes = (3, 1, 4)
    parts = [Topology.complete(n) for n in sizes]
    x = normal(sum(sizes), 4) * torch.arange(1, 9).double()[:, None] / 2
    together = simulator.rollout(x, 20, Topology.union(parts)).x
    alone = [
        simulator.rollout(piece, 20, part).x
        for piece, part in zip(x.split(sizes), parts, strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("max_iter", [1, 3, 15])
def test_systems_that_do_not_converge_are_lost_alone(max_iter):
    wild = torch.tensor([[20.0, 0.0]]).double()
    calm = torch.zeros(2, 2).double() if max_iter < 15 else UNEVEN[[0, 2]]
    simulator = Simulator(Quartic(), ImplicitMidpoint(max_iter=max_iter), 0.1)
    after = simulator.step(torch.cat([calm[:1], wild, calm[1:]]))
    assert after[1].isnan().all()
    wanted = Simulator(Quartic(), ImplicitMidpoint(), 0.1).step(calm)
    assert torch.equal(after[[0, 2]], wanted)


def test_a_whole_graph_is_lost_with_one_of_its_rows():
    topology = Topology.union([Topology.complete(2), Topology.complete(3)])
    x = torch.full((5, 2), 0.01).double()
    x[1, 0] = 20
    after = Simulator(Quartic(), ImplicitMidpoint(max_iter=15), 0.1).step(x, topology)
    assert after[:2].isnan().all()
    assert after[2:].isfinite().all()


def test_a_rollout_says_that_it_diverged():
    simulator = Simulator(Quartic(), ImplicitMidpoint(max_iter=15), 0.1)
    lost = simulator.rollout(torch.tensor([[20.0, 0.0]]).double(), 10)
    assert (lost.status, lost.finite_steps, lost.steps) == ("diverged", 1, 1)
    kept = simulator.rollout(UNEVEN[2:3], 10)
    assert (kept.status, kept.finite_steps) == ("ok", 11)


def test_the_step_solves_its_equation():
    dt, field, topology = 0.1, Quartic(), Topology.isolated(5)
    after = Simulator(field, ImplicitMidpoint(), dt).step(UNEVEN)
    residual = after - UNEVEN - dt * field(0.0, (after + UNEVEN) / 2, topology)
    assert residual.abs().max() < 1e-12


def conserved(x):
    """|L|² and twice the kinetic energy, relative to the start."""
    both = torch.stack([(x * x).sum(-1), (x * x / RigidBody.inertia).sum(-1)])
    return ((both - both[:, :1]) / both[:, :1]).abs().max()


def test_quadratic_invariants_are_kept_to_rounding():
    start = normal(4, 3)
    rolled = Simulator(RigidBody(), ImplicitMidpoint(), 0.1).rollout(start, 500)
    assert conserved(rolled.x) < 1e-12
    assert (rolled.x[-1] - start).abs().max() > 0.1
    assert conserved(Simulator(RigidBody(), RK4(), 0.1).rollout(start, 500).x) > 1e-8


def test_a_step_works_under_vmap(seeded):
    field = Energy(dim=2, width=8).double().requires_grad_(False)
    simulator, topology = Simulator(field, ImplicitMidpoint(), 0.5), Topology.complete(3)
    batch = normal(7, 3, 2) * 2
    together = torch.func.vmap(lambda x: simulator.step(x, topology))(batch)
    alone = torch.stack([simulator.step(x, topology) for x in batch])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)
    assert (together - batch).abs().max() > 0.05


def test_a_lost_system_is_lost_alone_under_vmap_too():
    simulator = Simulator(Quartic(), ImplicitMidpoint(max_iter=15), 0.1)
    batch = torch.stack([UNEVEN[2:3], torch.tensor([[20.0, 0.0]]).double()])
    after = torch.func.vmap(lambda x: simulator.step(x, Topology.isolated(1)))(batch)
    assert after[1].isnan().all()
    assert torch.equal(after[0], simulator.step(UNEVEN[2:3]))


@pytest.mark.parametrize("transform", [torch.func.jacrev, torch.func.jacfwd])
def test_its_jacobian_is_the_one_of_the_implicit_function(transform):
    simulator, x = Simulator(Quartic(), ImplicitMidpoint(), 0.1), UNEVEN[2:3]
    middle = (simulator.step(x) + x) / 2
    slope = torch.func.jacrev(lambda s: Quartic()(0.0, s, Topology.isolated(1)))(middle)
    half, eye = 0.05 * slope.reshape(2, 2), torch.eye(2).double()
    wanted = torch.linalg.solve(eye - half, eye + half)
    found = transform(simulator.step)(x).reshape(2, 2)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("nested", [False, True])
def test_under_vmap_it_stops_when_all_have_converged(nested):
    field = counted(Quartic())
    simulator, batch = Simulator(field, ImplicitMidpoint(), 0.05), UNEVEN[:4, None]

    def step(x):
        return simulator.step(x, Topology.isolated(1))

    step = torch.func.vmap(step)
    if nested:
        step, batch = torch.func.vmap(step), batch.reshape(2, 2, 1, 2)
    together = step(batch)
    assert field.calls < 30
    alone = torch.stack([simulator.step(x) for x in UNEVEN[:4, None]])
    assert torch.equal(together.reshape(alone.shape), alone)


def test_the_equation_is_solved_to_1e_13_at_random_weights(seeded):
    field, topology = Energy(dim=4, width=16).double().requires_grad_(False), Topology.isolated(5)
    x = normal(5, 4)
    after = Simulator(field, ImplicitMidpoint(), 0.2).step(x)
    residual = after - x - 0.2 * field(0.1, (after + x) / 2, topology)
    assert residual.abs().max() < 1e-13 * after.abs().max()
    assert (after - x).abs().max() > 0.01


@pytest.mark.parametrize(
    "scheme", [ImplicitMidpoint(), DiscreteGradient()], ids=["midpoint", "discrete gradient"]
)
@pytest.mark.parametrize("dt", [0.1, 0.5])
def test_the_derivative_at_rest_is_that_of_the_solved_step(scheme, dt):
    """There the guess is the answer at once, and its derivative is not: Cayley's matrix is."""
    step = Simulator(Quartic(), scheme, dt)
    rest = torch.zeros(2, dtype=torch.float64)
    j = torch.func.jacrev(lambda x: step.step(x[None])[0])(rest)
    a = dt / 2 * torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    one = torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(j, torch.linalg.solve(one - a, one + a), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_that_overflows_is_not_solved(dtype):
    simulator = Simulator(Quartic(), ImplicitMidpoint(max_iter=200), 2000.0)
    after = simulator.step(torch.tensor([[1.0, 0.5]], dtype=dtype))
    assert bool(after.isnan().all())
