"""Pair energies: symmetries, extrapolation, masses, graphs of many sizes, and exact forces."""

import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch.func import jacrev

import simlearn
from simlearn import Graph, Simulator, Topology, Trajectory, ladder
from simlearn.dynamics.features import Scale
from simlearn.dynamics.pairs import PairEnergy
from simlearn.dynamics.series import shaken
from simlearn.integrators import Yoshida4
from simlearn.training.ladder.drawn import draw
from simlearn.training.ladder.pair_rows import believed
from simlearn.training.ladder.pairs import fit_pairs, guarded


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair_field(mass=None, coupled=False, seed=1, soft=0.0, straight=0.0):
    """A measured field with random coefficients that has seen distances between 0.5 and 3."""
    field = shaken(PairEnergy(features=8, mass=mass, coupled=coupled), seed).double()
    field.soft.fill_(soft)
    field.straight.fill_(straight)
    field.measure(normal(40, 1).square(), (0.5, 3.0), (Scale(1.0), Scale(1.0)))
    field.settle()
    return field.requires_grad_(False)


def ring(nodes):
    k = torch.arange(nodes)
    first = torch.cat([k, k])
    second = torch.cat([(k + 1) % nodes, (k + 2) % nodes])
    edges = torch.cat([torch.stack([first, second]), torch.stack([second, first])], dim=1)
    return Topology(Graph(edges, nodes))


@pytest.mark.parametrize("coupled", [False, True])
def test_permuted_moved_and_turned_particles(coupled):
    field = pair_field(mass=0, coupled=coupled)
    x, mass = normal(6, 6, seed=2), 0.5 + normal(6, 1, seed=3).abs()
    topology = Topology.complete(6).replace(node_attr=mass)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    other = Topology.complete(6).replace(node_attr=mass[order])
    plain = field(0.0, x, topology)
    torch.testing.assert_close(field(0.0, x[order], other), plain[order], rtol=0, atol=1e-10)
    turn = torch.linalg.qr(normal(3, 3, seed=4)).Q
    turned = torch.cat([x[:, :3] @ turn + 5.0, x[:, 3:] @ turn], dim=1)
    wanted = torch.cat([plain[:, :3] @ turn, plain[:, 3:] @ turn], dim=1)
    torch.testing.assert_close(field(0.0, turned, topology), wanted, rtol=0, atol=1e-8)
    energies = field.energy(turned, topology), field.energy(x, topology)
    torch.testing.assert_close(*energies, rtol=0, atol=1e-8)
    assert float(plain[:, 3:].sum(0).abs().max()) < 1e-10  # action and reaction


@pytest.mark.parametrize("scale", [1e-4, 0.1, 1.0, 10.0])
@pytest.mark.parametrize(
    ("coupled", "soft", "straight"), [(0, 0.0, 0.0), (1, 0.0, 0.0), (1, 0.4, 0.0), (0, 0.0, 1.0)]
)
def test_forces_are_slopes_of_the_energy_inside_and_outside(scale, coupled, soft, straight):
    """Pairs below the smallest distance seen, within, and above the largest."""
    field = pair_field(mass=0, coupled=bool(coupled), soft=soft, straight=straight)
    field.inner.fill_(0.3)
    mass = 0.5 + normal(5, 1, seed=3).abs()
    topology = Topology.complete(5).replace(node_attr=mass)
    x = scale * normal(5, 4, seed=2)
    slope = jacrev(lambda y: field.energy(y, topology).sum())(x)
    wanted = torch.cat([slope[:, 2:], -slope[:, :2]], dim=1)
    torch.testing.assert_close(field(0.0, x, topology), wanted, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("soft", "straight"), [(0.0, 0.0), (0.4, 0.0), (0.0, 1.0)])
def test_force_and_energy_are_continuous_at_both_ends(soft, straight):
    field = pair_field(soft=soft, straight=straight)
    field.inner.fill_(0.3)
    for edge in (1e-3 * float(field.near), float(field.near), float(field.far)):
        r = torch.tensor([[edge * (1 - 1e-9)], [edge * (1 + 1e-9)]], dtype=torch.float64)
        for values in (field.force_over_distance(r), field.potential_at(r)):
            assert float(values[0]) == pytest.approx(float(values[1]), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("soft", [0.0, 0.4])
def test_the_rule_outside(soft):
    """Above, the power at the largest distance seen; below, one of 0 to 1, linear at the core."""
    field = pair_field(seed=4, soft=soft)
    near, edge, far = float(field.near), float(field.edge), float(field.far)
    assert 0.2 < near <= 0.5
    assert edge == 3.0 <= far < 8.0
    r = torch.tensor([[near], [near / 2], [near / 100]], dtype=torch.float64)
    for power in (1.0, 0.0):
        field.inner.fill_(power)
        force = field.force_over_distance(r) * r
        torch.testing.assert_close(force / force[0], (r / near) ** power)
    core = near * torch.tensor([[1e-3], [1e-4], [1e-9]], dtype=torch.float64)
    over = field.force_over_distance(core)
    torch.testing.assert_close(over, over[:1].expand(3, 1))
    seen = edge * torch.tensor([1 - 1e-4, 1 + 1e-4], dtype=torch.float64)
    r = torch.cat([seen, far * torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)])[:, None]
    force = (field.force_over_distance(r) * r)[:, 0].abs().log()
    powers = (force.diff() / r[:, 0].log().diff())[[0, 2, 3]]
    assert float(field.exponent.abs()) < 6
    assert powers.tolist() == pytest.approx([float(field.exponent)] * 3, abs=2e-3)


def test_rows_on_one_spot_feel_nothing_from_it():
    field = pair_field()
    x = torch.zeros(3, 4, dtype=torch.float64)
    x[2, 0] = 1.0
    topology = Topology.complete(3)
    force = field(0.0, x, topology)
    assert bool(force.isfinite().all())
    torch.testing.assert_close(force[0], force[1])


def test_derivatives_with_rows_on_one_spot_are_finite():
    field = pair_field()
    field.exponent.fill_(-2.0)
    field.inner.fill_(0.0)
    x = torch.zeros(3, 4, dtype=torch.float64)
    x[2, 0] = 1.0
    topology = Topology.complete(3)
    assert bool(jacrev(lambda y: field(0.0, y, topology))(x).isfinite().all())


def newton(masses):
    """dq/dt = p/m, dp/dt = −Σ mᵢmⱼ (qᵢ − qⱼ)/r³ on ``[systems, bodies · 4]``."""

    def field(x):
        y = x.reshape(len(x), -1, 4)
        q, p = y.chunk(2, -1)
        apart = q[:, :, None] - q[:, None]
        cubed = (apart.square().sum(-1, keepdim=True) + 1e-300).pow(1.5)
        pull = (masses[:, None, None] * masses[None, :, None] * apart / cubed).nan_to_num(0.0)
        return torch.cat([p / masses[:, None], -pull.sum(2)], dim=-1).flatten(1)

    return field


def bodies(exact, masses, count, seed=0, steps=11, shaken=0.1):
    """Rotating polygons, shaken, with their masses beside them; slopes are exact."""
    n = len(masses)
    rng = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * (torch.arange(n) / n + torch.rand(count, 1, generator=rng))
    circle = torch.stack([angle.cos(), angle.sin()], -1).double()
    q = circle * (1 + 0.15 * torch.randn(count, n, 2, generator=rng))
    v = 0.6 * torch.stack([-circle[..., 1], circle[..., 0]], -1)
    p = masses[:, None] * (v + shaken * torch.randn(count, n, 2, generator=rng))
    begin = torch.cat([q, p], -1).double().flatten(1)
    field, times = newton(masses), exact.clock(steps, 0.2)
    x = exact.solved(field, begin, times, 25)
    slope = field(x.flatten(0, 1)).reshape(x.shape)
    topology = Topology.complete(n).replace(node_attr=masses[:, None])
    return [
        Trajectory(times, a.reshape(steps, n, 4), topology, derivative=b.reshape(steps, n, 4))
        for a, b in zip(x, slope, strict=True)
    ]


def error(dynamics, data):
    """Mean squared error of slopes, for each trajectory."""
    found = []
    for one in data:
        learned = torch.stack([dynamics(0.0, x, one.topology) for x in one.x])
        found.append(float((learned - one.derivative).square().mean()))
    return found


def test_masses_scale_force_and_speed(exact):
    masses = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    simulator = ladder(bodies(exact, masses, 30), mass=0, coupled=True)
    record = simulator.provenance["ladder"]
    assert record["choice"] == "pairs"
    assert max(error(simulator.dynamics, bodies(exact, masses, 5, seed=1))) < 1e-8
    others = torch.tensor([1.5, 1.5, 0.7, 1.0], dtype=torch.float64)
    found = error(simulator.dynamics, bodies(exact, others, 5, seed=2))  # never seen
    assert sorted(found)[2] < 1e-5


def test_wrong_masses_are_refused(exact):
    masses = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    data = bodies(exact, masses, 3)
    for bad, match in ((0.0, "must be positive, got 0"), (-1.0, "must be positive, got -1")):
        wrong = [
            Trajectory(
                o.t,
                o.x,
                o.topology.replace(node_attr=torch.tensor([[1.0], [bad], [2.0]]).double()),
                derivative=o.derivative,
            )
            for o in data
        ]
        with pytest.raises(simlearn.ConfigError, match=match):
            ladder(wrong, mass=0)
    with pytest.raises(simlearn.ConfigError, match=r"column 3 .* has 1 columns"):
        ladder(data, mass=3)
    with pytest.raises(simlearn.ConfigError, match="needs mass"):
        PairEnergy(coupled=True)


def test_a_trained_field_refuses_a_massless_row():
    """Also after masses that are right, and every time."""
    good, bad = (
        Topology.complete(3).replace(node_attr=torch.tensor([[1.0], [m], [1.0]]).double())
        for m in (2.0, 0.0)
    )
    field = pair_field(mass=0)
    field.drift(normal(3, 2), good)
    for _ in range(2):
        with pytest.raises(simlearn.ConfigError, match="must be positive, got 0"):
            field.drift(normal(3, 2), bad)
    again = pickle.loads(pickle.dumps(field))
    torch.testing.assert_close(again.drift(normal(3, 2), good), field.drift(normal(3, 2), good))


def test_uncoupled_forces_of_coupled_data_are_left_to_the_network(exact):
    masses = torch.tensor([1.0, 0.1, 3.0], dtype=torch.float64)
    _, record = fit_pairs(bodies(exact, masses, 20), 0, False, 0.05)
    assert record["choice"] == "network"
    assert "one potential between pairs leaves" in record["why"]


@pytest.fixture(scope="module")
def three(exact):
    """Equal masses with close encounters; 300 for training, 100 for the test."""
    ones = torch.ones(3, dtype=torch.float64)
    return [bodies(exact, ones, count, seed, 16, 0.3) for count, seed in ((300, 0), (100, 1))]


def extremes(x):
    """Log of nearest and farthest distance, and largest momentum, of states ``[n, 3, 4]``."""
    q, p = x.chunk(2, -1)
    r = torch.stack([(q[:, a] - q[:, b]).norm(dim=-1) for a, b in ((0, 1), (0, 2), (1, 2))], 1)
    return torch.stack([r.amin(1).log(), r.amax(1).log(), p.norm(dim=-1).amax(1).log()], 1)


def test_three_bodies_to_rounding(three):
    training, test = three
    simulator = ladder(training)
    found = error(simulator.dynamics, test)
    nearest = float(torch.cat([extremes(o.x) for o in training])[:, 0].min())
    seen = [
        one
        for one, trajectory in zip(found, test, strict=True)
        if float(extremes(trajectory.x)[:, 0].min()) > nearest
    ]
    assert len(seen) > 90
    assert math.exp(nearest) < 0.1
    assert sum(seen) / len(seen) < 1e-7
    assert simulator.provenance["ladder"]["softening"] == 0.0


def test_the_closest_encounter_the_farthest_pair_and_the_fastest_row_are_taken(three):
    """And close encounters are many times as frequent as in a random subset of that size."""
    training, _ = three
    whole = torch.cat([one.x for one in training])
    drawn, _ = draw(PairEnergy().double(), training, 0)
    taken = torch.cat([drawn.q, drawn.v], 1).reshape(-1, 3, 4)
    assert len(taken) < len(whole) / 2
    every, kept = extremes(whole), extremes(taken)
    torch.testing.assert_close(kept.amin(0)[:1], every.amin(0)[:1])
    torch.testing.assert_close(kept.amax(0), every.amax(0))
    close = float(every[:, 0].min()) + float(every[:, 0].max() - every[:, 0].min()) / 4
    share = [float((one[:, 0] < close).double().mean()) for one in (kept, every)]
    assert share[0] > 1.8 * share[1]


def test_the_states_that_are_drawn_are_those_of_the_data(three):
    training = three[0][:40]
    drawn, how = draw(PairEnergy().double(), training, 0)
    assert how == "as recorded"
    whole = torch.cat([o.x.reshape(-1, 4) for o in training]).double()
    rows = torch.cat([drawn.q, drawn.v], 1)
    assert all(bool((row == whole).all(1).any()) for row in rows[::7])
    assert drawn.topology.num_systems * 3 == len(rows)


def stiff(nodes, count, steps, exact, seed=0):
    """A shaken ring of stiffening springs, solved exactly."""
    topology = ring(nodes)
    first, second = topology.graph.pairs

    def field(x):
        y = x.reshape(len(x), nodes, 4)
        apart = y[:, second, :2] - y[:, first, :2]
        r = apart.norm(dim=-1, keepdim=True)
        push = apart / r * ((r - 1) + (r - 1) ** 3 / 2)
        force = torch.zeros_like(y[..., :2]).index_add(1, first, push).index_add(1, second, -push)
        return torch.cat([y[..., 2:], force], -1).flatten(1)

    angle = 2 * math.pi * torch.arange(nodes, dtype=torch.float64) / nodes
    q = 0.7 / (2 * math.sin(math.pi / nodes)) * torch.stack([angle.cos(), angle.sin()], 1)
    size = torch.tensor([0.1, 0.1, 0.3, 0.3], dtype=torch.float64)
    begin = torch.cat([q, 0 * q], 1) + size * normal(count, nodes, 4, seed=seed)
    times = exact.clock(steps, 0.1)
    x = exact.solved(field, begin.flatten(1), times, 5)
    slope = field(x.flatten(0, 1)).reshape(x.shape)
    shape = (steps, nodes, 4)
    return [
        Trajectory(times, a.reshape(shape), topology, derivative=b.reshape(shape))
        for a, b in zip(x, slope, strict=True)
    ]


@pytest.fixture(scope="module")
def springs(exact):
    """Learned from 8 nodes."""
    return ladder(stiff(8, 20, 21, exact))


def test_springs_of_eight_nodes_serve_sixty_four(exact, springs):
    """One pair in 1300 of the 64 nodes goes beyond all training, by a hundredth."""
    grown = []
    for nodes in (8, 16, 64):
        (one,) = stiff(nodes, 1, 31, exact, seed=9)
        fine = Simulator(springs.dynamics, Yoshida4(), 0.02)
        rolled = fine.rollout(one.x[0], 150, one.topology, every=5)
        moved = (one.x - one.x[0]).square().mean().sqrt()
        grown.append(float((rolled.x - one.x).square().mean().sqrt() / moved))
    assert grown[0] < 1e-6
    assert max(grown[1:]) < 3 * grown[0]


def test_the_power_beyond_is_that_of_the_true_force(springs):
    r = springs.provenance["ladder"]["distances"][1]
    force, slope = (r - 1) + (r - 1) ** 3 / 2, 1 + 1.5 * (r - 1) ** 2
    assert float(springs.dynamics.exponent) == pytest.approx(r * slope / force, rel=0.3)


def test_graphs_of_unequal_size_train_together(exact):
    data = [*stiff(5, 6, 11, exact), *stiff(9, 6, 15, exact, seed=4)]
    simulator = ladder(data)
    assert max(error(simulator.dynamics, stiff(7, 2, 5, exact, seed=6))) < 1e-6


def test_a_graph_without_symmetry_is_refused():
    edges = torch.tensor([[0, 1], [1, 2]])
    topology = Topology(Graph(edges, 3))
    data = Trajectory(torch.linspace(0, 1, 5).double(), normal(5, 3, 4), topology)
    with pytest.raises(simlearn.ConfigError, match="symmetric graph"):
        ladder(data)


def test_one_trajectory_of_a_graph(exact):
    (one,) = stiff(6, 1, 40, exact)
    simulator = ladder(one)
    assert error(simulator.dynamics, [one])[0] < 1e-6


def test_springs_below_the_smallest_and_above_the_largest_distance_seen(exact, springs):
    """A function of the distance itself, clean, is believed well beyond the data."""
    assert springs.provenance["ladder"]["coordinate"] == "distance"
    data = stiff(8, 20, 21, exact)
    first, second = data[0].topology.graph.pairs
    r = torch.cat([(o.x[:, second, :2] - o.x[:, first, :2]).norm(dim=-1).flatten() for o in data])
    outside = torch.stack([0.5 * r.min(), 1.2 * r.max()])[:, None]
    force = (springs.dynamics.force_over_distance(outside) * outside)[:, 0]
    wanted = ((outside - 1) + (outside - 1) ** 3 / 2)[:, 0]
    torch.testing.assert_close(force, wanted, rtol=1e-4, atol=0)


def test_phi_is_believed_as_far_as_the_trajectories_agree():
    field = pair_field(straight=1.0)
    weights = field.weights()[1][:, 0]
    shift = normal(len(weights), seed=3)
    agreed = believed(field, 1.0, weights, [weights, weights])
    close = believed(field, 1.0, weights, [weights + 1e-5 * shift, weights])
    doubted = believed(field, 1.0, weights, [weights + shift, weights])
    assert agreed[1] == 2.0
    assert 0.25 < close[1] <= 2.0
    assert doubted == (0.25, 0.25)
    assert believed(field, 1.0, weights, [weights]) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("losses", "kept", "raises"),
    [([0], 0, 0), ([3, 1, 0], 2, 2), ([3, 3], 0, 1), ([3, 2, 2], 0, 2), ([6, 5, 4, 3, 2], 0, 4)],
)
def test_a_ridge_that_cures_nothing_is_taken_back(losses, kept, raises):
    asked = []

    def attempt(least):
        asked.append(least)
        k = len(asked) - 1
        return SimpleNamespace(lost=losses[k], decades=(-9.0 + k, -4.0 + k), number=k)

    found, told = guarded(attempt)
    assert (found.number, len(told), len(asked)) == (kept, raises, raises + 1)
    assert [one["blown_up"] for one in told] == losses[:raises]
    wanted = [(0.0, 0.0), *((10 ** (-9.0 + k), 10 ** (-4.0 + k)) for k in range(1, raises + 1))]
    assert asked == wanted


def without(one, **changes):
    """A trajectory with something changed."""
    held = {"t": one.t, "x": one.x, "topology": one.topology, "derivative": one.derivative}
    return Trajectory(**(held | changes))


def test_recorded_derivatives_can_be_left_out(exact):
    data = stiff(5, 4, 11, exact)
    wrong = [without(one, derivative=7 * one.derivative) for one in data]
    bare = [without(one, derivative=None) for one in data]
    plain, record = fit_pairs(bare, None, False, 0.5)
    ignored, _ = fit_pairs(wrong, None, False, 0.5, derivatives=False)
    assert record["states"] == "smoothed by Gaussian processes"
    torch.testing.assert_close(ignored.coefficients, plain.coefficients)


def test_data_that_no_pair_energy_can_take(exact):
    data = stiff(5, 3, 7, exact)
    x = data[1].x.clone()
    x[4, 2, 1] = torch.nan
    broken = [data[0], without(data[1], x=x), data[2]]
    with pytest.raises(simlearn.DataError, match=r"trajectory 1 .* state 4 of 7. Cut it there"):
        ladder(broken)
    wide = without(data[1], x=normal(7, 5, 6), derivative=None)
    with pytest.raises(simlearn.DataError, match="same columns"):
        ladder([data[0], wide])
    short = [without(o, t=o.t[:1], x=o.x[:1], derivative=o.derivative[:1]) for o in data]
    with pytest.raises(simlearn.DataError, match="one state"):
        fit_pairs(short, None, False, 0.05)
    alone, _ = fit_pairs(data, None, False, 0.05)
    beside, _ = fit_pairs([*data, short[0]], None, False, 0.05)
    torch.testing.assert_close(beside.coefficients, alone.coefficients)


def test_bodies_at_rest(exact):
    """Where nothing moves, nothing moves; and rest among motion spoils nothing."""
    (one,) = stiff(5, 1, 21, exact)
    still = without(one, x=one.x[:1].expand(21, 5, 4) * torch.tensor([1.0, 1, 0, 0]).double())
    still = without(still, derivative=torch.zeros_like(still.x))
    model, _ = fit_pairs([still, still], None, False, 0.05)
    assert float(model(0.0, still.x[0], still.topology).abs().max()) == 0.0
    with_rest, _ = fit_pairs([one, still, still], None, False, 10.0)
    assert bool(with_rest.coefficients.isfinite().all())
