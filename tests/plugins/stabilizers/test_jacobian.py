"""Penalties on the Jacobian, against exact Jacobians."""

import dataclasses
import itertools

import pytest
import torch

import simlearn
from simlearn import Simulator, Topology, Trajectory
from simlearn.dynamics import LinearField, LinearMap, MLPField, PairForce, SeparableEnergy
from simlearn.integrators import RK4, Leapfrog
from simlearn_stabilizers.jacobian import (
    JacobianPenalty,
    LogNormBound,
    jacobians,
    log_norm,
    squared_norm,
    unit_vectors,
)
from simlearn_stabilizers.windows import probes, slope_of


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def window(rows=6, dim=2, topology=None, seed=0):
    t = simlearn.sample_times(5, 0.1)
    return Trajectory(t, normal(5, rows, dim, seed=seed), topology or Topology.isolated(rows))


def pairs():
    """Two systems of three bodies: the rows of a system see each other."""
    field = PairForce(("a", "b", "c"), terms=4, r_min=0.3, r_max=4.0).double()
    topology = Topology.complete(3, ("a", "b", "c")).repeat(2)
    return Simulator(field, Leapfrog(), 0.1), window(6, 4, topology)


def plain():
    return Simulator(MLPField(dim=2, width=8).double(), RK4(), 0.1), window()


def exact(simulator, one):
    """Jacobian of the whole batch, ``[rows · dim, rows · dim]``, by reverse mode."""
    j = torch.func.jacrev(slope_of(simulator, one))(one.x[0])
    return j.reshape(one.x[0].numel(), -1).detach()


@pytest.mark.parametrize("make", [plain, pairs])
def test_enough_samples_give_the_exact_norm(make, seeded):
    simulator, one = make()
    want = float(exact(simulator, one).square().sum()) / one.topology.num_systems
    got = JacobianPenalty(0.5, samples=12).penalty(simulator, one)
    assert got.item() == pytest.approx(0.5 * want, rel=1e-12)


def test_random_signs_are_unbiased_exactly(seeded):
    """The mean over all 2⁸ sign vectors of a system of eight columns is ‖J‖²_F to rounding."""
    simulator = Simulator(MLPField(dim=8, width=8).double(), RK4(), 0.1)
    one = window(rows=1, dim=8)
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=8)), dtype=torch.float64)
    got = squared_norm(slope_of(simulator, one), one.x[0], signs.reshape(256, 1, 8)) / 256
    want = exact(simulator, one).square().sum()
    torch.testing.assert_close(got.detach(), want, rtol=1e-12, atol=0)


def test_few_samples_scatter_around_the_exact_norm(seeded):
    simulator = Simulator(MLPField(dim=8, width=8).double(), RK4(), 0.1)
    got, want = [], []
    for seed in range(200):
        one = window(rows=4, dim=8, seed=seed)
        got.append(JacobianPenalty(1.0, 2).penalty(simulator, one).detach())
        want.append(exact(simulator, one).square().sum() / 4)
    gap = torch.stack(got) - torch.stack(want)
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / 200**0.5
    assert float(gap.std()) > 0


def test_probes_depend_on_the_window_and_on_nothing_else(seeded):
    one = window()
    state = torch.random.get_rng_state()
    first = probes(one, 3)
    assert torch.equal(first, probes(window(), 3))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert set(first.unique().tolist()) == {-1.0, 1.0}
    moved = dataclasses.replace(one, x=one.x + 1e-9)
    assert not torch.equal(first, probes(moved, 3))


def test_of_a_map_it_is_the_increment(seeded):
    step = LinearMap(2).double()
    matrix = step.linear.weight.detach()
    got = JacobianPenalty(1.0, 2).penalty(Simulator(step, None, 0.1), window())
    want = ((matrix - torch.eye(2)) / 0.1).square().sum()
    assert got.item() == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize("make", [plain, pairs])
def test_forward_products_give_every_systems_jacobian(make, seeded):
    simulator, one = make()
    columns = one.x[0].numel() // one.topology.num_systems
    j = jacobians(slope_of(simulator, one), one.x[0], unit_vectors(one, columns)).detach()
    whole = exact(simulator, one)
    torch.testing.assert_close(torch.block_diag(*j), whole, rtol=1e-10, atol=1e-12)
    want = torch.linalg.eigvalsh((j + j.mT) / 2).amax(-1)
    torch.testing.assert_close(log_norm(j), want)


def test_the_log_norm_of_a_known_matrix(seeded):
    """A = [[−1, 5], [0, −2]]: μ₂ = −1.5 + √26 / 2, though both eigenvalues are negative."""
    field = LinearField(2).double()
    field.linear.weight.data.copy_(torch.tensor([[-1.0, 5.0], [0.0, -2.0]]))
    simulator, mu = Simulator(field, RK4(), 0.1), -1.5 + 26**0.5 / 2
    for rate in (0.0, 0.3, -2.0):
        got = LogNormBound(rate, 2.0).penalty(simulator, window())
        assert got.item() == pytest.approx(2 * max(0.0, mu + rate) ** 2, rel=1e-12)
    assert mu == pytest.approx(1.0495098)


def test_training_against_it_makes_a_field_contract(seeded):
    """Data of a centre, μ₂ = 0: with a rate of 0.5 asked for, the samples contract."""
    t = simlearn.sample_times(20, 0.1)
    late = t[:, None] + torch.arange(4, dtype=torch.float64)
    data = Trajectory(t, torch.stack([late.sin(), late.cos()], -1), Topology.isolated(4))
    found = {}
    for stabilizers in ((), (LogNormBound(0.5, 10.0),)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            simulator = Simulator(MLPField(dim=2, width=8), RK4(), 0.1)
        fitted = simlearn.fit(
            simulator,
            data,
            stabilizers=stabilizers,
            max_epochs=60,
            optimizer=lambda w: torch.optim.Adam(w, 0.01),
            progress=False,
        )
        j = jacobians(slope_of(fitted, data), data.x[0], unit_vectors(data, 2))
        found[bool(stabilizers)] = float(log_norm(j).max())
    assert found[True] < -0.4 < found[False]


def test_what_cannot_contract_is_refused(seeded):
    energy = Simulator(SeparableEnergy(dim=2, width=4).double(), Leapfrog(), 0.1)
    with pytest.raises(simlearn.ConfigError, match="volume of phase space"):
        LogNormBound(0.1).penalty(energy, window())
    assert LogNormBound(-0.1).penalty(energy, window()).isfinite()
    with pytest.raises(simlearn.ConfigError, match="a map"):
        LogNormBound().penalty(Simulator(LinearMap(2).double(), None, 0.1), window())
    mixed = Topology.union([Topology.complete(2), Topology.complete(4)])
    sizes = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
    with pytest.raises(simlearn.ConfigError, match="one size"):
        LogNormBound().penalty(sizes, window(topology=mixed))
    assert JacobianPenalty(1.0, 99).penalty(sizes, window(topology=mixed)).isfinite()
    for bad in (lambda: JacobianPenalty(-1), lambda: LogNormBound(0, -1)):
        with pytest.raises(simlearn.ConfigError, match="weight >= 0"):
            bad()
