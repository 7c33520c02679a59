"""The objectives that simlearn brings: slopes, single steps, rollouts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.data.screen import common_interval
from simlearn.dynamics.base import Map
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.objective import (
    Scale,
    Scaled,
    central_differences,
    driven,
    row_time,
)
from simlearn.training.rolling import along
from simlearn.training.starts import Starts


class DerivativeMatching(Scaled):
    """Mean squared difference of the field and dx/dt, without any rollout.

    The derivative is the recorded one, or central differences where none is recorded.

    Args:
        scale: Divide residuals by the root mean square of the derivative: of each column, of each
            body's positions and velocities, or not at all.
    """

    def __init__(self, scale: Scale = "column"):
        self.scale = scale

    def prepare(self, training: Sequence[Trajectory]) -> None:
        """Measure the derivative."""
        self.measured([(central_differences(one)[1], one.topology) for one in training])

    def length(self, training: Sequence[Trajectory]) -> int:
        """One state with a recorded derivative, three without."""
        return 1 if all(one.derivative is not None for one in training) else 3

    def loss(self, simulator: Simulator, window: Trajectory) -> Tensor:
        """Mean over states, rows and columns."""
        if isinstance(simulator.dynamics, Map):
            raise ConfigError("DerivativeMatching needs a vector field; use OneStep for a map.")
        inner, slope = central_differences(window)
        residuals = [
            simulator.dynamics(row_time(inner, k), inner.x[k], driven(inner, k)) - slope[k]
            for k in range(inner.steps)
        ]
        residual = residuals[0] if len(residuals) == 1 else torch.stack(residuals)
        return mean_square(self.scaled(residual, inner.topology))


class MultiStep(nn.Module, Scaled):
    """Mean squared difference of a rollout and the data, at every so many steps.

    States are enough, no derivative is looked at. The simulator's step must equal the sampling
    interval of the data; where they are sampled unevenly, the rollout meets their times in steps
    no longer than that. With ``grow_over`` the rollouts grow from epoch to epoch, each longer than
    the last by the same factor: first the slopes, then the orbits.

    With ``optimize_starts`` the state that each rollout begins with is learned beside the weights
    (initial state optimisation, Chen et al. 2020, section 3.3), and its distance from the measured
    one is part of the mean. It is for noisy data. That is maximum likelihood where each window is a
    motion of its own, all samples are compared (``every`` is 1), and the noise is white, Gaussian
    and in each column proportional to what residuals are divided by (with scale "column": to the
    root mean square of the column; with "none": the same in all). Windows that share a state count
    its noise twice: by default each begins where the last one ended, and ``data.stride`` of
    horizon + 1 keeps them apart.

    Args:
        horizon: Steps of the rollout.
        every: Compare every so many steps.
        scale: Divide residuals by the root mean square of the state: of each column, of each
            body's positions and velocities, or not at all.
        start: Steps of the rollout in the first epoch, where it grows.
        grow_over: Epochs until the horizon is reached; 0 takes it from the first.
        optimize_starts: Learn the states that rollouts begin with; they are trained by the same
            optimizer, in units of the spread of each column.
    """

    starts: Starts | None
    irregular = False

    def __init__(
        self,
        horizon: int = 8,
        every: int = 1,
        scale: Scale = "column",
        start: int = 1,
        grow_over: int = 0,
        optimize_starts: bool = False,
    ):
        super().__init__()
        first = start if grow_over else horizon
        if not 1 <= every <= first <= horizon or grow_over < 0:
            raise ConfigError(
                "MultiStep needs 1 <= every <= start <= horizon, got "
                f"every {every}, start {first} and horizon {horizon}."
            )
        if start != 1 and not grow_over:
            raise ConfigError(f"MultiStep.start {start} is used with grow_over only; give both.")
        self.horizon, self.every, self.scale = horizon, every, scale
        self.start, self.grow_over, self.optimize_starts = start, grow_over, optimize_starts
        self.now, self.starts = first, None

    def epoch(self, number: int) -> None:
        """The horizon of this epoch: start · (horizon / start)^(number / grow_over)."""
        if self.grow_over:
            done = min(1.0, max(0, number) / self.grow_over)
            self.now = max(self.every, round(self.start * (self.horizon / self.start) ** done))

    def prepare(self, training: Sequence[Trajectory]) -> None:
        """Measure the state; with ``optimize_starts``, begin where it was measured."""
        self.measured([(one.x, one.topology) for one in training])
        self.starts = Starts(training) if self.optimize_starts else None
        self.irregular = common_interval(training) is None

    def length(self, training: Sequence[Trajectory]) -> int:
        """The present horizon and the start."""
        return self.now + 1

    def loss(self, simulator: Simulator, window: Trajectory) -> Tensor:
        """Mean over states, rows and columns.

        Raises:
            ConfigError: The data are sampled evenly, at another interval than the simulator steps.
        """
        x0 = window.x[0] if self.starts is None else self.starts(window)
        rolled = along(simulator, window, x0, self.now, self.every, self.irregular)
        if not rolled.x.requires_grad and rolled.status != "ok":
            return rolled.x.new_tensor(torch.inf)
        first = 1 if self.starts is None else 0  # a learned start has a residual of its own
        residual = (rolled.x - window.x[: self.now + 1 : self.every][: len(rolled.x)])[first:]
        return mean_square(self.scaled(residual, window.topology))


class OneStep(Scaled):
    """Mean squared difference of a single step and the next state, however far away that is.

    Args:
        scale: Divide residuals by the root mean square of the increments: of each column, of each
            body's positions and velocities, or not at all.
    """

    irregular = False

    def __init__(self, scale: Scale = "column"):
        self.scale = scale

    def prepare(self, training: Sequence[Trajectory]) -> None:
        """Measure the increments."""
        self.measured([(one.x.diff(dim=0), one.topology) for one in training])
        self.irregular = common_interval(training) is None

    def length(self, training: Sequence[Trajectory]) -> int:
        """Two states."""
        return 2

    def loss(self, simulator: Simulator, window: Trajectory) -> Tensor:
        """Mean over rows and columns."""
        rolled = along(simulator, window, window.x[0], 1, irregular=self.irregular)
        if rolled.steps < 2:
            return rolled.x.new_tensor(torch.inf)
        return mean_square(self.scaled(rolled.x[1] - window.x[1], window.topology))


def mean_square(residual: Tensor) -> Tensor:
    """The mean of the squares; a product has a cheaper backward pass than a power."""
    return (residual * residual).mean()
