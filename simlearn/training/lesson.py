"""What a training minimises, apart from who minimises it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.utils.parametrize import cached, is_parametrized

from simlearn.randomness import generator
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.answers import like, scalar
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer

if TYPE_CHECKING:
    from simlearn.training.module import SimulatorModule


@dataclass(frozen=True)
class Lesson:
    """Simulator, objective and stabilizers together; a deep copy is a training of its own.

    Attributes:
        simulator: What learns.
        objective: What is minimised.
        stabilizers: What perturbs windows and adds penalties.
        seed: Seed of what the stabilizers draw.
    """

    simulator: Simulator
    objective: Objective
    stabilizers: Sequence[Stabilizer]
    seed: int

    @classmethod
    def of(cls, module: SimulatorModule) -> Lesson:
        """That of a module, whose parts it shares."""
        return cls(module.simulator, module.objective, module.stabilizers, module.seed)

    def epoch(self, number: int) -> None:
        """An epoch begins for the stabilizers; the data tell the objective."""
        for stabilizer in self.stabilizers:
            stabilizer.epoch(number)

    def perturbed(self, window: Trajectory, epoch: int, step: int, rank: int) -> Trajectory:
        """The window as the stabilizers show it in a step of the optimizer."""
        for number, stabilizer in enumerate(self.stabilizers):
            rng = generator(self.seed, epoch, step, rank, number)
            shown = stabilizer.perturb(window, self.simulator, rng)
            window = like(shown, window, stabilizer)
        return window

    def loss(self, window: Trajectory) -> Tensor:
        """The objective on a perturbed window, and the penalties."""
        loss = scalar(self.objective.loss(self.simulator, window), self.objective, "loss")
        for stabilizer in self.stabilizers:
            penalty = stabilizer.penalty(self.simulator, window)
            if penalty is not None:
                loss = loss + scalar(penalty, stabilizer, "penalty")
        return loss

    def bound(self) -> list[nn.Module]:
        """The parts of the simulator whose weights are constrained."""
        return [part for part in self.simulator.modules() if is_parametrized(part)]


@contextmanager
def weights_once(bound: Sequence[nn.Module]) -> Iterator[None]:
    """Constrained weights are computed once a step, not at every access (nine times as fast).

    They are touched before anything else, for a cache that is filled inside torch.func holds
    tensors of another level.

    Args:
        bound: The parts of a simulator that have such weights.
    """
    if not bound:
        yield
        return
    with cached():
        for part in bound:
            for name in part.parametrizations:  # type: ignore[union-attr]
                getattr(part, name)
        yield
