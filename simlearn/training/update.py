"""One call of Lightning, several steps of the optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from simlearn.component import ConfigError
from simlearn.state import Trajectory
from simlearn.training.adam import functional
from simlearn.training.autopsy import examined
from simlearn.training.failure import parameters
from simlearn.training.lesson import weights_once
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.validation import MONITORED, rolls

if TYPE_CHECKING:
    from simlearn.training.module import SimulatorModule


def observe(module: SimulatorModule) -> None:
    """Show the training data to the objective and to the stabilizers.

    An objective may learn something of its own (`starts.Starts`): it makes those parameters here,
    before the optimizer is built and before a checkpoint is loaded.
    """
    training = module.trainer.datamodule.training
    module.objective.prepare(training)
    _refuse_moved_starts(module)
    for stabilizer in module.stabilizers:
        stabilizer.observe(module.simulator, training)


def _refuse_moved_starts(module: SimulatorModule) -> None:
    if getattr(module.objective, "starts", None) is None:
        return
    for one in module.stabilizers:
        if type(one).perturb is not Stabilizer.perturb:
            raise ConfigError(
                f"{type(module.objective).__name__} learns the states that rollouts begin with, "
                f"and {type(one).__name__} perturbs them. Leave out optimize_starts or "
                f"{type(one).__name__}."
            )


def update(module: SimulatorModule, windows: Sequence[Trajectory]) -> None:
    """One optimizer step for each window.

    The last goes through Lightning, which counts it; the others call torch alone. Processes meet in
    `manual_backward`; where there is one process only, its overhead is saved.
    """
    wrapped: Any = module.optimizers()
    optimizer, taken = wrapped.optimizer, None
    weights, losses = parameters(optimizer), []
    bound = module.lesson.bound()
    module.lesson.epoch(module.current_epoch)
    module.guard.remember(optimizer, module.ledger.updates)
    for number, window in enumerate(windows):
        closure = partial(_evaluated, module, window, optimizer, weights, bound)
        if number == len(windows) - 1:
            taken = wrapped.step(closure)
        elif module.compiled is not None and functional(optimizer):
            taken = closure()
            if any(weight.grad is not None for weight in weights):
                optimizer.step()  # else the graph has updated them
        else:
            taken = optimizer.step(closure)
        # what a line search only tried is no failure; not every optimizer tells its loss
        losses.append(taken if isinstance(taken, Tensor) else module.ledger.loss)
        module.ledger.updated(optimizer)
    fault = module.guard.fault(losses, weights, windows[0])
    if fault is not None:
        raise examined(module, fault, windows, optimizer)


def _evaluated(
    module: SimulatorModule,
    window: Trajectory,
    optimizer: Optimizer,
    weights: Sequence[Tensor],
    bound: Sequence[nn.Module],
) -> Tensor:
    """The loss of a window, counted; gradients set, or, in a compiled graph, the step taken."""
    alone = module.trainer.world_size == 1
    loss = _compiled(module, window, optimizer, bound)
    if loss is None:
        for weight in weights:  # zero_grad, less its profiling
            weight.grad = None
        loss = _eager(module, window, alone, bound)
    if module.clip is not None:
        torch.nn.utils.clip_grad_norm_(weights, module.clip)
    # a line search must see the same number on every process, or they part
    told = loss if alone else module.trainer.strategy.reduce(loss)
    return module.ledger.count(told)


def _eager(
    module: SimulatorModule, window: Trajectory, alone: bool, bound: Sequence[nn.Module]
) -> Tensor:
    """The loss of a window, gradients set."""
    with weights_once(bound):
        loss = module.lesson.loss(_perturbed(module, window))
        if alone:
            loss.backward()
        else:
            module.manual_backward(loss)
    return loss.detach()


def _compiled(
    module: SimulatorModule, window: Trajectory, optimizer: Optimizer, bound: Sequence[nn.Module]
) -> Tensor | None:
    """The loss of a window in one graph, None where that was not asked for or does not work."""
    if module.compiled is None:
        return None

    def loss(window: Trajectory) -> Tensor:
        with weights_once(bound):
            return module.lesson.loss(window)

    return module.compiled.step(module, _perturbed(module, window), optimizer, loss)


def _perturbed(module: SimulatorModule, window: Trajectory) -> Trajectory:
    """The window as the stabilizers show it now."""
    place = (module.current_epoch, module.ledger.updates, module.global_rank)
    return module.lesson.perturbed(window, *place)


def refuse_trainer(module: SimulatorModule) -> None:
    """Settings of the Trainer that simlearn takes itself.

    Raises:
        ConfigError: One of them is set.
    """
    trainer = module.trainer
    if trainer.precision != "32-true":
        raise ConfigError(
            f"trainer.precision is {trainer.precision!r}; simlearn sets the precision itself. "
            "Leave it out and give model.dtype float32 or float64."
        )
    if trainer.gradient_clip_val:
        raise ConfigError(
            "trainer.gradient_clip_val is not used by simlearn. Leave it out and give "
            f"model.clip {trainer.gradient_clip_val}."
        )


def refuse_impatience(module: SimulatorModule) -> None:
    """Patience without anything to look at.

    Raises:
        ConfigError: It was asked for.
    """
    data = module.trainer.datamodule
    if module.patience is not None and not data.validation:
        raise ConfigError("model.patience needs held-out data: set data.held_out above zero.")
    if module.patience is not None and not rolls(module.simulator, data.interval):
        told = "unevenly" if data.interval is None else f"every {data.interval:g}"
        raise ConfigError(
            "model.patience looks at rollouts of held-out data, which are sampled "
            f"{told} while the simulator steps by {module.simulator.dt:g}. Leave it out."
        )


def refuse_nothing_to_learn(module: SimulatorModule) -> None:
    """Epochs without a parameter.

    Raises:
        ConfigError: They were asked for.
    """
    if module.ledger.optimizer == "none" and module.trainer.max_epochs != 0:
        kind = type(module.simulator.dynamics).__name__
        raise ConfigError(f"{kind} has nothing to learn; set trainer.max_epochs to 0.")


def step_schedule(module: SimulatorModule) -> None:
    """Step the learning-rate schedule; a plateau is looked for in the held-out rollouts."""
    schedule: Any = module.lr_schedulers()
    if isinstance(schedule, ReduceLROnPlateau):
        told = module.trainer.callback_metrics
        schedule.step(float(told.get(MONITORED, module.ledger.mean_loss())))
    elif schedule is not None:
        schedule.step()


def optimizer_of(module: SimulatorModule) -> Any:
    """Optimizer and schedule as Lightning takes them; None where nothing can be learned."""
    parameters = [p for p in module.simulator.parameters() if p.requires_grad]
    if not parameters:
        return None
    if isinstance(module.objective, nn.Module):
        parameters += module.objective.parameters()
    optimizer = (module.optimizer or _adam)(parameters)
    module.ledger.optimizer = type(optimizer).__name__
    if module.scheduler is None:
        return optimizer
    return {"optimizer": optimizer, "lr_scheduler": module.scheduler(optimizer)}


def _adam(parameters: Iterable[nn.Parameter]) -> Optimizer:
    return torch.optim.Adam(parameters, fused=True)
