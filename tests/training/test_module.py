"""Objectives, stabilizers and the one LightningModule."""

import pathlib

import pytest
import torch

import simlearn
from simlearn import ConfigError, Simulator, Topology, Trajectory
from simlearn.component import NumericalError
from simlearn.data.windows import Windows
from simlearn.dynamics import HenonMap, MLPField, PairForce, SeparableEnergy
from simlearn.integrators import RK4, Leapfrog
from simlearn.randomness import generator
from simlearn.training.objective import central_differences
from simlearn.training.objectives import DerivativeMatching, MultiStep, OneStep
from simlearn_mechanics import MassSpring
from simlearn_stabilizers import NoiseInjection, Roughness, Standardize

TIMES = simlearn.sample_times(40, 0.1)


@pytest.fixture
def data():
    return list(MassSpring().draw(range(6), TIMES, 0))


def small(dtype=torch.float64):
    return Simulator(SeparableEnergy(dim=2, width=8).to(dtype), Leapfrog(), 0.1)


@pytest.mark.parametrize("objective", [DerivativeMatching(), OneStep(), MultiStep(5)])
def test_the_truth_has_no_loss_and_a_stranger_has(data, objective, seeded):
    """With RK4 at a small step the truth is exact to the scheme's error."""
    objective.prepare(data)
    window = data[0].slice(0, objective.length(data))
    truth = Simulator(MassSpring().truth(), RK4(), 0.1)
    assert float(objective.loss(truth, window)) < 1e-9
    assert float(objective.loss(small(), window).detach()) > 1e-3


def test_central_differences_are_of_second_order():
    errors = []
    for n in (50, 100, 200):
        t = torch.linspace(0, 3, n, dtype=torch.float64)
        track = Trajectory(t, t.sin()[:, None, None], Topology.isolated(1))
        inner, slope = central_differences(track)
        assert inner.steps == n - 2
        errors.append(float((slope[:, 0, 0] - inner.t.cos()).abs().max()))
    assert errors[0] / errors[2] == pytest.approx(16, rel=0.1)


def test_body_scales_are_the_root_mean_square_of_each_half():
    x = torch.zeros(3, 2, 4, dtype=torch.float64)
    x[:, 0, :2], x[:, 0, 2:], x[:, 1, :2], x[:, 1, 2:] = 3, 0.5, 10, 0.1
    topology = Topology.complete(2, ("a", "b"))
    objective = MultiStep(1, scale="body")
    objective.prepare([Trajectory(torch.arange(3.0), x, topology)])
    scaled = objective.scaled(x[0].clone(), topology)
    torch.testing.assert_close(scaled, torch.ones_like(scaled))


def test_the_data_interval_must_be_the_step(data):
    objective = MultiStep(3)
    objective.prepare(data)
    with pytest.raises(ConfigError, match=r"sampled every 0\.1"):
        objective.loss(Simulator(small().dynamics, Leapfrog(), 0.2), data[0].slice(0, 4))
    with pytest.raises(ConfigError, match="needs a vector field"):
        DerivativeMatching().loss(Simulator(HenonMap()), data[0].slice(0, 1))


@pytest.mark.parametrize("optimizer", [None, lambda p: torch.optim.LBFGS(p, max_iter=5)])
def test_fit_lowers_the_loss_and_freezes(data, optimizer, seeded):
    simulator = small()
    objective = MultiStep(5)
    objective.prepare(data)
    windows = next(iter(Windows(data, 6)))
    before = objective.loss(simulator, windows).item()
    state = torch.random.get_rng_state()
    fitted = simlearn.fit(simulator, data, objective=objective, optimizer=optimizer, max_epochs=40)
    assert torch.equal(state, torch.random.get_rng_state()), "training draws nothing globally"
    assert objective.loss(fitted, windows).item() < 0.8 * before
    assert not any(p.requires_grad for p in fitted.parameters())
    kept = fitted.provenance
    assert kept["training"]["trajectories"] == 6
    assert kept["optimizer"]["sum_of_learning_rates"] > 0


def test_noise_depends_on_the_place_and_not_on_the_past(data, seeded):
    window, simulator = data[0].slice(0, 4), small()
    noise = NoiseInjection(0.1)
    one = noise.perturb(window, simulator, generator(0, 1, 2, 0))
    torch.manual_seed(123)
    again = noise.perturb(window, simulator, generator(0, 1, 2, 0))
    other = noise.perturb(window, simulator, generator(0, 1, 3, 0))
    assert torch.equal(one.x, again.x)
    assert not torch.equal(one.x, other.x)


def test_noise_has_its_size_and_its_target(data):
    long = list(MassSpring().draw(range(64), TIMES, 0))
    x = torch.cat([one.x for one in long], dim=1).repeat(1, 60, 1)
    window = Trajectory(TIMES, x, Topology.isolated(x.shape[1]))
    corrected = NoiseInjection(0.1, "corrected").perturb(window, small(), generator(1))
    moved = corrected.x - x
    assert float(moved[1:].abs().max()) == 0
    size = x[0].pow(2).mean(0).sqrt()
    torch.testing.assert_close(moved[0].std(0), 0.1 * size, rtol=0.05, atol=0)
    shifted = NoiseInjection(0.1, "uncorrected").perturb(window, small(), generator(1))
    torch.testing.assert_close(shifted.x - x, moved[:1].expand_as(x), rtol=1e-9, atol=1e-12)
    with pytest.raises(ConfigError, match="corrected, uncorrected"):
        NoiseInjection(0.1, "both")


def test_roughness_is_zero_on_a_line_and_grows_with_bends(data):
    field = PairForce(("a", "b"), terms=6).double()
    simulator = Simulator(field, Leapfrog(), 1.0)
    line = torch.arange(6, dtype=torch.float64)
    field.load({"mass": torch.ones(2), "weights": 1 + line})
    assert Roughness(2.0).penalty(simulator, data[0]).item() == pytest.approx(0, abs=1e-25)
    field.load({"mass": torch.ones(2), "weights": line**2})
    bends = 4 * 2.0**2 / 25.0**2
    assert Roughness(2.0).penalty(simulator, data[0]).item() == pytest.approx(2 * bends)
    with pytest.raises(ConfigError, match="Leave it out"):
        Roughness().penalty(small(), data[0])


def test_standardize_measures_states_and_slopes(data, seeded):
    simulator = Simulator(MLPField(dim=2, width=8).double(), RK4(), 0.1)
    Standardize().prepare(simulator, data)
    x = torch.cat([one.x for one in data]).flatten(0, 1)
    torch.testing.assert_close(simulator.dynamics.centre, x.mean(0))
    torch.testing.assert_close(simulator.dynamics.spread, x.std(0))
    with pytest.raises(ConfigError, match="needs dynamics with networks"):
        Standardize().prepare(Simulator(MassSpring().truth(), Leapfrog(), 0.1), data)


def test_nan_stops_training(data, seeded):
    def explode(parameters):
        return torch.optim.SGD(parameters, lr=1e30)

    field = MLPField(dim=2, width=8).double()
    simulator = Simulator(field, RK4(), 0.1)
    with pytest.raises(NumericalError, match="the loss exploded to"):
        simlearn.fit(simulator, data, optimizer=explode, max_epochs=50)


def test_nothing_to_learn_is_said(data):
    with pytest.raises(ConfigError, match="nothing to learn"):
        simlearn.fit(Simulator(MassSpring().truth(), Leapfrog(), 0.1), data, max_epochs=3)


def test_the_module_is_small():
    path = pathlib.Path(simlearn.__file__).parent / "training/module.py"
    text = path.read_text()
    body = text[text.index("class SimulatorModule") :]
    body = body[: body.index("\ndef ")]
    assert body.strip().count("\n") < 100, "no God module: physics and pictures live elsewhere"


@pytest.mark.gpu
def test_the_closed_form_starts_on_an_accelerator():
    """The start is solved on the CPU, wherever the simulator lives by then."""
    days = simlearn.read(pathlib.Path(__file__).parents[1] / "data/ephemeris-excerpt.h5")
    field = PairForce(days.trajectories[0].topology.node_names)
    fitted = simlearn.fit(
        Simulator(field, Leapfrog(), 1.0),
        days,
        objective=MultiStep(16, 8, scale="body"),
        start=simlearn.ClosedForm(),
        stabilizers=[Roughness()],
        max_epochs=1,
        accelerator="gpu",
        devices=1,
    )
    assert fitted.provenance["estimates"]["venus"]["value"] == pytest.approx(2.45e-6, rel=0.05)


@pytest.mark.gpu
def test_fit_and_rollout_on_an_accelerator(data, seeded):
    fitted = simlearn.fit(small(), data, max_epochs=2, accelerator="gpu", devices=1)
    moved = fitted.cuda()
    window = data[0].to("cuda")
    rolled = moved.rollout(window.x[0], 30, window.topology)
    assert rolled.x.is_cuda
    host = moved.cpu().rollout(data[0].x[0], 30, data[0].topology)
    torch.testing.assert_close(rolled.x.cpu(), host.x, rtol=1e-9, atol=1e-12)


def test_a_resumed_training_remembers_its_ledger(tmp_path, data, seeded):
    """Estimates, evaluations and learning rates are part of the checkpoint."""
    from simlearn.training.ledger import Ledger

    before = Ledger()
    before.estimates = {"b": simlearn.Estimate(2.0, 0.1, "kg")}
    before.evaluations, before.sum_of_learning_rates = 7, 0.3
    after = Ledger()
    after.load_state_dict(before.state_dict())
    assert repr(after.state_dict()) == repr(before.state_dict())  # no loss yet: NaN is not NaN
    assert after.estimates == before.estimates


def test_times_keep_their_precision_in_float32(seeded):
    """At t = 1000 a float32 clock would miss the sampling interval."""
    t = simlearn.sample_times(40, 0.1, t0=1000.0)
    track = Trajectory(t, torch.randn(40, 1, 2), Topology.isolated(1)).to("cpu", torch.float32)
    assert track.t.dtype == torch.float64
    objective = OneStep()
    objective.prepare([track])
    assert objective.loss(small(torch.float32), track.slice(0, 2)).isfinite()


class Pushed(simlearn.VectorField):
    """dx/dt = u: what moves is the control input alone."""

    def forward(self, t, x, topology):
        return topology.inputs.expand_as(x)


def test_inputs_act_in_training_and_in_the_gate():
    """The exact simulator of a driven system has no loss and no forecast error."""
    from simlearn.integrators import Euler
    from simlearn_checks import Bounded, ForecastError, StepHalving

    t = simlearn.sample_times(30, 0.1)
    u = torch.randn(30, 1, 1, generator=generator(5), dtype=torch.float64)
    x = torch.cat([torch.zeros(1, 1, 1, dtype=torch.float64), (0.1 * u[:-1]).cumsum(0)])
    track = Trajectory(t, x, Topology.isolated(1), inputs=u)
    simulator = Simulator(Pushed(), Euler(), 0.1)
    for objective in (MultiStep(5, scale="none"), OneStep("none")):
        window = track.slice(3, 3 + objective.length([track]))
        assert objective.loss(simulator, window).item() < 1e-28
    evidence = simlearn.Evidence((track,), (track,))
    checks = [ForecastError(28, limit=1e-12), StepHalving(28, 1e-12), Bounded(28, 1.5)]
    assert simlearn.check(simulator, evidence, checks).passed
    with pytest.raises(simlearn.DataError, match="control inputs until"):
        evidence.rollouts(simulator, 40)


def test_trajectories_are_cut_at_missing_samples_and_where_they_were_lost(data):
    from simlearn.data.module import TrajectoryData

    whole = data[0]
    gap = torch.ones(40, 1, dtype=torch.bool)
    gap[7] = gap[9] = False  # sample 8 stands alone: no window begins there
    holes = Trajectory(whole.t, whole.x, whole.topology, mask=gap)
    cut = TrajectoryData.of([holes])
    cut.setup("fit")
    assert [one.steps for one in cut.training] == [7, 30]
    assert torch.equal(cut.training[1].x, whole.x[10:])
    assert all(one.mask is None for one in cut.training)
    none = TrajectoryData.of([Trajectory(whole.t, whole.x, whole.topology, mask=gap & False)])
    with pytest.raises(simlearn.DataError, match="No two complete samples"):
        none.setup("fit")
    x = whole.x.clone()
    x[30:] = torch.nan
    lost = Trajectory(whole.t, x, whole.topology, status="diverged", finite_steps=30)
    usable = TrajectoryData.of([lost])
    usable.setup("fit")
    assert usable.training[0].steps == 30


def test_a_trained_simulator_can_be_trained_again(data, seeded):
    once = simlearn.fit(small(), data, max_epochs=2, progress=False)
    first = once.provenance["loss"]
    again = simlearn.fit(once, data, max_epochs=20, progress=False)
    assert again.provenance["loss"] < first
    assert again.provenance["training"]["sha256"] == once.provenance["training"]["sha256"]


@pytest.mark.fault(21)
def test_validation_of_a_lost_rollout_is_infinite(data):
    from simlearn.dynamics import MLPField

    field = MLPField(dim=2).double()
    torch.nn.init.constant_(field.net.layers[-1].bias, 1e308)
    objective = MultiStep(5)
    objective.prepare(data)
    with torch.no_grad():
        loss = objective.loss(Simulator(field, RK4(), 0.1), data[0].slice(0, 6))
    assert loss.item() == float("inf")


def test_likely_mistakes_in_python_are_named(data):
    from simlearn_checks import Bounded

    with pytest.raises(simlearn.DataError, match="the data are empty"):
        simlearn.fit(small(), [])
    adam = torch.optim.Adam(small().parameters())
    with pytest.raises(ConfigError, match="a function from parameters"):
        simlearn.fit(small(), data, optimizer=adam)
    with pytest.raises(ConfigError, match=r"check wants Evidence"):
        simlearn.check(small(), data, [Bounded()])
    wide = Trajectory(data[0].t, torch.zeros(40, 1, 4), Topology.isolated(1))
    with pytest.raises(simlearn.DataError, match="4 columns, SeparableEnergy takes 2"):
        simlearn.check(small(), simlearn.Evidence(wide), [Bounded()])
    simulator = small()
    with pytest.raises(ConfigError, match=r"float32, the simulator torch\.float64"):
        simulator.rollout(torch.zeros(1, 2), 10)
    x = torch.zeros(1, 2, dtype=torch.float64)
    with pytest.raises(ConfigError, match="steps >= 0"):
        simulator.rollout(x, -3)
    with pytest.raises(ConfigError, match="every >= 1"):
        simulator.rollout(x, 3, every=0)
    with pytest.raises(ConfigError, match="from 0 on"):
        generator(-1)
    assert "40 steps, 1 rows, 2 columns" in repr(data[0])


def test_one_trajectory_or_a_file_is_data_enough(tmp_path, data, seeded):
    simlearn.write(tmp_path / "one.h5", data[:1], {"made": "here"})
    for given in (data[0], tmp_path / "one.h5"):
        fitted = simlearn.fit(small(), given, max_epochs=1, progress=False)
        assert fitted.provenance["training"]["trajectories"] == 1
    assert fitted.provenance["data"]["made"] == "here"


def test_standardize_takes_systems_of_several_sizes_and_what_the_field_sees(seeded):
    """Rows of all systems are samples; parameters that the field does not see stay outside."""
    tracks = []
    for rows in (2, 3):
        rng = torch.Generator().manual_seed(rows)
        x = torch.randn(5, rows, 2, generator=rng, dtype=torch.float64)
        topology = simlearn.Topology.complete(rows).replace(
            system_attr=torch.full((1, 1), float(rows), dtype=torch.float64)
        )
        inputs = torch.randn(5, rows, 1, generator=rng, dtype=torch.float64)
        t = torch.arange(5, dtype=torch.float64)
        tracks.append(Trajectory(t, x, topology, inputs=inputs))
    field = MLPField(dim=2, width=4, inputs=1).double()
    Standardize().prepare(Simulator(field, RK4(), 1.0), tracks)
    every = torch.cat([torch.cat([o.x, o.inputs], dim=-1).flatten(0, 1) for o in tracks])
    torch.testing.assert_close(field.centre, every.mean(0))
