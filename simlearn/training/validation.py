"""How good are rollouts of held-out data, in the units of the data?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.rolling import along

if TYPE_CHECKING:
    from simlearn.training.module import SimulatorModule

MONITORED = "rollout_error"


def through(simulator: Simulator, window: Trajectory) -> Trajectory:
    """A rollout from the start of a window to its end; it meets the times of the window.

    A short window does not tell whether the data are uneven, so no interval is refused.

    Raises:
        ConfigError: The simulator is a map whose step does not meet the times.
    """
    return along(simulator, window, window.x[0], window.steps - 1, irregular=True)


def rolls(simulator: Simulator, interval: float | None) -> bool:
    """Whether held-out data of an interval, None if uneven, can be laid beside a rollout."""
    if interval is None:
        return simulator.integrator is not None or getattr(simulator.dynamics, "any_step", False)
    return abs(interval - simulator.dt) <= 1e-4 * simulator.dt


def rollout_errors(
    simulator: Simulator, window: Trajectory, provenance: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Root mean square error of a rollout through a window, in the unit of the data.

    "rollout_error" is that of the positions, with "velocity_error" or "momentum_error" beside it
    where the data say what their second half is; of the whole state otherwise. A rollout that does
    not reach the end of the window has an infinite error.
    """
    rolled = through(simulator, window)
    error = torch.full_like(window.x, torch.inf)
    if rolled.status == "ok":
        error = (rolled.x - window.x)[1:]
    units = provenance.get("units", {})
    second = next((part for part in ("velocity", "momentum") if part in units), None)
    if second is None or window.dim % 2:
        return {MONITORED: _size(error)}
    half = window.dim // 2
    return {MONITORED: _size(error[..., :half]), f"{second}_error": _size(error[..., half:])}


def _size(error: Tensor) -> Tensor:
    return error.square().mean().sqrt()


def validate(module: SimulatorModule, window: Trajectory) -> None:
    """Log the objective on the head of a held-out window, and a rollout through all of it."""
    trainer = module.trainer
    name = "test_loss" if trainer.testing else "validation_loss"
    data = trainer.datamodule
    with torch.no_grad():
        head = window.slice(0, module.objective.length(data.training))
        found = {name: module.objective.loss(module.simulator, head)}
        if rolls(module.simulator, data.interval):
            found |= rollout_errors(module.simulator, window, data.provenance)
    systems = window.topology.num_systems
    module.log_dict(found, batch_size=systems, sync_dist=trainer.world_size > 1)
