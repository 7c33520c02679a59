"""Graphs of any size: a ring of springs, and gravity between all pairs."""

from typing import ClassVar

import numpy as np
import torch

from simlearn import Graph, Topology

from .solve import field_of

SOFTENING, SPACING = 0.2, 0.7


def ring(nodes):
    """A ring, each node joined to two neighbours on either side."""
    k = torch.arange(nodes)
    first = torch.cat([k, k])
    second = torch.cat([(k + 1) % nodes, (k + 2) % nodes])
    edges = torch.cat([torch.stack([first, second]), torch.stack([second, first])], dim=1)
    return Topology(Graph(edges, nodes), node_attr=torch.ones(nodes, 1, dtype=torch.float64))


def complete(nodes, mass):
    """All pairs, the mass of each node beside it."""
    attr = torch.full((nodes, 1), mass, dtype=torch.float64)
    return Topology.complete(nodes).replace(node_attr=attr)


class Springs:
    """(r − 1) + (r − 1)³/2 along the edges, unit masses, in the plane; x = (q, p)."""

    name = "spring graph"
    arguments: ClassVar = {}

    def mass(self, nodes):
        """Of each node."""
        return 1.0

    def topology(self, nodes):
        """The ring."""
        return ring(nodes)

    def learned(self, dynamics, nodes):
        """The learned field."""
        return field_of(dynamics, ring(nodes))

    def start(self, nodes, rng):
        """A regular polygon of side 0.7, shaken; ``[nodes, 4]``."""
        angle = 2 * np.pi * np.arange(nodes) / nodes
        radius = SPACING / (2 * np.sin(np.pi / nodes))
        q = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        shaken = rng.standard_normal((nodes, 4)) * [0.1, 0.1, 0.3, 0.3]
        return shaken + np.hstack([q, np.zeros((nodes, 2))])

    def field(self, nodes):
        """The truth on ``[systems, nodes · 4]``."""
        first, second = ring(nodes).graph.pairs.numpy()

        def field(y):
            x = y.reshape(len(y), nodes, 4)
            apart = x[:, second, :2] - x[:, first, :2]
            r = np.sqrt(np.square(apart).sum(-1, keepdims=True))
            push = apart / r * ((r - 1) + (r - 1) ** 3 / 2)
            force = np.zeros((len(y), nodes, 2))
            np.add.at(force, (slice(None), first), push)
            np.subtract.at(force, (slice(None), second), push)
            return np.concatenate([x[..., 2:], force], axis=-1).reshape(y.shape)

        return field


class Gravity:
    """Softened gravity between all pairs in the plane, total mass 1; x = (q, p).

    Args:
        grown: Whether the box grows with the number of nodes, each mass 1/8, instead of the same
            box and the same total mass.
    """

    # the data say the mass of each node, and that the force grows with both
    arguments: ClassVar = {"mass": 0, "coupled": True}

    def __init__(self, grown=False):
        self.grown = grown
        self.name = "gravity, grown box" if grown else "gravity, same box"

    def mass(self, nodes):
        """Of each node."""
        return 1 / 8 if self.grown else 1 / nodes

    def topology(self, nodes):
        """All pairs."""
        return complete(nodes, self.mass(nodes))

    def start(self, nodes, rng):
        """Uniform in a square of side 2, velocities of 0.3; ``[nodes, 4]``."""
        side = np.sqrt(nodes / 8) if self.grown else 1.0
        q = side * rng.uniform(-1, 1, (nodes, 2))
        return np.hstack([q, 0.3 * self.mass(nodes) * rng.standard_normal((nodes, 2))])

    def field(self, nodes):
        """The truth on ``[systems, nodes · 4]``."""
        mass = self.mass(nodes)
        return all_pairs(
            nodes, mass, lambda r2: (r2 + SOFTENING**2) ** -1.5, lambda p, topology: p / mass
        )

    def learned(self, dynamics, nodes):
        """The learned field; at 1024 nodes from a table of f(r)/r, since a force costs a second.

        Linear in log r between 20,001 points, over seven decades.
        """
        if nodes < 1000:
            return field_of(dynamics, self.topology(nodes))
        grid = np.linspace(np.log(1e-5), np.log(1e2), 20_001)
        with torch.no_grad():
            points = torch.from_numpy(np.exp(grid))[:, None]
            table = dynamics.force_over_distance(points)[:, 0].numpy()

        def weight(r2):
            place = (0.5 * np.log(np.maximum(r2, 1e-10)) - grid[0]) / (grid[1] - grid[0])
            first = np.clip(place.astype(int), 0, len(grid) - 2)
            share = place - first
            return (1 - share) * table[first] + share * table[first + 1]

        return all_pairs(nodes, self.mass(nodes), weight, dynamics.drift, self.topology(nodes))


def all_pairs(nodes, mass, weight, drift, topology=None):
    """The field of equal masses that draw each other with m² f(r), by matrix products."""

    def field(y):
        x = y.reshape(len(y), nodes, 4)
        q, p = x[..., :2], torch.from_numpy(x[..., 2:].reshape(-1, 2).copy())
        square = np.square(q).sum(-1)
        r2 = square[:, :, None] + square[:, None] - 2 * q @ q.transpose(0, 2, 1)
        pull = weight(np.maximum(r2, 0))
        force = mass**2 * (pull @ q - q * pull.sum(-1, keepdims=True))
        many = topology and topology.repeat(len(y))
        with torch.no_grad():
            velocity = drift(p, many).numpy().reshape(force.shape)
        return np.concatenate([velocity, force], axis=-1).reshape(y.shape)

    return field
