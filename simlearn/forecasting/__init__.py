"""Forecasts on graphs, also on graphs never seen, and what is to be said of them.

`forecast` rolls a trained simulator out on a graph, tells which nodes leave what the training data
covered, tests with an ensemble whether its states are usual for the graph, and writes and draws all
of it. `transfer` measures how the error grows with graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from simlearn.data.store import Dataset, read
from simlearn.data.writer import Writer
from simlearn.forecasting.opened import opened
from simlearn.forecasting.result import GROUP, Alarms, Forecast
from simlearn.forecasting.run import Plan, walked
from simlearn.forecasting.transfer import Transfer, transfer
from simlearn.forecasting.trust import Question, Trust
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory

__all__ = ["Alarms", "Forecast", "Transfer", "Trust", "forecast", "transfer"]

Data = Sequence[Trajectory] | Dataset | Path | str


def forecast(
    simulator: Simulator,
    topology: Topology | Path | str,
    x0: Tensor | Path | str | float,
    steps: int,
    *,
    every: int = 1,
    t0: float | None = None,
    directed: bool = False,
    training: Data = (),
    siblings: Sequence[Simulator] = (),
    null: Literal["states", "rollouts"] | None = None,
    draws: int | None = None,
    level: float = 0.05,
    truth: Trajectory | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    overwrite: bool = False,
    told: Callable[[str, int, int], None] | None = None,
) -> Forecast:
    """Roll a trained simulator out on a graph, and look whether it can be trusted there.

    Args:
        simulator: A trained one; an `Ensemble` tests itself.
        topology: The graph, or its file: an edge list, GraphML, or node-link JSON.
        x0: States ``[rows, dim]``; a csv, npz, npy or HDF5 file, matched by the names of the nodes;
            a number for all of them; or "sample", drawn from the training data.
        steps: Steps of the simulator's dt.
        every: Keep every so many steps.
        t0: Time of x0; what its file says, else 0.
        directed: Whether every line of an edge list is one directed edge.
        training: The training data, or their file; the test needs them.
        siblings: The same model from other seeds, where the simulator is no ensemble.
        null: What states are compared with: "states" of the training, node by node, or "rollouts"
            from starts of the training on this graph (slower; exact along trajectories), which is
            taken where the training has trajectories.
        draws: How many p is ranked among; 199 states or 99 rollouts where None.
        level: α of tests and of false discoveries over nodes.
        truth: What was measured on this graph, for the picture of the error.
        seed: Of all draws.
        out: Write into this dataset file, as it goes: then a forecast may be longer than memory.
        overwrite: Replace the file.
        told: Hears (what, done, of how many) while it works.

    Returns:
        States, alarms, test; its ``sentences`` say what speaks against it.

    Raises:
        ConfigError: The parts do not fit one another.
        DataError: Graph, start or training data cannot be read or do not fit.
        EnvironmentFault: It would not fit into memory or on the disk; the estimate is told.
    """
    known = _known(training)
    at = opened(simulator, topology, x0, directed=directed, training=known, t0=t0, seed=seed)
    question = Question(known, siblings, null, draws, level, seed)
    plan = Plan(steps, every, question, told)
    more: dict[str, Any] = {"labels": at.labels, "notes": at.notes, "truth": truth}
    if out is None:
        return replace(walked(simulator, at.begin, plan), **more)
    with Writer(out, overwrite) as writer:
        made = replace(walked(simulator, at.begin, plan, writer), **more)
        writer.finish({GROUP: {**made.told, "summary": [made.summary()]}})
    return made


def _known(training: Data) -> Sequence[Trajectory]:
    if isinstance(training, str | Path):
        training = read(training)
    return training.trajectories if isinstance(training, Dataset) else training
