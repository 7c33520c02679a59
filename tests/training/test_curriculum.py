"""A curriculum where nobody says how many epochs there will be, and what a resumed run prints."""

import io
from contextlib import redirect_stderr

import lightning.pytorch as pl
import pytest
import torch

import simlearn
from simlearn import Estimate, Simulator
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import SeparableEnergy
from simlearn.integrators import Leapfrog
from simlearn.training.fit import DEFAULTS
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import MultiStep
from simlearn.training.progress import Progress, quiet
from simlearn_mechanics import MassSpring


def orbit(number, steps):
    (one,) = MassSpring().draw(range(number, number + 1), simlearn.sample_times(steps, 0.1), 0)
    return one


def test_a_number_below_the_first_epoch_is_the_first_lesson():
    lesson = MultiStep(8, start=2, grow_over=3)
    found = []
    for number in (-1, 0, 3, 10**9):
        lesson.epoch(number)
        found.append(lesson.now)
    assert found == [2, 2, 8, 8]


class Watched(MultiStep):
    """Remembers how long the windows were that it was trained on."""

    def loss(self, simulator, window):
        if torch.is_grad_enabled():
            self.seen.append(window.steps)
        return super().loss(simulator, window)


@pytest.mark.parametrize(
    "limit", [{"max_epochs": 5}, {"max_epochs": -1, "max_steps": 10}], ids=["epochs", "steps"]
)
def test_lessons_grow_and_validation_is_of_the_last(limit, seeded):
    """The first lessons have more batches than the last; a short held-out orbit is left out."""
    simulator = Simulator(SeparableEnergy(dim=2, width=4).double(), Leapfrog(), 0.1)
    objective = Watched(8, grow_over=3)
    objective.seen = []
    module = SimulatorModule(simulator, objective, steps_per_call=16)
    tracks = [orbit(0, 33), orbit(1, 33), orbit(2, 33), orbit(3, 5)]
    data = TrajectoryData.of(tracks, held_out=0.5, batch_size=4)
    trainer = pl.Trainer(**{**DEFAULTS, **limit, "accelerator": "cpu"})
    with quiet():
        trainer.fit(module, datamodule=data)
    assert trainer.reload_dataloaders_every_n_epochs == 1
    first = [one for one in objective.seen if one == 2]
    assert len(first) == 16, "64 windows of two states, in the first epoch only"
    assert objective.seen[-1] == objective.now + 1 == 9
    assert float(trainer.callback_metrics["rollout_error"]) > 0


def printed(checkpoint, epochs):
    """What is said at the start of a training."""
    simulator = Simulator(SeparableEnergy(dim=2, width=4).double(), Leapfrog(), 0.1)
    module, told = SimulatorModule(simulator, MultiStep(2)), io.StringIO()
    module.ledger.start = {"states": 7}
    module.ledger.estimates = {"b": Estimate(2.0, 0.1, "kg")}
    trainer = pl.Trainer(
        **{**DEFAULTS, "max_epochs": epochs, "accelerator": "cpu", "callbacks": [Progress()]}
    )
    with quiet(), redirect_stderr(told):
        data = TrajectoryData.of([orbit(0, 9)])
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return told.getvalue(), trainer


def test_a_resumed_run_says_that_its_start_is_of_another(tmp_path, seeded):
    told, trainer = printed(None, 1)
    assert "closed form in " in told
    assert "\nstart:\n  states: 7\n" in told
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    told, _ = printed(str(tmp_path / "kept.ckpt"), 2)
    assert "closed form (of the run that is resumed):\n" in told
    assert "\nstart (of the run that is resumed):\n  states: 7\n" in told
