"""What components answer: a wrong answer is told as its plugin's, where it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from simlearn.component import PluginError, class_path
from simlearn.dynamics.base import Map
from simlearn.hooks import origin
from simlearn.state import Trajectory
from simlearn.training.objective import driven

if TYPE_CHECKING:
    from simlearn.training.module import SimulatorModule


def wrong(component: Any, method: str, wanted: str, got: Any) -> PluginError:
    """The error for an answer of another kind than was asked for."""
    kind = type(component)
    told = f"a {type(got).__name__}"
    if isinstance(got, Tensor):
        told = f"a tensor {list(got.shape)} of {got.dtype}"
    where = f"{origin(kind.__module__)}: {class_path(kind)}.{method}"
    return PluginError(f"{where}: wanted {wanted}, got {told}.")


def scalar(answer: Any, component: Any, method: str) -> Tensor:
    """The answer, if it is one number.

    Raises:
        PluginError: It is none.
    """
    if not isinstance(answer, Tensor) or answer.ndim:
        raise wrong(component, method, "a scalar tensor", answer)
    return answer


def like(answer: Any, window: Trajectory, component: Any) -> Trajectory:
    """The window a stabilizer made of another, if it fits in its place.

    Raises:
        PluginError: It does not.
    """
    if not isinstance(answer, Trajectory):
        raise wrong(component, "perturb", "a Trajectory", answer)
    if answer.x.shape != window.x.shape or answer.x.dtype != window.x.dtype:
        wanted = f"states {list(window.x.shape)} of {window.x.dtype}"
        raise wrong(component, "perturb", wanted, answer.x)
    return answer


@torch.no_grad()
def look(module: SimulatorModule) -> None:
    """Ask the dynamics once before they are trained.

    Raises:
        PluginError: They answer with another type, shape or dtype than that of the state.
    """
    simulator, training = module.simulator, module.trainer.datamodule.training
    device = next((one.device for one in simulator.parameters()), torch.device("cpu"))
    first = training[0].slice(0, 1).to(device, module.number)
    x, field = first.x[0], simulator.dynamics
    more = (simulator.dt,) if isinstance(field, Map) else ()
    answer = field(float(first.t.flatten()[0]), x, *more, driven(first, 0))
    if not isinstance(answer, Tensor) or answer.shape != x.shape or answer.dtype != x.dtype:
        wanted = f"a tensor {list(x.shape)} of {x.dtype}, as the state is"
        raise wrong(field, "forward", wanted, answer)
