"""The check: usual states and graphs pass, others fail for the right reason."""

import pytest
import torch

from simlearn import ConfigError, Ensemble, Evidence, Simulator, Topology, Trajectory, VectorField
from simlearn.dynamics import CoupledSeries, LinearMap
from simlearn.integrators import RK4
from simlearn_checks import Significance
from simlearn_networks import ErdosRenyi, Grid8

GRAPH = ErdosRenyi(30, 0.2).draw(torch.Generator().manual_seed(0))
START = torch.zeros(1, dtype=torch.float64)
WEIGHTS = (-1.0, -0.4, 0.1, 0.5, 1.0)


class Parting(VectorField):
    """dx/dt = −x + A x / 6; members part by the cube of x, and by the square of the degree."""

    dim = 1

    def __init__(self, by_state=0.0, by_degree=0.0):
        super().__init__()
        self.by_state, self.by_degree = by_state, by_degree

    def forward(self, t, x, topology):
        adjacency = topology.adjacency()
        degree = adjacency @ torch.ones_like(x)
        felt = adjacency @ x / 6
        return -x + felt + self.by_state * x**3 + self.by_degree * (degree / 6) ** 2 * x


def sisters(by_state=0.0, by_degree=0.0):
    made = [Simulator(Parting(w * by_state, w * by_degree), RK4(), 0.05) for w in (0.0, *WEIGHTS)]
    return made[0], made[1:]


def states(count, topology=GRAPH, seed=0, high=1.0):
    rng = torch.Generator().manual_seed(seed)
    x = high * torch.rand(count, 1, topology.rows, 1, generator=rng, dtype=torch.float64)
    return [Trajectory(START, one, topology) for one in x]


def rollouts(count, seed=0, high=1.0):
    simulator, _ = sisters()
    return [simulator.rollout(one.x[0], 40, GRAPH) for one in states(count, GRAPH, seed, high)]


def found(check, pair, held_out, training):
    simulator, siblings = pair
    evidence = Evidence(held_out=held_out, training=training, siblings=siblings)
    return check.run(simulator, evidence)


def test_usual_states_pass_and_stretched_ones_fail():
    check, pair = Significance(states=20, draws=99), sisters(by_state=0.1)
    fine = found(check, pair, states(20, seed=1), states(50))
    assert fine.verdict == "pass"
    share, rel, nodes, left = fine.metrics
    assert share.value <= 0.15
    assert rel.value == pytest.approx(1.0, abs=0.25)
    assert nodes.value < 0.02
    assert left.value < 0.02
    assert "Nothing speaks against" in fine.summary
    assert len(fine.details["p"]) == 20
    odd = found(check, pair, states(20, seed=1, high=1.6), states(50))
    assert odd.verdict == "fail"
    assert odd.metrics[0].value > 0.9
    assert odd.metrics[3].value > 0.25
    assert "unusual for this graph" in odd.summary
    assert "training range at 30 nodes" in odd.summary
    assert odd.remedies == (odd.remedies[0],)
    assert "starts" in odd.remedies[0]


def test_a_graph_unlike_those_of_the_training_fails_though_its_states_are_usual():
    check, pair = Significance(states=20, draws=99), sisters(by_state=0.01, by_degree=0.05)
    dense = Topology.complete(60)
    odd = found(check, pair, states(20, dense, seed=1), states(50))
    assert odd.verdict == "fail"
    assert odd.metrics[0].passed
    assert odd.metrics[1].value > 3
    assert "graph is unlike" in odd.summary
    assert len(odd.remedies) == 1
    assert "graphs like the held-out ones" in odd.remedies[0]
    several = found(check, pair, [*states(5, seed=1), *states(5, dense, seed=1)], states(50))
    assert [rel > 2 for rel in several.details["rel"]] == [False, True]
    assert len(several.curves["p of held-out states"].lines) == 3


def test_trajectories_are_compared_at_equal_times():
    check, pair = Significance(states=12, draws=59, horizon=30), sisters(by_state=0.1)
    training = rollouts(20)
    fine = found(check, pair, rollouts(3, seed=1), training)
    assert fine.verdict == "pass"
    times = sorted({t for line in fine.curves["p of held-out states"].lines for t in line.x})
    assert times[0] == 0
    assert times[-1] == pytest.approx(1.5)
    odd = found(check, pair, rollouts(3, seed=1, high=1.5), training)
    assert odd.verdict == "fail"
    begin = [one.x[:1].expand(41, -1, -1) for one in rollouts(3, seed=1)]
    still = [Trajectory(training[0].t, x, GRAPH) for x in begin]
    assert found(check, pair, still, training).verdict == "fail"
    # that they have not moved is nothing to see among states of all times
    pooled = Significance(states=12, draws=59, null="states", rejected=0.5)
    assert found(pooled, pair, still, training).verdict == "pass"


def test_an_ensemble_needs_no_siblings():
    fields = []
    for w in WEIGHTS:
        one = CoupledSeries(own=4, pair=0)
        one.measure(torch.linspace(0, 1, 50, dtype=torch.float64)[:, None])
        rng = torch.Generator().manual_seed(int(10 * w + 20))
        one.coefficients.data = 1 + 0.1 * torch.randn(
            one.coefficients.shape, generator=rng, dtype=torch.float64
        )
        fields.append(one)
    simulator = Simulator(Ensemble.of(fields), RK4(), 0.05)
    evidence = Evidence(held_out=states(20, seed=1), training=states(50))
    assert Significance(states=20, draws=99).run(simulator, evidence).verdict == "pass"


def test_maps_are_compared_by_their_steps():
    made = [Simulator(LinearMap(dim=1).double(), None, 0.1) for _ in range(6)]
    with torch.no_grad():
        for k, one in enumerate(made):
            for weight in one.dynamics.parameters():
                weight.fill_(0.5 + 0.01 * k)
    check, pair = Significance(states=20, draws=99), (made[0], made[1:])
    assert found(check, pair, states(20, seed=1), states(50)).verdict == "pass"
    assert found(check, pair, states(20, seed=1, high=2.0), states(50)).verdict == "fail"


def test_one_simulator_and_missing_data_are_told():
    (one, siblings), check = sisters(), Significance(draws=19)
    both = {"held_out": states(2), "training": states(2)}
    for simulator, given, words in (
        (one, both, "--seeds 5"),
        (one, {**both, "training": (), "siblings": siblings}, "--training-data"),
    ):
        finding = check.run(simulator, Evidence(**given))
        assert finding.verdict == "not_applicable"
        assert words in finding.summary


def test_wrong_arguments_are_refused():
    for arguments in ({"draws": 3}, {"level": 1.0}, {"horizon": 0}, {"null": "other"}):
        with pytest.raises(ConfigError, match="Significance needs"):
            Significance(**arguments)


def test_graphs_of_several_sizes_are_looked_at_up_to_a_number():
    pair, grid = sisters(by_state=0.1), Grid8(5).draw(torch.Generator())
    held_out = [*states(4, seed=1), *states(4, grid, seed=2), *states(4, Topology.complete(9))]
    finding = found(Significance(states=8, draws=19, graphs=2, rel=9.0), pair, held_out, states(30))
    assert "8 states on 2 of 3 held-out graphs" in finding.summary


class Driven(VectorField):
    """dx/dt = θ − x with θ of each node; members part by (x − θ)²."""

    dim = 1

    def __init__(self, apart=0.0):
        super().__init__()
        self.apart = apart

    def forward(self, t, x, topology):
        off = x - topology.node_attr
        return -off + self.apart * off**2


def test_each_state_is_judged_with_the_parameters_of_its_nodes():
    """Held-out states near θ = 9 are usual; members would part by all of them at θ = 0."""
    pair = [Simulator(Driven(0.1 * w), RK4(), 0.05) for w in (0.0, *WEIGHTS)]
    near, far = (GRAPH.replace(node_attr=torch.full((30, 1), at).double()) for at in (0.0, 9.0))
    held_out = [*states(2, near), *(Trajectory(START, 9 + x.x, far) for x in states(2, seed=1))]
    training = [Trajectory(START, 9 + one.x, far) for one in states(30, seed=2)]
    check = Significance(states=4, draws=99)
    finding = found(check, (pair[0], pair[1:]), held_out, training)
    assert "2 of 2 held-out graphs" in finding.summary
    assert max(finding.details["p"][:2]) > 0.9
    assert min(finding.details["p"][2:]) > 0.05


def test_few_states_of_many_trajectories_are_not_all_starts():
    check, pair = Significance(states=4, draws=19, horizon=30), sisters(by_state=0.1)
    finding = found(check, pair, rollouts(4, seed=1), rollouts(6))
    times = sorted(finding.curves["p of held-out states"].lines[0].x)
    assert times == pytest.approx([0.4, 0.75, 1.1, 1.5])


def test_a_single_low_p_among_many_states_is_no_doubt():
    """Of 60 usual states some have p below 0.05; the words allow for that."""
    check, pair = Significance(states=60, draws=199), sisters(by_state=0.1)
    finding = found(check, pair, states(60, seed=3), states(80))
    assert min(finding.details["p"]) <= 0.05
    assert "Nothing speaks against" in finding.summary
