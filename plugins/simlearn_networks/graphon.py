"""Random graphs that grow towards a graphon, and what their dynamics grow towards."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simlearn import Graph, Topology, Trajectory

Graphon = Literal["constant", "ring", "slope"]
SMOOTH = 100  # values that tell a function on [0, 1]
WIDTH = 0.06  # of the normal weight that smooths it


def places(nodes: int) -> Tensor:
    """Where nodes sit in [0, 1]: the middles of equal intervals, ``[nodes]``."""
    return (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes


def density(graphon: Graphon, u: Tensor, v: Tensor) -> Tensor:
    """W(u, v), symmetric, from 0 to 1.

    "constant": 1/2. "ring": (1 + cos 2π(u − v))/2. "slope": 1 − max(u, v), which graphs approach
    that grow by uniform attachment.
    """
    if graphon == "ring":
        return (1 + (2 * torch.pi * (u - v)).cos()) / 2
    if graphon == "slope":
        return 1 - u.maximum(v)
    return torch.full_like(u + v, 0.5)


def sampled(graphon: Graphon, nodes: int, thinned: float, rng: torch.Generator) -> Topology:
    """A graph whose links are drawn by themselves, each with probability ``thinned`` · W."""
    first, second = torch.triu_indices(nodes, nodes, 1)
    u = places(nodes)
    chance = thinned * density(graphon, u[first], u[second])
    taken = torch.rand(len(first), generator=rng, dtype=torch.float64) < chance
    return _joined(torch.stack([first[taken], second[taken]]), nodes, None)


def neighbours(graphon: Graphon, nodes: int, thinned: float) -> float:
    """How many neighbours a sum over them is worth: its mean squared over its variance."""
    u = places(200)
    chance = thinned * density(graphon, u[:, None], u)
    return nodes * float(chance.mean() ** 2 / (chance * (1 - chance)).mean())


def whole(graphon: Graphon, nodes: int) -> Topology:
    """All nodes joined, themselves included, by links of weight W: the integral over W, as sums."""
    first, second = torch.triu_indices(nodes, nodes)
    u = places(nodes)
    return _joined(torch.stack([first, second]), nodes, density(graphon, u[first], u[second]))


def _joined(pairs: Tensor, nodes: int, weight: Tensor | None) -> Topology:
    """Both directions of each pair; every link carries a weight in ``edge_attr``."""
    weight = torch.ones(pairs.shape[1], dtype=torch.float64) if weight is None else weight
    back = (pairs[0] != pairs[1]).nonzero().squeeze(1)
    edges = torch.cat([pairs, pairs[:, back].flip(0)], dim=1)
    weights = torch.cat([weight, weight[back]])
    order = torch.argsort(edges[0] * nodes + edges[1])
    return Topology(Graph(edges[:, order].contiguous(), nodes), edge_attr=weights[order, None])


def profile(track: Trajectory) -> tuple[Tensor, Tensor | None]:
    """Start and node parameters of a trajectory as functions on [0, 1], tabulated at its nodes.

    Both are put in the order of their first column, then averaged over neighbours in it: smooth
    functions whose values lie between those of the data.
    """
    nodes = track.topology.node_attr
    return _smooth(track.x[0].double()), None if nodes is None else _smooth(
        nodes.reshape(track.topology.rows, -1).double()
    )


def _smooth(table: Tensor) -> Tensor:
    """Rows in the order of their first column, averaged with a normal weight, ``[SMOOTH, c]``."""
    ordered, u = table[torch.argsort(table[:, 0], stable=True)], places(len(table))
    weight = (-((places(SMOOTH)[:, None] - u) / WIDTH).square() / 2).exp()
    return weight @ ordered / weight.sum(1, keepdim=True)


def at(table: Tensor, u: Tensor) -> Tensor:
    """A function tabulated at `places`, linear between them: ``[k, c]`` to ``[len(u), c]``."""
    last = len(table) - 1
    place = (u * len(table) - 0.5).clamp(0, last)
    left = place.floor().clamp(max=max(last - 1, 0)).long()
    part = (place - left).unsqueeze(1)
    return table[left] * (1 - part) + table[(left + 1).clamp(max=last)] * part
