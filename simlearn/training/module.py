"""The one LightningModule.

It holds a simulator, an objective, stabilizers and an optimizer factory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from simlearn.component import ConfigError
from simlearn.randomness import generator
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.ledger import Ledger
from simlearn.training.objective import MultiStep, Objective, row_time
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import ClosedForm

OptimizerCallable = Callable[[Iterable[nn.Parameter]], Optimizer]


class SimulatorModule(pl.LightningModule):
    """Trains a simulator on windows of trajectories.

    Args:
        simulator: What is trained.
        objective: What is minimised; a rollout of 8 steps by default.
        stabilizers: What keeps the learned dynamics stable.
        start: A closed-form start, solved before the first gradient step.
        optimizer: Class and arguments of a torch optimizer; Adam with a step of 1e-3 by default.
        dtype: Precision of simulator and data.
        seed: Seed of everything drawn during training.
    """

    def __init__(
        self,
        simulator: Simulator,
        objective: Objective | None = None,
        stabilizers: Sequence[Stabilizer] = (),
        start: ClosedForm | None = None,
        optimizer: OptimizerCallable | None = None,
        dtype: Literal["float32", "float64"] = "float64",
        seed: int = 0,
    ):
        super().__init__()
        self.simulator, self.objective = simulator, objective or MultiStep()
        self.stabilizers, self.start, self.optimizer = tuple(stabilizers), start, optimizer
        self.number, self.seed, self.wrapped = getattr(torch, dtype), seed, False
        self.ledger = Ledger()

    def configure_callbacks(self) -> list[pl.Callback]:
        """The ledger, which every checkpoint keeps."""
        return [self.ledger]

    def configure_model(self) -> None:
        """Wrap the dynamics once, before the optimizer sees the parameters."""
        if not self.wrapped:
            for stabilizer in self.stabilizers:
                self.simulator.take(stabilizer.wrap(self.simulator.dynamics))
            self.simulator.to(self.number)
            self.wrapped = True

    def configure_optimizers(self) -> Optimizer | None:
        """The optimizer asked for, or Adam; none where nothing can be learned."""
        parameters = [p for p in self.simulator.parameters() if p.requires_grad]
        if not parameters:
            return None
        optimizer = (self.optimizer or torch.optim.Adam)(parameters)
        self.ledger.optimizer = type(optimizer).__name__
        return optimizer

    def setup(self, stage: str) -> None:
        """Scales are a function of the data, so they are measured anew on every start."""
        _refuse_precision(self.trainer.precision)
        self.objective.prepare(self.trainer.datamodule.training)

    def on_fit_start(self) -> None:
        """Solve the closed form and prepare stabilizers, unless a training is resumed."""
        _refuse_nothing_to_learn(self)
        if self.trainer.ckpt_path is None:
            training = self.trainer.datamodule.training
            if self.start is not None:
                self.ledger.estimates = self.start.solve(self.simulator, training)
            for stabilizer in self.stabilizers:
                stabilizer.prepare(self.simulator, training)

    def training_step(self, window: Trajectory, index: int) -> Tensor:
        """Perturbed window, loss, penalties."""
        return self.ledger.count(_stabilized_loss(self, window.to(self.device, self.number)))

    def validation_step(self, window: Trajectory, index: int) -> None:
        """The objective on held-out windows, without stabilizers."""
        window = window.to(self.device, self.number)
        name = "test_loss" if self.trainer.testing else "validation_loss"
        with torch.no_grad():
            self.log(name, self.objective.loss(self.simulator, window), batch_size=1)

    test_step = validation_step

    def predict_step(self, window: Trajectory, index: int) -> Trajectory:
        """A rollout from the start of each window to its end."""
        window = window.to(self.device, self.number)
        return self.simulator.rollout(
            window.x[0],
            window.steps - 1,
            window.topology,
            t0=row_time(window, 0),
            inputs=None if window.inputs is None else window.inputs[:-1],
        )


def _stabilized_loss(module: SimulatorModule, window: Trajectory) -> Tensor:
    """The objective on the perturbed window, and the penalties."""
    place = (module.current_epoch, module.global_step, module.global_rank)
    for number, stabilizer in enumerate(module.stabilizers):
        rng = generator(module.seed, *place, number)
        window = stabilizer.perturb(window, module.simulator, rng)
    loss = module.objective.loss(module.simulator, window)
    for stabilizer in module.stabilizers:
        penalty = stabilizer.penalty(module.simulator, window)
        loss = loss if penalty is None else loss + penalty
    return loss


def _refuse_precision(precision: str) -> None:
    if precision != "32-true":
        raise ConfigError(
            f"trainer.precision is {precision!r}; simlearn sets the precision itself. "
            "Leave it out and give model.dtype float32 or float64."
        )


def _refuse_nothing_to_learn(module: SimulatorModule) -> None:
    if module.ledger.optimizer == "none" and module.trainer.max_epochs != 0:
        kind = type(module.simulator.dynamics).__name__
        raise ConfigError(f"{kind} has nothing to learn; set trainer.max_epochs to 0.")
