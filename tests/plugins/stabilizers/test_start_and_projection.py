"""A start that is stable at any state; dynamics on the subspace of their data, decay off it."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, Simulator, Topology, Trajectory
from simlearn.analysis import contraction, flat
from simlearn.analysis.growth import spectrum
from simlearn.analysis.jacobian import jacobian
from simlearn.analysis.subspace import subspace
from simlearn.dynamics import (
    Energy,
    Flattened,
    HenonMap,
    LinearField,
    LinearMap,
    MLPField,
    ResidualMap,
    SeparableEnergy,
)
from simlearn.integrators import RK4, ImplicitMidpoint, Leapfrog
from simlearn_stabilizers import (
    HurwitzStable,
    ProjectedField,
    ProjectedMap,
    SpectralNorm,
    StableInitialization,
    Standardize,
    SubspaceProjection,
)

F64, DT = torch.float64, 0.1


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def drawn(dynamics, seed=0, size=1.0):
    """Weights from a generator of their own."""
    dynamics, rng = dynamics.double(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in dynamics.parameters():
            one.copy_(size * torch.randn(one.shape, generator=rng, dtype=F64))
    return dynamics.requires_grad_(False)


def simulator(dynamics, integrator=None, dt=DT):
    if isinstance(dynamics, simlearn.Map):
        return Simulator(dynamics, None, dt)
    return Simulator(dynamics, integrator or RK4(), dt)


UNITS = torch.tensor([1.0, 50.0, 0.02], dtype=F64)


def plane(steps=300, dt=DT):
    """A rotation on an oblique plane of three columns of different units, off the origin."""
    t = dt * torch.arange(steps, dtype=F64)
    frame = torch.linalg.qr(normal(3, 2, seed=3))[0]
    x = torch.stack([t.cos(), 0.5 * t.sin()], -1) @ frame.T * UNITS
    return [Trajectory(t, (x + 3 * UNITS)[:, None], Topology.isolated(1))]


def anywhere(data, count=20, seed=4):
    """States on and far off the data."""
    x = data[0].x.flatten(0, 1)
    scale = subspace(data).energy.scale
    return x.mean(0) + 3 * normal(count, x.shape[1], seed=seed) * scale


# A stable start


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("rate", [0.3, 5.0])
def test_an_untrained_network_contracts_at_every_state(depth, standardized, rate):
    data, field = plane(), drawn(MLPField(3, 16, depth))
    one = simulator(field)
    if standardized:
        Standardize().prepare(one, data)
    StableInitialization(rate).prepare(one, data)
    x = field.centre + 2 * normal(50, 3, seed=2) * field.spread
    j = jacobian(flat.slopes(field), x)
    seen = j * field.spread / field.spread[:, None]  # D⁻¹ J D
    torch.testing.assert_close(seen, seen.mT, rtol=0, atol=1e-9 * rate)
    growth = contraction.log_norm(seen)
    assert float(growth.max()) < 0
    assert float(growth.min()) >= -rate * (1 + 1e-9)
    metric = torch.diag(field.spread**-2)
    torch.testing.assert_close(contraction.log_norm(j, metric), growth, rtol=1e-6, atol=1e-9)
    middle = jacobian(flat.slopes(field), field.centre[None])
    wanted = -rate * torch.eye(3, dtype=F64)
    torch.testing.assert_close(
        middle[0] * field.spread / field.spread[:, None], wanted, rtol=0, atol=1e-9 * rate
    )


def test_no_compression_of_the_start_is_unstable():
    field = drawn(MLPField(4, 16))
    StableInitialization().prepare(simulator(field), plane())
    j = jacobian(flat.slopes(field), normal(10, 4))
    for seed in range(20):
        n = torch.linalg.qr(normal(4, 2, seed=seed))[0]
        assert float(torch.linalg.eigvals(n.T @ j @ n).real.max()) < 0


def test_an_untrained_residual_map_shrinks_every_difference():
    law = drawn(ResidualMap(3, 16))
    one = simulator(law)
    StableInitialization(2.0).prepare(one, plane())
    j = jacobian(flat.stepper(one), 2 * normal(50, 3))
    assert float(contraction.norm(j).max()) < 1
    middle = jacobian(flat.stepper(one), torch.zeros(1, 3, dtype=F64))[0]
    torch.testing.assert_close(middle, (1 - 2.0 * DT) * torch.eye(3, dtype=F64))


@pytest.mark.parametrize("seed", range(5))
def test_linear_fields_and_maps_start_stable_in_every_compression(seed):
    field, law = drawn(LinearField(5), seed), drawn(LinearMap(5, bias=True), seed)
    before = field.linear.weight.detach().clone()
    StableInitialization(0.7).prepare(simulator(field), plane())
    after = field.linear.weight.detach()
    assert float(contraction.log_norm(after)) == pytest.approx(-0.7, abs=1e-12)
    torch.testing.assert_close(after - after.diagonal().diag(), before - before.diagonal().diag())
    StableInitialization(0.7).prepare(simulator(law), plane())
    assert float(contraction.norm(law.linear.weight.detach())) == pytest.approx(
        math.exp(-0.07), abs=1e-7
    )


def test_the_norm_of_a_linear_map_is_that_of_its_rate_in_double_precision():
    law = drawn(LinearMap(3))
    StableInitialization(0.7).prepare(simulator(law), plane())
    found = float(contraction.norm(law.linear.weight.detach()))
    assert found == pytest.approx(math.exp(-0.07), abs=1e-12)


def test_a_draw_that_is_stable_already_is_left_as_it_is():
    field, law = drawn(LinearField(2)), drawn(LinearMap(2))
    field.linear.weight.copy_(torch.tensor([[-3.0, 1.0], [-1.0, -3.0]]))
    law.linear.weight.copy_(torch.tensor([[0.1, 0.0], [0.2, 0.0]]))
    for one in (field, law):
        before = one.linear.weight.detach().clone()
        StableInitialization(1.0).prepare(simulator(one), plane())
        torch.testing.assert_close(one.linear.weight.detach(), before)
    law.linear.weight.zero_()
    StableInitialization(1.0).prepare(simulator(law), plane())
    assert float(law.linear.weight.detach().abs().max()) == 0


def test_flattened_networks_start_stable_too():
    one = Simulator(drawn(Flattened(MLPField(6, 16), 3)), RK4(), DT)
    StableInitialization(1.0).prepare(one, [])
    j = jacobian(flat.slopes(one.dynamics, Topology.complete(3)), normal(10, 6))
    assert float(contraction.log_norm(j).max()) < 0


def test_single_precision_and_the_same_every_time():
    weights = []
    for _ in range(2):
        field = drawn(MLPField(3, 16)).float()
        StableInitialization().prepare(Simulator(field, RK4(), DT), [])
        weights.append([one.detach().clone() for one in field.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert all(one.dtype == torch.float32 for one in weights[0])


@pytest.mark.parametrize(
    ("dynamics", "word"),
    [
        (lambda: MLPField(3, 2), "neurons"),
        (lambda: MLPField(4, 8, second_order=True), "first order"),
        (lambda: MLPField(2, 8, inputs=1), "inputs"),
        (lambda: MLPField(2, 8, attributes=1), "parameters"),
        (lambda: Energy(2, 8), "Energy"),
        (lambda: HenonMap(), "HenonMap"),
        (lambda: ProjectedField(MLPField(3, 8), 2), "ProjectedField"),
    ],
)
def test_dynamics_without_a_stable_start_are_refused(dynamics, word):
    with pytest.raises(ConfigError, match=word):
        StableInitialization().prepare(simulator(dynamics().double()), plane())


def test_a_map_that_would_overshoot_is_refused():
    with pytest.raises(ConfigError, match="rate below 10"):
        StableInitialization(10.0).prepare(simulator(drawn(ResidualMap(2, 8))), [])


@pytest.mark.parametrize(
    "wrong", [{"rate": 0.0}, {"rate": -1.0}, {"gain": 0.0}, {"rate": math.nan}]
)
def test_a_start_without_a_rate_is_refused(wrong):
    with pytest.raises(ConfigError):
        StableInitialization(**wrong)


# Projection


def wrapped(dynamics, data=None, **arguments):
    data, stabilizer = data or plane(), SubspaceProjection(**arguments)
    stabilizer.observe(simulator(dynamics), data)
    return stabilizer.wrap(dynamics).double()


def test_a_projected_field_decays_off_the_data_at_its_rate():
    data = plane()
    field = wrapped(drawn(MLPField(3, 16)), data, rate=0.8)
    found, x = subspace(data), anywhere(data)
    assert isinstance(field, ProjectedField)
    assert field.rank == 2
    scale, n, s = found.energy.scale, found.normal, found.data
    j = jacobian(flat.slopes(field), x) * scale / scale[:, None]
    inside = float(torch.linalg.matrix_norm(j, 2).max())
    torch.testing.assert_close(j @ n, (-0.8 * n).expand(20, 3, 1), rtol=0, atol=1e-12 * inside)
    leak = n.T @ j @ s
    torch.testing.assert_close(leak, torch.zeros_like(leak), rtol=0, atol=1e-12 * inside)


def test_a_projected_field_is_the_field_inside_on_the_data():
    data, inner = plane(), drawn(MLPField(3, 16))
    field, p = wrapped(inner, data), subspace(data).projector
    x, one = data[0].x[:, 0], Topology.isolated(300)
    wanted = inner(0.0, x, one) @ p.T
    torch.testing.assert_close(field(0.0, x, one), wanted, rtol=1e-10, atol=1e-10)


def test_a_projected_map_shrinks_what_is_off_the_data_by_its_factor():
    data = plane()
    law = wrapped(drawn(ResidualMap(3, 16)), data, rate=2.0)
    found, x = subspace(data), anywhere(data)
    assert isinstance(law, ProjectedMap)
    assert law.factor == pytest.approx(0.8)
    scale, n = found.energy.scale, found.normal
    j = jacobian(flat.stepper(simulator(law)), x) * scale / scale[:, None]
    size = float(torch.linalg.matrix_norm(j, 2).max())
    torch.testing.assert_close(j @ n, (0.8 * n).expand(20, 3, 1), rtol=0, atol=1e-12 * size)
    assert wrapped(drawn(ResidualMap(3, 16)), data, rate=100.0).factor == 0
    on = data[0].x[:5, 0]
    ahead = law(0.0, on, DT, Topology.isolated(5))
    off = (ahead - found.energy.mean) / scale @ n
    assert float(off.abs().max()) < 1e-11 * size


def test_the_automatic_rate_is_that_of_the_data_and_at_most_half_a_step():
    data = plane()
    assert wrapped(drawn(MLPField(3, 8)), data).rate == pytest.approx(subspace(data).rate)
    slow = SubspaceProjection()
    slow.observe(simulator(drawn(MLPField(3, 8)), dt=5.0), data)
    assert slow.wrap(drawn(MLPField(3, 8))).rate == pytest.approx(0.1)
    assert wrapped(drawn(MLPField(3, 8)), data, rate=0.0).rate == 0.0


def test_transverse_exponents_of_a_projected_simulator_are_its_rate():
    data = plane()
    one, found = simulator(wrapped(drawn(MLPField(3, 8), size=0.1), data, rate=0.8)), subspace(data)
    step = flat.scaled(flat.stepper(one), found.energy.scale)
    x = data[0].x[:4, 0] / found.energy.scale
    exponents = spectrum(step, x, 20, dt=DT, normal=found.normal).exponents
    taylor = sum((-0.08) ** k / math.factorial(k) for k in range(5))
    assert float(exponents[0]) == pytest.approx(math.log(taylor) / DT, abs=1e-10)
    assert float(exponents[0]) == pytest.approx(-0.8, abs=1e-6)


def test_data_that_fill_the_space_leave_the_dynamics_alone():
    full = [Trajectory(DT * torch.arange(50.0), normal(50, 1, 3), Topology.isolated(1))]
    field = drawn(MLPField(3, 8))
    assert wrapped(field, full) is field
    assert SubspaceProjection().wrap(field) is field  # nobody showed it data


def test_flattened_dynamics_are_projected_inside():
    """Three rows that move together fill two of six dimensions."""
    x = normal(200, 1, 2).expand(200, 3, 2).contiguous()
    data = [Trajectory(DT * torch.arange(200.0), x, Topology.complete(3))]
    field = wrapped(drawn(Flattened(MLPField(6, 16), 3)), data, rate=0.8)
    assert isinstance(field, Flattened)
    assert isinstance(field.field, ProjectedField)
    assert field.field.rank == 2
    found = subspace(data, whole=True)
    scale, n = found.energy.scale, found.normal
    j = jacobian(flat.slopes(field, Topology.complete(3)), normal(5, 6, seed=8))
    j = j * scale / scale[:, None]
    torch.testing.assert_close(j @ n, (-0.8 * n).expand(5, 6, 4), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["field", "map", "flattened"])
def test_a_projected_simulator_survives_its_archive(kind, tmp_path):
    data = plane()
    dynamics = {
        "field": lambda: drawn(MLPField(3, 8)),
        "map": lambda: drawn(ResidualMap(3, 8)),
        "flattened": lambda: drawn(Flattened(MLPField(3, 8), 1)),
    }[kind]()
    one = simulator(wrapped(dynamics, data, rate=0.8))
    simlearn.save(one, tmp_path / "it")
    again = simlearn.load(tmp_path / "it")
    x = anywhere(data)
    assert torch.equal(one.step(x), again.double().step(x))
    assert again.describe() == one.describe()


def test_standardize_before_and_after_the_projection():
    data, trained = plane(), []
    for stabilizers in (
        [Standardize(), SubspaceProjection(0.8)],
        [SubspaceProjection(0.8), Standardize()],
    ):
        one = simulator(drawn(MLPField(3, 8)))
        simlearn.fit(one, data, stabilizers=stabilizers, max_epochs=2, progress=False)
        assert isinstance(one.dynamics, ProjectedField)
        torch.testing.assert_close(one.dynamics.field.centre, data[0].x.mean((0, 1)))
        trained.append(one)
    x = anywhere(data)
    torch.testing.assert_close(trained[0].step(x), trained[1].step(x))


def test_standardize_hands_on_what_drives_the_field_where_there_is_no_projection():
    field = drawn(MLPField(3, 8, inputs=1))
    Standardize().prepare(simulator(field), driven())
    torch.testing.assert_close(field.centre[3:], driven()[0].inputs.mean((0, 1)))


def driven():
    one = plane()[0]
    push = normal(300, 1, 1, seed=9) + 2
    return [Trajectory(one.t, one.x, one.topology, inputs=push)]


def test_standardize_hands_on_what_drives_a_projected_field():
    field = drawn(MLPField(3, 8, inputs=1))
    one = simulator(wrapped(field, driven()))
    Standardize().prepare(one, driven())
    torch.testing.assert_close(field.centre[3:], driven()[0].inputs.mean((0, 1)))


def test_a_projected_map_or_linear_field_has_no_scales():
    for dynamics in (drawn(ResidualMap(3, 8)), drawn(LinearField(3))):
        with pytest.raises(ConfigError):
            Standardize().prepare(simulator(wrapped(dynamics)), plane())


def test_noise_of_the_data_decides_what_is_cut():
    one = plane()[0]
    x = one.x + 1e-3 * normal(300, 1, 3, seed=6) * UNITS
    noisy = [Trajectory(one.t, x, one.topology)]
    field = drawn(MLPField(3, 8))
    assert wrapped(field, noisy) is field
    assert wrapped(field, noisy, noise=0.02).rank == 2


def test_leapfrog_refuses_a_projection():
    t = DT * torch.arange(200, dtype=F64)
    x = torch.stack([t.cos(), 0 * t, -t.sin(), 0 * t], -1)[:, None]
    data = [Trajectory(t, x, Topology.isolated(1))]
    one = Simulator(drawn(SeparableEnergy(4, 8)), Leapfrog(), DT)
    with pytest.raises(ConfigError):
        simlearn.fit(one, data, stabilizers=[SubspaceProjection()], max_epochs=1, progress=False)


@pytest.mark.parametrize("energy", [Energy, SeparableEnergy])
def test_a_structure_that_a_projection_would_break_is_refused(energy):
    """So says `SubspaceProjection.wrap`."""
    t = DT * torch.arange(200, dtype=F64)
    x = torch.stack([t.cos(), 0 * t, -t.sin(), 0 * t], -1)[:, None]
    data = [Trajectory(t, x, Topology.isolated(1))]
    stabilizer, one = SubspaceProjection(), Simulator(drawn(energy(4, 8)), ImplicitMidpoint(), DT)
    stabilizer.observe(one, data)
    with pytest.raises(ConfigError):
        stabilizer.wrap(one.dynamics)


@pytest.mark.parametrize(
    "wrong", [{"rate": -1.0}, {"noise": -1.0}, {"rate": math.nan}, {"noise": math.nan}]
)
def test_arguments_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        SubspaceProjection(**wrong)


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_that_does_not_fit_is_refused(rank):
    with pytest.raises(ConfigError, match="rank"):
        ProjectedField(MLPField(3, 8), rank)
    with pytest.raises(ConfigError, match="rank"):
        ProjectedMap(ResidualMap(3, 8), rank)


def test_rates_and_factors_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="rate"):
        ProjectedField(MLPField(3, 8), 2, -1.0)
    for factor in (-0.1, 1.1):
        with pytest.raises(ConfigError, match="factor"):
            ProjectedMap(ResidualMap(3, 8), 2, factor)


def test_single_precision_projections():
    data = [one.to("cpu", torch.float32) for one in plane()]
    field = wrapped(drawn(MLPField(3, 8)).float(), data, rate=0.8).float()
    x = anywhere(plane()).float()
    answer = field(0.0, x, Topology.isolated(20))
    assert answer.dtype == torch.float32
    assert bool(answer.isfinite().all())


def test_a_rate_beyond_the_step_is_refused_for_a_field():
    """It would take back more than there is, and an explicit scheme would explode."""
    with pytest.raises(ConfigError, match="more than there is"):
        wrapped(drawn(MLPField(3, 8)), plane(), rate=50.0)


def test_a_projected_field_steps_in_single_precision_too():
    field = wrapped(drawn(MLPField(3, 8)), plane()).float()
    alone = ProjectedField(MLPField(3, 8), rank=2)
    for one in (field, alone):
        assert (
            one(
                0.0,
                torch.randn(3, 3, generator=torch.Generator().manual_seed(0)),
                Topology.isolated(3),
            )
            .isfinite()
            .all()
        )


@pytest.mark.parametrize("order", [0, 1])
def test_a_stable_start_under_a_norm_bound_is_still_stable(order):
    """The weights go through the constraint; its own columns are only made smaller."""
    both = [StableInitialization(), SpectralNorm()]
    law = drawn(MLPField(3, 8))
    one = simulator(law)
    for stabilizer in both[::-1] if order else both:
        one.take(stabilizer.wrap(one.dynamics))
    for stabilizer in both[::-1] if order else both:
        stabilizer.prepare(one, plane())
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    j = torch.stack(
        [
            torch.func.jacrev(lambda s: one.dynamics(0.0, s[None], Topology.isolated(1))[0])(s)
            for s in x
        ]
    )
    assert float(torch.linalg.eigvalsh((j + j.mT) / 2).max()) < 0


def test_a_stable_start_that_a_constraint_would_change_is_refused():
    law = drawn(LinearField(3))
    one = simulator(law)
    one.take(HurwitzStable().wrap(one.dynamics))
    try:
        StableInitialization(5.0).prepare(one, plane())
    except ConfigError:
        return
    assert (
        float(torch.linalg.eigvalsh(one.dynamics.linear.weight + one.dynamics.linear.weight.mT)[-1])
        < 0
    )
