"""The test of states: the spread of an ensemble, ranked among draws on the same graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.analysis.significance.draws import Draw, drawn_together
from simlearn.analysis.significance.ranks import (
    Pool,
    benjamini_hochberg,
    combined,
    p_value,
    refuse_counts,
)
from simlearn.analysis.significance.spread import ROWS, Members
from simlearn.component import ConfigError, DataError
from simlearn.randomness import generator
from simlearn.state import Topology

TOP = 0.1  # share of the nodes whose largest z are averaged
SAME = 1e-9  # deviations of log d below it are rounding


@dataclass(frozen=True, eq=False)
class Significance:
    """What the test says of S states on one graph.

    Attributes:
        p: ``[S]``, of both aggregates together.
        p_mean: ``[S]``, of the mean z over nodes.
        p_top: ``[S]``, of the mean of the largest tenth of z.
        mean: ``[S]``, the mean z.
        top: ``[S]``, the mean of the largest tenth.
        z: ``[S, rows]``: log variance of the members, standardised on this node of this graph.
        node_p: ``[S, rows]``, the rank of each node among its own null draws.
        node_q: ``[S, rows]``: nodes at most α have a false discovery rate of α.
        level: α.
    """

    p: Tensor
    p_mean: Tensor
    p_top: Tensor
    mean: Tensor
    top: Tensor
    z: Tensor
    node_p: Tensor
    node_q: Tensor
    level: float

    @property
    def rejected(self) -> Tensor:
        """``[S]`` bool: states that are unusual for this graph."""
        return self.p <= self.level

    @property
    def rejected_nodes(self) -> Tensor:
        """``[S, rows]`` bool: nodes that are unusual, false discoveries controlled over nodes."""
        return self.node_q <= self.level


def significance(
    members: Members,
    topology: Topology,
    states: Tensor,
    draw: Draw,
    *,
    reference: int = 100,
    null: int = 199,
    seed: int = 0,
    level: float = 0.05,
    progress: Callable[[int, int], None] | None = None,
) -> Significance:
    """Whether states are unusual for a graph, by the spread of an ensemble.

    For every node, dᵢ is the variance of dx/dt over all members, and zᵢ = (log dᵢ − μᵢ) / sᵢ with
    mean and deviation over ``reference`` states drawn on this very graph. So degree, hubs and the
    size of dx/dt drop out node by node. The mean z and the mean of the largest tenth are ranked
    among those of ``null`` further states. Given members and graph, a state of the distribution
    that is drawn from is exchangeable with these, so the size is exact for any number of draws.

    Args:
        members: (x ``[rows, dim]``, topology) to dx/dt of every member ``[members, rows, dim]``.
        topology: The graph, one system.
        states: ``[S, rows, dim]``.
        draw: (rows, generator) to a state like those of the training on this graph
            ``[rows, dim]``, see `resampled`; or to a path ``[S, rows, dim]``, see `rolled`, whose
            state k is then compared with state k.
        reference: States that z is measured on.
        null: States that p is ranked among; 1 / (null + 1) is the smallest p.
        seed: Of all draws.
        level: α, of tests and of false discoveries.
        progress: Told how many of how many draws are done.

    Raises:
        ConfigError: There is one member only, or fewer than two draws.
        DataError: States or draws are of the wrong shape.
    """
    _refuse(topology, states, reference, null)
    with torch.no_grad():
        test = _Test(members, topology, states, draw, seed, progress or _silent, reference + null)
        test.measure(reference)
        seen = test.scores(states)
        each, pool = torch.ones_like(seen, dtype=torch.int64), Pool(seen, test.length > 1)
        sums = []
        for some in test.drawn(1, null):
            for score in test.scores(some.flatten(0, 1)).unflatten(0, some.shape[:2]):
                each += score >= seen
                pool.add(score)
                sums.append(_aggregates(score))
    observed, drawn = _aggregates(seen), torch.stack(sums)
    alone = p_value(observed, drawn)
    return Significance(
        combined(observed, drawn),
        alone[:, 0],
        alone[:, 1],
        observed[:, 0],
        observed[:, 1],
        seen,
        each.double() / (null + 1),
        benjamini_hochberg(pool.p()),
        level,
    )


def _refuse(topology: Topology, states: Tensor, reference: int, null: int) -> None:
    refuse_counts(reference=reference, null=null)
    if states.ndim != 3 or states.shape[1] != topology.rows:
        raise DataError(
            f"States must be [S, rows, dim] on {topology.rows} rows, got {list(states.shape)}."
        )


class _Test:
    """Scores of states on one graph."""

    def __init__(
        self,
        members: Members,
        topology: Topology,
        states: Tensor,
        draw: Draw,
        seed: int,
        progress: Callable[[int, int], None],
        total: int,
    ):
        self.members, self.topology, self.draw = members, topology, draw
        self.states, self.seed, self.progress, self.total = states, seed, progress, total
        self.floor, self.done, self.length = torch.zeros((), dtype=states.dtype), 0, 1

    def measure(self, count: int) -> None:
        """Mean and deviation of log d at every node, over reference states."""
        pilot = self._some(2, range(1))[0]
        self.length = len(pilot)
        size = self.members(pilot[0], self.topology).square().mean((0, 1))
        kind = torch.finfo(size.dtype)
        self.floor = (size.nan_to_num(0.0, 0.0) * (100 * kind.eps) ** 2).clamp_min(kind.tiny)
        mean, square, seen = torch.zeros(()), torch.zeros(()), 0
        for some in self.drawn(0, count):
            now = self._logs(some.flatten(0, 1)).unflatten(0, some.shape[:2])
            own, more = now.mean(0), len(now)
            gap, both = own - mean, seen + more
            square = square + (now - own).square().sum(0) + gap**2 * (seen * more / both)
            mean, seen = mean + gap * (more / both), both
        spread = (square / (count - 1)).sqrt()
        self.mean, self.spread = mean, torch.where(spread > SAME, spread, 1.0)

    def drawn(self, stage: int, count: int) -> Iterator[Tensor]:
        """States drawn on this graph, ``[draws, P, rows, dim]`` at a time, P one or S."""
        size = max(1, ROWS // max(1, self.length * self.topology.rows))
        for k in range(0, count, size):
            yield self._some(stage, range(k, min(k + size, count)))
            self.done += min(size, count - k)
            self.progress(self.done, self.total)

    def _some(self, stage: int, numbers: range) -> Tensor:
        rows, dim = self.states.shape[1:]
        each = [generator(self.seed, stage, k) for k in numbers]
        x = drawn_together(self.draw, rows, each).to(self.states)
        x = x[:, None] if x.ndim == 3 else x
        if x.shape[2:] != (rows, dim) or x.shape[1] not in (1, len(self.states)):
            raise DataError(
                f"draw must give [{rows}, {dim}] or [{len(self.states)}, {rows}, {dim}], got "
                f"{list(x.shape[1:] if x.shape[1] > 1 else x.shape[2:])}."
            )
        return x

    def scores(self, x: Tensor) -> Tensor:
        """Z of every node, the mean over columns, ``[draws · P, rows]``."""
        logs = self._logs(x).unflatten(0, (-1, len(self.mean)))
        return ((logs - self.mean) / self.spread).mean(-1).flatten(0, 1)

    def _logs(self, x: Tensor) -> Tensor:
        """Log variance of the members, ``[states, rows, dim]``."""
        rows = self.topology.rows
        found = []
        for part in x.split(max(1, ROWS // rows)):
            told = self.members(part.flatten(0, 1), self.topology.repeat(len(part)))
            if len(told) < 2:
                raise ConfigError("The test compares members of an ensemble; there is one only.")
            found.append(told.var(0).unflatten(0, (len(part), rows)))
        most = torch.finfo(x.dtype).max
        d = torch.cat(found).nan_to_num(most, most)  # what is lost is as far apart as can be
        return d.maximum(self.floor).log()


def _aggregates(z: Tensor) -> Tensor:
    """Mean z, and mean of the largest tenth, ``[P, 2]``."""
    count = max(1, round(TOP * z.shape[1]))
    return torch.stack([z.mean(1), z.topk(count, dim=1).values.mean(1)], dim=-1)


def _silent(done: int, total: int) -> None:
    pass
