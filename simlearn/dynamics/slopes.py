"""The gradient of a tanh network in its input, fast enough to be trained through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from simlearn.state.tracing import transformed

# g (1 − h²) in one pass over the memory; differentiable to any order, and known to torch.func
_times_slope = torch.ops.aten.tanh_backward.default
_times_slope_out = torch.ops.aten.tanh_backward.grad_input


def input_gradient(x: Tensor, last: Tensor, hidden: Sequence[Tensor]) -> Tensor:
    """Gradient ``[rows, inputs]`` of w · tanh(... tanh(W₁ x + b₁) ...) in x.

    Where only first derivatives of the weights are wanted, which is what training asks, a backward
    pass written by hand takes about half the passes over the memory that autograd takes. Higher
    derivatives and function transforms go through the plain operations.

    Args:
        x: ``[rows, inputs]``.
        last: Weights w of the output, ``[1, width]``.
        hidden: W₁, b₁, W₂, b₂, ... of the hidden layers.
    """
    learned = torch.is_grad_enabled() and (
        x.requires_grad or any(weight.requires_grad for weight in hidden)
    )
    if learned and not torch.compiler.is_compiling() and not transformed():
        found: Tensor = _InputGradient.apply(x, last, *hidden)
        return found
    return _forward(x, last, hidden)[0]


def _forward(
    x: Tensor, last: Tensor, hidden: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The gradient; of each layer h, and the gradient before it a = u (1 − h²), u that after it."""
    states, before = [], []
    for k in range(0, len(hidden), 2):
        x = linear(x, hidden[k], hidden[k + 1]).tanh_()
        states.append(x)
    gradient = last.expand(x.shape[0], -1)
    for k in range(len(states) - 1, -1, -1):
        gradient = _times_slope(gradient, states[k])
        before.append(gradient)
        gradient = gradient.mm(hidden[2 * k])
    return gradient, states, before[::-1]


class _InputGradient(torch.autograd.Function):
    """The same with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, last: Tensor, *hidden: Tensor) -> Tensor:
        gradient, states, before = _forward(x, last, hidden)
        ctx.layers = len(states)
        ctx.save_for_backward(x, last, *hidden, *states, *before)
        return gradient

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        n = ctx.layers
        x, last, *rest = ctx.saved_tensors
        hidden, states, before = rest[: 2 * n], rest[2 * n : 3 * n], rest[3 * n :]
        higher = torch.is_grad_enabled()
        if higher or _many(grads[0]):
            with torch.enable_grad():
                # as views, for x may itself come from the weights, by earlier steps of a rollout
                own = [one.view_as(one) for one in (x, last, *hidden)]
                value = _forward(own[0], own[1], own[2:])[0]
            inputs = [one for one in own if one.requires_grad]
            again = iter(torch.autograd.grad(value, inputs, grads[0], create_graph=higher))
            return tuple(next(again) if one.requires_grad else None for one in own)
        return _backward(ctx.needs_input_grad[0], grads[0], x, hidden, states, before)


def _many(back: Tensor) -> bool:
    """Whether many backward passes are asked for at once, which knows no operation in place."""
    known = torch._C._functorch
    return known.is_batchedtensor(back) or known.is_legacy_batchedtensor(back)


def _backward(
    wanted: bool,
    back: Tensor,
    x: Tensor,
    hidden: Sequence[Tensor],
    states: Sequence[Tensor],
    before: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """Reverse mode over `_forward`: up through the gradients, then down through the states.

    With g the cotangent of a W, that of a is c = g Wᵀ, and that of u is c (1 − h²). What tanh was
    taken of receives −2 h c a, and (1 − h²) times what comes down to h. The way down is in units of
    −2, which are paid in the products: each pass over the memory counts.
    """
    weights = hidden[::2]
    slopes: list[Tensor] = []
    bent: list[Tensor] = []
    for weight, state, a in zip(weights, states, before, strict=True):
        slopes.append(a.T @ back)
        inner = back @ weight.T
        bent.append(inner * state)
        back = _times_slope_out(inner, state, grad_input=inner)  # in place: no new memory
    found: list[Tensor] = []
    down: Tensor | None = None
    for k in reversed(range(len(weights))):
        if down is None:
            total = bent[k].mul_(before[k])
        else:
            total = _times_slope_out(down, states[k], grad_input=down)
            total = total.addcmul_(bent[k], before[k])
        slopes[k].addmm_(total.T, states[k - 1] if k else x, alpha=-2.0)
        found = [slopes[k], total.sum(0).mul_(-2.0), *found]
        down = total @ weights[k] if k or wanted else None
    to_x = down.mul_(-2.0) if down is not None else None
    return (to_x, back.sum(0, keepdim=True), *found)
