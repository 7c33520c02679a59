"""A graph and a start, from whatever they come as, made to fit a simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simlearn.analysis.significance import resampled
from simlearn.component import ConfigError, DataError
from simlearn.forecasting.attached import attached, counted
from simlearn.forecasting.attributes import edge_columns
from simlearn.forecasting.course import Begin
from simlearn.forecasting.networks import Network, network
from simlearn.forecasting.starts import Start, constant, read_start
from simlearn.forecasting.trust import complete
from simlearn.randomness import generator
from simlearn.simulator import Simulator
from simlearn.stability.evidence import inputs_for
from simlearn.state import Topology, Trajectory

SAMPLE = "sample"
SHOWN = 6  # names in a message


@dataclass(frozen=True, eq=False)
class Opened:
    """Where a forecast begins, and what is to be said of its graph."""

    begin: Begin
    labels: Sequence[str]
    notes: Sequence[str]


def opened(
    simulator: Simulator,
    graph: Topology | Path | str,
    x0: Tensor | Path | str | float,
    *,
    directed: bool = False,
    training: Sequence[Trajectory] = (),
    t0: float | None = None,
    seed: int = 0,
) -> Opened:
    """The start of a forecast on a graph.

    Args:
        simulator: What will be rolled out.
        graph: A topology, or a file (`network`).
        x0: States ``[rows, dim]``, a file (`read_start`), numbers for all nodes, or "sample":
            every node drawn from the states of the training.
        directed: Whether every line of an edge list is one directed edge.
        training: Where "sample" draws from.
        t0: Time of the start; that of its file where it has one, else 0.
        seed: Of the draw.

    Raises:
        ConfigError: The simulator does not say how many columns it has, or needs inputs.
        DataError: Graph, start and simulator do not fit.
    """
    dim = simulator.dynamics.dim
    if dim is None:
        raise ConfigError(
            f"{type(simulator.dynamics).__name__} does not say how many columns a state has, so a "
            "start cannot be read. Give --data instead."
        )
    columns = _columns(simulator)
    start = _start(simulator, x0, dim, columns)
    found = _graph(graph, directed, start)
    if isinstance(graph, Topology) and start is not None:
        start = _matched(start, found)
    rows = found.topology.rows
    if start is None:
        x = _sampled(training, rows, dim, seed)
        start = Start(x, where="sample")
    else:
        x = start.x.expand(rows, dim) if start.uniform else start.x
    if x.shape != (rows, dim):
        raise DataError(f"The start is {list(x.shape)}; on this graph a state is [{rows}, {dim}].")
    topology = found.topology
    if not isinstance(graph, Topology):
        topology = attached(found, start, simulator.dynamics, columns)
    real = next((p.dtype for p in simulator.parameters()), torch.float64)
    begin = Begin(x.to(real).contiguous(), topology.to("cpu", real), start.t if t0 is None else t0)
    _refuse_overflow(begin, real)
    return Opened(begin, found.labels, [*found.notes, *_unused(simulator, topology)])


def begin_of(simulator: Simulator, one: Trajectory, steps: int, first: bool) -> Begin:
    """The last complete sample of a trajectory, or its first.

    Raises:
        DataError: The data have control inputs, and the forecast goes on where they end.
    """
    usable = one.slice(0, one.finite_steps)
    if usable.mask is not None:
        whole = usable.mask.all(1).nonzero()[:, 0]
        if not len(whole):
            raise DataError("A trajectory has no complete sample to start from.")
        usable = usable.slice(int(whole[0]), int(whole[-1]) + 1)
    if usable.inputs is not None and not first:
        raise DataError(
            "The data have control inputs, and a forecast that goes on from their end would need "
            "inputs for times that nobody has given. Begin where they begin: --start first"
        )
    begin = usable if first else usable.slice(usable.steps - 1)
    real = next((p.dtype for p in simulator.parameters()), torch.float64)
    begin = begin.to("cpu", real)
    t = begin.t[0]
    return Begin(
        begin.x[0],
        begin.topology,
        t[begin.topology.system][:, None] if t.ndim else float(t),
        inputs_for(begin, steps, simulator.dt),
    )


def _columns(simulator: Simulator) -> Any:
    data = simulator.provenance.get("data", {})
    return data.get("columns") if isinstance(data, Mapping) else None


def _start(
    simulator: Simulator,
    x0: Tensor | Path | str | float,
    dim: int,
    columns: Any,
) -> Start | None:
    """What is given of the start; None where it is drawn when the graph is known."""
    if isinstance(x0, Tensor):
        if x0.ndim != 2 or not bool(x0.isfinite().all()):
            raise DataError(
                f"The start must be finite numbers [rows, {dim}], got {list(x0.shape)}"
                + ("." if x0.ndim != 2 else " with some that are not.")
            )
        return Start(x0, where="x0")
    if isinstance(x0, Path) or Path(str(x0)).is_file():
        more = counted(simulator.dynamics, "node_parameters") or 0
        return read_start(x0 if isinstance(x0, Path) else str(x0), dim, columns, more)
    if x0 == SAMPLE:
        return None
    return constant(str(x0), dim) or read_start(str(x0), dim)


def _sampled(training: Sequence[Trajectory], rows: int, dim: int, seed: int) -> Tensor:
    if not training:
        raise DataError(
            "A start that is drawn from the training data needs them: --training-data FILE.h5."
        )
    pool = torch.cat([complete(one) for one in training])
    if pool.shape[1] != dim:
        raise DataError(f"The training data have {pool.shape[1]} columns, the simulator {dim}.")
    return resampled(pool[pool.isfinite().all(1)])(rows, generator(seed, 0))


def _graph(graph: Topology | Path | str, directed: bool, start: Start | None) -> Network:
    if isinstance(graph, Topology):
        if graph.num_systems != 1:
            raise DataError(
                f"A forecast runs on one graph, this topology holds {graph.num_systems} systems."
            )
        names = graph.node_names if graph.node_type is not None else ()
        types = [] if graph.node_type is None else graph.node_type.tolist()
        return Network(graph, [names[k] for k in types] if names else ())
    if start is None or start.uniform:
        return network(graph, directed)
    return network(graph, directed, start.names, None if start.names else len(start.x))


def _matched(start: Start, found: Network) -> Start:
    """The start with its rows in the order of a topology's nodes, where both have names.

    Raises:
        DataError: They have other names.
    """
    rows = found.topology.rows
    labels = [*found.labels] or [str(k) for k in range(rows)]
    if not start.names or start.uniform or len(set(labels)) < rows:
        return start
    if set(start.names) != set(labels):
        if not found.labels:
            return start  # rows without names: they can stand as in the start only
        odd = sorted(set(start.names) ^ set(labels))
        raise DataError(
            f"{start.where} and the topology have other nodes: {', '.join(odd[:SHOWN])} "
            f"{'is' if len(odd) == 1 else 'are'} in one of them only. Give both the same nodes."
        )
    place = {name: k for k, name in enumerate(start.names)}
    order = torch.tensor([place[name] for name in labels])
    parameters = {name: values[order] for name, values in start.parameters.items()}
    return replace(start, x=start.x[order], names=labels, parameters=parameters)


def _refuse_overflow(begin: Begin, real: torch.dtype) -> None:
    """Refuse numbers that are finite in the file, and infinite in the dtype of the simulator.

    Raises:
        DataError: There are some.
    """
    topology = begin.topology
    held = {"start": begin.x, "weights": topology.edge_attr, "parameters": topology.node_attr}
    for name, values in held.items():
        if values is not None and not bool(values.isfinite().all()):
            raise DataError(
                f"The {name} hold numbers that are not finite in {real}, which the simulator "
                "computes in. Give smaller ones."
            )


def _unused(simulator: Simulator, topology: Topology) -> list[str]:
    """Weights that the simulator does not look at."""
    read = edge_columns(simulator.dynamics)
    if topology.edge_attr is None or read is None or read:
        return []
    return ["the edges carry weights, and the simulator was trained without any; they are not used"]
