"""Directions on graphs: what shared weights see of a state, and its waves."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.state import Topology

SEEN = 1e-9  # share of a local input in the null space below which it counts as seen


def local_inputs(x: Tensor, topology: Topology) -> Tensor:
    """What a field with shared weights sees: (x_source, x_target) of every edge.

    Rows by themselves where there are no edges.

    Args:
        x: ``[samples, rows, dim]``.
        topology: Of one system.

    Returns:
        ``[samples · edges, 2 dim]``, or ``[samples · rows, dim]``.
    """
    source, target = topology.graph.edge_index
    if not source.numel():
        return x.flatten(0, 1)
    return torch.cat([x[:, source], x[:, target]], dim=-1).flatten(0, 1)


def undetermined(null: Tensor, topology: Topology, dim: int) -> tuple[Tensor, Tensor]:
    """Directions of the whole state that show a shared field something it never saw.

    A node without any edge shows none, and counts as determined.

    A direction e is determined where every local input it makes lies in the span of those of the
    data: P₀ L(e) = 0 for each edge, P₀ the projector on their null space.

    Args:
        null: Orthonormal null directions of the local inputs, ``[2 dim, m]`` (``[dim, m]`` without
            edges), in the metric of the state.
        topology: Of one system.
        dim: Columns of a row.

    Returns:
        Orthonormal bases of determined ``[n, r]`` and undetermined ``[n, n − r]`` directions.
    """
    rows, p0 = topology.rows, null @ null.mT
    gram = null.new_zeros(rows, dim, rows, dim)
    source, target = topology.graph.edge_index
    if not source.numel():
        every = torch.arange(rows)
        gram[every, :, every, :] += p0
    else:
        here, there = slice(0, dim), slice(dim, 2 * dim)
        for ends, block in (
            ((source, source), p0[here, here]),
            ((source, target), p0[here, there]),
            ((target, source), p0[there, here]),
            ((target, target), p0[there, there]),
        ):
            flat = (ends[0] * rows + ends[1]).cpu()
            sums = null.new_zeros(rows * rows, dim, dim)
            sums.index_add_(0, flat, block.expand(len(flat), dim, dim).contiguous())
            gram += sums.reshape(rows, rows, dim, dim).transpose(1, 2)
    values, vectors = torch.linalg.eigh(gram.reshape(rows * dim, rows * dim))
    unseen = values > SEEN * values[-1].clamp_min(1e-300)
    unseen &= values > SEEN
    return vectors[:, ~unseen], vectors[:, unseen]


def fourier(topology: Topology) -> tuple[Tensor, Tensor]:
    """Waves of a graph: eigenvalues ``[rows]`` and eigenvectors ``[rows, rows]`` of L = D − A.

    Of the undirected graph; the first is constant on every connected part.
    """
    rows = topology.rows
    adjacency = torch.zeros(rows, rows, dtype=torch.float64)
    source, target = topology.graph.edge_index.cpu()
    adjacency[source, target] = 1.0
    adjacency = torch.maximum(adjacency, adjacency.mT)
    values, waves = torch.linalg.eigh(torch.diag(adjacency.sum(0)) - adjacency)
    return values, waves


def wave_energy(directions: Tensor, topology: Topology, dim: int) -> Tensor:
    """Share of each graph-Fourier mode in directions ``[n, m]``, ``[rows, m]``."""
    _, waves = fourier(topology)
    amplitude = torch.einsum("rw,rdm->wdm", waves, directions.reshape(-1, dim, directions.shape[1]))
    share = amplitude.square().sum(1)
    return share / share.sum(0, keepdim=True).clamp_min(1e-300)


def node_share(directions: Tensor, dim: int) -> Tensor:
    """Share of each node in directions ``[n, m]``, ``[rows, m]``; columns sum to 1."""
    return directions.reshape(-1, dim, directions.shape[1]).square().sum(1)
