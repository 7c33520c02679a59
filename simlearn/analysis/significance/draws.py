"""Which states count as usual: draws of the training distribution on any graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from simlearn.component import DataError

Draw = Callable[[int, torch.Generator], Tensor]


def resampled(pool: Tensor) -> Draw:
    """Node states drawn one by one, with replacement, from all that were seen: mode "states".

    It is right where the nodes of the training states were independent, as in data for the
    regression of slopes. Along a trajectory, nodes depend on one another and on time: use `rolled`.

    Args:
        pool: ``[samples, dim]``, or ``[steps, rows, dim]`` of the training data.

    Raises:
        DataError: There is none, or one that is not finite.
    """
    pool = _pooled(pool)

    def draw(rows: int, rng: torch.Generator) -> Tensor:
        return pool[torch.randint(len(pool), (rows,), generator=rng).to(pool.device)]

    return draw


def rolled(
    starts: Tensor,
    roll: Callable[[Tensor], Tensor],
    together: Callable[[Tensor], Tensor] | None = None,
) -> Draw:
    """Paths from starts drawn node by node from those of the training: mode "rollouts".

    A forecast from a start of that distribution is exchangeable with them, time by time, whatever
    the dynamics make of it. So the test asks whether the start, or what was done on the way, is
    unusual for this graph.

    Args:
        starts: ``[samples, dim]`` or ``[trajectories, rows, dim]``: first states of the training.
        roll: From a start ``[rows, dim]`` to the states of its rollout on the target graph, at the
            times of the states that are tested, ``[S, rows, dim]``.
        together: The same for many starts at once, which is faster on small graphs:
            ``[n, rows, dim]`` to ``[n, S, rows, dim]``.

    Raises:
        DataError: There is no start, or one that is not finite.
    """
    first = resampled(starts)
    return _Rolled(first, roll, together)


class _Rolled:
    """A draw that can be asked for many at once."""

    def __init__(
        self,
        first: Draw,
        roll: Callable[[Tensor], Tensor],
        together: Callable[[Tensor], Tensor] | None,
    ):
        self.first, self.roll, self.together = first, roll, together

    def __call__(self, rows: int, rng: torch.Generator) -> Tensor:
        return self.roll(self.first(rows, rng))

    def many(self, rows: int, each: Sequence[torch.Generator]) -> Tensor:
        starts = [self.first(rows, rng) for rng in each]
        if self.together is None:
            return torch.stack([self.roll(x) for x in starts])
        return self.together(torch.stack(starts))


def drawn_together(draw: Draw, rows: int, each: Sequence[torch.Generator]) -> Tensor:
    """A draw for each generator, ``[n, rows, dim]`` or ``[n, S, rows, dim]``."""
    if isinstance(draw, _Rolled):
        return draw.many(rows, each)
    return torch.stack([draw(rows, rng) for rng in each])


def _pooled(pool: Tensor) -> Tensor:
    pool = pool.flatten(0, -2)
    if not len(pool) or not bool(pool.isfinite().all()):
        raise DataError(
            "Draws need states of the training data, all of them finite; got "
            f"{len(pool)} node states, {int((~pool.isfinite()).any(-1).sum())} of them not finite."
        )
    return pool
