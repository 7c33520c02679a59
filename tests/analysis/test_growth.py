"""Properties of Jacobians, spectra and contraction rates that hold for any simulator."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import simlearn
from simlearn import ConfigError, DataError, Simulator
from simlearn.analysis import contraction, flat
from simlearn.analysis.covariant import covariant
from simlearn.analysis.growth import (
    finite_time,
    kaplan_yorke,
    propagator,
    spectrum,
    standard_error,
)
from simlearn.analysis.jacobian import central, defect, jacobian, push
from simlearn.analysis.local import LocalNormals
from simlearn.component import NumericalError
from simlearn.dynamics import (
    Energy,
    Flattened,
    HenonMap,
    LinearMap,
    MLPField,
    PairForce,
    ResidualMap,
    SeparableEnergy,
)
from simlearn.integrators import RK4, Euler, ImplicitMidpoint, Leapfrog, Yoshida4
from simlearn.state import Topology, Trajectory

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def drawn(dynamics, seed=0):
    """Weights from a generator of their own, larger than usual so that nothing is nearly linear."""
    dynamics, rng = dynamics.double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in dynamics.parameters():
            one.copy_(
                torch.randn(one.shape, generator=rng, dtype=F64) / max(1, one.shape[-1]) ** 0.5
            )
    return dynamics.requires_grad_(False)


def henon(x, t=0.0):
    q, p = x.unbind(-1)
    return torch.stack([1 + p - 1.4 * q * q, 0.3 * q], -1)


def on_henon(count, seed=0):
    x = 0.1 * normal(count, 2, seed=seed)
    for _ in range(200):
        x = henon(x)
    return x


# Jacobians


def three_bodies():
    return Topology.complete(3, ("a", "b", "c"))


SIMULATORS = {
    "vector": (lambda: Simulator(drawn(MLPField(3, 8)), RK4(), 0.1), None, 3),
    "second order": (
        lambda: Simulator(drawn(MLPField(4, 8, second_order=True)), RK4(), 0.1),
        None,
        4,
    ),
    "Hamiltonian": (lambda: Simulator(drawn(Energy(4, 8)), RK4(), 0.1), None, 4),
    "split": (lambda: Simulator(drawn(SeparableEnergy(4, 8)), Leapfrog(), 0.1), None, 4),
    "split of order 4": (lambda: Simulator(drawn(SeparableEnergy(2, 8)), Yoshida4(), 0.1), None, 2),
    "pairs": (
        lambda: Simulator(
            drawn(PairForce(("a", "b", "c"), terms=6, r_min=0.5, r_max=5.0)), Leapfrog(), 0.1
        ),
        three_bodies(),
        12,
    ),
    "flattened": (
        lambda: Simulator(drawn(Flattened(MLPField(6, 8), 3)), Euler(), 0.1),
        Topology.complete(3),
        6,
    ),
    "map": (lambda: Simulator(drawn(ResidualMap(3, 8)), None, 0.1), None, 3),
    "Henon": (lambda: Simulator(HenonMap(1.4, 0.3)), None, 2),
}


@pytest.mark.parametrize("name", SIMULATORS)
def test_forward_mode_agrees_with_central_differences(name):
    make, topology, n = SIMULATORS[name]
    step, x = flat.stepper(make(), topology), normal(5, n, seed=3)
    v = normal(5, n, 4, seed=4)
    ahead, pushed = push(step, x, v)
    torch.testing.assert_close(ahead, step(x), rtol=0, atol=1e-13)
    scale = float(pushed.abs().max())
    assert float((pushed - central(step, x, v)).abs().max()) / scale < 1e-6
    torch.testing.assert_close(jacobian(step, x) @ v, pushed, rtol=0, atol=1e-10 * scale)
    assert defect(step, x) < 1e-6
    alone = torch.cat([push(step, x[k : k + 1], v[k : k + 1])[1] for k in range(5)])
    torch.testing.assert_close(pushed, alone, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("name", ["vector", "Hamiltonian", "pairs"])
def test_slopes_are_the_field_on_flattened_states(name):
    make, topology, n = SIMULATORS[name]
    simulator, x = make(), normal(4, n, seed=3)
    found = flat.slopes(simulator.dynamics, topology)(x)
    one = Topology.isolated(1) if topology is None else topology
    for k in range(4):
        wanted = simulator.dynamics(0.0, x[k].reshape(one.rows, -1), one)
        torch.testing.assert_close(found[k], wanted.flatten(), rtol=0, atol=1e-12)
    assert defect(flat.slopes(simulator.dynamics, topology), x) < 1e-6


def test_a_map_has_no_slope():
    with pytest.raises(ConfigError, match="stepper"):
        flat.slopes(HenonMap())


def test_neither_one_system_nor_one_for_each_anchor():
    step = flat.stepper(SIMULATORS["vector"][0](), Topology.isolated(3))
    assert step(normal(3, 3)).shape == (3, 3)
    with pytest.raises(ConfigError, match="4 anchors"):
        step(normal(4, 3))


def test_other_units_change_the_jacobian_by_similarity():
    step, scale = flat.stepper(SIMULATORS["vector"][0]()), torch.tensor([1.0, 10.0, 0.1], dtype=F64)
    x = normal(4, 3)
    j = jacobian(step, x)
    moved = jacobian(flat.scaled(step, scale), x / scale)
    torch.testing.assert_close(moved, j * scale / scale[:, None], rtol=0, atol=1e-12)


def test_states_of_trajectories_one_row_a_system():
    topology = Topology.complete(3).repeat(2)
    x = normal(5, 6, 2)
    found = flat.states(Trajectory(torch.arange(5.0), x, topology))
    torch.testing.assert_close(found[:, 1], x[:, 3:].flatten(1))
    mixed = Topology.union([Topology.complete(3), Topology.complete(2)])
    with pytest.raises(DataError, match="size"):
        flat.states(Trajectory(torch.arange(5.0), normal(5, 5, 2), mixed))


@pytest.mark.parametrize(
    "broken", [lambda x: x + torch.sin(x.detach()), lambda x: x * x.detach() + torch.sin(x)]
)
def test_a_hidden_derivative_is_seen(broken):
    assert defect(broken, normal(3, 4)) > 1e-3


@pytest.mark.parametrize("flow", [lambda x: 2 * x.detach(), torch.zeros_like])
def test_a_flow_without_any_derivative_has_the_jacobian_zero(flow):
    x = normal(3, 4)
    assert float(jacobian(flow, x).abs().max()) == 0
    assert defect(flow, x) in (0.0, 1.0)


def test_a_smooth_flow_has_no_defect_and_a_broken_one_an_infinite():
    assert defect(torch.sin, normal(3, 4)) < 1e-8
    assert defect(lambda x: 0 * x, normal(3, 4)) == 0
    assert defect(lambda x: x / 0, normal(3, 4)) == math.inf


@pytest.mark.parametrize("size", [1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e8])
def test_a_smooth_flow_has_no_defect_whatever_its_unit(size):
    assert defect(lambda x: size * torch.sin(x / size), size * normal(3, 4)) < 1e-6


# Spectra


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_exponents_are_the_first_of_all(count):
    a = torch.tensor([[1.2, 0.3, 0.0], [-0.2, 0.6, 0.1], [0.1, 0.0, -0.3]], dtype=F64)

    def step(x, t):
        return 0.6 * torch.tanh(x @ a.T) + 0.1 * torch.sin(x + t)

    x = normal(2, 3)
    all_three = spectrum(step, x, 40, transient=150)
    some = spectrum(step, x, 40, count, transient=150)
    torch.testing.assert_close(some.exponents, all_three.exponents[:count], rtol=0, atol=1e-9)
    torch.testing.assert_close(some.each, all_three.each[:, :count], rtol=0, atol=1e-9)
    assert some.frame.shape == (2, 3, count)
    assert bool((all_three.exponents.diff() < 0).all())


def test_anchors_together_are_anchors_one_by_one():
    x = on_henon(5)
    together = spectrum(henon, x, 60, transient=40)
    for k in range(5):
        alone = spectrum(henon, x[k : k + 1], 60, transient=40)
        torch.testing.assert_close(alone.each[0], together.each[k], rtol=0, atol=1e-9)
        torch.testing.assert_close(alone.end[0], together.end[k], rtol=0, atol=1e-9)
    torch.testing.assert_close(together.exponents, together.each.mean(0))
    torch.testing.assert_close(together.blocks.mean((0, 1)), together.exponents)


def test_fewer_orthonormalisations_change_nothing():
    x = on_henon(4)
    often = spectrum(henon, x, 100, transient=50)
    seldom = spectrum(henon, x, 100, transient=50, every=5)
    torch.testing.assert_close(seldom.each, often.each, rtol=0, atol=1e-9)
    torch.testing.assert_close(seldom.end, often.end, rtol=0, atol=1e-9)
    assert seldom.time == often.time == 100


def test_the_whole_transient_is_left_out():
    growth = [1e3] * 4 + [2.0] * 16  # four wild steps, then steady ones

    def step(x, t):
        return x * growth[round(t)]

    found = spectrum(step, torch.ones(1, 1, dtype=F64), 10, transient=4, every=5)
    assert float(found.exponents[0]) == pytest.approx(math.log(2), abs=1e-12)


@given(dt=st.floats(1e-3, 1e3), every=st.sampled_from([1, 2, 5]))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_exponents_go_with_one_over_the_step(dt, every):
    x = on_henon(2)
    per_step = spectrum(henon, x, 20, transient=10, every=every)
    found = spectrum(henon, x, 20, transient=10, every=every, dt=dt)
    torch.testing.assert_close(found.exponents, per_step.exponents / dt, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.errors, per_step.errors / dt, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.blocks, per_step.blocks / dt, rtol=1e-12, atol=1e-12 / dt)
    assert found.time == pytest.approx(20 * dt)


def test_time_reaches_the_simulator():
    class Breathing(simlearn.VectorField):
        """dx/dt = cos(t) x: the growth from t₀ to t is exp(sin t − sin t₀)."""

        dim = 1

        def forward(self, t, x, topology):
            return x * torch.cos(torch.as_tensor(t, dtype=x.dtype))

    step = flat.stepper(Simulator(Breathing(), RK4(), 0.05))
    x = torch.ones(2, 1, dtype=F64)
    for t0 in (0.0, 0.7):
        wanted = math.sin(t0 + 2.0) - math.sin(t0)
        found = spectrum(step, x, 40, dt=0.05, t0=t0)
        assert float(found.exponents[0]) == pytest.approx(wanted / 2.0, abs=1e-6)
        assert float(finite_time(step, x, 40, dt=0.05, t0=t0)[0, 0]) == pytest.approx(
            wanted / 2.0, abs=1e-6
        )
    late = spectrum(step, x, 40, dt=0.05, transient=20)  # from t = 1 to 3
    wanted = (math.sin(3.0) - math.sin(1.0)) / 2
    assert float(late.exponents[0]) == pytest.approx(wanted, abs=1e-6)
    found = covariant(step, x, 40, transient=20, tail=5, dt=0.05)
    torch.testing.assert_close(
        found.rates, torch.full((2, 1), wanted, dtype=F64), atol=1e-6, rtol=0
    )


def test_errors_cover_the_truth():
    """Of 60 independent orbits of Hénon between 80 and 100 % lie within two standard errors."""
    found = spectrum(henon, on_henon(60), 400, transient=20)
    errors = torch.stack([standard_error(found.blocks[:, [k]]) for k in range(60)])
    off = (found.each[:, 0] - 0.4192).abs()
    assert 0.8 <= float((off <= 2 * errors[:, 0]).double().mean()) <= 1.0
    assert float(errors.max()) < 0.15
    alone = spectrum(henon, on_henon(60)[:1], 400, transient=20)
    torch.testing.assert_close(alone.errors, errors[0], rtol=0.5, atol=0)


def test_errors_shrink_with_the_number_of_orbits():
    few = spectrum(henon, on_henon(4), 200, 1, transient=20).errors
    many = spectrum(henon, on_henon(64), 200, 1, transient=20).errors
    assert 2 < float(few / many) < 8


def test_a_standard_error_of_independent_values_is_the_usual_one():
    blocks = normal(20, 50, 1)
    usual = float(blocks.std() / math.sqrt(1000))
    assert float(standard_error(blocks)[0]) == pytest.approx(usual, rel=0.15)
    assert float(standard_error(normal(1, 1, 2)).abs().max()) == 0


def test_a_standard_error_of_correlated_values_is_larger():
    """AR(1) with φ = 0.6: variance of means up by (1 + φ) / (1 − φ) = 4."""
    x, series = normal(400, 1), []
    for kick in normal(20, 400, 1, seed=1) * 0.8:
        x = 0.6 * x + kick
        series.append(x)
    blocks = torch.stack(series)
    naive = float(blocks.std() / math.sqrt(8000))
    assert float(standard_error(blocks)[0]) == pytest.approx(2 * naive, rel=0.15)


def test_an_orbit_that_leaves_is_told_and_spoils_no_other():
    x = on_henon(4)
    x[2] = torch.tensor([5.0, 5.0])  # outside the basin
    with_it = spectrum(henon, x, 60, transient=20)
    assert with_it.lost[[0, 1, 3]].tolist() == [-1, -1, -1]
    assert 0 < int(with_it.lost[2]) < 20
    assert bool(with_it.each[2].isnan().all())
    without = spectrum(henon, x[[0, 1, 3]], 60, transient=20)
    torch.testing.assert_close(with_it.exponents, without.exponents, rtol=0, atol=1e-6)
    assert bool(with_it.errors.isfinite().all())
    bounded = spectrum(henon, x, 60, transient=20, bound=3.0)
    assert int(bounded.lost[2]) == 1
    torch.testing.assert_close(bounded.exponents, with_it.exponents)


def test_a_loss_is_told_at_its_step():
    found = spectrum(lambda x, t: 2 * x, torch.ones(2, 1, dtype=F64), 30, bound=1000.0)
    assert found.lost.tolist() == [10, 10]
    assert bool(found.exponents.isnan().all())
    during = spectrum(
        lambda x, t: 2 * x, torch.ones(2, 1, dtype=F64), 30, transient=20, bound=1000.0
    )
    assert during.lost.tolist() == [10, 10]
    assert bool(during.exponents.isnan().all())


def test_an_orbit_that_is_lost_spoils_no_other_that_follows_the_data():
    phase = torch.linspace(0, 2 * math.pi, 201, dtype=F64)[:-1]
    circle = torch.stack([phase.cos(), phase.sin()], -1)
    normals = LocalNormals(circle, neighbours=7)

    def step(x, t):
        turned = torch.stack([x[:, 0] - 0.1 * x[:, 1], x[:, 1] + 0.1 * x[:, 0]], -1)
        return torch.where(x[:, :1] > 0.99, x.new_tensor(math.nan), turned)

    found = spectrum(
        step, circle[[0, 70]], 5, normal=normals, follow=lambda x: normals.nearest(x)[1]
    )
    assert found.lost.tolist() == [1, -1]
    assert bool(found.exponents.isfinite().all())


def test_exponents_carry_no_graph_of_the_whole_orbit():
    simulator = Simulator(MLPField(2, 8).double(), RK4(), 0.1)
    found = spectrum(flat.stepper(simulator), normal(2, 2), 3)
    assert not found.exponents.requires_grad
    assert not found.end.requires_grad


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"count": 3}, {"steps": 0}, {"every": 0}, {"every": 7}],
)
def test_impossible_spectra_are_refused(wrong):
    with pytest.raises(ConfigError):
        spectrum(henon, on_henon(2), **{"steps": 5, **wrong})


def test_a_constant_normal_frame_of_an_invariant_subspace():
    """The last exponents of QR that starts with [T, N] are those of the normal cocycle."""
    a = torch.tensor([[0.5, 0.2, 0.7], [0.0, 1.1, 0.3], [0.0, 0.0, 0.8]], dtype=F64)
    n = torch.eye(3, dtype=F64)[:, 1:]
    found = spectrum(lambda x, t: x @ a.T, normal(2, 3), 200, normal=n, transient=200)
    wanted = torch.tensor([1.1, 0.8], dtype=F64).log()
    torch.testing.assert_close(found.exponents, wanted, rtol=0, atol=1e-9)
    everywhere = spectrum(
        lambda x, t: x @ a.T,
        normal(2, 3),
        200,
        normal=lambda x: n.expand(len(x), 3, 2),
        transient=200,
    )
    torch.testing.assert_close(everywhere.exponents, found.exponents)


def test_the_propagator_is_the_product_of_jacobians():
    x = on_henon(3)
    end, product = propagator(henon, x, 4)
    wanted, y = torch.eye(2, dtype=F64), x
    for _ in range(4):
        wanted, y = jacobian(henon, y) @ wanted, henon(y)
    torch.testing.assert_close(product, wanted)
    torch.testing.assert_close(end, y)


# Dimension


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([0.9056, 0.0, -14.5723], 2 + 0.9056 / 14.5723),
        ([0.4192, -1.6232], 1 + 0.4192 / 1.6232),
        ([-1.6232, 0.4192], 1 + 0.4192 / 1.6232),
        ([-0.1, -0.2], 0.0),
        ([0.0, -1.0], 1.0),
        ([1.0, -1.0], 2.0),
        ([1.0, 0.5, -0.2], 3.0),
        ([0.3], 1.0),
        ([-0.3], 0.0),
        ([0.0, 0.0], 2.0),
        ([1.0, -0.5, -0.5, -1.0], 3.0),
    ],
)
def test_the_kaplan_yorke_dimension(exponents, dimension):
    assert kaplan_yorke(torch.tensor(exponents, dtype=F64)) == pytest.approx(dimension, abs=1e-12)


def test_the_dimension_of_lost_orbits_is_not_known():
    assert math.isnan(kaplan_yorke(torch.tensor([0.1, math.nan, -1.0])))
    assert math.isnan(kaplan_yorke(torch.tensor([math.nan, math.nan])))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_dimension_lies_between_none_and_all(values):
    assert 0 <= kaplan_yorke(torch.tensor(values, dtype=F64)) <= len(values)


# Covariant vectors


def test_fewer_covariant_vectors_are_the_first_of_all():
    x = on_henon(2)
    both = covariant(henon, x, 20)
    first = covariant(henon, x, 20, 1)
    overlap = (both.vectors[..., :1] * first.vectors).sum(-2).abs()
    torch.testing.assert_close(overlap, torch.ones_like(overlap), rtol=0, atol=1e-10)
    torch.testing.assert_close(both.rates[:, :1], first.rates, rtol=0, atol=1e-9)


def test_an_exactly_singular_jacobian_cannot_be_carried_back():
    a = torch.diag(torch.tensor([1.5, 0.5, 0.0], dtype=F64))
    with pytest.raises(NumericalError, match="2 vectors or fewer"):
        covariant(lambda x, t: x @ a.T, normal(2, 3), 5)
    found = covariant(lambda x, t: x @ a.T, normal(2, 3), 5, 2)
    wanted = torch.tensor([1.5, 0.5], dtype=F64).log()
    torch.testing.assert_close(found.rates, wanted.expand(2, 2), rtol=0, atol=1e-9)


def test_a_singular_jacobian_that_is_not_aligned_cannot_be_carried_back():
    """Rounding leaves about 1e-16 times the norm of the Jacobian on the diagonal of R."""
    for seed in range(6):
        basis = normal(3, 3, seed=seed)
        dead = torch.diag(torch.tensor([1.0, 0.5, 0.0], dtype=F64))
        a = 3 * basis @ dead @ torch.linalg.inv(basis)
        with pytest.raises(NumericalError):
            covariant(lambda x, t, a=a: x @ a.T, normal(2, 3), 20)


def test_a_lost_orbit_has_no_covariant_vectors():
    with pytest.raises(NumericalError, match="left"):
        covariant(henon, torch.tensor([[5.0, 5.0], [0.1, 0.1]], dtype=F64), 20, transient=20)


@pytest.mark.parametrize(
    "wrong", [{"count": 3}, {"count": 0}, {"steps": 0}, {"transient": 0}, {"tail": -1}]
)
def test_impossible_covariant_vectors_are_refused(wrong):
    with pytest.raises(ConfigError):
        covariant(henon, on_henon(2), **{"steps": 5, **wrong})


def test_without_a_tail_the_last_vectors_are_unsettled_but_there():
    found = covariant(henon, on_henon(2), 10, tail=0)
    assert found.vectors.shape == (11, 2, 2, 2)
    size = found.vectors.norm(dim=-2)
    torch.testing.assert_close(size, torch.ones_like(size), rtol=0, atol=1e-12)


# Contraction


@given(seed=st.integers(0, 200), n=st.integers(1, 5))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_log_norm_is_the_slope_of_the_norm_in_its_metric(seed, n):
    j, root = normal(n, n, seed=seed), normal(n, n, seed=seed + 500) + 2 * torch.eye(n)
    p = root @ root.T + 0.1 * torch.eye(n)
    mu, h = float(contraction.log_norm(j, p)), 1e-7
    slope = (float(contraction.norm(torch.eye(n, dtype=F64) + h * j, p)) - 1) / h
    assert slope == pytest.approx(
        mu, abs=1e-4 * (1 + float(j.norm()) ** 2 * float(torch.linalg.cond(p)))
    )
    left = p @ j + j.T @ p - 2 * mu * p  # the smallest c with P J + Jᵀ P ≤ 2 c P
    top = float(torch.linalg.eigvalsh(left)[-1])
    assert abs(top) < 1e-8 * float(p.norm()) * (1 + float(j.norm()))
    assert mu >= float(torch.linalg.eigvals(j).real.max()) - 1e-9


def test_the_euclidean_metric_is_the_default():
    j = normal(4, 3, 3)
    torch.testing.assert_close(contraction.log_norm(j), contraction.log_norm(j, torch.eye(3)))
    torch.testing.assert_close(contraction.norm(j), torch.linalg.matrix_norm(j, 2))


@pytest.mark.parametrize(
    "metric",
    [
        [[1.0, 0.5], [0.0, 1.0]],
        [[1.0, 2.0], [2.0, 1.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[math.nan, 0.0], [0.0, 1.0]],
        [[-1.0, 0.0], [0.0, -1.0]],
    ],
)
def test_a_metric_that_is_none_is_refused(metric):
    for measure in (contraction.log_norm, contraction.norm):
        with pytest.raises(ConfigError, match="metric"):
            measure(normal(2, 2), torch.tensor(metric, dtype=F64))


@pytest.mark.parametrize("shape", [(2, 3), (3, 3)])
def test_a_metric_of_another_size_is_refused(shape):
    with pytest.raises(ConfigError, match="metric"):
        contraction.log_norm(normal(2, 2), torch.eye(*shape, dtype=F64))


def test_error_bounds_are_those_of_the_linear_comparison():
    assert contraction.error_bound(0.0, 1.0, 0.5, 2.0) == pytest.approx(2.0)
    assert contraction.error_bound(-1.0, 0.0, 0.5, 50.0) == pytest.approx(0.5)
    assert contraction.error_bound(1e-12, 1.0, 0.5, 2.0) == pytest.approx(2.0)
    assert contraction.error_bound_map(1.0, 1.0, 0.5, 4) == pytest.approx(3.0)
    e = 0.2
    for _ in range(7):
        e = 0.9 * e + 0.03
    assert contraction.error_bound_map(0.9, 0.2, 0.03, 7) == pytest.approx(e, abs=1e-14)


def test_the_spectrum_of_a_linear_map_is_that_of_its_eigenvalues():
    law = LinearMap(3).double().requires_grad_(False)
    law.linear.weight.copy_(
        torch.tensor([[0.9, 5.0, 0.0], [0.0, -0.5, 1.0], [0.0, 0.0, 0.1]], dtype=F64)
    )
    found = spectrum(flat.stepper(Simulator(law)), normal(2, 3), 50, transient=100)
    wanted = torch.tensor([0.9, 0.5, 0.1], dtype=F64).log()
    torch.testing.assert_close(found.exponents, wanted, rtol=0, atol=1e-9)


def test_implicit_schemes_have_jacobians_too():
    simulator = Simulator(drawn(SeparableEnergy(2, 8)), ImplicitMidpoint(), 0.1)
    assert defect(flat.stepper(simulator), normal(3, 2)) < 1e-6
