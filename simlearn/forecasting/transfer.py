"""How the error of a simulator grows with the graph: size, degree, clustering."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from simlearn.component import ConfigError, DataError
from simlearn.randomness import generator
from simlearn.simulator import Simulator
from simlearn.stability.finding import Curve, Line
from simlearn.state import Topology, Trajectory

PICKED = 1000  # nodes whose clustering is measured, of larger graphs
WEDGES = 20000  # pairs of neighbours that are looked at in all


@dataclass(frozen=True)
class Row:
    """One graph.

    Attributes:
        graph: Its name.
        nodes: How many.
        edges: Directed ones.
        mean_degree: Neighbours of a node.
        largest_degree: Of any node.
        clustering: Share of pairs of neighbours that are joined, mean over nodes (a sample of large
            graphs).
        field_error: Relative error of dx/dt along the data, Σ|error| / Σ|dx/dt|; NaN where they
            carry no derivative.
        rollout_error: Relative error of rollouts, Σ|error| / Σ|x|; infinite where one was lost.
        outside: Share of nodes that left the range of the training data.
    """

    graph: str
    nodes: int
    edges: int
    mean_degree: float
    largest_degree: int
    clustering: float
    field_error: float
    rollout_error: float
    outside: float


@dataclass(frozen=True)
class Transfer:
    """Errors by graph.

    Attributes:
        rows: One a graph, in the order given.
    """

    rows: Sequence[Row]

    def to_csv(self) -> str:
        """A table that every program reads."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([one.name for one in fields(Row)])
        table.writerows(asdict(row).values() for row in self.rows)
        return text.getvalue()

    def to_markdown(self) -> str:
        """A table for people."""
        lines = [
            "| graph | nodes | edges | mean degree | largest | clustering | dx/dt off by | "
            "rollouts off by | out of range |",
            "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
        ]
        for row in self.rows:
            field = "" if math.isnan(row.field_error) else f"{row.field_error:.3%}"
            whole = "lost" if math.isinf(row.rollout_error) else f"{row.rollout_error:.3%}"
            lines.append(
                f"| {row.graph} | {row.nodes} | {row.edges} | {row.mean_degree:.3g} | "
                f"{row.largest_degree} | {row.clustering:.3g} | {field} | {whole} | "
                f"{row.outside:.2%} |"
            )
        return "\n".join(lines) + "\n"

    def curves(self) -> dict[str, Curve]:
        """Errors against size, mean degree, largest degree and clustering."""
        found = {}
        for name, label in (
            ("nodes", "nodes"),
            ("mean_degree", "mean degree"),
            ("largest_degree", "largest degree"),
            ("clustering", "clustering"),
        ):
            rows = sorted(self.rows, key=lambda row: float(getattr(row, name)))
            lines = []
            for error, called in (("rollout_error", "rollouts"), ("field_error", "dx/dt")):
                seen = [row for row in rows if math.isfinite(getattr(row, error))]
                if seen:
                    x = [float(getattr(row, name)) for row in seen]
                    lines.append(Line(x, [getattr(row, error) for row in seen], label=called))
            scale = "linear" if name == "clustering" else "log"
            found[f"Error against {label}"] = Curve(
                lines, label, "relative error", x_scale=scale, y_scale="log"
            )
        return found

    def write(self, folder: Path | str) -> list[Path]:
        """transfer.csv, transfer.md and transfer.png."""
        from simlearn.stability.draw.network import transfer_picture

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"transfer.{kind}" for kind in ("csv", "md", "png")]
        paths[0].write_text(self.to_csv(), encoding="utf-8")
        paths[1].write_text(self.to_markdown(), encoding="utf-8")
        paths[2].write_bytes(transfer_picture(list(self.curves().values())))
        return paths


def transfer(
    simulator: Simulator, cases: Mapping[str, Trajectory | Sequence[Trajectory]], seed: int = 0
) -> Transfer:
    """Errors on several graphs, of dx/dt and of whole rollouts, against what the graphs are like.

    Args:
        simulator: A trained one.
        cases: Measured or true trajectories on each graph, by the graph's name.
        seed: Of the nodes whose clustering is measured, where a graph is large.

    Raises:
        ConfigError: There is no case.
        DataError: A case has no trajectory, its times are not those of the simulator, or samples
            are missing.
    """
    if not cases:
        raise ConfigError("A transfer report needs trajectories on one graph at least.")
    return Transfer([_row(simulator, name, given, seed) for name, given in cases.items()])


def _row(
    simulator: Simulator, name: str, given: Trajectory | Sequence[Trajectory], seed: int
) -> Row:
    from simlearn.forecasting.limits import Limits

    data = [given] if isinstance(given, Trajectory) else list(given)
    if not data:
        raise DataError(f"There is no trajectory on {name}.")
    real = next((p.dtype for p in simulator.parameters()), torch.float64)
    data = [one.to("cpu", real) for one in data]
    limits, left, nodes = Limits(simulator), 0, 0
    missed = size = off = slope = 0.0
    if any(one.mask is not None for one in data):
        raise DataError(f"Samples are missing on {name}; a transfer report needs complete ones.")
    with torch.no_grad():
        for one in data:
            rolled = simulator.through(one.x[0], one.t, one.topology)
            lost = rolled.status != "ok"
            missed += math.inf if lost else float((rolled.x - one.x).abs().sum())
            size += float(one.x.abs().sum())
            flags = torch.stack([limits.outside(x, one.topology) for x in rolled.x]).any(0)
            left, nodes = left + int(flags.sum()), nodes + one.topology.rows
            if one.derivative is not None and simulator.integrator is not None:
                for x, rate in zip(one.x, one.derivative, strict=True):
                    off += float((simulator.dynamics(0.0, x, one.topology) - rate).abs().sum())
                    slope += float(rate.abs().sum())
    topology = data[0].topology
    degree = torch.bincount(topology.graph.edge_index[1], minlength=topology.rows)
    return Row(
        name,
        topology.rows,
        topology.graph.edge_index.shape[1],
        float(degree.double().mean()),
        int(degree.max()),
        clustering(topology, seed),
        off / slope if slope else math.nan,
        missed / size if size else math.nan,
        left / nodes,
    )


def clustering(topology: Topology, seed: int = 0) -> float:
    """Mean share of pairs of neighbours that are joined (Watts and Strogatz 1998).

    Nodes with fewer than two neighbours count as 0; directions and weights do not count. Of large
    graphs, nodes and pairs are drawn.
    """
    rows = topology.rows
    source, target = topology.graph.edge_index
    keep = source != target
    both = torch.cat([source[keep] * rows + target[keep], target[keep] * rows + source[keep]])
    links = both.unique()
    start = torch.searchsorted(links, rows * torch.arange(rows + 1))
    rng = generator(seed)
    chosen = torch.arange(rows) if rows <= PICKED else torch.randperm(rows, generator=rng)[:PICKED]
    found = [_joined(links, start, int(node), rows, rng) for node in chosen]
    return sum(found) / max(1, len(found))


def _joined(links: Tensor, start: Tensor, node: int, rows: int, rng: torch.Generator) -> float:
    near = links[start[node] : start[node + 1]] - node * rows
    count = len(near)
    if count < 2:
        return 0.0
    a, b = torch.triu_indices(count, count, 1) if count * count <= WEDGES else _pairs(count, rng)
    wanted = near[a] * rows + near[b]
    place = torch.searchsorted(links, wanted).clamp_max(len(links) - 1)
    return float((links[place] == wanted).double().mean())


def _pairs(count: int, rng: torch.Generator) -> Tensor:
    """Pairs of different neighbours, drawn."""
    first = torch.randint(count, (WEDGES // 2,), generator=rng)
    gap = torch.randint(1, count, (WEDGES // 2,), generator=rng)
    return torch.stack([first, (first + gap) % count])
