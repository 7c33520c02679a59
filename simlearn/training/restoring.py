"""What a checkpoint gives back is held against what the training would have written itself.

A checkpoint may be sound to the last bit and still be nonsense. What does not fit is refused.
"""

from __future__ import annotations

import copy
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from simlearn.randomness import global_state, set_global_state
from simlearn.training.drift import KEPT, SCHEMA, machine
from simlearn.training.kinds import alike, counts, told, unusable

EPOCH, STEP = "epoch", "step"  # what was about to begin when a checkpoint was taken
# what code raises of nonsense; not what the machine says, such as a lack of memory
NONSENSE = (ArithmeticError, AssertionError, AttributeError, LookupError)
RAISED = (*NONSENSE, RuntimeError, TypeError, ValueError)
CONNECTOR = "lightning.pytorch.trainer.connectors.checkpoint_connector"


def from_restoring(error: BaseException) -> bool:
    """Whether something was raised of what a checkpoint gave back, and not said by simlearn."""
    if not isinstance(error, RAISED) or isinstance(error, torch.OutOfMemoryError):
        return False
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(frame.f_globals.get("__name__") == CONNECTOR for frame in frames)


def tried(optimizers: Sequence[Any], schedules: Sequence[Any]) -> None:
    """Take a step with copies of what a checkpoint gave back: zero gradients, nothing is kept.

    Only with optimizers of torch, which can be copied and need no loss.

    Raises:
        ArchiveError: No step can be taken.
    """
    try:
        for optimizer in optimizers:
            _refuse_sizes(optimizer)
        if any(not type(one).__module__.startswith("torch.") for one in optimizers):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _step(*_copied(optimizers, schedules))
    except RAISED as error:
        raise unusable(error) from error


def _copied(optimizers: Sequence[Any], schedules: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Copies with every attribute; an optimizer by itself copies only what it would pickle."""
    memo: dict[int, Any] = {id(one): object.__new__(type(one)) for one in optimizers}
    copies = list(memo.values())
    for one, made in zip(optimizers, copies, strict=True):
        made.__dict__.update(copy.deepcopy(vars(one), memo))
    return copies, copy.deepcopy(list(schedules), memo)


def _step(optimizers: Sequence[Any], schedules: Sequence[Any]) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        optimizer.step(lambda: torch.zeros(()))
    for schedule in schedules:
        plateau = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
        schedule.step(*([1.0] if plateau else []))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            float(group["lr"])


def _refuse_sizes(optimizer: Any) -> None:
    """A fused step reads and writes memory where the size of the weight says, without a look."""
    fused = [w for group in optimizer.param_groups if group.get("fused") for w in group["params"]]
    for weight in fused:
        for name, value in optimizer.state.get(weight, {}).items():
            same = all(
                getattr(value, part, None) == getattr(weight, part)
                for part in ("shape", "dtype", "device", "layout")
            )
            same = same and value.stride() == weight.stride()
            single = name == "step" and isinstance(value, Tensor) and value.shape == ()
            if not (same or single or value is None):
                raise unusable(f"the optimizer's {str(name)[:60]} is {told(value)}")


def kept(trainer: Any, module: Any, before: str | None) -> dict[str, Any]:
    """What a checkpoint keeps beside what Lightning writes, and before what it was taken."""
    return {
        "schema": SCHEMA,
        "before": before,
        "metrics": {k: v.detach().clone() for k, v in trainer.callback_metrics.items()},
        "reference": module.guard.reference,
        "compiled": _compiled(module),
        "random": global_state(module.device),
        "machine": machine(module),
        "facts": module.ledger.facts.to_json(trainer.datamodule),
        "drift": module.ledger.facts.drift,
    }


def refuse_strange(trainer: Any, module: Any, checkpoint: Mapping[str, Any]) -> None:
    """Hold a checkpoint against what this training would write now.

    Raises:
        ArchiveError: Something in it is of another kind.
    """
    ours = {**kept(trainer, module, None), "facts": {"config": {}, "versions": {}, "code": {}}}
    alike(ours, checkpoint.get(KEPT, {}), KEPT)
    loops = checkpoint.get("loops", {})
    alike({"fit_loop": trainer.fit_loop.state_dict()}, loops, "loops")
    alike(trainer.fit_loop.state_dict(), loops["fit_loop"], "loops.fit_loop", closed=True)
    counts(loops["fit_loop"], "loops.fit_loop")
    states = {one.state_key: one.state_dict() for one in trainer.callbacks}
    alike(states, checkpoint.get("callbacks", {}), "callbacks")


def give_back(trainer: Any, module: Any, state: Mapping[str, Any]) -> str | None:
    """Put back what `kept` has kept, after Lightning has put back the rest; what is about to begin.

    An older checkpoint holds nothing of this.

    Raises:
        ArchiveError: It cannot be put back.
    """
    tried(trainer.optimizers, [one.scheduler for one in trainer.lr_scheduler_configs])
    if not state:
        return None
    try:
        for name, value in state["metrics"].items():
            trainer.callback_metrics[name] = value.reshape(()).to(module.device)
        largest, before = state["reference"], state["machine"]
        module.guard.reference = None if largest is None else float(largest)
        if module.compiled is not None and state["compiled"] is not None:
            broken, misses = state["compiled"]
            module.compiled.broken, module.compiled.misses = bool(broken), int(misses)
        set_global_state(state["random"], module.device)
        for name, now in machine(module).items():
            if before[name] != now:
                module.ledger.facts.tell(
                    f"{name}: {before[name]} before, {now} now; the bits may differ, the "
                    "training is the same"
                )
        return str(state["before"])
    except RAISED as error:
        raise unusable(error) from error


def _compiled(module: Any) -> list[Any] | None:
    """Whether the compiled step was given up, and how near it was to that."""
    return None if module.compiled is None else [module.compiled.broken, module.compiled.misses]


def settle(loops: dict[str, Any], kind: str) -> None:
    """Lightning's counters as if what is about to begin had not been counted yet."""
    epochs, steps = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    for count in (steps["total"], steps["current"]):
        count["ready"] = count["started"] = count["processed"] = count["completed"]
    steps["is_last_batch"] = False
    state = loops["state_dict"]
    if kind == EPOCH:
        for count in (epochs["total"], epochs["current"]):
            count["ready"] = count["started"] = count["processed"] = count["completed"]
        steps["current"] = dict.fromkeys(steps["current"], 0)
        state.pop("combined_loader", None)
    for loader in state.get("combined_loader", ()):
        loader["handed"] = steps["current"]["completed"]
