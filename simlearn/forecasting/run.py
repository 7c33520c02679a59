"""The forecast itself: walked, looked at, tested, and written as it goes where it is long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from simlearn.analysis.significance import members_of
from simlearn.component import ConfigError, EnvironmentFault
from simlearn.data.importing.memory import told as sized
from simlearn.data.writer import Writer
from simlearn.forecasting import size
from simlearn.forecasting.course import Begin, Course, Piece, Told
from simlearn.forecasting.limits import Limits
from simlearn.forecasting.result import Alarms, Forecast, put
from simlearn.forecasting.trust import Question, Trust, judged
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory

SHOWN = 1000  # nodes of a forecast that stay in memory where not all do
PROBES = 50  # states that are tested, at most
PROBE_BYTES = 1 << 28
UNTESTED = (
    "not tested for significance: one simulator says nothing of its own doubt. Give its sisters "
    "from other seeds with --sibling SIM (simlearn fit --seeds 5), or train an Ensemble"
)
NO_DATA = (
    "not tested for significance: the training data were not found again. Name them with "
    "--training-data FILE.h5"
)


@dataclass(frozen=True)
class Plan:
    """How a forecast is made.

    Attributes:
        steps: Steps to take.
        every: Keep every so many, and the start.
        question: What is tested; None where nothing is.
        told: Hears what is being done, and how many of how many steps are.
    """

    steps: int
    every: int = 1
    question: Question | None = None
    told: Any = None

    def __post_init__(self) -> None:
        if self.steps < 0 or self.every < 1:
            raise ConfigError(
                f"A forecast has steps >= 0 and every >= 1, got {self.steps} and {self.every}."
            )

    def hears(self, what: str) -> Told | None:
        """Who hears of the progress of a part of the work."""
        if self.told is None:
            return None
        return lambda done, total: self.told(what, done, total)


class _Kept:
    """What of a forecast stays in memory: everything, or some nodes; and the states to be tested.

    Args:
        begin: Where it begins.
        plan: How it is made.
        whole: Whether all nodes stay.
    """

    def __init__(self, begin: Begin, plan: Plan, whole: bool):
        rows, kept = begin.topology.rows, plan.steps // plan.every + 1
        self.nodes: Tensor | None = None
        if not whole:
            self.nodes = torch.linspace(0, rows - 1, min(SHOWN, rows)).round().long().unique()
        count = max(1, min(PROBES, kept, PROBE_BYTES // max(1, begin.x.nbytes)))
        self.probed = torch.linspace(0, kept - 1, count).round().long().unique().tolist()
        self.x: list[Tensor] = []
        self.t: list[Tensor] = []
        self.outside: list[Tensor] = []
        self.probes: list[Tensor] = []
        self.done = 0

    def take(self, piece: Piece) -> None:
        """Keep what is to be kept of a piece."""
        x, flags = piece.part.x, piece.outside
        self.probes += [x[k - self.done] for k in self.probed if 0 <= k - self.done < len(x)]
        self.done += len(x)
        self.t.append(piece.part.t)
        self.x.append(x if self.nodes is None else x[:, self.nodes])
        self.outside.append(flags if self.nodes is None else flags[:, self.nodes])

    def trajectory(self, topology: Topology, last: Trajectory) -> Trajectory:
        """The states that stayed; of some nodes only, as systems of one row."""
        t, x = torch.cat(self.t), torch.cat(self.x)
        if self.nodes is not None:
            t, topology = t if t.ndim == 1 else t[:, 0], _apart(topology, self.nodes)
        return Trajectory(
            t,
            x,
            topology,
            status=last.status,
            finite_steps=len(x),
            first_bad_row=last.first_bad_row,
        )


def _apart(topology: Topology, nodes: Tensor) -> Topology:
    alone = Topology.isolated(len(nodes))
    return (
        alone
        if not topology.node_names
        else alone.replace(
            node_type=topology.node_type[nodes] if topology.node_type is not None else None,
            node_names=topology.node_names,
        )
    )


def walked(
    simulator: Simulator, begin: Begin, plan: Plan, writer: Writer | None = None, number: int = 0
) -> Forecast:
    """Make one forecast; into a file as it goes, where one is open.

    Args:
        simulator: What is rolled out.
        begin: Where.
        plan: How.
        writer: The file.
        number: Of the forecast in the file.

    Raises:
        ConfigError: The start does not fit the simulator.
        DataError: The graph does not fit the field.
        EnvironmentFault: It would not fit into memory; the estimate is told.
    """
    kept, real = plan.steps // plan.every + 1, begin.x.element_size()
    needed = size.kept_bytes(kept, begin.topology.rows, begin.x.shape[-1], real)
    whole = size.fits(needed)
    if not whole and writer is None:
        raise EnvironmentFault(
            f"{kept} states of {begin.topology.rows} nodes would take about {sized(needed)} of "
            "memory. Keep fewer (every), or write them to an .h5 file as they come (out)."
        )
    size.refuse_large(simulator, begin.topology, real, "The forecast")
    with torch.no_grad():
        # one step says whether everything fits, before a file grows
        inputs = None if begin.inputs is None else begin.inputs[:1]
        first = min(1, plan.steps)
        simulator.rollout(begin.x, first, begin.topology, t0=begin.t, inputs=inputs)
        limits = Limits(simulator)
        course = Course(simulator, begin, plan.steps, plan.every, limits, plan.hears("steps"))
        mine, last = _Kept(begin, plan, whole), None
        for piece in course:
            if writer is not None:
                put(writer, number, piece.part, piece.outside, goes_on=last is not None)
            mine.take(piece)
            last = piece.part
        assert last is not None  # the start is always kept
        made = _made(simulator, begin, limits, course, mine, last)
        trust, untested = _judged(simulator, begin, mine, plan)
    made = replace(made, trust=trust, untested=untested)
    if writer is not None:
        made.beside(writer, number)
    return made


def _made(
    simulator: Simulator,
    begin: Begin,
    limits: Limits,
    course: Course,
    mine: _Kept,
    last: Trajectory,
) -> Forecast:
    t0 = begin.t if isinstance(begin.t, float) else begin.t[:, 0].to(torch.float64)
    first = torch.where(course.first < 0, torch.nan, course.first.double() * simulator.dt + t0)
    column, known = 0, None
    if course.who is not None and limits.low is not None and limits.high is not None:
        column = limits.column(course.who)
        known = float(limits.low[column]), float(limits.high[column])
    alarms = Alarms(
        torch.cat(mine.outside),
        first,
        course.beyond,
        column,
        known,
        limits.graph(begin.topology),
    )
    return Forecast(
        mine.trajectory(begin.topology, last),
        begin.topology,
        course.last,
        alarms,
        nodes=mine.nodes,
        status=last.status,
    )


def _judged(
    simulator: Simulator, begin: Begin, mine: _Kept, plan: Plan
) -> tuple[Trust | None, str]:
    """The test, or why there is none."""
    question = plan.question
    siblings: Sequence[Simulator] = () if question is None else question.siblings
    members = members_of(simulator, siblings)
    if members is None:
        return None, UNTESTED
    if question is None or not question.training:
        return None, NO_DATA
    if begin.topology.num_systems != 1:
        return None, "not tested for significance: the test is of one graph at a time"
    if not mine.probes:
        return None, "not tested for significance: there is no finite state"
    steps = [k * plan.every for k in mine.probed[: len(mine.probes)]]
    first = begin.t if isinstance(begin.t, float) else float(begin.t.min())
    t = first + simulator.dt * torch.tensor(steps, dtype=torch.float64)
    probes = Trajectory(t, torch.stack(mine.probes), begin.topology)
    hears = plan.hears("draws for the test")
    return judged(simulator, members, probes, steps, question, hears), ""
