"""GraphCoupled beyond its training range, in training and under analysis."""

import pytest
import torch

import simlearn
from simlearn import Simulator, Topology, Trajectory
from simlearn.analysis import flat, growth, jacobian
from simlearn.dynamics import EdgeNetwork, GraphCoupled
from simlearn.integrators.explicit import RK4, Euler
from simlearn.state import Graph
from simlearn_stabilizers import Standardize


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def ring(rows):
    here = torch.arange(rows)
    there = here.roll(1)
    return Topology(Graph(torch.stack([torch.cat([here, there]), torch.cat([there, here])]), rows))


def measured(dim=1, kind="factorised", dtype=torch.float64, **given):
    learned = dim // 2 if given.get("second_order") else dim
    pair = EdgeNetwork(dim, learned, width=6) if kind == "edges" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        field = GraphCoupled(dim=dim, pair=pair, width=8, **given).to(dtype)
    x = 3 * normal(40, 6, dim) + torch.arange(dim)
    field.standardize(x.to(dtype), 5 * normal(40, 6, dim, seed=1).to(dtype))
    return field, x.to(dtype)


def bound(field, degree):
    """No state makes what is learned larger: tanh is at most one."""
    own = field.own.layers[-1]
    most = own.weight.abs().sum(1) + own.bias.abs()
    pair = field.pair
    if isinstance(pair, EdgeNetwork):
        last = pair.net.layers[-1]
        return field.rate * (most + degree * (last.weight.abs().sum(1) + last.bias.abs()))
    ends = [net.layers[-1] for net in (pair.receive, pair.send)]
    a, b = (last.weight.abs().sum(1) + last.bias.abs() for last in ends)
    return field.rate * (most + degree * pair.out.weight.abs() @ (a * b))


def flat_states(steps=6, rows=5, dim=2, **given):
    topology = ring(rows).replace(**given)
    t = 0.1 * torch.arange(steps, dtype=torch.float64)
    return Trajectory(t, normal(steps, rows, dim), topology)


def test_every_training_gives_networks_a_range():
    """Also without Standardize, and of parameters, which it does not measure."""
    attr = normal(5, 1, seed=3)
    one = flat_states(12, node_attr=attr)
    field = GraphCoupled(dim=2, width=4, node_parameters=1).double()
    assert not bool(field.outside(1e9 * one.x[0], one.topology).any())
    simlearn.fit(Simulator(field, RK4(), 0.1), one, max_epochs=1, progress=False)
    seen = torch.cat([one.x.flatten(0, 1), attr.repeat(12, 1)], dim=1)
    margin = 0.1 * (seen.amax(0) - seen.amin(0))
    torch.testing.assert_close(field.low, seen.amin(0) - margin)
    torch.testing.assert_close(field.high, seen.amax(0) + margin)
    assert bool(field.outside(1e9 * one.x[0], one.topology).all())
    slope = field(0.0, 1e9 * one.x[0], one.topology)
    assert bool((slope.abs() <= bound(field, 2) + 1e-12).all())


def test_a_range_that_was_measured_is_kept_and_missing_samples_are_none():
    field, x = measured()
    before = field.low.clone(), field.high.clone()
    field.enclose([Trajectory(torch.zeros(1), 50 * x[:1], ring(6))])
    assert torch.equal(field.low, before[0])
    assert torch.equal(field.high, before[1])
    one = flat_states(dim=1)
    mask = torch.ones(6, 5, dtype=torch.bool)
    x = one.x.clone()
    mask[2, 3], x[2, 3] = False, torch.nan
    mask[4, 1], x[4, 1] = False, 1e6
    fresh = GraphCoupled(dim=1, width=4).double()
    fresh.enclose([Trajectory(one.t, x, one.topology, mask=mask)])
    assert float(fresh.high) < 10
    assert float(fresh.low) > -10


def test_standardising_measures_units_and_the_range():
    field, x = measured(dim=2)
    flat_x = x.reshape(-1, 2)
    torch.testing.assert_close(field.centre, flat_x.mean(0))
    torch.testing.assert_close(field.spread, flat_x.std(0))
    z = (flat_x - field.centre) / field.spread
    margin = 0.1 * (z.amax(0) - z.amin(0))
    torch.testing.assert_close(field.low, z.amin(0) - margin)
    torch.testing.assert_close(field.high, z.amax(0) + margin)
    slopes = 5 * normal(40, 6, 2, seed=1).reshape(-1, 2)
    torch.testing.assert_close(field.rate, slopes.square().mean(0).sqrt())


def test_standardising_measures_what_drives_and_leaves_parameters_of_nodes_alone():
    field = GraphCoupled(dim=2, node_parameters=1, inputs=1, attributes=1, second_order=True)
    drive = torch.stack([2 * normal(40, 6), torch.full((40, 6), 0.1)], dim=-1)
    field.standardize(normal(40, 6, 2), normal(40, 6, 2, seed=1), drive.double())
    assert float(field.centre[2]) == 0
    assert float(field.spread[2]) == 1
    assert float(field.high[2]) == torch.inf
    assert float(field.spread[3]) == pytest.approx(2, rel=0.2)
    assert float(field.spread[4]) == 1
    assert len(field.rate) == 1


@pytest.mark.parametrize("kind", ["factorised", "edges"])
@pytest.mark.parametrize("size", [1e3, 1e30, -1e30, torch.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_slopes_are_bounded_whatever_the_state(kind, size, dtype):
    field, _ = measured(kind=kind, dtype=dtype)
    x = torch.full((6, 1), size, dtype=dtype)
    x[::2] *= -1
    slope = field(0.0, x, ring(6))
    assert bool((slope.abs() <= bound(field, degree=2) * (1 + 1e-6)).all())
    assert bool((slope.abs() > 0).any())


@pytest.mark.parametrize("second_order", [False, True])
def test_a_long_rollout_never_overflows(second_order):
    field, x = measured(dim=2, dtype=torch.float32, second_order=second_order)
    field.own.layers[-1].bias.data.fill_(50.0)  # pushes every node out of range
    track = Simulator(field, Euler(), 0.1).rollout(x[0].detach(), 10_000, ring(6), every=1000)
    assert (track.status, track.finite_steps) == ("ok", 11)
    assert bool(field.outside(track.x[-1], ring(6)).all())
    steps = track.x.diff(dim=0).abs()[..., -1 if second_order else slice(None)]
    assert bool((steps <= 100 * bound(field, degree=2).max() * 1.001).all())


def test_outside_flags_exactly_the_rows_that_left_the_range():
    field, x = measured(dim=2)
    rows = x.reshape(-1, 2)
    least, most = rows.amin(0), rows.amax(0)
    reach = 0.1 * (most - least)
    inside = [least - 0.99 * reach, most + 0.99 * reach, (least + most) / 2]
    beyond = [least - 1.01 * reach, torch.stack([most[0] + 1.01 * reach[0], least[1]])]
    lost = [torch.full((2,), bad, dtype=torch.float64) for bad in (torch.nan, torch.inf)]
    states = torch.stack([*inside, *beyond, *lost])
    assert field.outside(states, Topology.isolated(7)).tolist() == [False] * 3 + [True] * 4
    assert not field.outside(rows, Topology.isolated(len(rows))).any()
    assert not GraphCoupled(dim=2).outside(1e30 * rows.float(), Topology.isolated(len(rows))).any()


@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 1e9])
def test_a_column_that_does_not_vary_is_in_range_in_single_precision(value):
    field = GraphCoupled(dim=2)
    x = normal(50, 1, 2)
    x[..., 1] = value
    field.standardize(x, normal(50, 1, 2, seed=1))
    states = x[:, 0].float()
    assert not field.outside(states, Topology.isolated(50)).any()
    states[:, 1] += max(0.2 * abs(value), 1e-3)
    assert field.outside(states, Topology.isolated(50)).all()


def heat(rows, steps, dt=0.05):
    """dx/dt = Σ (xⱼ − xᵢ) on a ring, exact."""
    topology = ring(rows)
    source, target = topology.graph.edge_index
    laplace = torch.zeros(rows, rows, dtype=torch.float64)
    laplace[target, source] += 1
    laplace -= torch.diag(laplace.sum(1))
    step, states = torch.linalg.matrix_exp(dt * laplace), [normal(rows, 1)]
    for _ in range(steps):
        states.append(step @ states[-1])
    x = torch.stack(states)
    t = dt * torch.arange(steps + 1, dtype=torch.float64)
    return Trajectory(t, x, topology, derivative=laplace @ x)


@pytest.mark.parametrize("kind", ["factorised", "edges"])
def test_a_short_training_on_heat_lowers_the_error_and_measures_the_range(kind):
    track = heat(8, 30)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pair = EdgeNetwork(width=8) if kind == "edges" else None
        simulator = Simulator(GraphCoupled(pair=pair, width=8), RK4(), 0.05)

    def error():
        with torch.no_grad():
            off = simulator.rollout(track.x[0].to(number), 30, track.topology).x - track.x
        return float(off.norm() / track.x.norm())

    number = torch.float32
    before = error()
    simlearn.fit(
        simulator, track, batch_size=8, max_epochs=25, progress=False,
            stabilizers=[Standardize()],
                    optimizer=lambda weights: torch.optim.Adam(weights, lr=1e-2),
    )  # fmt: skip
    number = torch.float64
    after = error()
    assert after < 0.2 * before, (before, after)
    field = simulator.dynamics
    assert bool(field.high.isfinite().all())
    assert not field.outside(track.x[0], track.topology).any()
    assert field.outside(track.x[0] + 100, track.topology).all()


@pytest.mark.parametrize("kind", ["factorised", "edges"])
def test_forward_mode_analysis_runs_through_it(kind):
    """Jacobians by vmap of jvp agree with central differences; exponents with the divergence."""
    field, x = measured(kind=kind)
    topology = ring(6)
    slope, anchors = flat.slopes(field, topology), x[:3, :, 0].detach()
    exact = jacobian.jacobian(slope, anchors)
    unit = torch.eye(6, dtype=torch.float64).expand(3, 6, 6)
    torch.testing.assert_close(exact, jacobian.central(slope, anchors, unit), rtol=1e-6, atol=1e-6)
    assert jacobian.defect(slope, anchors) < 1e-6
    apart = exact.abs() > 0
    assert not apart[:, 0, 2:5].any(), "a node felt others than its neighbours"
    step = flat.stepper(Simulator(field, RK4(), 0.01), topology)
    found = growth.spectrum(step, anchors, 40, dt=0.01)
    assert found.exponents.shape == (6,)
    assert bool(found.exponents.isfinite().all())
    whole, state = torch.zeros(3, dtype=torch.float64), anchors
    with torch.no_grad():
        for _ in range(40):
            volume = torch.linalg.slogdet(jacobian.jacobian(step, state))[1]
            whole, state = whole + volume / 0.4, step(state)
    assert found.sum == pytest.approx(float(whole.mean()), rel=1e-8)
