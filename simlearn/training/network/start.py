"""The program as a start of a training, and as a function."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from simlearn.component import (
    ConfigError,
    DataError,
    NumericalError,
    build,
    class_path,
    describe,
)
from simlearn.data.store import Dataset, read
from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.integrators import DormandPrince
from simlearn.simulator import Simulator
from simlearn.state import Aggregation, Topology, Trajectory
from simlearn.training.network.data import Data
from simlearn.training.network.levels import Kind, climbed
from simlearn.training.record import ranges
from simlearn.training.start import Solution, Start

WORST = 0.05  # relative error of whole rollouts above which no basis will do
FEWEST = 4  # stamps


class NetworkLadder(Start):
    """Learns dxᵢ/dt = f(xᵢ) + Σⱼ Aᵢⱼ Q(xᵢ, xⱼ) of a network in closed form, one program for all.

    Three sizes of splines (`CoupledSeries`), neutral to the law. At each, the weak form (what a
    node gains in an interval is the integral of the field) is solved for a path of ridges, of which
    the one is taken whose rollouts from the first states stay closest to the data, and solved again
    along the model's own paths. Coefficients are then fitted through whole trajectories
    (Levenberg-Marquardt with sparse forward sensitivities), where the weak form is poor in pieces
    first, each from an observed state. A larger size is kept only where the error falls. No
    derivatives are needed; times may be irregular.

    What it finds takes the place of the dynamics that the config names. Where no size follows the
    data, these stay, to be trained by gradients.

    Args:
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
        weight: Column of ``edge_attr`` that holds the weights A; ones where it is None.
        worst: Relative error of whole rollouts above which no size will do.
        angles: Columns (from 0) of the state that are angles, in radians.
        node: Columns (from 0) of ``node_attr`` that are parameters of the law.
    """

    replaces: ClassVar[bool] = True

    def __init__(
        self,
        aggregation: Aggregation = "sum",
        weight: int | None = None,
        worst: float = WORST,
        angles: Sequence[int] = (),
        node: Sequence[int] = (),
    ):
        if not worst > 0:
            raise ConfigError(f"NetworkLadder.worst is a relative error above zero, got {worst}.")
        self.aggregation, self.weight, self.worst = aggregation, weight, worst
        self.angles, self.node = tuple(angles), tuple(node)

    @torch.no_grad()
    def solve(self, simulator: Simulator, training: Sequence[Trajectory]) -> Solution:
        """Put the network that follows the data into the simulator.

        Raises:
            DataError: There are control inputs, no edges, missing numbers or too few stamps.
        """
        if len({one.dim for one in training}) != 1:
            raise DataError("All trajectories of a training must have the same columns.")
        began, data = time.process_time(), gathered(training)
        kind = Kind(self.aggregation, self.weight, self.angles, self.node)
        try:
            best, found = climbed(data, kind, _say)
        finally:
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")
        rungs = [_told(one) for one in found]
        record: dict[str, Any] = {"rungs": rungs, "seconds": time.process_time() - began}
        if best is None or best.error > self.worst:
            record["choice"] = "network"
            missed = "loses" if best is None else f"is {best.error:.1%} off"
            record["why"] = f"the best of {len(rungs)} sizes {missed} the data in whole rollouts"
            return Solution(record=record)
        record["choice"] = best.record["rung"]
        record["dynamics"] = describe(best.model)
        simulator.take(best.model.requires_grad_())
        return Solution(record=record)

    def restore(self, simulator: Simulator, record: Mapping[str, Any]) -> None:
        """The size that an earlier training found; its weights come with the checkpoint."""
        if "dynamics" in record:
            known = {class_path(CoupledSeries): CoupledSeries}
            simulator.take(build(record["dynamics"], known.__getitem__))


def network_ladder(
    data: Trajectory | Sequence[Trajectory] | Dataset | str | Path,
    *,
    aggregation: Aggregation = "sum",
    weight: int | None = None,
    worst: float = WORST,
    angles: Sequence[int] = (),
    node: Sequence[int] = (),
) -> Simulator:
    """Learn the dynamics of a network in closed form; see `NetworkLadder`.

    Args:
        data: States over time on graphs: trajectories, a dataset or its file.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
        weight: Column of ``edge_attr`` that holds the weights A; ones where it is None.
        worst: Relative error of whole rollouts above which no size will do.
        angles: Columns (from 0) of the state that are angles, in radians.
        node: Columns (from 0) of ``node_attr`` that are parameters of the law.

    Returns:
        A simulator in float64 whose ``provenance["ladder"]`` tells stages, errors and choice, and
        ``provenance["training"]`` the ranges of the data, integrated by DormandPrince at the median
        interval of the data. It runs on any other graph.

    Raises:
        DataError: There are no trajectories, control inputs, no edges, missing numbers or too few
            stamps.
        NumericalError: No size follows the data.
    """
    if isinstance(data, str | Path):
        data = read(data)
    if isinstance(data, Dataset):
        data = data.trajectories
    training = [data] if isinstance(data, Trajectory) else list(data)
    if not training:
        raise DataError("There is no trajectory to learn from: the data are empty.")
    gap = float(torch.cat([one.t.diff(dim=0).flatten() for one in training]).median())
    stand_in = CoupledSeries(training[0].dim, own=0, pair=0)
    simulator = Simulator(stand_in, DormandPrince(rtol=1e-8, atol=1e-8), gap)
    found = NetworkLadder(aggregation, weight, worst, angles, node).solve(simulator, training)
    if simulator.dynamics is stand_in:
        raise NumericalError(
            f"No network in closed form will do: {found.record['why']}. Train GraphCoupled by "
            "gradients (simlearn.fit), or allow a larger error with worst."
        )
    simulator.provenance = {"ladder": dict(found.record), "training": ranges(training)}
    return simulator.requires_grad_(False).eval()


def gathered(training: Sequence[Trajectory]) -> list[Data]:
    """Trajectories of equal times side by side, in float64 on the CPU.

    Raises:
        DataError: There are control inputs, no edges, missing numbers or too few stamps.
    """
    groups: dict[tuple[float, ...], list[Trajectory]] = {}
    for one in training:
        _refuse(one)
        one = one if one.x.device.type == "cpu" else one.to("cpu")
        groups.setdefault(tuple(one.t.double().tolist()), []).append(one)
    return [
        Data(
            same[0].t.double(),
            torch.cat([one.x.double() for one in same], dim=1),
            same[0].topology if len(same) == 1 else Topology.union([one.topology for one in same]),
        )
        for same in groups.values()
    ]


def _say(line: str) -> None:
    """Where the program stands, on a terminal, over the line before."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[Kclosed form: {line}")
        sys.stderr.flush()


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """Without infinite errors, which JSON does not know: None where rollouts were lost."""
    plain = dict(record)
    plain["error"] = record["error"] if math.isfinite(record["error"]) else None
    if "stages" in record:
        plain["stages"] = [_told(one) for one in record["stages"]]
    return plain


def _refuse(one: Trajectory) -> None:
    if one.inputs is not None:
        raise DataError("A network in closed form takes no control inputs; train by gradients.")
    if not one.topology.graph.edge_index.shape[1]:
        raise DataError(
            "NetworkLadder needs a graph, and a trajectory has no edges. Use Ladder or ClosedForm."
        )
    if one.t.ndim != 1 or one.steps < FEWEST:
        raise DataError(
            f"NetworkLadder needs at least {FEWEST} states at times common to all nodes, got "
            f"{one.steps}."
        )
    if one.mask is not None or not bool(one.x.isfinite().all()):
        raise DataError("NetworkLadder takes complete trajectories; some states are missing.")
