"""A training whose numbers fail stops at that step."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from simlearn.state import Trajectory


@dataclass
class Guard:
    """Looks at the losses and the weights after each bundle of steps: one look for them all.

    Where one fails, the bundle is run again from its beginning, one step at a time, up to the step
    that fails: its batch, its seeds, and the norms of all weights and gradients are written down.

    Attributes:
        explosion: A loss so many times the reference is an explosion; None looks for NaN and
            infinity only.
        folder: Where the post-mortem goes; nothing is written where there is none.
        reference: The first loss, or the mean square of the data, or one, whichever is largest.
    """

    explosion: float | None = None
    folder: Path | None = None
    reference: float | None = None
    weights: list[Tensor] = field(default_factory=list)
    state: dict[Any, Any] = field(default_factory=dict)
    updates: int = 0

    def remember(self, optimizer: Optimizer, updates: int) -> None:
        """Keep weights and moments as they are before the bundle."""
        self.weights = [weight.detach().clone() for weight in parameters(optimizer)]
        self.state = {key: _copied(value) for key, value in optimizer.state.items()}
        self.updates = updates

    def restore(self, optimizer: Optimizer) -> None:
        """Give them back."""
        with torch.no_grad():
            for weight, kept in zip(parameters(optimizer), self.weights, strict=True):
                weight.copy_(kept)
        for key in list(optimizer.state):
            del optimizer.state[key]
        optimizer.state.update({key: _copied(value) for key, value in self.state.items()})

    def fault(
        self, losses: Sequence[Tensor], weights: Sequence[Tensor], window: Trajectory
    ) -> str | None:
        """What is wrong with the losses or with the weights; None where nothing is."""
        size = torch.nn.utils.get_total_norm([weight.detach() for weight in weights])
        told = torch.stack(list(losses)).to(size)
        *found, norm = torch.cat([told, size[None]]).tolist()
        if self.reference is None and math.isfinite(found[0]):
            self.reference = max(1.0, abs(found[0]), float(window.x.detach().square().mean()))
        for loss in found:
            if not math.isfinite(loss):
                return f"the loss became {loss}"
            if self.explosion and self.reference and abs(loss) > self.explosion * self.reference:
                return f"the loss exploded to {loss:.3g}"
        return None if math.isfinite(norm) else f"the weights became {norm}"


def parameters(optimizer: Optimizer) -> list[Tensor]:
    """All weights that an optimizer moves."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _copied(value: Any) -> Any:
    """A copy of the state of an optimizer: tensors in dicts and lists, and plain types."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_copied(one) for one in value]
    return copy.deepcopy(value)
