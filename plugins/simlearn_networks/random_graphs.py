"""Graphs with random links: independent, in groups, near in space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree

from simlearn import ConfigError
from simlearn_networks import bernoulli
from simlearn_networks.common import at_least, positive, share
from simlearn_networks.family import GraphFamily, Links, interval, numpys, weighed


class ErdosRenyi(GraphFamily):
    """Every pair is joined with one probability, independently of all others: G(n, p).

    Gilbert 1959 (Ann. Math. Stat. 30, 1141). Drawn in time and memory O(nodes + edges).

    Args:
        nodes: Number of nodes. Good values: 10 to 1000000; 400 in the protocol of NDCN.
        p: Probability of a link, 0 to 1. Good values: above ln(nodes)/nodes, so that the graph is
            likely connected; 0.1 in the protocol of NDCN.
        directed: Whether both directions of a pair are drawn separately. Good values: false.
        weights: [low, high] of uniform weights; ones where not given. Good values: 0.5 to 1.5.
    """

    def __init__(
        self,
        nodes: int = 20,
        p: float = 0.3,
        directed: bool = False,
        weights: Sequence[float] | None = None,
    ):
        at_least(1, nodes=nodes)
        share(p=p)
        interval(weights)
        self.nodes, self.p, self.directed, self.weights = nodes, p, directed, weights

    def links(self, rng: torch.Generator) -> Links:
        """Pairs taken by geometric gaps."""
        make = bernoulli.ordered if self.directed else bernoulli.within
        ends = make(numpys(rng), self.nodes, self.p)
        return weighed(rng, self.nodes, ends, self.weights, self.directed)


class RandomPartition(GraphFamily):
    """Groups whose members are joined often, and seldom to others: planted partition.

    Condon and Karp 2001 (Random Struct. Algorithms 18, 116). Node numbers run group by group.

    Args:
        sizes: Nodes of each group. Good values: 2 to 10 groups; 133, 133, 100, 34 in the protocol
            of NDCN.
        p_in: Probability of a link in a group. Good values: 0.1 to 0.5; 0.25 in the protocol.
        p_out: Probability of a link between groups. Good values: 0 to 0.05; 0.01 in the protocol.
        weights: [low, high] of uniform weights; ones where not given. Good values: 0.5 to 1.5.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (10, 8, 6),
        p_in: float = 0.5,
        p_out: float = 0.05,
        weights: Sequence[float] | None = None,
    ):
        if not sizes or min(sizes) < 1:
            raise ConfigError(f"sizes must be the nodes of each group, 1 or more; got {sizes}.")
        share(p_in=p_in, p_out=p_out)
        interval(weights)
        self.sizes, self.p_in, self.p_out, self.weights = sizes, p_in, p_out, weights

    def links(self, rng: torch.Generator) -> Links:
        """Block by block."""
        source, first = numpys(rng), np.cumsum([0, *self.sizes])
        blocks = []
        for a, size in enumerate(self.sizes):
            blocks.append(first[a] + bernoulli.within(source, size, self.p_in))
            for b in range(a):
                ends = bernoulli.between(source, self.sizes[b], size, self.p_out)
                blocks.append(ends + first[[b, a]][:, None])
        return weighed(rng, int(first[-1]), np.concatenate(blocks, axis=1), self.weights)


class RandomGeometric(GraphFamily):
    """Points at random in the unit square, joined where they are near.

    Penrose, Random Geometric Graphs (2003). Neighbours are found by a tree, in O(n log n + edges).

    Args:
        nodes: Number of points. Good values: 10 to 100000.
        radius: Points are joined up to this distance, in sides of the unit square. Good values:
            above the root of ln(nodes)/(π nodes), so that the graph is likely connected.
        weights: [low, high] of uniform weights; ones where not given. Good values: 0.5 to 1.5.
    """

    def __init__(
        self, nodes: int = 20, radius: float = 0.35, weights: Sequence[float] | None = None
    ):
        at_least(1, nodes=nodes)
        positive(radius=radius)
        interval(weights)
        self.nodes, self.radius, self.weights = nodes, radius, weights

    def links(self, rng: torch.Generator) -> Links:
        """Pairs of near points, sorted."""
        points = torch.rand(self.nodes, 2, generator=rng, dtype=torch.float64).numpy()
        pairs = cKDTree(points).query_pairs(self.radius, output_type="ndarray").T
        pairs = pairs[:, np.lexsort(pairs[::-1])].astype(np.int64)
        return weighed(rng, self.nodes, pairs, self.weights)
