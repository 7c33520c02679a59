"""Torch's optimizers as rules: which they are, and what they remember just now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim import Adam as TorchAdam
from torch.optim import RMSprop as TorchRMSprop

from simlearn import ConfigError
from simlearn.analysis.training import Adam, Descent, RMSprop, Rule

# what a rule remembers of each weight, by torch's names; None is what no step needs
MEMORY: dict[type[Rule], tuple[str, ...]] = {
    Descent: ("momentum_buffer",),
    Adam: ("exp_avg", "exp_avg_sq"),
    RMSprop: ("momentum_buffer", "square_avg"),
}
UNLIKE = ("maximize", "amsgrad", "centered")  # variants whose step is another


def the_optimizer(optimizers: Sequence[Optimizer]) -> Optimizer:
    """The one optimizer of a training.

    Raises:
        ConfigError: There are none, or several.
    """
    if len(optimizers) != 1:
        raise ConfigError(
            f"A training is watched as a map of one optimizer, this one has {len(optimizers)}. "
            "Leave the callbacks of simlearn_training_dynamics out."
        )
    return optimizers[0]


def rule_of(optimizer: Optimizer, clip: float | None) -> Rule:
    """The optimizer as a rule, with the learning rate of now.

    Raises:
        ConfigError: It is none of SGD, Adam, AdamW and RMSprop, or a variant of them, or its groups
            of weights differ in more than the learning rate.
    """
    groups = optimizer.param_groups
    made = {SGD: _descent, TorchAdam: _adam, AdamW: _adam, TorchRMSprop: _rmsprop}
    name = type(optimizer).__name__
    if type(optimizer) not in made:
        why = "a step of L-BFGS is a line search of many evaluations, no map of the weights"
        raise ConfigError(
            f"The callbacks of simlearn_training_dynamics know SGD, Adam, AdamW and RMSprop, the "
            f"optimizer is {name}{f': {why}' if name == 'LBFGS' else ''}. Take one of these, or "
            "leave the callbacks out."
        )
    given = [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in groups]
    odd = [key for key in UNLIKE if any(group.get(key) for group in given)]
    if odd or any(one != given[0] for one in given[1:]):
        told = f"{odd[0]}=True" if odd else "groups that differ in more than lr"
        raise ConfigError(
            f"{name} with {told} is no optimizer that simlearn_training_dynamics follows. Leave "
            "that out, or the callbacks."
        )
    rates = [float(group["lr"]) for group in groups]
    rate: float | Tensor = rates[0]
    if any(one != rates[0] for one in rates):
        sizes = [sum(p.numel() for p in group["params"]) for group in groups]
        device = groups[0]["params"][0].device
        rate = torch.cat(
            [torch.full((n,), r, dtype=torch.float64) for n, r in zip(sizes, rates, strict=True)]
        ).to(device)
    return made[type(optimizer)](groups[0], rate, clip, type(optimizer) is AdamW)


def _descent(group: dict[str, Any], rate: float | Tensor, clip: float | None, _: bool) -> Rule:
    told = group["momentum"], group["dampening"], group["nesterov"], group["weight_decay"]
    return Descent(rate, *told, clip=clip)


def _adam(group: dict[str, Any], rate: float | Tensor, clip: float | None, kind: bool) -> Rule:
    decay = float(group["weight_decay"])
    apart = kind or bool(group.get("decoupled_weight_decay"))
    kept, shrink = (0.0, decay) if apart else (decay, 0.0)
    return Adam(rate, tuple(group["betas"]), group["eps"], kept, shrink, clip)


def _rmsprop(group: dict[str, Any], rate: float | Tensor, clip: float | None, _: bool) -> Rule:
    told = group["alpha"], group["eps"], group["momentum"], group["weight_decay"]
    return RMSprop(rate, *told, clip=clip)


def weights_of(optimizer: Optimizer) -> list[Tensor]:
    """What the optimizer trains, in its order."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def state_of(optimizer: Optimizer, rule: Rule) -> Tensor:
    """Weights and memory as they stand, ``[parts, n]``, float64; memory is 0 before a step."""
    weights = weights_of(optimizer)
    rows = [[weight.detach() for weight in weights]]
    for name in MEMORY[type(rule)][: rule.parts - 1]:
        held = [optimizer.state.get(weight, {}).get(name) for weight in weights]
        rows.append(
            [torch.zeros_like(w) if h is None else h for w, h in zip(weights, held, strict=True)]
        )
    return torch.stack([torch.cat([one.detach().flatten().double() for one in r]) for r in rows])


def steps_of(optimizer: Optimizer) -> int:
    """Steps that the optimizer has taken, as far as its own steps depend on it."""
    state = optimizer.state.get(weights_of(optimizer)[0], {})
    if "step" in state:
        return int(state["step"])
    return int(state.get("momentum_buffer") is not None)
