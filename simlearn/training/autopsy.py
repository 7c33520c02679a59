"""What explains a training that failed: the step again, looked at closely, and written down."""

from __future__ import annotations

import json
import math
import shutil
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from simlearn.component import EnvironmentFault, NumericalError
from simlearn.state import Trajectory
from simlearn.training.durable import put
from simlearn.training.failure import Guard, parameters
from simlearn.training.lesson import weights_once
from simlearn.training.record import versions

if TYPE_CHECKING:
    from simlearn.training.module import SimulatorModule

ADVICE = (
    "Take a smaller learning rate, a shorter horizon, or clip gradients (model.clip); look for "
    "samples that are far from all others."
)


def examined(
    module: SimulatorModule, fault: str, windows: Sequence[Trajectory], optimizer: Optimizer
) -> NumericalError:
    """The error of a bundle of steps that failed, after its post-mortem.

    The bundle is run again from its beginning, one step at a time in eager mode, up to the step
    that fails. Several processes do not repeat it, for they would have to do so in step.
    """
    guard = module.guard
    place = {"epoch": module.current_epoch, "rank": module.global_rank, "seed": module.seed}
    if module.trainer.world_size > 1:
        record = {**place, "update": guard.updates, "repeated": False}
        batch = {f"window-{k}": window for k, window in enumerate(windows)}
        return _told(guard, fault, record, batch, module.simulator)
    guard.restore(optimizer)
    for number, window in enumerate(windows):
        update = guard.updates
        shown = module.lesson.perturbed(window, module.current_epoch, update, module.global_rank)
        step = _Step(module, shown, optimizer)
        losses = [step.taken()]
        found = guard.fault(losses, parameters(optimizer), window)
        if found is not None:
            guard.restore(optimizer)
            record = {**place, "step_of_call": number, "update": update, "repeated": True}
            record |= {"seeds": _seeds(module, update), **step.examined()}
            if found.startswith("the weights"):
                found = _gradient(record["norms"]) or found
            batch = {"window": window, "perturbed": shown}
            return _told(guard, found, record, batch, module.simulator)
        guard.remember(optimizer, update + 1)
    record = {**place, "update": guard.updates, "repeated": False}
    return _told(guard, f"{fault}, but not again in eager mode", record, {}, module.simulator)


def _gradient(found: dict[str, dict[str, float | None]]) -> str | None:
    """Whose gradient is no number, where one is none."""
    for name, one in found.items():
        size = one["gradient"]
        if size is not None and not math.isfinite(size):
            return f"the gradient of {name} became {size}"
    return None


def _seeds(module: SimulatorModule, update: int) -> dict[str, Any]:
    """What `simlearn.randomness.generator` takes for the order and for each stabilizer."""
    place = [module.seed, module.current_epoch, update, module.global_rank]
    return {
        "order": [getattr(module.trainer.datamodule, "seed", None), module.current_epoch],
        "stabilizers": [[*place, number] for number in range(len(module.stabilizers))],
    }


class _Step:
    """One step of the optimizer, in eager mode."""

    def __init__(self, module: SimulatorModule, window: Trajectory, optimizer: Optimizer):
        self.module, self.window, self.optimizer = module, window, optimizer

    def loss(self) -> Tensor:
        """The loss of the window, with a graph."""
        with weights_once(self.module.lesson.bound()):
            return self.module.lesson.loss(self.window)

    def graded(self) -> Tensor:
        """The loss, gradients set."""
        for weight in parameters(self.optimizer):
            weight.grad = None
        loss = self.loss()
        loss.backward()
        return loss.detach()

    def taken(self) -> Tensor:
        """Do it."""

        def closure() -> Tensor:
            loss = self.graded()
            if self.module.clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters(self.optimizer), self.module.clip)
            return loss

        optimizer: Any = self.optimizer
        found = optimizer.step(closure)
        return found if isinstance(found, Tensor) else self.graded()

    def examined(self) -> dict[str, Any]:
        """What its numbers are before the weights move, and who made the first that is none."""
        loss = self.graded()
        found = {"loss": float(loss), "norms": norms(self.module)}
        group = self.optimizer.param_groups[0]
        found |= {"optimizer": type(self.optimizer).__name__, "learning_rate": float(group["lr"])}
        return {**found, **named_operation(self.loss)}


class Culprit(TorchDispatchMode):
    """The first operation whose result is no number although all it was given were numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.operation: str | None = None
        self.where: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.operation is None and not all(map(_finite, _tensors(out))):
            given = [*_tensors(args), *_tensors(kwargs)]
            if given and all(map(_finite, given)):
                self.operation = str(func)
                frames = traceback.extract_stack()[:-1]
                near = [one for one in frames if "/torch/" not in one.filename.replace("\\", "/")]
                self.where = [f"{f.filename}:{f.lineno} in {f.name}: {f.line}" for f in near[-6:]]
        return out


def _tensors(part: Any) -> Iterator[Tensor]:
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, dict):
        yield from _tensors(list(part.values()))
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _tensors(one)


def _finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return bool(torch.isfinite(tensor).all())


def named_operation(loss: Callable[[], Tensor]) -> dict[str, Any]:
    """The step once more under `torch.autograd.detect_anomaly`, every operation looked at."""
    culprit, anomaly = Culprit(), None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with torch.autograd.detect_anomaly(check_nan=True), culprit:
                loss().backward()
        except Exception as error:
            anomaly = str(error)
    forward = [str(one.message) for one in said if "Traceback of forward call" in str(one.message)]
    found = {"operation": culprit.operation, "where": culprit.where, "anomaly": anomaly}
    return {**found, "forward": forward[0].splitlines() if forward else []}


def norms(parts: nn.Module) -> dict[str, dict[str, float | None]]:
    """Norm of each weight and of its gradient."""
    return {
        name: {
            "weight": float(weight.detach().norm()),
            "gradient": None if weight.grad is None else float(weight.grad.norm()),
        }
        for name, weight in parts.named_parameters()
    }


def _told(
    guard: Guard,
    fault: str,
    record: dict[str, Any],
    batch: dict[str, Trajectory],
    simulator: nn.Module,
) -> NumericalError:
    """Write down what explains a failure, and give the error that says so."""
    by = f"; {record['operation']} gave it first" if record.get("operation") else ""
    told = (
        f"The training failed in epoch {record['epoch']}, update {record['update']}: {fault}{by}. "
    )
    if guard.folder is not None and record["rank"] == 0:
        try:
            _written(guard, {"fault": fault, **record, "versions": versions()}, batch, simulator)
        except OSError as error:
            raise EnvironmentFault(f"{told}Cannot write {guard.folder}: {error}.") from error
        told += f"Its batch, its weights and all norms are in {guard.folder}. "
    return NumericalError(told + ADVICE)


def _written(
    guard: Guard, record: dict[str, Any], batch: dict[str, Trajectory], simulator: nn.Module
) -> None:
    folder = guard.folder
    assert folder is not None
    partial = folder.with_name(f".{folder.name}.partial")  # nobody sees half a post-mortem
    shutil.rmtree(partial, ignore_errors=True)
    for name, window in batch.items():
        put(partial / f"{name}.safetensors", save(_window_tensors(window)))
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in simulator.state_dict().items()}
    put(partial / "weights.safetensors", save(weights))
    text = json.dumps(_plain(record), indent=2) + "\n"
    put(partial / "post-mortem.json", text.encode())
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _plain(part: Any) -> Any:
    """JSON has no NaN and no infinity: they become text."""
    if isinstance(part, dict):
        return {key: _plain(one) for key, one in part.items()}
    if isinstance(part, list):
        return [_plain(one) for one in part]
    return str(part) if isinstance(part, float) and not math.isfinite(part) else part


def _window_tensors(window: Trajectory) -> dict[str, Tensor]:
    still = window.topology
    found = {n: getattr(window, n) for n in ("t", "x", "derivative", "inputs", "mask")}
    found |= {n: getattr(still, n) for n in ("edge_attr", "node_attr", "system_attr", "system")}
    found |= {"edge_index": still.graph.edge_index, "node_type": still.node_type}
    return {k: v.detach().cpu().contiguous().clone() for k, v in found.items() if v is not None}
