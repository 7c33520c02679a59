"""A copy of a training to look at: its loss as a function of all weights, in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from simlearn import ConfigError, Trajectory
from simlearn.analysis.training import Rule
from simlearn_training_dynamics.callbacks.optimizers import (
    rule_of,
    state_of,
    steps_of,
    the_optimizer,
    weights_of,
)


@dataclass(frozen=True)
class Place:
    """A step of a training: what its randomness follows from.

    Attributes:
        epoch: Number of the epoch.
        update: Steps of the optimizer before.
        rank: Of the process.
    """

    epoch: int
    update: int
    rank: int


class _Loss(nn.Module):
    """What is differentiated; its parameters are those of simulator and objective."""

    def __init__(self, lesson: Any):
        super().__init__()
        self.lesson, self.parts = lesson, nn.ModuleDict(_parts(lesson))

    def forward(self, window: Trajectory, place: Place | None) -> Tensor:
        if place is not None:
            window = self.lesson.perturbed(window, place.epoch, place.update, place.rank)
        return self.lesson.loss(window)


def _parts(lesson: Any) -> dict[str, nn.Module]:
    parts: dict[str, nn.Module] = {"simulator": lesson.simulator}
    if isinstance(lesson.objective, nn.Module):
        parts["objective"] = lesson.objective
    return parts


def _global(device: torch.device) -> list[Tensor]:
    """State of torch's global generators that a training on a device may draw from."""
    found = [torch.random.get_rng_state()]
    if device.type != "cpu":
        found.append(torch.get_device_module(device).get_rng_state(device))
    return found


class Copied:
    """A training beside a training; nothing of the live one is touched.

    It is the one place here that knows what a `SimulatorModule` holds.

    Args:
        trainer: Of Lightning.
        module: What is trained, a `SimulatorModule`.
        evaluating: Whether layers work as in evaluation (a fixed probe) or as in training (twins).

    Raises:
        ConfigError: It is no training of simlearn, or its optimizer is not known here.
    """

    def __init__(self, trainer: pl.Trainer, module: pl.LightningModule, evaluating: bool):
        if not hasattr(module, "lesson"):
            raise ConfigError(
                "The callbacks of simlearn_training_dynamics watch trainings of simlearn "
                f"(`simlearn fit`, `simlearn.fit`), got a {type(module).__name__}."
            )
        self.trainer, self.module = trainer, module
        self.optimizer = the_optimizer(trainer.optimizers)
        self.rule()
        with torch.random.fork_rng(devices=[]):
            self.loss_of = _Loss(copy.deepcopy(module.lesson)).double()
        self.loss_of.train(not evaluating)
        live = {id(p): name for name, p in self._live().named_parameters()}
        weights = weights_of(self.optimizer)
        if any(id(weight) not in live for weight in weights):
            raise ConfigError("The optimizer trains weights that are not of the simulator.")
        self.names = [f"parts.{live[id(weight)]}" for weight in weights]
        self.shapes = [weight.shape for weight in weights]
        self.sizes = [weight.numel() for weight in weights]

    def _live(self) -> nn.ModuleDict:
        return nn.ModuleDict(_parts(self.module.lesson))

    @property
    def n(self) -> int:
        """Weights in all."""
        return sum(self.sizes)

    def rule(self) -> Rule:
        """The optimizer with its learning rate of now."""
        return rule_of(self.optimizer, self.module.clip)

    def state(self) -> Tensor:
        """Live weights and memory of the optimizer, ``[parts, n]``."""
        return state_of(self.optimizer, self.rule())

    def number(self) -> int:
        """Steps the live optimizer has taken."""
        return steps_of(self.optimizer)

    @property
    def updates(self) -> int:
        """Steps of the training, which a resumed one goes on counting."""
        found: int = self.module.ledger.updates
        return found

    @property
    def last_loss(self) -> Tensor:
        """The loss of the last step, at the weights that it began with."""
        found: Tensor = self.module.ledger.loss
        return found

    def silent(self) -> bool:
        """Whether some steps do not go through the optimizer of torch, but through a graph."""
        graph = self.module.compiled
        within = graph is not None and graph.whole(self.module, self.optimizer)
        return within and self.module.steps_per_call > 1

    def leave(self, name: str, told: dict[str, Any]) -> None:
        """Give the archive what was found."""
        self.module.ledger.watched[name] = told

    @contextmanager
    def apart(self, who: str, refuse: bool) -> Iterator[None]:
        """Whatever is drawn from torch's global generators inside, the training draws as before.

        Args:
            who: Name of the callback.
            refuse: Whether it must see the numbers that the training saw, so that nothing may draw
                from a generator that cannot be replayed.

        Raises:
            ConfigError: Something drew, and that is refused.
        """
        device = self.module.device
        devices = [] if device.type == "cpu" else [device]
        with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
            before = _global(device)
            yield
            pairs = zip(before, _global(device), strict=True)
            if refuse and not all(torch.equal(one, other) for one, other in pairs):
                raise ConfigError(
                    f"{who} cannot follow this training: something in it (dropout?) draws from "
                    "torch's global generator, so that its copy sees other numbers. Leave that "
                    "out, or this callback."
                )

    @torch.no_grad()
    def follow(self) -> None:
        """Take over what changes beside the weights: buffers, the lesson of the epoch."""
        for own, live in zip(self.loss_of.parts.buffers(), self._live().buffers(), strict=True):
            own.copy_(live)
        self.loss_of.lesson.epoch(self.module.current_epoch)
        self.loss_of.lesson.objective.epoch(self.module.current_epoch)

    def double(self, window: Trajectory) -> Trajectory:
        """The window in float64, with the numbers that the training sees."""
        return window.to(self.module.device, self.module.number).to(
            self.module.device, torch.float64
        )

    def loss(self, weights: Tensor, window: Trajectory, place: Place | None = None) -> Tensor:
        """The loss at weights ``[n]``: objective and penalties, perturbed as in a step if asked."""
        shaped = (
            one.view(s) for one, s in zip(weights.split(self.sizes), self.shapes, strict=True)
        )
        given = dict(zip(self.names, shaped, strict=True))
        found: Tensor = torch.func.functional_call(self.loss_of, given, (window, place))
        return found

    def mean_loss(self, weights: Tensor, windows: Sequence[Trajectory]) -> Tensor:
        """The mean over windows of several batches, without what the stabilizers perturb."""
        counts = [one.topology.num_systems for one in windows]
        each = [self.loss(weights, one) * n for one, n in zip(windows, counts, strict=True)]
        return torch.stack(each).sum() / sum(counts)

    def slope(self, weights: Tensor, window: Trajectory, place: Place) -> Tensor:
        """The gradient ``[n]`` in a step; processes take its mean, as in the training."""
        at = weights.detach().requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(self.loss(at, window, place), at)
        if self.trainer.world_size > 1:
            found = self.trainer.strategy.reduce(found, reduce_op="mean")
        return found

    def probe(self, size: int) -> list[Trajectory]:
        """A fixed draw of training windows, the same on every start, at most about ``size``."""
        found: list[Trajectory] = []
        count = 0
        for window in self.trainer.datamodule.looked_at(size):
            found.append(self.double(window))
            count += window.topology.num_systems
            if count >= size:
                break
        return found

    def places(self, windows: Sequence[Trajectory], first: int) -> Iterator[tuple[Any, Place]]:
        """The windows of one call of Lightning in float64, each with its place."""
        for number, window in enumerate(windows):
            place = Place(self.module.current_epoch, first + number, self.module.global_rank)
            yield self.double(window), place

    def replay(
        self, states: Sequence[Tensor], windows: Sequence[Trajectory], first: int, number: int
    ) -> list[Tensor]:
        """States ``[parts, n]`` after the steps of one call, with its batches and randomness.

        Args:
            states: Before it.
            windows: The batches.
            first: Updates of the training before.
            number: Steps of the optimizer before.
        """
        rule, moved = self.rule(), list(states)
        for k, (window, place) in enumerate(self.places(windows, first)):
            moved = [rule.step(one, self.slope(one[0], window, place), number + k) for one in moved]
        return moved
