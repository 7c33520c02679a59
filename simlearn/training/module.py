"""The one LightningModule.

It holds a simulator, an objective, stabilizers, an optimizer factory and a learning-rate schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from simlearn.component import ConfigError
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.begin import begin, prepare, recall, remember, wrap
from simlearn.training.best import patient
from simlearn.training.compiled import Compiled
from simlearn.training.failure import Guard
from simlearn.training.ledger import Ledger
from simlearn.training.lesson import Lesson
from simlearn.training.objective import Objective
from simlearn.training.objectives import MultiStep
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import Start
from simlearn.training.update import (
    observe,
    optimizer_of,
    refuse_impatience,
    refuse_nothing_to_learn,
    refuse_trainer,
    step_schedule,
    update,
)
from simlearn.training.validation import through, validate

OptimizerCallable = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerCallable = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]


class SimulatorModule(pl.LightningModule):
    """Trains a simulator on windows of trajectories.

    Args:
        simulator: What is trained.
        objective: What is minimised; a rollout of 8 steps by default.
        stabilizers: What keeps the learned dynamics stable.
        start: What is solved in closed form before the first gradient step.
        optimizer: Class and arguments of a torch optimizer; fused Adam, step 1e-3, by default.
        scheduler: Class and arguments of a torch learning-rate schedule, stepped once an epoch;
            ReduceLROnPlateau looks at the held-out rollouts, or at the loss where there are none.
        clip: Largest norm of the gradient; a larger one is scaled down.
        patience: Stop after so many epochs without better held-out rollouts, keep the best weights.
        validation_steps: Steps of the held-out rollouts after each epoch.
        steps_per_call: Optimizer steps inside one training step of Lightning, whose own work is
            done once for them all. Lightning counts (``max_steps``, checkpoints) such calls.
        dtype: Precision of simulator and data.
        seed: Seed of everything drawn during training.
        explosion: Stop where the loss is so many times the first one; None: where it is NaN only.
        compile: Take each step in one compiled graph (see `Compiled`); it takes 10 to 60 s to make.
    """

    def __init__(
        self,
        simulator: Simulator,
        objective: Objective | None = None,
        stabilizers: Sequence[Stabilizer] = (),
        start: Start | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: SchedulerCallable | None = None,
        clip: float | None = None,
        patience: int | None = None,
        validation_steps: int = 100,
        steps_per_call: int = 16,
        dtype: Literal["float32", "float64"] = "float64",
        seed: int = 0,
        explosion: float | None = 1e20,
        compile: bool = False,
    ):
        super().__init__()
        self.simulator, self.objective = simulator, objective or MultiStep()
        self.stabilizers, self.start, self.optimizer = tuple(stabilizers), start, optimizer
        self.scheduler, self.clip, self.patience, self.seed = scheduler, clip, patience, seed
        self.validation_steps, self.steps_per_call = validation_steps, steps_per_call
        self.number, self.wrapped, self.automatic_optimization = getattr(torch, dtype), False, False
        self.ledger, self.guard = Ledger(), Guard(explosion)
        self.compiled, self.lesson = Compiled() if compile else None, Lesson.of(self)
        _refuse_sizes(self)

    def configure_callbacks(self) -> list[pl.Callback]:
        """The ledger, which every checkpoint keeps; with patience, who stops and who remembers."""
        refuse_trainer(self)
        return [self.ledger, *patient(self.patience)]

    def configure_model(self) -> None:
        """Wrap the dynamics once, before the optimizer sees the parameters."""
        wrap(self)

    def configure_optimizers(self) -> Any:
        """The optimizer asked for, or Adam; none where nothing can be learned."""
        return optimizer_of(self)

    def setup(self, stage: str) -> None:
        """Scales are a function of the data, so they are measured anew on every start."""
        if stage == "fit":
            refuse_impatience(self)
            begin(self)
        observe(self)

    def on_fit_start(self) -> None:
        """Prepare stabilizers, unless a training is resumed."""
        refuse_nothing_to_learn(self)
        prepare(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the start found."""
        remember(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse what was begun otherwise; make the structure that the start found."""
        recall(self, checkpoint)

    def training_step(self, windows: Sequence[Trajectory], index: int) -> None:
        """One optimizer step for each window: perturbed window, loss, penalties."""
        update(self, [window.to(self.device, self.number) for window in windows])

    def on_train_epoch_end(self) -> None:
        """Step the learning-rate schedule."""
        step_schedule(self)

    def validation_step(self, window: Trajectory, index: int) -> None:
        """The objective on held-out windows, without stabilizers, and rollouts through them."""
        validate(self, window.to(self.device, self.number))

    test_step = validation_step

    def predict_step(self, window: Trajectory, index: int) -> Trajectory:
        """A rollout from the start of each window to its end."""
        return through(self.simulator, window.to(self.device, self.number))


def _refuse_sizes(module: SimulatorModule) -> None:
    names = ("clip", "patience", "validation_steps", "steps_per_call")
    sizes = {name: getattr(module, name) for name in names}
    for name, size in {**sizes, "explosion": module.guard.explosion}.items():
        if size is not None and not size > 0:
            raise ConfigError(f"{name} must be positive, got {size}.")
