"""The kind of component that keeps learned dynamics stable, at a price it declares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from simlearn.component import Component, optional
from simlearn.dynamics.base import Dynamics
from simlearn.simulator import Simulator
from simlearn.state import Trajectory


class Stabilizer(Component):
    """Changes training so that the learned simulator stays stable.

    Overrides at least one of `wrap`, `prepare`, `perturb` and `penalty`.
    """

    @property
    @abstractmethod
    def bias(self) -> str:
        """What it does to the learned dynamics, in one sentence; the report prints it."""

    @optional
    def observe(self, simulator: Simulator, training: Sequence[Trajectory]) -> None:
        """Look at the training data before anything else, and remember what it needs of them.

        A pure function of the data and of the kind of dynamics, run on every start, also when a
        training is resumed.
        """
        return None

    @optional
    def epoch(self, number: int) -> None:
        """An epoch begins: noise may be annealed.

        A pure function of the number, so that a resumed training goes on as it would have.
        """
        return None

    @optional
    def wrap(self, dynamics: Dynamics) -> Dynamics:
        """Change the structure of the dynamics.

        Run on every start, also when a training is resumed.
        """
        return dynamics

    @optional
    def prepare(self, simulator: Simulator, training: Sequence[Trajectory]) -> None:
        """Set numbers in place before the first step; not run when a training is resumed."""
        return None

    @optional
    def perturb(self, window: Trajectory, simulator: Simulator, rng: torch.Generator) -> Trajectory:
        """The window to train on instead.

        ``rng`` is a CPU generator derived from (seed, epoch, step, rank).
        """
        return window

    @optional
    def penalty(self, simulator: Simulator, window: Trajectory) -> Tensor | None:
        """A scalar added to the loss."""
        return None
