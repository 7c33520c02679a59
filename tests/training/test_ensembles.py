"""Members on bootstraps of their own: which states they draw, what they minimise, how it ends."""

import pytest
import torch

import simlearn
from simlearn import ConfigError, Ensemble, Simulator, Trajectory
from simlearn.data.windows import Windows
from simlearn.dynamics import Factorised, GraphCoupled, ResidualMap
from simlearn.integrators import RK4
from simlearn.training.ensembles import Bootstrap
from simlearn_networks import ErdosRenyi, MassAction

SYSTEM = MassAction(graph=ErdosRenyi(12, 0.3))
START = torch.zeros(1, dtype=torch.float64)


def states(count, seed=0):
    return list(SYSTEM.draw(range(count), START, seed))


def simulator(size=3):
    return Simulator(Ensemble(GraphCoupled(width=4), size).double(), RK4(), 0.01)


def prepared(training, **arguments):
    objective = Bootstrap(**arguments)
    objective.prepare(training)
    return objective


def union(parts):
    return next(iter(Windows(parts, 1, shuffle=False)))


def test_node_states_are_drawn_independently_and_uniformly():
    x = torch.cat([one.x for one in states(200)]).flatten()
    assert 0 <= x.min() < 0.01 < 0.99 < x.max() <= 1
    assert abs(float(x.mean()) - 0.5) < 4 * (1 / 12 / len(x)) ** 0.5
    first = torch.cat([one.x[0, :2, 0][None] for one in states(200)])
    assert abs(float(torch.corrcoef(first.T)[0, 1])) < 4 / 200**0.5


def test_a_member_draws_as_many_states_as_it_should():
    training = states(40)
    weight = prepared(training, share=0.9).weights(union(training), 5)
    torch.testing.assert_close(weight.sum(1) * 0.9, torch.full((5,), 36.0))
    assert torch.equal(weight * 0.9, (weight * 0.9).round())
    left_out = (weight == 0).double().mean()
    assert abs(float(left_out) - (1 - 1 / 40) ** 36) < 0.1
    assert (weight[0] != weight[1]).any()


def test_weights_follow_from_seed_and_data_alone():
    training = states(20)
    objective = prepared(training)
    whole = objective.weights(union(training), 4)
    for some in (training[3:9], training[::-1], [training[7]]):
        places = [training.index(one) for one in some]
        assert torch.equal(objective.weights(union(some), 4), whole[:, places])
    assert torch.equal(prepared(training[::-1]).weights(union(training), 4), whole)
    assert torch.equal(objective.weights(union(training).to("cpu", torch.float32), 4), whole)
    assert torch.equal(objective.weights(union(training), 6)[:4], whole)
    assert not torch.equal(prepared(training, seed=1).weights(union(training), 4), whole)


def test_states_that_were_not_trained_on_count_alike():
    objective = prepared(states(20))
    assert (objective.weights(union(states(5, seed=9)), 4) == 1).all()
    assert (Bootstrap().weights(union(states(5)), 4) == 1).all()


def test_whole_trajectories_are_drawn_together():
    training = list(SYSTEM.draw(range(8), 0.1 * torch.arange(5, dtype=torch.float64), 0))
    objective = prepared(training, by="trajectory")
    drawn = [
        torch.cat([objective.weights(one.slice(k, k + 1), 6) for k in range(5)], dim=1)
        for one in training
    ]
    assert all((each == each[:, :1]).all() for each in drawn)
    counts = torch.stack([each[:, 0] for each in drawn], dim=1) * 0.9
    torch.testing.assert_close(counts.sum(1), torch.full((6,), 7.0))


@pytest.mark.parametrize("error", ["absolute", "square"])
def test_the_loss_is_the_weighted_mean_over_members_and_states(error):
    training, judged = states(10), simulator()
    objective = prepared(training, error=error, variance=0.7, scale="none")
    window = union(training[2:6])
    weight, total = objective.weights(window, 3), 0.0
    for k in range(3):
        field = judged.dynamics.pick(k)
        for s, one in enumerate(training[2:6]):
            off = (field(0.0, one.x[0], one.topology) - one.derivative[0])[:, 0]
            size = off.abs()
            own = (
                off.square().mean()
                if error == "square"
                else size.mean() + 0.7 * size.var(correction=0)
            )
            total += float(weight[k, s] * own.detach())
    assert float(objective.loss(judged, window).detach()) == pytest.approx(total / 12)


def test_graphs_of_different_size_in_one_trajectory_count_node_by_node():
    parts = [states(1)[0].topology, MassAction(graph=ErdosRenyi(5, 0.5)).network()]
    both = simlearn.Topology.union(parts)
    x = torch.rand(1, 17, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = SYSTEM.truth()(0.0, x[0], both)[None]
    window = Trajectory(START[:, None].expand(1, 2), x, both, derivative=slope)
    judged, objective = simulator(), Bootstrap(scale="none")
    off = (judged.dynamics.members(0.0, x[0], both) - slope[0]).abs()[..., 0]
    each = [part.mean(1) + part.var(1, correction=0) for part in (off[:, :12], off[:, 12:])]
    wanted = torch.stack(each).mean()
    torch.testing.assert_close(objective.loss(judged, window), wanted)


def test_without_a_recorded_derivative_differences_are_matched():
    times = 0.01 * torch.arange(7, dtype=torch.float64)
    drawn = list(SYSTEM.draw(range(2), times, 0))
    bare = [Trajectory(one.t, one.x, one.topology) for one in drawn]
    objective = prepared(bare)
    assert (objective.length(bare), objective.length(drawn)) == (3, 1)
    window = next(iter(Windows(bare, 3, shuffle=False)))
    assert objective.loss(simulator(), window).isfinite()


def test_a_field_by_itself_is_the_first_member():
    training, judged = states(10), simulator()
    alone = Simulator(judged.dynamics.pick(0), RK4(), 0.01)
    window, objective = union(training), prepared(training)
    weight = objective.weights(window, 3)
    assert torch.equal(objective.weights(window, 1), weight[:1])
    field = alone.dynamics
    off = (field(0.0, window.x[0], window.topology) - window.derivative[0]).abs()
    size = (
        off.reshape(10, 12) / torch.cat([one.derivative for one in training]).square().mean().sqrt()
    )
    wanted = (weight[0] * (size.mean(1) + size.var(1, correction=0))).mean()
    torch.testing.assert_close(objective.loss(alone, window), wanted)


def test_maps_and_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="needs a vector field"):
        prepared(states(2)).loss(Simulator(ResidualMap(dim=1), None, 0.01), union(states(2)))
    with pytest.raises(ConfigError, match="share must be positive"):
        Bootstrap(share=0.0)


def test_every_member_learns_and_they_come_to_differ_less():
    training, fresh = states(60), states(20, seed=5)
    pair = Factorised(channels=6, width=6)
    judged = Simulator(Ensemble(GraphCoupled(pair=pair, width=6), 4).double(), RK4(), 0.01)

    def errors():
        window = union(fresh)
        told = judged.dynamics.members(0.0, window.x[0], window.topology).detach()
        size = window.derivative[0].abs().mean()
        return (told - window.derivative[0]).abs().mean((1, 2)) / size, told.std(0).mean() / size

    before, apart = errors()
    simlearn.fit(
        judged,
        training,
        objective=Bootstrap(),
        optimizer=lambda weights: torch.optim.Adam(weights, lr=0.05),
        batch_size=10,
        max_epochs=10,
        progress=False,
    )
    after, closer = errors()
    assert (before > 0.5).all()
    assert (after < before / 4).all()
    assert 0 < closer < apart / 4


def test_a_config_trains_it_and_the_archive_keeps_the_members(command, tmp_path):
    (tmp_path / "fit.yaml").write_text(
        """
model:
  simulator:
    dynamics:
      class_path: Ensemble
      init_args: {member: {class_path: GraphCoupled, init_args: {width: 4}}, size: 3}
    integrator: RK4
    dt: 0.01
  objective: {class_path: Bootstrap, init_args: {share: 0.9}}
data:
  generator: {class_path: MassAction, init_args: {highest: 1.0}}
  count: 6
  steps: 1
  dt: 0.01
trainer: {max_epochs: 1}
"""
    )
    assert command("fit", "-c", "fit.yaml", "--run", "one") == 0
    kept = simlearn.load(tmp_path / "runs" / "one").dynamics
    x = torch.rand(20, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    told = kept.members(0.0, x, MassAction().network())
    assert told.shape == (3, 20, 1)
    assert told.std(0).min() > 0
