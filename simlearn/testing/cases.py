"""Small cases on which the contract is tested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from simlearn.component import Component
from simlearn.dynamics.base import Dynamics, Map
from simlearn.state import Topology

SEED = 7


def examples(cls: type[Component]) -> Iterator[Any]:
    """The component's own examples, built under a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield from cls.examples()


def sample(dynamics: Dynamics, systems: int = 1) -> tuple[Tensor, Topology]:
    """A state and a topology that the dynamics accept, float64."""
    names = tuple(getattr(dynamics, "names", ()))
    rows = getattr(dynamics, "rows", None) or len(names) or 3
    topology = Topology.complete(rows, names).repeat(systems)
    rng = torch.Generator().manual_seed(SEED)
    x = torch.randn(topology.rows, dynamics.dim or 4, generator=rng, dtype=torch.float64)
    return x, topology


def derivative(dynamics: Dynamics, x: Tensor, topology: Topology) -> Tensor:
    """dx/dt of a field at t = 0, or the next state of a map."""
    if isinstance(dynamics, Map):
        return dynamics(0.0, x, 0.1, topology)
    return dynamics(0.0, x, topology)


def permuted(topology: Topology, order: Tensor) -> Topology:
    """The same system with its rows in another order: new row k is old row ``order[k]``."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    graph = type(topology.graph)(place[topology.graph.edge_index], topology.rows)
    changes: dict[str, Any] = {"graph": graph}
    for name in ("node_type", "node_attr", "inputs", "system"):
        value = getattr(topology, name)
        changes[name] = None if value is None else value[order]
    return topology.replace(**changes)
