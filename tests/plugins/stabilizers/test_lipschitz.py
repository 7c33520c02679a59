"""GroupSort networks: bounds that hold for any weights."""

import pytest
import torch

import simlearn
from simlearn import ConfigError, Simulator, Topology
from simlearn.integrators import Euler
from simlearn_mechanics import MassSpring
from simlearn_stabilizers.lipschitz import (
    ContractingField,
    GroupSort,
    LipschitzField,
    LipschitzMap,
    LipschitzNet,
    cayley,
)

EPS = torch.finfo(torch.float64).eps


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def jacobians(dynamics, x):
    def one(state):
        given = (0.1,) if isinstance(dynamics, simlearn.Map) else ()
        return dynamics(0.0, state[None], *given, Topology.isolated(1))[0]

    return torch.func.vmap(torch.func.jacfwd(one))(x).detach()


def wild(dynamics, seed=0):
    """The same dynamics with weights that no training would find."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in dynamics.double().parameters():
            value.copy_(3 * torch.randn(value.shape, generator=rng, dtype=torch.float64))
    return dynamics


@pytest.mark.parametrize("size", [2, 4])
def test_the_jacobian_of_groupsort_is_a_permutation(size):
    sort = GroupSort(size)
    for seed in range(10):
        x = normal(8, seed=seed)
        j = torch.func.jacfwd(sort)(x)
        assert torch.equal(j.T @ j, torch.eye(8, dtype=torch.float64))
        assert set(j.flatten().tolist()) == {0.0, 1.0}
        want = x.reshape(-1, size).sort(-1).values.flatten()
        assert torch.equal(sort(x), want)
    assert GroupSort()(torch.tensor([torch.nan, 1.0])).isnan().any()


@pytest.mark.parametrize("shape", [(1, 1), (6, 6), (64, 64), (20, 3)])
def test_cayley_gives_orthogonal_columns(shape):
    for size in (0.1, 1.0, 10.0):
        w = cayley(size * normal(*shape))
        assert w.shape == shape
        defect = (w.mT @ w - torch.eye(shape[1], dtype=w.dtype)).abs().max()
        assert float(defect) <= 10 * max(shape) * EPS


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("dim", [1, 3])
def test_the_network_never_stretches(dim, depth):
    net = LipschitzNet(dim, 16, depth).double()
    x, y = normal(4000, dim), normal(4000, dim, seed=1)
    for seed in range(5):
        wild(net, seed)
        stretch = (net(x) - net(y)).detach().norm(dim=1) / (x - y).norm(dim=1)
        assert float(stretch.max()) <= 1 + 1e-12
        for weight in net.weights():
            assert float((torch.linalg.svdvals(weight.detach()) - 1).abs().max()) <= 1e-13


@pytest.mark.parametrize("bound", [0.5, 4.0])
def test_the_field_is_lipschitz(bound):
    field = wild(LipschitzField(dim=3, width=16, bound=bound))
    norms = torch.linalg.matrix_norm(jacobians(field, 5 * normal(1000, 3)), 2)
    assert float(norms.max()) <= bound * (1 + 1e-12)
    assert float(norms.max()) >= 0.3 * bound, "the bound is not idle"


def test_the_field_contracts_everywhere():
    field = wild(ContractingField(dim=3, width=16, bound=2.0, rate=0.3))
    j = jacobians(field, 5 * normal(2000, 3))
    assert float(torch.linalg.eigvalsh((j + j.mT) / 2).max()) <= -0.3 + 1e-12


def test_euler_contracts_below_its_bound():
    field = wild(ContractingField(dim=3, width=16, bound=2.0, rate=0.3))
    x, y = 3 * normal(2000, 3), 3 * normal(2000, 3, seed=1)
    for h in (0.01, 1 / 2.3, 0.999 * 2 / 4.3):
        simulator = Simulator(field, Euler(), h)
        shrunk = (simulator.step(x) - simulator.step(y)).norm(dim=1) / (x - y).norm(dim=1)
        want = max(1 - 0.3 * h, h * 4.3 - 1)
        assert float(shrunk.detach().max()) <= want + 1e-12 < 1


def test_the_map_has_one_fixed_point():
    step = wild(LipschitzMap(dim=2, width=16, bound=0.9))
    assert float(torch.linalg.matrix_norm(jacobians(step, normal(1000, 2)), 2).max()) <= 0.9 + 1e-12
    simulator = Simulator(step.requires_grad_(False), None, 1.0)
    apart = 10 * normal(50, 2)
    ends = simulator.rollout(apart, 400).x
    spread = (ends[-1] - ends[-1][0]).norm(dim=1).max()
    assert float(spread) <= 0.9**400 * 100 + 1e-13


def test_the_bound_survives_training_and_the_archive(seeded):
    data = list(MassSpring().draw(range(6), simlearn.sample_times(30, 0.1), 0))
    simulator = Simulator(ContractingField(dim=2, width=8), Euler(), 0.1)
    fitted = simlearn.fit(simulator, data, max_epochs=30, progress=False)
    j = jacobians(fitted.dynamics, 3 * normal(500, 2))
    assert float(torch.linalg.eigvalsh((j + j.mT) / 2).max()) <= -0.1 + 1e-12
    names = set(fitted.dynamics.state_dict())
    assert names == set(ContractingField(dim=2, width=8).state_dict())


def test_arguments_that_do_not_fit_are_refused():
    for bad, said in (
        (lambda: LipschitzField(2, width=7), "even width"),
        (lambda: LipschitzField(2, bound=0), "bound > 0"),
        (lambda: ContractingField(2, rate=-1), "rate > 0"),
        (lambda: LipschitzMap(2, bound=1.0), "0 < bound < 1"),
        (lambda: LipschitzMap(0), "at least 1"),
    ):
        with pytest.raises(ConfigError, match=said):
            bad()
