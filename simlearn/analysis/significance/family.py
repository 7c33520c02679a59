"""Graphs like a given one: the same degrees, other neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.randomness import generator
from simlearn.state import Graph, Topology

SWEEPS = 10  # each pairs all links once; after a few, a graph has forgotten who was linked


def rewired(topology: Topology, count: int, seed: int = 0) -> list[Topology]:
    """Graphs of the same degrees whose links are drawn anew.

    Two links a–b and c–d become a–d and c–b, unless that makes a loop or a link that is there
    already (Maslov and Sneppen 2002); in a symmetric graph, both directions of a link move
    together. Attributes of edges go along with the edge that leaves their source; those of nodes
    stay. Loops stay where they are.

    Args:
        topology: One system, such as the graph of the training.
        count: How many.
        seed: Of the draws.

    Raises:
        ConfigError: Less than one is asked for.
    """
    if count < 1:
        raise ConfigError(f"count is a number of graphs and at least 1, got {count}.")
    links, directed = _links(topology)
    return [_rewired(topology, links, directed, generator(seed, k)) for k in range(count)]


def _links(topology: Topology) -> tuple[Tensor, bool]:
    """Numbers of the edges that are swapped: no loops; of a symmetric graph, one of each two."""
    source, target = topology.graph.edge_index
    if topology.graph.pairs is None:
        return (source != target).nonzero()[:, 0], True
    return (source < target).nonzero()[:, 0], False


def _rewired(topology: Topology, links: Tensor, directed: bool, rng: torch.Generator) -> Topology:
    rows, edges = topology.rows, topology.graph.edge_index
    ends = edges[:, links].clone()
    if not directed:  # which end is first must not depend on the numbers of nodes
        turn = (torch.rand(len(links), generator=rng) < 0.5).to(ends.device)
        ends[:, turn] = ends[:, turn].flip(0)
    for _ in range(SWEEPS):
        ends = _swapped(ends, rows, directed, rng)
    moved = edges.clone()
    moved[:, links] = ends
    if not directed:
        back = _backs(edges, links, rows)
        moved[:, back] = ends.flip(0)
    return topology.replace(graph=Graph(moved, rows))


def _swapped(ends: Tensor, rows: int, directed: bool, rng: torch.Generator) -> Tensor:
    """Every link meets another once; swaps that would clash with anything are left out."""
    half = ends.shape[1] // 2
    if half == 0:
        return ends
    order = torch.randperm(ends.shape[1], generator=rng).to(ends.device)
    one, two = order[:half], order[half : 2 * half]
    if not directed:
        turn = two[(torch.rand(half, generator=rng) < 0.5).to(ends.device)]
        ends = ends.clone()
        ends[:, turn] = ends[:, turn].flip(0)
    new = torch.cat(
        [torch.stack([ends[0, one], ends[1, two]]), torch.stack([ends[0, two], ends[1, one]])],
        dim=1,
    )
    now, then = _key(ends, rows, directed), _key(new, rows, directed)
    everything = torch.cat([now, then])
    _, which, times = everything.unique(return_inverse=True, return_counts=True)
    good = (times[which[len(now) :]] == 1) & (new[0] != new[1])
    good = good[:half] & good[half:]
    swapped = ends.clone()
    swapped[1, one[good]], swapped[1, two[good]] = ends[1, two[good]], ends[1, one[good]]
    return swapped


def _key(ends: Tensor, rows: int, directed: bool) -> Tensor:
    if not directed:
        ends = torch.stack([ends.amin(0), ends.amax(0)])
    return ends[0] * rows + ends[1]


def _backs(edges: Tensor, links: Tensor, rows: int) -> Tensor:
    """The edge that leads back along each link, ``[links]``; doubled edges are matched in order."""
    source, target = edges
    down = (source > target).nonzero()[:, 0]
    up = torch.argsort(source[links] * rows + target[links], stable=True)
    other = torch.argsort(target[down] * rows + source[down], stable=True)
    back = torch.empty_like(links)
    back[up] = down[other]
    return back
