"""Graphs that are regular or grow by a rule: grid, preferential attachment, small world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from simlearn import ConfigError
from simlearn_networks import bernoulli
from simlearn_networks.common import at_least, share
from simlearn_networks.family import GraphFamily, Links, interval, numpys, weighed


class Grid8(GraphFamily):
    """A square grid; every node is joined to the up to eight around it. Row by row.

    Args:
        side: Nodes along a side; the grid has side² nodes. Good values: 3 to 1000; 20 in the
            protocol of NDCN.
        weights: [low, high] of uniform weights; ones where not given. Good values: 0.5 to 1.5.
    """

    def __init__(self, side: int = 5, weights: Sequence[float] | None = None):
        at_least(1, side=side)
        interval(weights)
        self.side, self.weights = side, weights

    def links(self, rng: torch.Generator) -> Links:
        """Right, down, and both diagonals down."""
        at = np.arange(self.side**2).reshape(self.side, self.side)
        ways = [
            (at[:, :-1], at[:, 1:]),
            (at[:-1], at[1:]),
            (at[:-1, :-1], at[1:, 1:]),
            (at[:-1, 1:], at[1:, :-1]),
        ]
        ends = np.concatenate([np.stack([a.ravel(), b.ravel()]) for a, b in ways], axis=1)
        return weighed(rng, self.side**2, ends, self.weights)


class BarabasiAlbert(GraphFamily):
    """A graph grown node by node; each joins m others, the likelier the more links they have.

    Barabási and Albert 1999 (Science 286, 509). It begins with a star of m + 1 nodes and has
    m (nodes − m) links.

    Args:
        nodes: Number of nodes, above m. Good values: 20 to 1000000; 400 in the protocol of NDCN.
        m: Links of each new node. Good values: 1 to 10; 5 in the protocol.
        weights: [low, high] of uniform weights; ones where not given. Good values: 0.5 to 1.5.
    """

    def __init__(self, nodes: int = 20, m: int = 3, weights: Sequence[float] | None = None):
        at_least(1, m=m)
        if nodes <= m:
            raise ConfigError(f"nodes must be above m, got {nodes} nodes and m = {m}.")
        interval(weights)
        self.nodes, self.m, self.weights = nodes, m, weights

    def links(self, rng: torch.Generator) -> Links:
        """A node drawn from the list of all ends is drawn in proportion to its links."""
        ends = _attached(numpys(rng), self.nodes, self.m)
        return weighed(rng, self.nodes, ends, self.weights)


def _attached(rng: np.random.Generator, nodes: int, m: int) -> np.ndarray:
    """``[2, links]``; the first end is the older node."""
    ends: list[int] = []  # older, newer, older, newer …
    for k in range(1, m + 1):
        ends += (0, k)
    luck: Iterator[float] = iter(())
    for new in range(m + 1, nodes):
        taken: dict[int, None] = {}  # a set that keeps its order
        count = len(ends)
        while len(taken) < m:
            draw = next(luck, None)
            if draw is None:
                luck = iter(rng.random(1 << 16).tolist())
                continue
            taken[ends[int(draw * count)]] = None
        for old in taken:
            ends += (old, new)
    return np.array(ends, np.int64).reshape(-1, 2).T


class NewmanWattsStrogatz(GraphFamily):
    """A ring with shortcuts: every link of the ring stays, and brings one with probability p.

    Newman and Watts 1999 (Phys. Lett. A 263, 341). As usual a node is joined to k/2 neighbours on
    either side, rounded down, so k = 5 gives the ring of k = 4.

    Args:
        nodes: Number of nodes. Good values: 20 to 1000000; 400 in the protocol of NDCN.
        k: Neighbours on the ring, 2 or more and below the nodes. Good values: 2 to 10; 5 in the
            protocol.
        p: Probability that a link of the ring brings a shortcut, from its first end to a random
            node that it is not yet joined to, 0 to 1. Good values: 0.01 to 0.5; 0.5 in the
            protocol.
        weights: [low, high] of uniform weights; ones where not given. Good values: 0.5 to 1.5.
    """

    def __init__(
        self, nodes: int = 20, k: int = 4, p: float = 0.2, weights: Sequence[float] | None = None
    ):
        at_least(2, k=k)
        if nodes <= k:
            raise ConfigError(f"nodes must be above k, got {nodes} nodes and k = {k}.")
        share(p=p)
        interval(weights)
        self.nodes, self.k, self.p, self.weights = nodes, k, p, weights

    def links(self, rng: torch.Generator) -> Links:
        """The ring, then the shortcuts."""
        draws, node = numpys(rng), np.arange(self.nodes)
        steps = range(1, self.k // 2 + 1)
        ring = np.concatenate(
            [np.stack([node, (node + step) % self.nodes]) for step in steps], axis=1
        )
        origin = node.repeat(len(steps))
        origin = origin[bernoulli.chosen(draws, len(origin), self.p)]
        ends = _shortcuts(draws, self.nodes, ring, origin)
        return weighed(rng, self.nodes, ends, self.weights)


def _key(ends: np.ndarray, nodes: int) -> np.ndarray:
    """A number for each undirected pair."""
    key: np.ndarray = ends.min(axis=0) * nodes + ends.max(axis=0)
    return key


def _shortcuts(
    rng: np.random.Generator, nodes: int, ends: np.ndarray, origin: np.ndarray
) -> np.ndarray:
    """Links with one more from each origin to a node that it is not joined to.

    Origins that hit a neighbour draw again, all at once; one that is joined to all others gives up.
    """
    while len(origin):
        drawn = np.stack([origin, rng.integers(0, nodes, len(origin))])
        key = _key(np.concatenate([ends, drawn], axis=1), nodes)
        new = np.zeros(len(key), bool)
        new[np.unique(key, return_index=True)[1]] = True
        good = new[ends.shape[1] :] & (drawn[0] != drawn[1])
        ends = np.concatenate([ends, drawn[:, good]], axis=1)
        full = np.bincount(ends.ravel(), minlength=nodes) >= nodes - 1
        origin = origin[~good & ~full[origin]]
    return ends
