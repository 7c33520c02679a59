"""A forecast with what is to be said of it: states, alarms, p-values, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simlearn.data.writer import Writer
from simlearn.forecasting.trust import Trust
from simlearn.forecasting.words import alarm, degrees, named, trusted
from simlearn.state import Status, Topology, Trajectory

GROUP = "forecast"  # of the file, beside those of the format


@dataclass(frozen=True, eq=False)
class Alarms:
    """Which nodes left the range of the training data, and when.

    Attributes:
        outside: ``[states, rows]`` bool: out of range at any step since the state kept before.
        first: ``[rows]``: time at which a node was out of range first, NaN where never.
        beyond: How far out any node was, in widths of the range; 0 where nobody knows the range.
        column: In which column the first node was farthest out.
        range: Lowest and highest of that column in the training; None where nobody knows.
        graph: What of the graph no training graph had, in words.
    """

    outside: Tensor
    first: Tensor
    beyond: float = 0.0
    column: int = 0
    range: tuple[float, float] | None = None
    graph: Sequence[str] = ()

    @property
    def nodes(self) -> Tensor:
        """Nodes that were out of range at any time."""
        return (~self.first.isnan()).nonzero()[:, 0]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(len(self.nodes)) or bool(self.graph)


@dataclass(frozen=True, eq=False)
class Forecast:
    """A forecast on a graph.

    Attributes:
        trajectory: The states that were kept; of the nodes ``nodes`` only, where a long forecast
            went to a file.
        topology: The whole graph.
        last: The last state that was kept, ``[rows, dim]``.
        alarms: Which nodes left the range of the training data.
        trust: The significance test; None where it could not be made.
        untested: Why not, and what would bring it.
        truth: What was measured, where it is known.
        nodes: Rows of the graph that ``trajectory`` holds; None: all.
        status: "ok", or "diverged" where it stopped being finite.
        labels: Names of the rows; empty where they have none.
        notes: What a user should know of the graph.
        told: Where it comes from, in plain JSON types.
    """

    trajectory: Trajectory
    topology: Topology
    last: Tensor
    alarms: Alarms
    trust: Trust | None = None
    untested: str = ""
    truth: Trajectory | None = None
    nodes: Tensor | None = None
    status: Status = "ok"
    labels: Sequence[str] = ()
    notes: Sequence[str] = ()
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """What speaks against the forecast, and what could not be looked at."""
        names = named(self.told, self.trajectory.dim)
        found = [*self.notes, alarm(self.alarms, self.trajectory.t, self.labels, names)]
        found += degrees(self.alarms.graph)
        found += trusted(self.trust) if self.trust is not None else [self.untested]
        return [one for one in found if one]

    def write(self, path: Path | str, overwrite: bool = False) -> str:
        """Write states, alarms and p-values into a dataset file; returns the digest of the data.

        Raises:
            DataError: The file exists, or this forecast has gone to one.
            EnvironmentFault: It cannot be written.
        """
        from simlearn.component import DataError

        if self.nodes is not None:
            raise DataError("This forecast was too long for memory; it is in the file of `out`.")
        with Writer(path, overwrite) as writer:
            put(writer, 0, self.trajectory, self.alarms.outside)
            self.beside(writer, 0)
            return writer.finish({GROUP: {**self.told, "summary": [self.summary()]}})

    def plots(self, folder: Path | str) -> list[Path]:
        """Write pictures: nodes over time, error and p-value over time, the graph."""
        from simlearn.forecasting.pictures import pictures

        return pictures(self, Path(folder))

    def beside(self, writer: Writer, number: int) -> None:
        """Alarms and p-values into the file, in ``forecast/NUMBER/``."""
        place = f"{GROUP}/{number}"
        writer.beside(
            f"{place}/first_exit",
            self.alarms.first.cpu().numpy(),
            meaning="time at which the node was out of the range of the training data first; NaN: "
            "never",
            beyond=self.alarms.beyond,
        )
        if self.trust is None:
            return
        found, asked = self.trust.significance, self.trust.question
        of: dict[str, str | float | int] = {"members": self.trust.members, "null": str(asked.null)}
        of |= {"draws": int(asked.draws or 0), "level": asked.level, "seed": asked.seed}
        for name, values, meaning in (
            ("tested_t", self.trust.t, "times of the states that were tested"),
            ("p", found.p, "p-value of the state: both aggregates together, +1 corrected"),
            ("q", self.trust.q, "p adjusted for the number of tested times"),
            ("p_mean", found.p_mean, "p-value by the mean of z over nodes"),
            ("p_top", found.p_top, "p-value by the mean of the largest tenth of z"),
            ("node_p", found.node_p, "p-value of each node at each tested time"),
            ("node_q", found.node_q, "adjusted for all nodes: at most a means a false discovery "
             "rate of a"),
        ):  # fmt: skip
            writer.beside(f"{place}/{name}", values.cpu().numpy(), meaning=meaning, **of)
        spread = self.trust.spread
        writer.beside(
            f"{place}/rel",
            torch.tensor([spread.rel], dtype=torch.float64).numpy(),
            meaning="spread of the members over the size of dx/dt, relative to graphs like those "
            "of the training; above 2 the graph is unlike them",
            p=spread.p,
            graphs=len(spread.family),
        )

    def summary(self) -> dict[str, Any]:
        """Plain JSON types: how it ended, alarms, p-values, REL, and the sentences."""
        told: dict[str, Any] = {
            "status": self.status,
            "rows": self.topology.rows,
            "nodes_out_of_range": len(self.alarms.nodes),
            "beyond": min(self.alarms.beyond, 1e300),
            "sentences": self.sentences,
        }
        if self.trust is not None:
            found = self.trust.significance
            told |= {
                "members": self.trust.members,
                "p_start": float(found.p[0]),
                "p_smallest": float(found.p.min()),
                "q_smallest": float(self.trust.q.min()),
                "rel": min(self.trust.spread.rel, 1e300),
                "doubt_of_state": self.trust.doubt.state,
                "doubt_of_graph": self.trust.doubt.graph,
            }
        return told


def put(
    writer: Writer, number: int, part: Trajectory, outside: Tensor, goes_on: bool = False
) -> None:
    """States and alarms into the file: a whole forecast, or a piece of one that goes on."""
    if goes_on:
        writer.extend(part)
    else:
        writer.append(part)
    writer.beside(
        f"{GROUP}/{number}/outside",
        outside.cpu().numpy(),
        meaning="node (column) out of the range of the training data at any step since the state "
        "(row) before",
    )
