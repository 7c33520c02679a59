"""Adam written down as tensor operations, on the state of torch's own optimizer."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer


def functional(optimizer: Optimizer) -> bool:
    """Whether the update is one that `stepped` writes down: Adam or AdamW without variants."""
    return type(optimizer) in (Adam, AdamW) and not any(
        group["amsgrad"] or group["maximize"] or isinstance(group["lr"], Tensor)
        for group in optimizer.param_groups
    )


def numbers_of(group: Mapping[str, Any], steps: float) -> list[float]:
    """What of a group changes from step to step: lr/(1 − β₁ⁿ), √(1 − β₂ⁿ), lr."""
    first, second = group["betas"]
    rate = float(group["lr"])
    return [rate / (1 - first**steps), math.sqrt(1 - second**steps), rate]


def stepped(
    group: Mapping[str, Any], weight: Tensor, slope: Tensor, m: Tensor, v: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Weight and both moments after a step of Adam (Kingma and Ba 2015, algorithm 1) or AdamW."""
    first, second = group["betas"]
    decay = group["weight_decay"]
    rate, root, plain = numbers.to(weight.dtype).unbind()
    if decay and group["decoupled_weight_decay"]:
        weight = weight * (1 - plain * decay)
    elif decay:
        slope = slope + decay * weight
    m = m.lerp(slope, 1 - first)
    v = v * second + (1 - second) * slope * slope
    return weight - rate * (m / (v.sqrt() / root + group["eps"])), m, v


def whole_step(graph: Callable[..., Any], read: Tensor, optimizer: Optimizer) -> Callable[..., Any]:
    """Loss, gradients and update in place; nothing moves where a value read has changed."""
    groups = optimizer.param_groups
    owner = [k for k, group in enumerate(groups) for _ in group["params"]]

    def step(
        weights: list[Tensor],
        first: list[Tensor],
        second: list[Tensor],
        numbers: Tensor,
        tensors: dict[str, Tensor],
    ) -> Any:
        value, slopes, seen = graph(weights, tensors)
        same = (seen == read).all() if len(read) else None
        for k, w, g, m, v in zip(owner, weights, slopes, first, second, strict=True):
            news = stepped(groups[k], w, g, m, v, numbers[k])
            for old, new in zip((w, m, v), news, strict=True):
                old.copy_(new if same is None else torch.where(same, new, old))
        return [value, seen]

    return step


class AdamState:
    """The weights of an optimizer and, where the graph updates them, Adam's moments."""

    def __init__(self, optimizer: Optimizer, whole: bool):
        self.optimizer, self.whole = optimizer, whole
        self.weights = [w for group in optimizer.param_groups for w in group["params"]]
        if whole:
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    _begin(optimizer.state[weight], weight, bool(group["fused"]))
        self._given: tuple[Any, ...] = ([weight.detach() for weight in self.weights],)
        if whole:
            self._given += (self.moments("exp_avg"), self.moments("exp_avg_sq"))
            self._steps = self.moments("step")

    def moments(self, name: str) -> list[Tensor]:
        """One entry of the state of each weight."""
        return [self.optimizer.state[weight][name] for weight in self.weights]

    def given(self) -> tuple[Any, ...]:
        """What the graph takes before the window."""
        return (*self._given, self.numbers()) if self.whole else self._given

    def numbers(self) -> Tensor:
        """What changes from step to step, ``[groups, 3]``."""
        rows = []
        for group in self.optimizer.param_groups:
            before = float(self.optimizer.state[group["params"][0]]["step"])
            rows.append(numbers_of(group, before + 1))
        return torch.tensor(rows, dtype=torch.float64).to(self.weights[0].device)

    def taken(self) -> None:
        """One step more."""
        torch._foreach_add_(self._steps, 1)

    def cloned(self) -> AdamState:
        """A copy to try a step on, with an optimizer of its own."""
        groups, states = [], []
        for group in self.optimizer.param_groups:
            weights = [nn.Parameter(w.detach().clone()) for w in group["params"]]
            states += [copy.deepcopy(self.optimizer.state.get(w, {})) for w in group["params"]]
            groups.append({**group, "params": weights})
        if not self.whole:  # only the weights are needed
            other = torch.optim.SGD([w for group in groups for w in group["params"]], lr=0.0)
            return AdamState(other, False)
        twin = (AdamW if isinstance(self.optimizer, AdamW) else Adam)(groups)
        for weight, one in zip((w for g in groups for w in g["params"]), states, strict=True):
            twin.state[weight] = one
        return AdamState(twin, True)


def _begin(state: dict[str, Any], weight: Tensor, fused: bool) -> None:
    """As torch begins it, so that eager mode and a checkpoint can go on with it."""
    if not state:
        device = weight.device if fused else "cpu"
        state["step"] = torch.zeros((), dtype=torch.float32, device=device)
        state["exp_avg"] = torch.zeros_like(weight, memory_format=torch.preserve_format).detach()
        state["exp_avg_sq"] = state["exp_avg"].clone()
