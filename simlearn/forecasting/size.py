"""How much memory and disk a forecast takes, said before it takes it."""

from __future__ import annotations

from typing import Any

from torch import nn

from simlearn.component import EnvironmentFault
from simlearn.data.importing.memory import budget, told
from simlearn.dynamics.ensemble import CHUNK as ROWS_AT_ONCE
from simlearn.dynamics.pairterms import CHUNK as EDGES_AT_ONCE
from simlearn.dynamics.pairterms import EdgeNetwork
from simlearn.simulator import Simulator
from simlearn.state import Topology

PER_EDGE = 100  # bytes: both ends, weight, and both orders of the product
LAYERS = 6  # of the widest layer, that one evaluation holds at once
STAGES = 12  # states that an integrator holds at once
SHARE = 4  # of the memory that may be used, the part that states of a forecast may take


def estimate(simulator: Simulator, rows: int, edges: int, real: int) -> int:
    """Bytes that the graph and one step on it take.

    Args:
        simulator: What is rolled out.
        rows: Nodes.
        edges: Edges, both directions counted.
        real: Bytes of a number.
    """
    field: Any = simulator.dynamics
    dim, widest, size = field.dim or 1, field.dim or 1, 1
    between, members = 0, 1
    for part in field.modules():
        if isinstance(part, nn.Linear):
            widest = max(widest, part.out_features)
        if isinstance(part, EdgeNetwork):
            at_once = min(edges, max(1, EDGES_AT_ONCE // part.width))
            between = max(between, at_once * (3 * part.width + 2 * part.seen))
        functions = getattr(part, "size", None)
        if part is not field and isinstance(functions, int):
            widest = max(widest, 3 * functions)
    if hasattr(field, "members"):
        members = size = field.size
        if not hasattr(field.member, "columns"):  # else members share one evaluation
            size = min(members, max(1, ROWS_AT_ONCE // max(1, rows)))
    numbers = rows * (size * LAYERS * widest + (STAGES + members) * dim) + size * between
    return edges * PER_EDGE + numbers * real


def refuse_large(simulator: Simulator, topology: Topology, real: int, where: str) -> None:
    """Refuse a graph on which one step would not fit into memory.

    Raises:
        EnvironmentFault: It would not; the estimate is told.
    """
    rows, edges = topology.rows, topology.graph.edge_index.shape[1]
    size, limit = estimate(simulator, rows, edges, real), budget()
    if size > limit:
        raise EnvironmentFault(
            f"{where}: one step on {rows} nodes and {edges} edges would take about {told(size)} of "
            f"memory, {told(limit)} may be used now. Take a part of the graph, a smaller ensemble "
            "(one member), or a larger machine."
        )


def kept_bytes(kept: int, rows: int, dim: int, real: int) -> int:
    """States and alarms of a forecast."""
    return kept * rows * (dim * real + 1)


def fits(size: int) -> bool:
    """Whether states of so many bytes may stay in memory."""
    return size <= budget() // SHARE
