"""The objectives that simlearn brings: slopes, single steps, rollouts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import Map
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.objective import (
    Scale,
    Scaled,
    central_differences,
    driven,
    row_time,
    same_interval,
)


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
            self.scaled(
                simulator.dynamics(row_time(inner, k), inner.x[k], driven(inner, k)) - slope[k],
                inner.topology,
            )
            for k in range(inner.steps)
        ]
        return torch.stack(residuals).square().mean()


class MultiStep(Scaled):
    """Mean squared difference of a rollout and the data, at every so many steps.

    The simulator's step must equal the sampling interval of the data. With ``grow_over`` the
    rollouts grow from epoch to epoch, each longer than the last by the same factor: first the
    slopes, then the orbits.

    Args:
        horizon: Steps of the rollout.
        every: Compare every so many steps.
        scale: Divide residuals by the root mean square of the state: of each column, of each
            body's positions and velocities, or not at all.
        start: Steps of the rollout in the first epoch, where it grows.
        grow_over: Epochs until the horizon is reached; 0 takes it from the first.
    """

    def __init__(
        self,
        horizon: int = 8,
        every: int = 1,
        scale: Scale = "column",
        start: int = 1,
        grow_over: int = 0,
    ):
        first = start if grow_over else horizon
        if not 1 <= every <= first <= horizon or grow_over < 0:
            raise ConfigError(
                "MultiStep needs 1 <= every <= start <= horizon, got "
                f"every {every}, start {first} and horizon {horizon}."
            )
        if start != 1 and not grow_over:
            raise ConfigError(f"MultiStep.start {start} is used with grow_over only; give both.")
        self.horizon, self.every, self.scale = horizon, every, scale
        self.start, self.grow_over = start, grow_over
        self.now = first

    def epoch(self, number: int) -> None:
        """The horizon of this epoch: start · (horizon / start)^(number / grow_over)."""
        if self.grow_over:
            done = min(1.0, number / self.grow_over)
            self.now = max(self.every, round(self.start * (self.horizon / self.start) ** done))

    def prepare(self, training: Sequence[Trajectory]) -> None:
        """Measure the state."""
        self.measured([(one.x, one.topology) for one in training])

    def length(self, training: Sequence[Trajectory]) -> int:
        """The present horizon and the start."""
        return self.now + 1

    def loss(self, simulator: Simulator, window: Trajectory) -> Tensor:
        """Mean over states, rows and columns.

        Raises:
            ConfigError: The data are sampled at another interval than the simulator steps.
        """
        _refuse_interval(simulator, window)
        rolled = simulator.rollout(
            window.x[0],
            self.now,
            window.topology,
            t0=row_time(window, 0),
            inputs=None if window.inputs is None else window.inputs[: self.now],
            every=self.every,
        )
        if not rolled.x.requires_grad and rolled.status != "ok":
            return rolled.x.new_tensor(torch.inf)
        wanted = window.x[self.every :: self.every]
        residual = rolled.x[1:] - wanted[: len(rolled.x) - 1]
        return self.scaled(residual, window.topology).square().mean()


class OneStep(Scaled):
    """Mean squared difference of a single step and the next state.

    Args:
        scale: Divide residuals by the root mean square of the increments: of each column, of each
            body's positions and velocities, or not at all.
    """

    def __init__(self, scale: Scale = "column"):
        self.scale = scale

    def prepare(self, training: Sequence[Trajectory]) -> None:
        """Measure the increments."""
        self.measured([(one.x.diff(dim=0), one.topology) for one in training])

    def length(self, training: Sequence[Trajectory]) -> int:
        """Two states."""
        return 2

    def loss(self, simulator: Simulator, window: Trajectory) -> Tensor:
        """Mean over rows and columns."""
        _refuse_interval(simulator, window)
        stepped = simulator.step(window.x[0], driven(window, 0), row_time(window, 0))
        return self.scaled(stepped - window.x[1], window.topology).square().mean()


def _refuse_interval(simulator: Simulator, window: Trajectory) -> None:
    if not same_interval(simulator, window):
        gaps = window.t.diff(dim=0)
        low, high = float(gaps.min()), float(gaps.max())
        if high - low <= 1e-4 * high:
            raise ConfigError(
                f"The simulator steps by {simulator.dt:g}, the data are sampled every {low:g}. "
                "Set simulator.dt to the interval of the data."
            )
        raise ConfigError(
            f"The simulator steps by {simulator.dt:g}, the data are sampled irregularly, every "
            f"{low:g} to {high:g}. Rollouts need even samples; take DerivativeMatching."
        )
