"""Callbacks that a config may name: with each of them a resumed training has the same bits."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch import callbacks

import simlearn
from simlearn.cli.allowed import LIGHTNING
from simlearn.data.generate import sample_times
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.objectives import MultiStep
from simlearn.training.resume import Checkpoints
from simlearn_mechanics import MassSpring

STATEFUL = {
    "EarlyStopping": lambda where: callbacks.EarlyStopping("loss", patience=1, mode="max"),
    "EMAWeightAveraging": lambda where: callbacks.EMAWeightAveraging(decay=0.9),
    "ModelCheckpoint": lambda where: callbacks.ModelCheckpoint(where / "kept", save_top_k=2,
                                                               monitor="loss"),
    "OnExceptionCheckpoint": lambda where: callbacks.OnExceptionCheckpoint(where / "failed"),
    "Timer": lambda where: callbacks.Timer(duration="00:01:00:00"),
    "WeightAveraging": lambda where: callbacks.WeightAveraging(),
}  # fmt: skip
# they look on, or do not work with float64 (ModelPruning)
STATELESS = {
    "DeviceStatsMonitor", "LearningRateMonitor", "ModelPruning", "ModelSummary", "RichModelSummary",
    "RichProgressBar", "ThroughputMonitor", "TQDMProgressBar",
}  # fmt: skip


class Stops(pl.Callback):
    """Ends a training in the middle of an epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 1):
            raise RuntimeError("the machine went away")


class Last(pl.Callback):
    """Ends it when all is trained."""

    def on_fit_end(self, trainer, pl_module):
        raise RuntimeError("the machine went away")


def trained(where, name, *more, **given):
    tracks = list(MassSpring().draw(range(2), sample_times(90, 0.1), 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        simulator = simlearn.Simulator(MLPField(dim=2, width=4), RK4(), 0.1)
    found = simlearn.fit(
        simulator, tracks, objective=MultiStep(horizon=4), batch_size=1, max_epochs=3,
        callbacks=[Checkpoints(every_steps=1), STATEFUL[name](where), *more], progress=False,
        default_root_dir=str(where), **given,
    )  # fmt: skip
    return list(found.parameters())


@pytest.mark.parametrize("end", [Stops, Last])
@pytest.mark.parametrize("name", STATEFUL)
def test_it_is_resumed_to_the_same_bits(tmp_path, name, end):
    whole = trained(tmp_path / "whole", name)
    with pytest.raises(RuntimeError, match="went away"):
        trained(tmp_path / "here", name, end())
    last = tmp_path / "here/checkpoints/last.ckpt"
    resumed = trained(tmp_path / "here", name, resume=last)
    assert all(map(torch.equal, whole, resumed))


def test_every_callback_that_may_be_named_is_known_here():
    named = {one for room, names in LIGHTNING.items() if "callbacks" in room for one in names}
    assert named == STATEFUL.keys() | STATELESS
