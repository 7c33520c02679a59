"""The pushforward trick: learn to step from states that the simulator itself produced."""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError
from simlearn_stabilizers.windows import acting, refuse_interval


class PushForward(simlearn.Stabilizer):
    """Penalises the step after ``steps`` own ones, without a gradient through those.

    The penalty is weight · mean((F(x̃) − x[steps + 1])² / size²), where x̃ is the rollout of
    ``steps`` steps from x[0], taken as given, and size the root mean square of the increments of
    each column (Brandstetter, Worrall and Welling 2022).

    Args:
        weight: Weight of the penalty against the loss. Good values: 0.1 to 1.
        steps: Steps pushed forward.
    """

    def __init__(self, weight: float = 1.0, steps: int = 1):
        if not weight >= 0 or steps < 1:
            raise ConfigError(
                f"PushForward needs weight >= 0 and steps >= 1, got {weight} and {steps}."
            )
        self.weight, self.steps = weight, steps

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            f"Teaches the step to undo the error of {self.steps} steps of its own: states beside "
            "the data are pulled back to them, so true instability there comes out weaker."
        )

    def penalty(self, simulator: simlearn.Simulator, window: simlearn.Trajectory) -> Tensor:
        """The penalty on this window.

        Raises:
            ConfigError: The window is too short, or sampled at another interval.
        """
        if window.steps < self.steps + 2:
            raise ConfigError(
                f"PushForward of {self.steps} steps needs windows of {self.steps + 2} states, got "
                f"{window.steps}. Take MultiStep with a horizon of at least {self.steps + 1} (and, "
                "where it grows, a start of as many)."
            )
        refuse_interval("PushForward", simulator, window)
        t0, topology = acting(window, 0)
        with torch.no_grad():
            rolled = simulator.rollout(
                window.x[0],
                self.steps,
                topology,
                t0=t0,
                inputs=None if window.inputs is None else window.inputs[: self.steps],
            )
        if rolled.status != "ok":
            return window.x.new_tensor(torch.inf)
        t, topology = acting(window, self.steps)
        residual = simulator.step(rolled.x[-1], topology, t) - window.x[self.steps + 1]
        size = window.x.diff(dim=0).square().mean((0, 1)).sqrt()
        size = torch.where(size > 0, size, 1.0)
        return self.weight * (residual / size).square().mean()
