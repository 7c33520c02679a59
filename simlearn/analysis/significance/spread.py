"""Do members part more on this graph than on graphs like those of the training?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.analysis.significance.draws import Draw
from simlearn.component import ConfigError
from simlearn.randomness import generator
from simlearn.state import Topology

ROWS = 8192  # rows of states that members are asked about at once
Members = Callable[[Tensor, Topology], Tensor]


@dataclass(frozen=True, eq=False)
class RelativeSpread:
    """Disagreement of the members on a graph.

    Attributes:
        rel: REL: spread over size of dx/dt here, over the median of the same on the family.
            Above 2, the graph is unlike those of the training.
        p: The rank of this graph among the family. As that varies little, it is small for harmless
            graphs, too: judge by REL.
        spread: Spread over size here.
        family: ``[graphs]``, the same on each graph of the family.
    """

    rel: float
    p: float
    spread: float
    family: Tensor


def relative_spread(
    members: Members,
    topology: Topology,
    family: Sequence[Topology],
    draw: Draw,
    seed: int = 0,
    states: int = 8,
) -> RelativeSpread:
    """REL of a graph: a warning that the test of states cannot give.

    A state may be usual for a graph on which every prediction is wrong. Spread over size,
    Σᵢ sd(members)ᵢ / Σᵢ |mean of members|ᵢ, needs no truth either; it is compared with the same on
    graphs of the training family, at states of the training distribution everywhere.

    Args:
        members: (x, topology) to dx/dt of every member ``[members, rows, dim]``.
        topology: The graph in question.
        family: Graphs like those of the training: drawn anew where their law is known, else by
            `rewired`; 99 make a p of 0.01 possible.
        draw: States ``[rows, dim]``, as `resampled` draws them.
        seed: Of the draws.
        states: Drawn on each graph.

    Raises:
        ConfigError: The family is empty, no state is asked for, or there is one member only.
    """
    if not family or states < 1:
        raise ConfigError(
            f"REL compares a graph with a family, got {len(family)} graphs and {states} states."
        )
    with torch.no_grad():
        here = _spread(members, topology, draw, generator(seed, 0), states)
        others = [
            _spread(members, one, draw, generator(seed, 1, k), states)
            for k, one in enumerate(family)
        ]
    found = torch.tensor(others, dtype=torch.float64)
    usual = float(found.median())
    # where members are lost on the family, too, nothing speaks for this graph
    known = 0 < usual < torch.inf
    rel = here / usual if known else 1.0 if here == usual == 0 else torch.inf
    p = (1 + int((found >= here).sum())) / (len(found) + 1)
    return RelativeSpread(rel, p, here, found)


def _spread(
    members: Members, topology: Topology, draw: Draw, rng: torch.Generator, states: int
) -> float:
    """Summed spread over summed size; infinite where a member is lost."""
    apart = size = 0.0
    together = max(1, min(states, ROWS // topology.rows))
    for k in range(0, states, together):
        count = min(together, states - k)
        x = torch.cat([draw(topology.rows, rng) for _ in range(count)])
        told = members(x, topology.repeat(count))
        if len(told) < 2:
            raise ConfigError("REL compares members of an ensemble; there is one only.")
        apart += float(told.std(0).sum())
        size += float(told.mean(0).abs().sum())
    if not apart + size < torch.inf:
        return torch.inf
    return apart / size if size > 0 else 0.0 if apart == 0 else torch.inf
