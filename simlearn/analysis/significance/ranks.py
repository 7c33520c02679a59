"""Ranks of an observation among its null draws: p-values that are exact in finite samples."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.component import ConfigError


def p_value(observed: Tensor, null: Tensor) -> Tensor:
    """P = (1 + #{null ≥ observed}) / (K + 1), observed ``[...]`` and null ``[K, ...]``.

    Where the observation is exchangeable with its K null draws, P(p ≤ α) ≤ α for any K. The null
    may have a length of one where the observation has more.
    """
    return (1.0 + (null >= observed).sum(0).double()) / (len(null) + 1)


def combined(observed: Tensor, null: Tensor) -> Tensor:
    """One p of several statistics: the smallest of their p, ranked among those of the null draws.

    Every draw gets the rank of each statistic among all K + 1 draws, the observed one included. Its
    smallest rank, then its next, orders the draws. As that treats all draws alike, the size is
    exact, where Bonferroni's is too small for statistics that go together (Westfall and Young
    1993).

    Args:
        observed: ``[S, m]``: m statistics of each of S observations.
        null: ``[K, P, m]``, P one or S.

    Returns:
        ``[S]``.
    """
    draws = len(null)
    above = (null >= observed).sum(0)  # [S, m]
    ordered = null.sort(0).values
    among = draws - torch.searchsorted(
        ordered.movedim(0, -1).contiguous(), null.movedim(0, -1).contiguous()
    ).movedim(-1, 0)
    ranks = among + (observed >= null)  # [K, S, m]
    found = _order((1 + above).sort(-1).values, draws)
    others = _order(ranks.sort(-1).values, draws)
    return (1.0 + (others <= found).sum(0).double()) / (draws + 1)


def _order(ranks: Tensor, draws: int) -> Tensor:
    """One number that orders sorted ranks ``[..., m]`` by the first, then by the next."""
    answer = torch.zeros_like(ranks[..., 0], dtype=torch.float64)
    for column in range(ranks.shape[-1]):
        answer = answer * (draws + 2) + ranks[..., column]
    return answer


def benjamini_hochberg(p: Tensor) -> Tensor:
    """Adjusted p-values ``[..., n]`` along the last dimension.

    Those at most α have a false discovery rate of at most α (Benjamini and Hochberg 1995).
    """
    count = p.shape[-1]
    ordered, order = p.sort(-1)
    scaled = ordered * count / torch.arange(1, count + 1, device=p.device).to(p)
    least = scaled.flip(-1).cummin(-1).values.flip(-1).clamp_max(1.0)
    return torch.empty_like(least).scatter(-1, order, least)


class Pool:
    """Ranks of every node's score among the scores of all nodes in all draws.

    On average over nodes such a rank is exact as well, and with n nodes and K draws it resolves
    p down to 1 / (n (K + 1)): what a false discovery rate over many nodes needs.

    Args:
        observed: ``[S, rows]``.
        apart: Whether each observation has null draws of its own.
    """

    def __init__(self, observed: Tensor, apart: bool):
        self.shape, self.draws = observed.shape, 1
        # one sorted list where all are ranked among the same draws: a draw then costs no more for
        # many observations than for one
        lists = observed if apart else observed.reshape(1, -1)
        self.ordered, self.order = lists.sort(-1)
        self.below = torch.zeros(len(lists), lists.shape[1] + 1, dtype=torch.int64)
        self.below = self.below.to(observed.device)
        own = observed.sort(-1).values
        self.own = self.shape[1] - torch.searchsorted(own, observed.contiguous())

    def add(self, null: Tensor) -> None:
        """A draw ``[lists, rows]``."""
        place = torch.searchsorted(self.ordered, null.contiguous(), right=True)
        self.below.scatter_add_(1, place, torch.ones_like(place))
        self.draws += 1

    def p(self) -> Tensor:
        """``[S, rows]``."""
        above = self.below.flip(-1).cumsum(-1).flip(-1)[..., 1:]
        above = torch.empty_like(above).scatter(-1, self.order, above).reshape(self.shape)
        return (above + self.own).double() / (self.shape[1] * self.draws)


def refuse_counts(**counts: int) -> None:
    """Refuse numbers of draws that leave nothing to compare.

    Raises:
        ConfigError: One of them is below two.
    """
    for name, count in counts.items():
        if count < 2:
            raise ConfigError(f"{name} is a number of draws and at least 2, got {count}.")
