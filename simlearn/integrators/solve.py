"""Fixed points of implicit steps: every system converges by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.state import Topology
from simlearn.state.tracing import differentiated

# a trial state, and how much of it is rounding: squared, one a system, or 0
Update = Callable[[Tensor], tuple[Tensor, Tensor | float]]


ASIDE = 0.01  # how far, relative to a state, its shadow starts


class _Any(torch.autograd.Function):
    """Whether any flag is set, over all that vmap has put side by side as well.

    Under vmap nobody can ask whether a tensor of the batch is true; its rule sees the whole batch,
    so an answer for all of them is a plain number again.
    """

    @staticmethod
    def forward(flags: Tensor) -> Tensor:
        return flags.any()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, flags: Tensor) -> tuple[Tensor, None]:
        return _Any.apply(flags), None


def any_left(active: Tensor) -> bool:
    """Whether a flag is set in any system of any batch."""
    return bool(_Any.apply(active.detach()))


def checked(scheme: str, tolerance: float, max_iter: int) -> None:
    """Refuse a tolerance or a number of iterations that solves nothing.

    Raises:
        ConfigError: One of them is not positive.
    """
    if not tolerance > 0 or max_iter < 1:
        raise ConfigError(
            f"{scheme} needs a positive tolerance and max_iter, got {tolerance} and {max_iter}."
        )


def fixed_point(
    update: Update, guess: Tensor, topology: Topology, tolerance: float, max_iter: int
) -> Tensor:
    """The state that an update leaves where it is, by iteration from a guess.

    A system whose own update is below ``tolerance`` relative to its state is frozen, so that a
    batch gives the same answer as its parts. One that is not after ``max_iter``, or is no finite
    number, becomes NaN. Where derivatives are wanted, a shadow that starts elsewhere has to arrive
    too: at rest the guess is the answer already, and its derivative is not.

    Args:
        update: From a state ``[rows, dim]`` to the next, and the rounding it cannot get below.
        guess: ``[rows, dim]``.
        topology: Which rows converge together.
        tolerance: Never less than four roundings of the dtype.
        max_iter: Most iterations.
    """
    tolerance = max(tolerance, 4 * torch.finfo(guess.dtype).eps)
    new, shadow, apart = guess, None, guess.new_zeros(())
    active = torch.ones(topology.num_systems, dtype=torch.bool, device=guess.device)
    tiny = torch.finfo(guess.dtype).tiny
    for _ in range(max_iter):
        trial, rounding = update(new)
        with torch.no_grad():
            moved = topology.per_system(((trial - new) ** 2).sum(-1))
            size = topology.per_system((trial**2).sum(-1))
            settled = (moved <= tolerance**2 * (size + tiny) + rounding) & size.isfinite()
            if shadow is None and (trial.requires_grad or differentiated()):
                shadow = new.detach() + ASIDE * (1 + new.detach().abs())
                apart = topology.per_system(((shadow - new) ** 2).sum(-1))
            if shadow is not None:
                shadow = update(shadow)[0].detach()
                left = topology.per_system(((shadow - trial) ** 2).sum(-1))
                rounded = (16 * torch.finfo(guess.dtype).eps) ** 2 * size
                settled = settled & (left <= tolerance**2 * apart + rounded + rounding)
        new = torch.where(topology.per_row(active)[:, None], trial, new)
        active = active & ~settled
        if not any_left(active):
            return new
    return torch.where(topology.per_row(active)[:, None], torch.nan, new)
