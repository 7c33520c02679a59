"""The joint fit: derivatives, normal equations, and what the data can tell at most."""

import math

import pytest
import torch

from simlearn import ConfigError, Simulator, Topology, ladder
from simlearn.dynamics.features import Scale
from simlearn.dynamics.inertia import MechanicalSeries
from simlearn.dynamics.separable import SeparableSeries
from simlearn.dynamics.series import GenericSeries, shaken
from simlearn.integrators import Yoshida4
from simlearn.training.ladder.flow import paths, sensitivities
from simlearn.training.ladder.joint import Joint, Precisions
from simlearn.training.ladder.normal import Normal, inverse
from simlearn.training.ladder.samples import Samples


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", [SeparableSeries, MechanicalSeries, GenericSeries])
def test_sensitivities_are_derivatives_of_the_paths(kind):
    field = shaken(kind(dim=4, features=5), seed=1).double().requires_grad_(False)
    field.measure(normal(40, 4, seed=2), [Scale(1.0)] * len(field.equations()))
    basis = torch.linalg.qr(normal(len(field.coefficients), 6, seed=3)).Q
    z, c = normal(2, 4, seed=4), field.coefficients.clone()
    t = torch.tensor([[0.0, 0.1, 0.3, 0.35], [0.0, 0.2, 0.3, 0.3]], dtype=torch.float64)

    def path(start, along):
        field.coefficients.copy_(c + basis @ along)
        return paths(field.rates(), start, t, 2)

    none = torch.zeros(6).double()
    found = sensitivities(field, basis, path(z, none), t, 2)
    for k in range(10):
        dz = torch.zeros(4).double() if k > 3 else 1e-5 * torch.eye(4).double()[k]
        dc = none if k < 4 else 1e-5 * torch.eye(6).double()[k - 4]
        slope = (path(z + dz, dc) - path(z - dz, -dc)) / 2e-5
        torch.testing.assert_close(found[..., k], slope, rtol=1e-6, atol=1e-7)


def dense(normals, damping):
    """The whole matrix, starts one after another and coefficients last."""
    n, dim, r = len(normals.right_z), normals.right_z.shape[1], len(normals.right_c)
    whole = torch.zeros(n * dim + r, n * dim + r).double()
    for k in range(n):
        own = slice(k * dim, (k + 1) * dim)
        whole[own, own] = normals.zz.sum(0)[k]
        whole[own, n * dim :] = normals.zc.sum(0)[k]
        whole[n * dim :, own] = normals.zc.sum(0)[k].T
    whole[n * dim :, n * dim :] = normals.cc.sum(0) + normals.prior.diag()
    right = torch.cat([normals.right_z.flatten(), normals.right_c - normals.prior * normals.c])
    return whole + damping * whole.diagonal().diag(), right


@pytest.fixture(scope="module")
def normals():
    """Three trajectories, two kinds of observation, five coefficients."""
    blocks = [(normal(3, 7, 2, 7, seed=k), normal(3, 7, 2, seed=k + 5)) for k in range(2)]
    return Normal.of(blocks, normal(5, seed=20), torch.linspace(0, 2, 5).double()), blocks


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_eliminated_starts_are_a_dense_solve(normals, damping):
    equations, _ = normals
    whole, right = dense(equations, damping)
    dz, dc, promised = equations.solve(damping)
    step = torch.linalg.solve(whole, right)
    torch.testing.assert_close(torch.cat([dz.flatten(), dc]), step, rtol=1e-9, atol=1e-11)
    assert promised == pytest.approx(float(step @ right), rel=1e-9)
    matrix, _ = equations.reduced()
    torch.testing.assert_close(
        inverse(matrix + equations.prior.diag()), dense(equations, 0.0)[0].inverse()[6:, 6:]
    )


def test_parameters_that_each_kind_of_observation_determines(normals):
    """Traces of the influence matrices; together starts and MacKay's γ."""
    equations, blocks = normals
    covariance = dense(equations, 0.0)[0].inverse()
    found = equations.used(inverse(equations.reduced()[0] + equations.prior.diag()))
    for (derivative, _), used in zip(blocks, found, strict=True):
        design = torch.zeros(3 * 14, 11).double()
        for k in range(3):
            flat = derivative[k].flatten(0, 1)
            design[14 * k : 14 * k + 14, 2 * k : 2 * k + 2] = flat[:, :2]
            design[14 * k : 14 * k + 14, 6:] = flat[:, 2:]
        assert used == pytest.approx(float((design.T @ design * covariance).sum()), rel=1e-9)
    gamma = 5 - float((equations.prior * covariance.diagonal()[6:]).sum())
    assert sum(found) == pytest.approx(6 + gamma, rel=1e-9)


def test_the_inverse_of_a_singular_matrix_is_finite_and_its_own_inside():
    a = normal(6, 3)
    matrix = a @ a.T
    found = inverse(matrix)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(matrix @ found @ matrix, matrix, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_precisions_do_not_diverge_where_there_is_next_to_no_noise(exact, noise):
    """Wrong starts, exact or all but exact data: it converges, and every number stays finite."""
    data = exact.drawn(exact.pendulum, exact.starts(12, 2), exact.clock(21, 0.1), noise)
    model = SeparableSeries(2, 20).double().requires_grad_(False)
    x = torch.cat([one.x[:, 0] for one in data])
    model.measure(x, [Scale(2.0), Scale(1.0, periodic=True)])
    rows = model.columns(x).flatten(0, 1)
    target = exact.pendulum(x).flatten()
    model.coefficients.copy_(
        torch.linalg.lstsq(rows, target[:, None], driver="gelsd").solution[:, 0]
    )
    k = len(model.coefficients)
    groups = torch.where(model.penalised() > 0, 0, -1)
    prior = torch.where(groups >= 0, 1e-6, 0.0).double()
    fit = Joint(model, Samples.of(data), torch.eye(k).double(), groups)
    tiny = torch.full((2,), 1e-3).double()
    begin = torch.stack([one.x[0, 0] for one in data]) + 1e-3 * normal(12, 2)
    z, known = fit.run(begin, Precisions(tiny, tiny, prior), 20)
    clean = exact.starts(12, 2)
    assert bool(model.coefficients.isfinite().all() & known.prior.isfinite().all())
    assert float(known.state.max()) < 1e-4
    assert float((z - clean).abs().max()) < 1e-4
    assert exact.missed(model, exact.pendulum) < 1e-5


@pytest.fixture(scope="module")
def noisy(exact):
    """Spring and pendulum, noise 0.1, two seeds each: data, fit, and the realised mean noise."""
    found = {}
    for field in (exact.spring, exact.pendulum):
        for seed in range(2):
            begin = exact.starts(25, 2, seed, 0.7).clamp(-1.2, 1.2)  # no pendulum turns over
            times = exact.clock(31, 0.1)
            data = exact.drawn(field, begin, times, 0.1, seed + 7)
            clean = exact.solved(field, begin, times)
            shift = (torch.stack([one.x[:, 0] for one in data]) - clean).mean((0, 1))
            found[field, seed] = ladder(data), shift
    return found


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["spring", "pendulum"])
def test_noisy_data_give_all_that_they_can(exact, noisy, name, seed):
    """The true field, shifted by the realised mean noise, is all that anybody can know.

    The floor of the pendulum allows for the doubt about its shape, which the limit leaves out.
    """
    field = getattr(exact, name)
    simulator, shift = noisy[field, seed]
    assert simulator.provenance["ladder"]["choice"] == "separable"
    rng = torch.Generator().manual_seed(99)
    x = -1 + 2 * torch.rand(400, 2, generator=rng, dtype=torch.float64)
    limit = float((field(x - shift) - field(x)).square().mean())
    assert exact.missed(simulator.dynamics, field) <= max(
        1.3 * limit, 2e-5 if name == "pendulum" else 0
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_the_frequency_of_a_noisy_spring(exact, noisy, seed):
    """A turn of the angle about the learned equilibrium, by many small steps."""
    dynamics = noisy[exact.spring, seed][0].dynamics
    start = torch.tensor([[0.6, 0.0]], dtype=torch.float64)
    rolled = Simulator(dynamics, Yoshida4(), 0.02).rollout(start, 3142).x[:, 0]
    centre = rolled.mean(0)
    angle = torch.atan2(*(rolled - centre).flip(-1).T)
    turned = torch.remainder(angle.diff() + math.pi, 2 * math.pi) - math.pi
    assert abs(float(turned.sum())) / (3142 * 0.02) == pytest.approx(1.0, rel=2e-3)
    half = dynamics.tangent(centre[None])[0]
    assert float(half[0, 1] * -half[1, 0]) ** 0.5 == pytest.approx(1.0, rel=2e-3)


def test_clean_data_give_the_field(exact):
    for field in (exact.spring, exact.pendulum):
        simulator = ladder(exact.drawn(field, exact.starts(20, 2, scale=0.7), exact.clock(31, 0.1)))
        assert exact.missed(simulator.dynamics, field) <= 1e-10


@pytest.mark.parametrize(("name", "limit"), [("spring", 2.5e-3), ("pendulum", 1e-3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_noisy_states_alone(exact, name, limit, seed):
    field = getattr(exact, name)
    begin = exact.starts(25, 2, seed, 0.7).clamp(-1.2, 1.2)
    data = exact.drawn(field, begin, exact.clock(31, 0.1), 0.1, seed)
    simulator = ladder(data, derivatives=False)
    assert exact.missed(simulator.dynamics, field) <= limit
    record = simulator.provenance["ladder"]
    assert record["joint"]["state_noise"] == pytest.approx([0.1, 0.1], rel=0.15)


def test_forty_pairs_of_a_pendulum(exact):
    """SympNets' task: two states each, 0.1 apart, nothing else."""
    rng = torch.Generator().manual_seed(0)
    box = torch.tensor([2**0.5, math.pi / 2], dtype=torch.float64)
    begin = (2 * torch.rand(40, 2, generator=rng, dtype=torch.float64) - 1) * box
    data = exact.drawn(exact.pendulum, begin, exact.clock(2, 0.1), slopes=False)
    simulator = ladder(data)
    test = (2 * torch.rand(200, 2, generator=rng, dtype=torch.float64) - 1) * box * 0.9
    after = exact.solved(exact.pendulum, test, exact.clock(2, 0.1))[:, 1]
    one = simulator.step(test, Topology.isolated(200))
    assert float((one - after).square().mean()) <= 5e-8
    start = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    rolled = simulator.rollout(start, 1000).x[:, 0]
    energy = rolled[:, 1].square() / 2 - rolled[:, 0].cos()
    assert float((energy - energy[0]).square().mean()) <= 1e-6


def test_states_with_an_odd_number_of_columns_are_refused(exact):
    data = exact.drawn(lambda x: -x, exact.starts(4, 3), exact.clock(9, 0.1))
    with pytest.raises(ConfigError):
        ladder(data)
