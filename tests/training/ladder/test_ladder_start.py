"""Ladder as the start of a training: what it puts in place, tells, keeps and refuses."""

import copy
import json

import lightning.pytorch as pl
import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Ladder, Simulator, Topology, Trajectory, ladder
from simlearn.component import NumericalError
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import LinearField, SeparableEnergy
from simlearn.dynamics.inertia import MechanicalSeries
from simlearn.dynamics.separable import SeparableSeries
from simlearn.integrators import RK4, ImplicitMidpoint, Leapfrog, Yoshida4
from simlearn.training.begin import told
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching
from simlearn_stabilizers import HurwitzStable


def curved(x):
    """H = (1 + q²) p²/2 + q²/2."""
    q, p = x.chunk(2, -1)
    return torch.cat([(1 + q * q) * p, -q * p * p - q], -1)


def network():
    return Simulator(SeparableEnergy(dim=2, width=4).double(), Leapfrog(), 0.1)


@pytest.fixture(scope="module")
def springs(exact):
    begin = exact.starts(10, 2, scale=0.7).clamp(-1.2, 1.2)
    return exact.drawn(exact.pendulum, begin, exact.clock(16, 0.1), 0.02)


@pytest.fixture(scope="module")
def bent(exact):
    return exact.drawn(curved, exact.starts(12, 2, scale=0.7), exact.clock(16, 0.1))


class Saves(pl.Callback):
    """A checkpoint after so many epochs."""

    def __init__(self, path, epochs):
        self.path, self.epochs = path, epochs

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch + 1 == self.epochs:
            trainer.save_checkpoint(self.path)


def run(data, epochs, resume=None, start=None, seed=0, callbacks=()):
    """One training by Lightning: module and trainer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        simulator = network()
    module = SimulatorModule(simulator, DerivativeMatching(), (), start or Ladder())
    trainer = pl.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        accelerator="cpu",
        callbacks=list(callbacks),
    )
    trainer.ckpt_path = resume
    trainer.fit(module, datamodule=TrajectoryData.of(data))
    return module, trainer


def weights(module):
    return {name: value.clone() for name, value in module.simulator.state_dict().items()}


@pytest.mark.parametrize("kind", ["springs", "bent"])
def test_a_resumed_training_is_equal_to_the_last_bit(kind, request, tmp_path):
    """The checkpoint alone says which structure, scheme, scales and weights there are."""
    data = request.getfixturevalue(kind)
    whole, _ = run(data, 6, callbacks=[Saves(tmp_path / "half.ckpt", 3)])
    resumed, _ = run(data, 6, str(tmp_path / "half.ckpt"), seed=5)
    series = SeparableSeries if kind == "springs" else MechanicalSeries
    assert type(resumed.simulator.dynamics) is series
    assert type(resumed.simulator.integrator) is type(whole.simulator.integrator)
    found, wanted = weights(resumed), weights(whole)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    kept = torch.load(tmp_path / "half.ckpt", weights_only=False)["state_dict"]
    assert not torch.equal(found["dynamics.coefficients"], kept["simulator.dynamics.coefficients"])


def test_a_resumed_training_keeps_the_record_of_the_start(springs, tmp_path):
    half, trainer = run(springs, 1)
    half.ledger.start = {**half.ledger.start, "states": "only in the checkpoint"}
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed, _ = run(springs, 2, str(tmp_path / "half.ckpt"))
    assert resumed.ledger.start == half.ledger.start


def test_a_resumed_training_does_not_solve_again(springs, tmp_path, monkeypatch):
    _, trainer = run(springs, 1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    solve, solved = Ladder.solve, []
    monkeypatch.setattr(Ladder, "solve", lambda *a: (solved.append(1), solve(*a))[1])
    run(springs, 2, str(tmp_path / "one.ckpt"))
    assert solved == []


def test_without_epochs_the_closed_form_is_the_result(springs, exact):
    simulator = simlearn.fit(network(), springs, start=Ladder(), max_epochs=0, progress=False)
    assert type(simulator.dynamics) is SeparableSeries
    assert isinstance(simulator.integrator, Leapfrog)  # it suits: it stays
    record = simulator.provenance["ladder"]
    assert record["choice"] == "separable"
    assert json.loads(json.dumps(record)) == record
    assert simulator.provenance["start"]["class_path"].endswith("Ladder")
    assert simulator.provenance["loss"] is None
    assert exact.missed(simulator.dynamics, exact.pendulum, -0.7, 0.7) < 1e-3
    alone = ladder(springs)
    torch.testing.assert_close(
        alone.dynamics.coefficients, simulator.dynamics.coefficients.detach(), rtol=0, atol=1e-6
    )


def test_an_integrator_that_cannot_step_it_gives_way(bent):
    simulator = simlearn.fit(network(), bent, start=Ladder(), max_epochs=0, progress=False)
    assert type(simulator.dynamics) is MechanicalSeries
    assert isinstance(simulator.integrator, ImplicitMidpoint)


def test_gradients_go_on_from_the_closed_form(springs):
    module, _ = run(springs, 2)
    own = dict(module.simulator.named_parameters())
    assert list(own) == ["dynamics.coefficients"]
    before = ladder(springs).dynamics.coefficients
    changed = (own["dynamics.coefficients"].detach() - before).abs().max()
    assert 1e-6 < float(changed) < 0.1


def test_what_comes_back_after_held_out_rollouts_is_what_was_trained(springs):
    """Rollouts between epochs look at the series, which must not keep what it was."""
    found = simlearn.fit(
        network(), springs, start=Ladder(), held_out=0.2, max_epochs=3, progress=False
    )
    x = torch.tensor([[0.5, 0.2]], dtype=torch.float64)
    torch.testing.assert_close(found.rollout(x, 20).x, copy.deepcopy(found).rollout(x, 20).x)


def test_a_resumed_network_is_not_wrapped_twice(exact, tmp_path):
    data = exact.drawn(exact.damped, exact.starts(15, 2), exact.clock(21, 0.1))

    def trained(epochs, resume):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            simulator = Simulator(LinearField(2).double(), RK4(), 0.1)
        parts = DerivativeMatching(), (HurwitzStable(),), Ladder()
        module = SimulatorModule(simulator, *parts)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", **quiet)
        trainer.ckpt_path = resume
        trainer.fit(module, datamodule=TrajectoryData.of(data))
        return module, trainer

    module, trainer = trained(1, None)
    assert module.ledger.start["choice"] == "network"
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    again, _ = trained(2, tmp_path / "one.ckpt")
    names = (set(one.simulator.dynamics.state_dict()) for one in (again, module))
    assert next(names) == next(names)


def test_no_closed_form_and_no_epochs_is_refused_in_a_sentence(exact):
    data = exact.drawn(exact.damped, exact.starts(15, 2), exact.clock(21, 0.1))
    with pytest.raises(
        ConfigError, match=r"Ladder found no closed form .* Give trainer.max_epochs"
    ):
        simlearn.fit(network(), data, start=Ladder(), max_epochs=0, progress=False)
    before = network()
    simulator = simlearn.fit(before, data, start=Ladder(), max_epochs=1, progress=False)
    assert type(simulator.dynamics) is SeparableEnergy
    assert simulator.provenance["ladder"]["choice"] == "network"
    assert "unexplained by noise" in told(simulator.provenance["ladder"])
    with pytest.raises(NumericalError, match="Train a network by gradients"):
        ladder(data)
    assert type(ladder(data, worst=0.9).dynamics) is not SeparableEnergy


def test_the_record_for_people_names_every_stage(springs):
    text = told(ladder(springs).provenance["ladder"])
    for part in (
        "states: re-integrated",
        "separable: error on trajectories left out",
        "chosen: separable",
    ):
        assert part in text


def test_the_same_seed_gives_the_same_field(springs):
    first, second, other = (ladder(springs, seed=seed).dynamics.coefficients for seed in (0, 0, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)
    assert float((first - other).abs().max()) > 1e-3


def test_the_function_leaves_the_global_generator_alone(springs):
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        ladder(springs)
        assert torch.equal(torch.get_rng_state(), before)


def test_the_start_leaves_the_global_generator_alone(springs):
    with torch.random.fork_rng(devices=[]):
        simulator = network()
        before = torch.get_rng_state()
        Ladder().solve(simulator, springs)
        assert torch.equal(torch.get_rng_state(), before)


def test_the_function_chooses_scheme_and_step(springs, bent):
    first, second = ladder(springs), ladder(bent)
    assert isinstance(first.integrator, Yoshida4)
    assert isinstance(second.integrator, ImplicitMidpoint)
    assert first.dt == pytest.approx(0.1)
    assert not any(one.requires_grad for one in first.parameters())


def test_data_that_cannot_be_laid_out_are_refused(exact):
    (one,) = exact.drawn(exact.spring, exact.starts(1, 2), exact.clock(8, 0.1))
    with pytest.raises(DataError, match="empty"):
        ladder([])
    with pytest.raises(DataError, match="one state"):
        Ladder().solve(network(), [one.slice(0, 1)])
    driven = Trajectory(one.t, one.x, one.topology, inputs=torch.zeros(8, 1, 1))
    with pytest.raises(DataError, match="control inputs"):
        ladder(driven)
    wide = Trajectory(one.t, torch.cat([one.x, one.x], -1), Topology.isolated(1))
    with pytest.raises(DataError, match="same columns"):
        ladder([one, wide])
    with pytest.raises(ConfigError, match="above zero"):
        Ladder(worst=0.0)


def test_one_state_is_refused_by_the_function_too(exact):
    (one,) = exact.drawn(exact.spring, exact.starts(1, 2), exact.clock(8, 0.1))
    with pytest.raises(DataError, match="one state"):
        ladder(one.slice(0, 1))


def test_single_precision_data_give_a_simulator_in_double_precision(exact):
    begin = exact.starts(12, 2, scale=0.7).clamp(-1.2, 1.2)
    data = exact.drawn(exact.pendulum, begin, exact.clock(16, 0.1))
    single = [one.to("cpu", torch.float32) for one in data]
    simulator = ladder(single)
    assert simulator.dynamics.coefficients.dtype == torch.float64
    assert exact.missed(simulator.dynamics, exact.pendulum, -0.7, 0.7) < 1e-6


def test_a_training_in_single_precision(springs):
    simulator = simlearn.fit(
        Simulator(SeparableEnergy(dim=2, width=4), Leapfrog(), 0.1),
        springs,
        start=Ladder(),
        max_epochs=1,
        dtype="float32",
        progress=False,
    )
    assert simulator.dynamics.coefficients.dtype == torch.float32
    rolled = simulator.rollout(torch.tensor([[0.5, 0.0]]), 20)
    assert bool(rolled.x.isfinite().all())
