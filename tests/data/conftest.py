"""Trajectories with everything a file can hold, and what it means that two are the same."""

import pytest
import torch

from simlearn.state import Graph, Topology, Trajectory

MOVING = ("t", "x", "derivative", "inputs", "mask")
STILL = ("edge_attr", "node_attr", "node_type", "system_attr", "inputs", "system")


def graph(kind):
    """One of a few graphs of different size, direction and number of edges."""
    if kind == "ring":
        return Graph(torch.tensor([[0, 1, 2, 2], [1, 2, 0, 2]]), 3)
    if kind == "isolated":
        return Graph(torch.zeros((2, 0), dtype=torch.int64), 4)
    return Topology.complete(kind).graph


def full(kind, steps=5, seed=0, without=(), per_system=False):
    """A trajectory of two systems or of one, with every optional field but those `without`."""
    rng = torch.Generator().manual_seed(seed)

    def real(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    edges = graph(kind)
    rows, systems = edges.rows, min(2, edges.rows)
    still = {
        "edge_attr": real(edges.edge_index.shape[1], 2),
        "node_attr": real(rows, 3),
        "node_type": torch.arange(rows),
        "system_attr": real(systems, 2),
        "inputs": real(rows, 1),
    }
    topology = Topology(
        edges,
        system=torch.arange(rows).clamp(max=systems - 1),
        num_systems=systems,
        node_names=() if "node_names" in without else tuple(f"κ{n}" for n in range(rows)),
        **{name: value for name, value in still.items() if f"still {name}" not in without},
    )
    moving = {
        "derivative": real(steps, rows, 2),
        "inputs": real(steps, rows, 1),
        "mask": real(steps, rows) > 0,
    }
    x = real(steps, rows, 2)
    x[-1, 0] = torch.tensor([torch.nan, -0.0])
    return Trajectory(
        real(steps, systems) if per_system else real(steps),
        x,
        topology,
        status=("ok", "diverged", "left_bound")[seed % 3],
        finite_steps=steps - 1,
        **{name: value for name, value in moving.items() if name not in without},
    )


OPTIONAL = [
    "derivative",
    "inputs",
    "mask",
    "node_names",
    *(f"still {name}" for name in ("edge_attr", "node_attr", "node_type", "system_attr", "inputs")),
]


def content(track):
    """Everything a trajectory holds, to the bit."""

    def raw(value):
        if value is None:
            return None
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()

    still = track.topology
    return (
        {name: raw(getattr(track, name)) for name in MOVING},
        {name: raw(getattr(still, name)) for name in STILL},
        raw(still.graph.edge_index),
        (still.graph.rows, still.num_systems, still.node_names),
        (track.status, track.finite_steps),
    )


@pytest.fixture(scope="session")
def make():
    """The maker of full trajectories, with its choices."""
    make = full
    make.optional, make.content = OPTIONAL, content
    return make
