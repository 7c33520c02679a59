"""Forecasts on graphs: their states, their alarms, their test, their file."""

import h5py
import numpy as np
import pytest
import torch

import simlearn
from simlearn import Ensemble, Simulator, Topology, Trajectory, VectorField
from simlearn.component import ConfigError, DataError, EnvironmentFault
from simlearn.dynamics import CoupledSeries, GraphCoupled, MLPField
from simlearn.forecasting import size
from simlearn.forecasting.course import Begin, Course
from simlearn.forecasting.limits import Limits
from simlearn.forecasting.trust import Question
from simlearn.integrators import RK4, DormandPrince, Leapfrog
from simlearn.randomness import generator
from simlearn_mechanics import DrivenPendulum, SpringChain
from simlearn_networks import BarabasiAlbert, ErdosRenyi, Heat

GRAPH = ErdosRenyi(30, 0.2).draw(generator(0))


def states(count, rows=30, high=1.0, seed=0):
    return torch.rand(count, rows, 1, generator=generator(seed), dtype=torch.float64) * high


def series(seed):
    """A field that diffuses, with coefficients of its own."""
    field = CoupledSeries(own=5, pair=0)
    field.measure(states(50).flatten(0, 1))
    law = torch.zeros_like(field.coefficients)
    law[1], law[-2] = -0.5, 0.0
    noise = 0.05 * torch.randn(law.shape, generator=generator(seed, 9), dtype=torch.float64)
    with torch.no_grad():
        field.coefficients.copy_(law + noise)
    return field


def ensemble(size=5, dt=0.1):
    made = Simulator(Ensemble.of([series(k) for k in range(size)]), RK4(), dt)
    return made.requires_grad_(False).eval()


TRAINING = [Trajectory(torch.zeros(1), x[None], GRAPH) for x in states(40, seed=5)]


@pytest.mark.parametrize("case", ["rk4", "adaptive", "leapfrog", "inputs"])
def test_the_course_is_the_rollout(case):
    """Bit for bit, for schemes that carry something, in however many pieces."""
    inputs = None
    if case == "inputs":
        (one,) = DrivenPendulum().draw(range(1), simlearn.sample_times(21, 0.1), 0)
        simulator = Simulator(DrivenPendulum().truth(), RK4(), 0.1)
        inputs = one.inputs[:20]
    else:
        system = SpringChain(4)
        (one,) = system.draw(range(1), simlearn.sample_times(2, 0.1), 0)
        scheme = {"rk4": RK4(), "adaptive": DormandPrince(), "leapfrog": Leapfrog()}[case]
        simulator = Simulator(system.truth(), scheme, 0.1)
    begin = Begin(one.x[0], one.topology, 0.5, inputs)
    wanted = simulator.rollout(one.x[0], 20, one.topology, t0=0.5, inputs=inputs, every=3)
    with torch.no_grad():
        pieces = list(Course(simulator, begin, 20, 3, Limits(simulator)))
    assert torch.equal(torch.cat([piece.part.x for piece in pieces]), wanted.x)
    assert torch.equal(torch.cat([piece.part.t for piece in pieces]), wanted.t)


@pytest.mark.fault(21)
def test_a_forecast_that_is_lost_ends_where_the_rollout_ends(seeded):
    field = MLPField(dim=2, width=4).double()
    field.rate.fill_(1e200)
    simulator = Simulator(field, RK4(), 1e120)
    x0 = torch.full((3, 2), 0.3, dtype=torch.float64)
    begin = Begin(x0, Topology.isolated(3))
    with torch.no_grad():
        wanted = simulator.rollout(x0, 9, Topology.isolated(3))
        *_, last = Course(simulator, begin, 9, 1, Limits(simulator))
    assert torch.equal(last.part.x, wanted.x)
    assert last.part.status == wanted.status == "diverged"
    assert last.part.first_bad_row == wanted.first_bad_row


def test_leaving_the_range_is_seen_between_kept_states_too():
    """dx/dt = 1 in every node: the time of the exit is known."""

    class Rising(simlearn.VectorField):
        dim = 1

        def forward(self, t, x, topology):
            return torch.ones_like(x)

        def outside(self, x, topology):
            return (x > 1.0).any(-1) & (x < 1.5).any(-1)

    simulator = Simulator(Rising(), RK4(), 0.1)
    x0 = torch.tensor([[0.0], [0.75], [-9.0]], dtype=torch.float64)
    graph = Topology.complete(3)
    found = simlearn.forecast(simulator, graph, x0, 20, every=20)
    assert found.alarms.first[:2].tolist() == pytest.approx([1.1, 0.3])
    assert bool(found.alarms.first[2].isnan())
    assert found.alarms.outside.tolist() == [[False] * 3, [True, True, False]]
    assert found.sentences[0] == (
        "leaves at t = 0.3 the range of the training data; 2 of 3 nodes do, node 1 first"
    )


def test_the_archive_says_what_training_graphs_were_like():
    simulator = ensemble()
    simulator.provenance = {"training": {"rows": [100, 100], "degree": [2, 9]}}
    hubs = BarabasiAlbert(40, 2).draw(generator(0))
    found = simlearn.forecast(simulator, hubs, 0.5, 1)
    low, high = torch.bincount(hubs.graph.edge_index[1]).aminmax()
    told = " ".join(found.sentences)
    assert "the graph has 40 nodes, in the training 100: what was learned is stretched" in told
    assert f"its nodes have {low} to {high} neighbours, in the training 2 to 9" in told
    assert found.alarms


def test_an_angle_is_never_out_of_range():
    field = CoupledSeries(2, own=4, pair=0, angles=[0])
    simulator = Simulator(field, RK4(), 0.1)
    simulator.provenance = {"training": {"low": [0.0, -1.0], "high": [1.0, 1.0]}}
    limits = Limits(simulator)
    x = torch.tensor([[90.0, 0.5], [-90.0, 2.0]], dtype=torch.float64)
    assert limits.column(x[1]) == 1
    assert limits.beyond(x) == 0.5
    assert limits.beyond(x[:1]) == 0
    assert limits.beyond(x * torch.nan) == torch.inf


def test_a_usual_start_is_usual_and_an_unusual_one_is_not():
    simulator = ensemble()
    given = {"training": TRAINING, "draws": 39}
    usual = simlearn.forecast(simulator, GRAPH, states(1, seed=77)[0], 0, **given)
    assert float(usual.trust.significance.p[0]) > 0.05
    odd = simlearn.forecast(simulator, GRAPH, states(1, high=1.6, seed=78)[0], 0, **given)
    assert float(odd.trust.significance.p[0]) == pytest.approx(1 / 40)
    assert odd.trust.doubt.state
    assert "unusual for this graph" in " ".join(odd.sentences)
    again = simlearn.forecast(simulator, GRAPH, states(1, high=1.6, seed=78)[0], 0, **given)
    assert torch.equal(again.trust.significance.node_p, odd.trust.significance.node_p)


class Pressed(VectorField):
    """dx/dt = −x + a tanh(S), S the sum over neighbours, which its network looks at."""

    dim = 1

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def watched(self, x, topology):
        return torch.cat([x, topology.adjacency() @ x], dim=-1)

    def forward(self, t, x, topology):
        return -x + self.gain * self.watched(x, topology)[:, 1:].tanh()


def test_sums_over_neighbours_that_networks_never_saw_are_told():
    """On a graph of higher degree, where every state is one of the training."""
    fields = [Pressed() for _ in range(4)]
    for k, one in enumerate(fields):
        torch.nn.init.constant_(one.gain, 0.01 * k)
    model = Simulator(Ensemble.of(fields), RK4(), 0.1)
    for graph, told in ((GRAPH, False), (ErdosRenyi(30, 0.9).draw(generator(0)), True)):
        x0 = states(1, seed=8)[0]
        found = simlearn.forecast(model, graph, x0, 1, training=TRAINING, draws=19, null="states")
        assert (found.trust.doubt.inputs > 0) is told
        assert any("Inputs leave the training range" in one for one in found.sentences) is told


def test_sisters_are_an_ensemble():
    """The same members, asked one by one or together: the same test."""
    together = ensemble(3)
    alone = [Simulator(series(k), RK4(), 0.1) for k in range(3)]
    x0, given = states(1, seed=3)[0], {"training": TRAINING, "draws": 19}
    one = simlearn.forecast(together, GRAPH, x0, 0, **given)
    other = simlearn.forecast(alone[0], GRAPH, x0, 0, siblings=alone[1:], **given)
    torch.testing.assert_close(one.trust.significance.z, other.trust.significance.z)
    assert one.trust.spread.rel == pytest.approx(other.trust.spread.rel)


def test_rollouts_are_what_trajectories_are_compared_with():
    """States that contract are unusual among the starts, and usual among rollouts."""
    simulator = ensemble(3)
    path = simulator.rollout(TRAINING[0].x[0], 5, GRAPH)
    assert Question([path]).null == "rollouts"
    assert Question(TRAINING).null == "states"
    x0, given = states(1, seed=12)[0], {"training": TRAINING, "draws": 39}
    found = simlearn.forecast(simulator, GRAPH, x0, 4, null="rollouts", **given)
    assert float(found.trust.significance.p.min()) > 0.05
    with pytest.raises(ConfigError, match="null is states or rollouts"):
        Question(TRAINING, null="anything")


def test_without_members_or_data_it_says_what_brings_the_test():
    single = Simulator(series(0), RK4(), 0.1)
    told = simlearn.forecast(single, GRAPH, 0.5, 1).sentences[-1]
    assert "--sibling" in told
    assert "--training-data" in simlearn.forecast(ensemble(), GRAPH, 0.5, 1).sentences[-1]


def test_the_file_holds_everything_and_verifies(tmp_path):
    simulator, x0 = ensemble(), states(1, high=1.4, seed=4)[0]
    given = {"training": TRAINING, "draws": 19}
    found = simlearn.forecast(simulator, GRAPH, x0, 6, every=2, **given)
    digest = found.write(tmp_path / "a.h5")
    simlearn.forecast(simulator, GRAPH, x0, 6, every=2, out=tmp_path / "b.h5", **given)
    for name in ("a.h5", "b.h5"):
        data = simlearn.read(tmp_path / name)
        assert data.digest == digest
        assert torch.equal(data[0].x, found.trajectory.x)
        summary = data.provenance["forecast"]["summary"][0]
        assert summary["nodes_out_of_range"] == len(found.alarms.nodes) > 0
        assert summary["sentences"] == found.sentences
    with h5py.File(tmp_path / "b.h5") as file:
        extra = file["forecast/0"]
        assert np.array_equal(extra["outside"], found.alarms.outside.numpy())
        np.testing.assert_array_equal(extra["first_exit"], found.alarms.first.numpy())
        np.testing.assert_array_equal(extra["tested_t"], [0, 0.2, 0.4, 0.6000000000000001])
        assert extra["p"].attrs["null"] == "states"
        assert "p-value" in extra["p"].attrs["meaning"]
        assert float(extra["rel"][0]) == pytest.approx(found.trust.spread.rel)
    with pytest.raises(DataError, match="exists already"):
        found.write(tmp_path / "a.h5")


@pytest.mark.fault(24)
def test_a_long_forecast_goes_to_the_file_as_it_comes(tmp_path, monkeypatch):
    """Nothing but some nodes stays in memory; the file is the same."""
    from simlearn.forecasting import course, run

    simulator, x0 = ensemble(), states(1)[0]
    simlearn.forecast(simulator, GRAPH, x0, 20, out=tmp_path / "a.h5")
    monkeypatch.setattr(course, "PIECE_BYTES", 3 * x0.nbytes)
    monkeypatch.setattr(size, "fits", lambda size: False)
    monkeypatch.setattr(run, "SHOWN", 7)
    found = simlearn.forecast(simulator, GRAPH, x0, 20, out=tmp_path / "b.h5")
    whole, pieces = (simlearn.read(tmp_path / name) for name in ("a.h5", "b.h5"))
    assert torch.equal(whole[0].x, pieces[0].x)
    assert whole.digest == pieces.digest
    assert found.trajectory.x.shape == (21, 7, 1)
    assert torch.equal(found.trajectory.x, whole[0].x[:, found.nodes])
    assert found.plots(tmp_path / "plots")
    with pytest.raises(DataError, match="too long for memory"):
        found.write(tmp_path / "c.h5")
    with pytest.raises(EnvironmentFault, match=r"Keep fewer \(every\)"):
        simlearn.forecast(simulator, GRAPH, x0, 20)


@pytest.mark.fault(24)
def test_memory_is_estimated_before_anything_is_done(monkeypatch):
    monkeypatch.setattr(size, "budget", lambda: 10_000)
    with pytest.raises(EnvironmentFault, match=r"one step on 30 nodes .* about \d+ kB of memory"):
        simlearn.forecast(ensemble(), GRAPH, 0.5, 1)
    wide = Simulator(GraphCoupled(width=300), RK4(), 0.1)
    narrow = Simulator(GraphCoupled(width=30), RK4(), 0.1)
    needed = [size.estimate(one, 10**6, 10**7, 4) for one in (wide, narrow)]
    assert needed[0] > 5 * (needed[1] - 10**7 * size.PER_EDGE)


@pytest.mark.parametrize(
    ("x0", "error", "told"),
    [
        (torch.zeros(30, 2), DataError, r"on this graph a state is \[30, 1\]"),
        (torch.zeros(29, 1), DataError, r"on this graph a state is \[30, 1\]"),
        (torch.zeros(30), DataError, r"finite numbers \[rows, 1\]"),
        (torch.full((30, 1), float("nan")), DataError, "some that are not"),
        ("sample", DataError, "--training-data"),
        ("1,2", DataError, "has 2 numbers"),
        ("nowhere.csv", DataError, "There is no start nowhere.csv"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(x0, error, told):
    with pytest.raises(error, match=told):
        simlearn.forecast(ensemble(), GRAPH, x0, 3)


def test_a_negative_weight_under_degree_normalisation_is_refused(tmp_path):
    """Before a file grows; summed, it is a weight as any."""
    (tmp_path / "g.csv").write_text("0,1,1.0\n1,2,-2.0\n")
    field = GraphCoupled(width=4, aggregation="mean", weight=0).double()
    with pytest.raises(DataError, match=r"has the weight -2"):
        simlearn.forecast(
            Simulator(field, RK4(), 0.1), tmp_path / "g.csv", 0.5, 3, out=tmp_path / "f.h5"
        )
    assert [one.name for one in tmp_path.iterdir()] == ["g.csv"]
    summed = GraphCoupled(width=4, weight=0).double()
    found = simlearn.forecast(Simulator(summed, RK4(), 0.1), tmp_path / "g.csv", 0.5, 3)
    assert found.status == "ok"


def test_weights_that_nobody_looks_at_are_told(tmp_path):
    (tmp_path / "g.csv").write_text("0,1,1.0\n1,2,2.0\n")
    found = simlearn.forecast(ensemble(), tmp_path / "g.csv", 0.5, 1)
    assert "trained without any; they are not used" in found.sentences[0]


def test_an_isolated_node_follows_its_own_term(tmp_path):
    (tmp_path / "g.csv").write_text("0,1\n")
    (tmp_path / "x0.csv").write_text("node,x\n0,1\n1,0\n2,0.7\n")
    truth = Heat(ErdosRenyi(3, 1.0)).truth()
    truth.dim = 1
    simulator = Simulator(truth, RK4(), 0.1)
    found = simlearn.forecast(simulator, tmp_path / "g.csv", tmp_path / "x0.csv", 10)
    assert found.trajectory.x[:, 2, 0].tolist() == [0.7] * 11
    assert "1 of 3 nodes has no edge" in found.notes[0]
