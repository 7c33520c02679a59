"""The training room: curriculum, clipping, schedules, early stopping, several steps a call."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, Simulator
from simlearn.data.generate import sample_times
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import MLPField, SeparableEnergy
from simlearn.integrators import RK4, Leapfrog
from simlearn.training.fit import finished
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching, MultiStep
from simlearn_mechanics import MassSpring


@pytest.fixture(scope="module")
def data():
    return list(MassSpring().draw(range(6), sample_times(61, 0.1), 0))


def field(**arguments):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Simulator(MLPField(dim=2, width=16, **arguments).double(), RK4(), 0.1)


def trained(data, simulator, epochs, trainer=None, module=None, **given):
    """Weights, ledger and metrics of a training."""
    import lightning.pytorch as pl

    module = SimulatorModule(simulator, **(module or {}))
    seen = []

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            found = {k: float(v) for k, v in trainer.callback_metrics.items()}
            seen.append({**found, "rate": trainer.optimizers[0].param_groups[0]["lr"]})

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        enable_checkpointing=False,
        callbacks=[Watch()],
        **quiet,
        **(trainer or {}),
    ).fit(module, datamodule=TrajectoryData.of(data, **given))
    return module, seen


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.simulator.parameters()])


def raw_loop(data, simulator, epochs, batch, rate=1e-3, clip=None):
    """The same training without Lightning and without our loader's bundles."""
    from simlearn.data.windows import Windows

    objective = DerivativeMatching()
    objective.prepare(data)
    windows = Windows(data, 1, None, batch, seed=0)
    optimizer = torch.optim.Adam(simulator.parameters(), rate)
    for epoch in range(epochs):
        windows.set_epoch(epoch)
        for window in windows:
            optimizer.zero_grad()
            objective.loss(simulator, window).backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(simulator.parameters(), clip)
            optimizer.step()
    return torch.cat([p.detach().flatten() for p in simulator.parameters()])


@pytest.mark.parametrize("calls", [1, 4, 16])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_several_steps_a_call_are_the_raw_loop(data, calls, clip):
    """However many optimizer steps a call takes, the weights are those of the plain loop."""
    module, _ = trained(
        data,
        field(),
        3,
        module={"objective": DerivativeMatching(), "steps_per_call": calls, "clip": clip},
        batch_size=32,
    )
    expected = raw_loop(data, field(), 3, 32, clip=clip)
    torch.testing.assert_close(weights(module), expected, rtol=1e-9, atol=1e-12)
    assert module.ledger.updates == 3 * math.ceil(6 * 61 / 32)
    assert module.ledger.sum_of_learning_rates == pytest.approx(1e-3 * module.ledger.updates)


def test_clipping_bounds_the_step(data):
    """Plain gradient descent moves by the rate times the norm, which is clipped."""

    def descent(parameters):
        return torch.optim.SGD(parameters, lr=1.0)

    begin = weights(SimulatorModule(field()))
    arguments = {"objective": DerivativeMatching(), "optimizer": descent}
    free, _ = trained(data, field(), 1, module=arguments)
    bound, _ = trained(data, field(), 1, module={**arguments, "clip": 1e-3})
    assert float((weights(free) - begin).norm()) > 2e-3
    assert float((weights(bound) - begin).norm()) == pytest.approx(1e-3, rel=1e-4)


def test_a_schedule_is_stepped_once_an_epoch(data):
    def halving(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    module, seen = trained(data, field(), 4, module={"scheduler": halving}, batch_size=8)
    assert [one["rate"] for one in seen] == pytest.approx([1e-3, 5e-4, 2.5e-4, 1.25e-4])
    per_epoch = module.ledger.updates / 4
    assert module.ledger.sum_of_learning_rates == pytest.approx(per_epoch * 1.875e-3)


def test_a_plateau_is_looked_for_in_the_held_out_rollouts(data):
    def plateau(optimizer):
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.9999)

    module = {"scheduler": plateau, "objective": DerivativeMatching()}
    _, seen = trained(data, field(), 6, module=module, held_out=0.2)
    assert seen[-1]["rate"] < 1e-3


def test_the_horizon_grows_to_its_end_and_stays():
    objective = MultiStep(horizon=32, start=2, grow_over=4)
    found = []
    for epoch in range(7):
        objective.epoch(epoch)
        found.append(objective.length(()) - 1)
    assert found == [2, 4, 8, 16, 32, 32, 32]
    objective.epoch(1)
    assert objective.now == 4, "a pure function of the epoch"
    with pytest.raises(ConfigError, match="every <= start <= horizon"):
        MultiStep(horizon=32, every=4, start=2, grow_over=3)


def test_a_curriculum_trains_through_all_its_lessons(data):
    objective = MultiStep(horizon=20, start=1, grow_over=5)
    _, seen = trained(data, field(), 8, module={"objective": objective}, held_out=0.2)
    assert objective.now == 20
    assert len(seen) == 8
    assert all(math.isfinite(one["validation_loss"]) for one in seen)


def test_validation_rolls_out_in_the_unit_of_the_data(data):
    """The metric is the root mean square error of the positions over the rollout."""
    given = {"units": {"position": "m", "momentum": "kg m/s"}}
    simulator = Simulator(MassSpring().truth(), Leapfrog(), 0.1)
    rolled = simulator.rollout(data[-1].x[0], 50).x
    error = (rolled - data[-1].x[:51])[1:].square().mean((0, 1)).sqrt()
    import lightning.pytorch as pl

    module = SimulatorModule(simulator, validation_steps=50)
    held = TrajectoryData.of(data, given, held_out=0.1)
    trainer = pl.Trainer(
        logger=False, enable_progress_bar=False, accelerator="cpu", enable_checkpointing=False
    )
    (found,) = trainer.validate(module, datamodule=held, verbose=False)
    assert found["rollout_error"] == pytest.approx(float(error[0]), rel=1e-5)
    assert found["momentum_error"] == pytest.approx(float(error[1]), rel=1e-5)


@pytest.mark.fault(21)
def test_a_lost_rollout_has_an_infinite_error_and_no_nan(data):
    simulator = field()
    with torch.no_grad():
        for p in simulator.parameters():
            p.mul_(1e6)
    # not finite after the first steps: dx/dt of that size overflows nothing, so scale the rate
    simulator.dynamics.rate.fill_(1e300)
    from simlearn.training.validation import rollout_errors

    units = {"units": {"position": "", "momentum": ""}}
    lost = rollout_errors(simulator, data[0], units)
    # the same numbers as a sound rollout has, or processes would wait for one another
    assert set(lost) == set(rollout_errors(field(), data[0], units))
    assert all(float(value) == torch.inf for value in lost.values())


def test_early_stopping_keeps_the_best_weights(data):
    """A rate that wrecks the weights after some epochs: it stops, and the best come back."""

    def wrecking(optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda e: 1.0 if e < 10 else 300.0)

    module = {
        "objective": DerivativeMatching(),
        "scheduler": wrecking,
        "patience": 5,
        "validation_steps": 40,
    }
    found, seen = trained(data, field(), 200, module=module, held_out=0.2, batch_size=32)
    assert len(seen) < 40
    errors = [one["rollout_error"] for one in seen]
    best = min(errors)
    assert errors[-1] > best
    kept = TrajectoryData.of(data, held_out=0.2)
    kept.setup("fit")
    from simlearn.training.validation import rollout_errors

    window = kept.validation[0].slice(0, 41)
    with torch.no_grad():
        again = rollout_errors(found.simulator, window, {})["rollout_error"]
    assert float(again) == pytest.approx(best, rel=1e-6)
    assert finished(found, kept).provenance["optimizer"]["updates"] == found.ledger.updates


def test_patience_without_held_out_data_is_refused(data):
    with pytest.raises(ConfigError, match="needs held-out data"):
        trained(data, field(), 1, module={"patience": 3})


@pytest.mark.parametrize("wrong", [{"clip": 0.0}, {"patience": 0}, {"steps_per_call": 0}])
def test_sizes_are_positive(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be positive"):
        SimulatorModule(field(), **wrong)


def test_the_trainers_own_clipping_is_pointed_to_ours(data):
    with pytest.raises(ConfigError, match=r"model\.clip 0\.5"):
        trained(data, field(), 1, trainer={"gradient_clip_val": 0.5})


def test_fit_takes_the_whole_room(data, seeded):
    simulator = Simulator(SeparableEnergy(dim=2, width=8), Leapfrog(), 0.1)
    done = simlearn.fit(
        simulator,
        data,
        scheduler=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
        clip=1.0,
        patience=3,
        held_out=0.2,
        max_epochs=5,
        progress=False,
    )
    assert done.provenance["optimizer"]["updates"] == 5


def test_a_curriculum_is_validated_after_every_epoch(data):
    """Fewer and longer windows each epoch: the held-out rollouts, patience and resume go on."""
    module = {"objective": MultiStep(20, start=1, grow_over=5), "patience": 30}
    found, seen = trained(data, field(), 10, module=module, held_out=0.2, batch_size=8)
    errors = [one["rollout_error"] for one in seen]
    assert len(set(errors)) == 10
    best = next(c for c in found.trainer.callbacks if type(c).__name__ == "Best")
    assert best.value == pytest.approx(min(errors))
    assert best.epoch == errors.index(min(errors))


def test_what_is_held_out_is_in_no_piece_of_the_training(data):
    """Trajectories are held out whole, and cut at their gaps afterwards."""
    from dataclasses import replace

    mask = torch.ones(61, 1, dtype=torch.bool)
    mask[20] = mask[40] = False
    held = TrajectoryData.of([replace(one, mask=mask) for one in data], held_out=0.2)
    held.setup("fit")
    assert (len(held.training), len(held.validation)) == (15, 3)
    assert torch.equal(held.validation[0].x, data[5].x[:20])
    starts = {float(one.x[0, 0, 0]) for one in held.training}
    assert not starts & {float(one.x[0, 0, 0]) for one in held.validation}


def test_patience_needs_rollouts_that_can_be_compared(data):
    from simlearn.state import Trajectory

    sparse = [Trajectory(one.t[::7], one.x[::7], one.topology) for one in data]
    module = {"objective": DerivativeMatching(), "patience": 3}
    with pytest.raises(ConfigError, match=r"sampled every 0\.7 while the simulator"):
        trained(sparse, field(), 1, module=module, held_out=0.2)


def test_rollouts_know_how_long_a_gap_is(data):
    """The exact law has no loss, neither before nor across a sample that is missing."""
    keep = [k for k in range(61) if k != 30]
    one = data[0]
    gap = simlearn.Trajectory(one.t[keep], one.x[keep], one.topology)
    objective, truth = MultiStep(5), Simulator(MassSpring().truth(), RK4(), 0.1)
    objective.prepare([gap])
    assert float(objective.loss(truth, gap.slice(0, 6))) < 1e-9
    assert float(objective.loss(truth, gap.slice(27, 33))) < 1e-9


@pytest.mark.parametrize("driven", [False, True])
def test_differences_are_of_second_order_on_uneven_times(driven):
    """Halved intervals, a quarter of the error; with inputs that jump at the samples, too."""
    from simlearn.training.objective import central_differences

    errors = []
    for count in (100, 200, 400):
        rng = torch.Generator().manual_seed(0)
        t = torch.linspace(0, 6, count, dtype=torch.float64)
        gap = t[1] - t[0]
        t = t + 0.3 * gap * torch.rand(count, generator=rng, dtype=torch.float64)
        x, inputs = t.sin()[:, None, None], None
        if driven:  # dx/dt = cos t + u, u a staircase
            u = torch.arange(count, dtype=torch.float64).remainder(2)
            x = x + torch.cat([torch.zeros(1), (u[:-1] * t.diff())]).cumsum(0)[:, None, None]
            inputs = u[:, None, None]
        track = simlearn.Trajectory(t, x, simlearn.Topology.isolated(1), inputs=inputs)
        inner, slope = central_differences(track)
        exact = inner.t.cos()[:, None, None] + (inner.inputs if driven else 0)
        errors.append(float((slope - exact).abs().max()))
    assert errors[0] / errors[2] > 10


def test_data_serve_one_training_after_another(data, seeded):
    """The windows of a training are its own: another objective cuts others."""
    shared = TrajectoryData.of(data)
    for horizon in (4, 10):
        simulator = Simulator(SeparableEnergy(dim=2, width=8), Leapfrog(), 0.1)
        objective = MultiStep(horizon)
        simlearn.fit(simulator, shared, objective=objective, max_epochs=1, progress=False)
        assert shared._trained.length == horizon + 1
