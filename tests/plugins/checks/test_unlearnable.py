"""UnlearnableDirections on small cases: curved data, graphs, symmetries, and bad input."""

import pytest
import torch
from torch import nn

import simlearn
from simlearn import DataError, Evidence, Graph, Simulator, Topology, Trajectory
from simlearn.dynamics import Flattened, LinearMap, MLPField, SeparableEnergy, VectorField
from simlearn.integrators import RK4, Leapfrog
from simlearn.training.objectives import OneStep
from simlearn_chaos import Henon, Hopf, Lorenz63
from simlearn_checks import UnlearnableDirections
from simlearn_mechanics import DrivenPendulum, SpringChain
from simlearn_stabilizers import SubspaceProjection

T = 0.1 * torch.arange(60, dtype=torch.float64)


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().double().requires_grad_(False)


def alone(*columns):
    """One vector system from its columns."""
    return Trajectory(T, torch.stack(columns, -1)[:, None], Topology.isolated(1))


def judged(dynamics, training, held_out=(), dt=0.1, **arguments):
    scheme = Leapfrog() if isinstance(dynamics, SeparableEnergy) else RK4()
    simulator = Simulator(dynamics, scheme, dt)
    check = UnlearnableDirections(**{"horizon": 100, "anchors": 16, **arguments})
    report = simlearn.check(simulator, Evidence(held_out, training), [check])
    return report.items[0].finding


def value(finding, name):
    return next(m.value for m in finding.metrics if m.name.startswith(name))


class Field(VectorField):
    """A field from a function of the state."""

    def __init__(self, rule, dim=3):
        super().__init__()
        self.rule, self.dim = rule, dim

    def forward(self, t, x, topology):
        return self.rule(x)


class PairSum(VectorField):
    """dx_i/dt = Σ_j net(x_i, x_j), or net(x_j − x_i)."""

    def __init__(self, relative):
        super().__init__()
        self.dim, self.relative = 1, relative
        width = 1 if relative else 2
        self.net = nn.Sequential(nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, t, x, topology):
        source, target = topology.graph.edge_index
        seen = x[source] - x[target] if self.relative else torch.cat([x[source], x[target]], -1)
        return torch.zeros_like(x).index_add(0, target, self.net(seen))


def ring(nodes):
    around = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    return Topology(Graph(torch.cat([around, around.flip(0)], 1), nodes))


@pytest.mark.parametrize(("attracting", "wanted"), [(True, -0.3), (False, 2.0)])
def test_twins_with_the_same_data_are_told_apart(attracting, wanted):
    """Data on a cycle cannot tell an attracting cycle from a repelling one; normals can."""
    data = list(Hopf().draw(range(8), simlearn.sample_times(401, 0.02), 0))
    law = Hopf(attracting=attracting).truth()
    finding = judged(law, data, dt=0.02, neighbours=12, horizon=200)
    assert value(finding, "largest transverse") == pytest.approx(wanted, abs=0.02)
    assert finding.verdict == ("pass" if attracting else "fail")
    assert "1 of 3 dimensions" in finding.summary
    flat = judged(law, data, dt=0.02, horizon=200)
    assert value(flat, "largest transverse") == pytest.approx(-0.3, abs=1e-6)


def test_data_in_all_directions_leave_nothing_to_chance():
    for system in (Lorenz63(), Henon()):
        dt = 0.02 if isinstance(system, Lorenz63) else 1.0
        data = list(system.draw(range(2), simlearn.sample_times(201, dt), 0))
        scheme = RK4() if isinstance(system, Lorenz63) else None
        simulator = Simulator(system.truth(), scheme, dt)
        (item,) = simlearn.check(simulator, Evidence(data, data), [UnlearnableDirections()]).items
        assert item.finding.verdict == "pass"
        assert "nothing that they left to chance" in item.finding.summary


def test_a_constant_channel_is_a_direction_without_data():
    """Its raw energy is large, but nothing tells how the answer changes with it."""
    finding = judged(seeded(lambda: MLPField(3)), [alone(T.sin(), T.cos(), 0 * T + 5)])
    assert value(finding, "directions without data") == 1
    (line,) = finding.curves["Directions without data"].lines
    assert [abs(round(v, 9)) for v in line.y] == [0, 0, 1]


def test_fewer_samples_than_dimensions_are_told():
    rng = torch.Generator().manual_seed(0)
    few = Trajectory(
        T[:3], torch.randn(3, 1, 8, generator=rng, dtype=T.dtype), Topology.isolated(1)
    )
    finding = judged(seeded(lambda: MLPField(8)), [few])
    assert "only 3 samples for 8 directions" in finding.summary
    assert finding.verdict == "fail"


def test_data_of_rank_zero_are_refused():
    still = alone(0 * T + 1, 0 * T + 2, 0 * T)
    with pytest.raises(DataError, match="rank zero"):
        judged(seeded(lambda: MLPField(3)), [still])


def test_no_training_data_are_refused():
    with pytest.raises(DataError, match="--training-data"):
        judged(seeded(lambda: MLPField(3)), [], [alone(T.sin(), T.cos(), T)])


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lambda x: -x * x.detach(), "has no derivative or hides it"),
        (lambda x: x * float("nan"), "not finite"),
    ],
    ids=["detached", "nan"],
)
def test_a_jacobian_that_lies_is_no_pass(rule, text):
    plane = alone(T.sin(), T.cos(), 0 * T)
    finding = judged(Field(rule), [plane])
    assert finding.verdict == "fail"
    assert text in finding.summary


def test_an_orbit_that_leaves_the_domain_is_no_pass():
    finding = judged(Field(lambda x: 3 * x**3), [alone(T.sin(), T.cos(), 0 * T)])
    assert finding.verdict == "fail"
    assert "left every bound" in finding.summary


def test_a_conservative_null_pair_is_neutral_at_best():
    """Motion on one axis: the other (q, p) pair is symplectic and cannot be damped."""
    orbit = alone(T.cos(), 0 * T, -T.sin(), 0 * T)
    energy = seeded(lambda: SeparableEnergy(4))
    strict, lenient = (judged(energy, [orbit], allow_neutral=a) for a in (False, True))
    assert strict.verdict == "fail"
    assert any("allow_neutral" in remedy for remedy in strict.remedies)
    assert not any("SubspaceProjection" in remedy for remedy in strict.remedies)
    assert lenient.verdict == ("pass" if "NEUTRAL" in lenient.summary else "fail")


def test_synchronised_nodes_teach_nothing_of_waves():
    """All nodes alike: of ten directions of a ring only the uniform one was shown."""
    top = ring(10)
    alike = Trajectory(T, T.sin()[:, None, None].expand(len(T), 10, 1).clone(), top)
    finding = judged(seeded(lambda: PairSum(relative=False)), [alike], [alike])
    assert value(finding, "directions without data") == 9
    waves = finding.curves["Directions without data, by wave"]
    assert all(line.y[0] < 1e-12 for line in waves.lines)  # none is uniform
    rng = torch.Generator().manual_seed(0)
    rich = Trajectory(T, torch.randn(len(T), 10, 1, generator=rng, dtype=T.dtype), top)
    assert "nothing that they left" in judged(seeded(lambda: PairSum(False)), [rich]).summary


def test_a_symmetry_is_told_apart_from_missing_data():
    """Only differences are seen and the sum never moves: a shift is exact, whatever the weights."""
    top = ring(6)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(len(T), 6, 1, generator=rng, dtype=T.dtype)
    x = x - x.mean(1, keepdim=True)
    field = Flattened(seeded(lambda: Shifts()), 6)
    finding = judged(field, [Trajectory(T, x, top)])
    assert value(finding, "exact nulls by symmetry") == 1
    assert value(finding, "directions without data") == 0
    assert finding.verdict == "pass"


class Shifts(VectorField):
    """A network of all differences to the first column: a common shift changes nothing."""

    def __init__(self):
        super().__init__()
        self.dim = 6
        self.net = nn.Linear(5, 6)

    def forward(self, t, x, topology):
        return self.net((x[:, 1:] - x[:, :1]).tanh())


def test_inputs_parameters_and_bodies_are_taken_as_they_are():
    driven = list(DrivenPendulum().draw(range(2), simlearn.sample_times(61, 0.1), 0))
    field = seeded(lambda: MLPField(2, inputs=1, second_order=True))
    assert judged(field, driven, driven[:1]).verdict == "pass"
    chain = list(SpringChain().draw(range(2), simlearn.sample_times(61, 0.1), 0))
    rows, dim = chain[0].topology.rows, chain[0].dim
    flat = seeded(lambda: Flattened(MLPField(rows * dim), rows))
    assert judged(flat, chain, chain[:1]).metrics


@pytest.mark.parametrize(
    "arguments",
    [{"horizon": 0}, {"anchors": 0}, {"noise": -1.0}, {"tolerance": 1.5}, {"tolerance": -0.1}],
)
def test_senseless_arguments_are_refused(arguments):
    with pytest.raises(simlearn.ConfigError):
        UnlearnableDirections(**arguments)


def test_too_few_neighbours_are_refused():
    data = list(Hopf().draw(range(1), simlearn.sample_times(51, 0.1), 0))
    with pytest.raises(simlearn.ConfigError, match="neighbours"):
        judged(Hopf().truth(), data, neighbours=2)
    with pytest.raises(DataError, match="samples for"):
        judged(Hopf().truth(), data, neighbours=500)


def test_siblings_must_be_siblings():
    """Models of one description with other weights; a stranger and the same model are refused."""
    plane = alone(T.sin(), T.cos(), 0 * T)
    one = Simulator(seeded(lambda: MLPField(3, width=8)), RK4(), 0.1)
    wider = Simulator(seeded(lambda: MLPField(3, width=9)), RK4(), 0.1)
    for sibling, text in ((wider, "another model"), (one, "has the weights")):
        evidence = Evidence([plane], [plane], siblings=[sibling])
        with pytest.raises(simlearn.ConfigError, match=text):
            simlearn.check(one, evidence, [UnlearnableDirections(horizon=20, anchors=4)])


@pytest.mark.parametrize(
    "rule",
    [
        lambda x: torch.from_numpy(-x.detach().numpy()),
        lambda x: -x + torch.randn_like(x),
        lambda x: torch.cat([x, x], -1),
    ],
    ids=["numpy", "random", "shape"],
)
def test_a_field_that_cannot_be_differentiated_is_a_finding(rule):
    finding = judged(Field(rule), [alone(T.sin(), T.cos(), 0 * T)])
    assert finding.verdict == "fail"
    assert "cannot be differentiated" in finding.summary


def test_edge_attributes_of_every_anchor_are_its_own():
    """The truth leaks nothing, whatever the weights of the edges of each trajectory."""
    field, tracks = seeded(Weighted), []
    for weight in (1.0, 2.0, 3.0):
        top = ring(6).replace(edge_attr=torch.full((12, 1), weight, dtype=T.dtype))
        start = torch.full((6, 1), weight, dtype=T.dtype)  # all alike: waves are null
        tracks.append(Simulator(field, RK4(), 0.1).rollout(start, 30, top))
    finding = judged(field, tracks, tracks[:1])
    assert value(finding, "leak") < 1e-12


class Weighted(VectorField):
    """Pairs whose effect is weighted by the edge."""

    def __init__(self):
        super().__init__()
        self.dim = 1
        self.net = nn.Linear(2, 1)

    def forward(self, t, x, topology):
        source, target = topology.graph.edge_index
        pushed = self.net(torch.cat([x[source], x[target]], -1)).tanh()
        return torch.zeros_like(x).index_add(0, target, topology.edge_attr * pushed)


def test_slow_directions_are_those_that_descent_had_no_time_for():
    """A linear map by SGD: long training leaves none, a short one leaves all."""
    rng = torch.Generator().manual_seed(0)
    x, m = (torch.randn(n, 4, generator=rng, dtype=T.dtype) for n in (200, 4))
    pairs = [
        Trajectory(T[:2] * 10, torch.stack([one, 0.3 * one @ m.T])[:, None], Topology.isolated(1))
        for one in x
    ]
    said = []
    for rate, epochs in ((0.1, 200), (1e-3, 2)):
        simulator = simlearn.fit(
            Simulator(seeded(lambda: LinearMap(4)), None, 1.0),
            pairs,
            objective=OneStep(),
            optimizer=lambda w, rate=rate: torch.optim.SGD(w, lr=rate),
            progress=False,
            max_epochs=epochs,
        )
        check = UnlearnableDirections(horizon=20, anchors=8)
        (item,) = simlearn.check(simulator, Evidence(pairs[:1], pairs), [check]).items
        said.append(value(item.finding, "directions with data"))
    assert said == [4, 0]


def test_a_projection_without_a_restoring_rate_is_neutral_and_no_symmetry():
    plane = [alone(T.sin(), T.cos(), 0 * T)]
    simulator = Simulator(seeded(lambda: MLPField(3, width=8)), RK4(), 0.1)
    stabilizer = SubspaceProjection(rate=0.0)
    stabilizer.observe(simulator, plane)
    field = stabilizer.wrap(simulator.dynamics).double().requires_grad_(False)
    finding = judged(field, plane, plane)
    assert value(finding, "exact nulls by symmetry") == 0
    assert finding.verdict == "fail"
