"""``simlearn forecast``: roll a trained simulator out from the data, into a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from simlearn.archive import load
from simlearn.cli import Options
from simlearn.cli.parsing import parser, prepare
from simlearn.component import ConfigError, DataError, NumericalError
from simlearn.data.importing.export import write_csv
from simlearn.data.store import Dataset, read
from simlearn.data.writer import Writer
from simlearn.simulator import Simulator
from simlearn.stability.evidence import inputs_for
from simlearn.state import Trajectory

DESCRIPTION = """Roll a trained simulator out from every trajectory of a dataset.

The forecast goes on where the data end; --start first begins where they begin, to be laid over
them. FILE.h5 becomes a dataset, FILE.csv a table. A forecast that leaves the range of the training
data is told so; one that stops being finite is kept up to there, and the exit code is 5."""


def run(command: str, argv: list[str], options: Options) -> int:
    """Load, roll out, write, say."""
    known = prepare(options)
    reader = parser(command, DESCRIPTION, known, [])
    add = reader.add_argument
    add("simulator", type=str, help="a run folder (runs/NAME) or an archive folder")
    add("--data", type=str, required=True, help="where the forecasts start, FILE.h5")
    add("--steps", type=int, required=True, help="number of steps")
    add("--out", type=str, required=True, help="FILE.h5 or FILE.csv")
    add("--start", type=Literal["last", "first"], default="last", help="which sample of the data")
    add("--every", type=int, default=1, help="keep every so many steps")
    add("--overwrite", action="store_true", help="replace the file if it is there")
    given = reader.parse_args(argv)
    if given.steps < 1 or given.every < 1 or given.start not in ("first", "last"):
        raise ConfigError(
            "forecast wants --steps >= 1, --every >= 1 and --start first or last; got "
            f"{given.steps}, {given.every} and {given.start}."
        )
    out = Path(given.out)
    if out.suffix not in (".h5", ".hdf5", ".csv"):
        raise ConfigError(f"--out ends in .h5 or .csv, got {out}.")
    if out.exists() and not given.overwrite:
        raise DataError(f"{out} exists already. Choose another --out, or use --overwrite.")
    simulator, data = load(given.simulator, known), read(given.data)
    rolled = [
        forecast(simulator, one, given.steps, given.start == "first", given.every) for one in data
    ]
    _write(out, rolled, data, given)
    lost = _told(rolled, simulator, data, given.steps)
    print(f"{out}: {len(rolled)} forecasts of {given.steps} steps of {simulator.dt:g}")
    if lost:
        raise NumericalError(lost)
    return 0


def forecast(
    simulator: Simulator, one: Trajectory, steps: int, first: bool = False, every: int = 1
) -> Trajectory:
    """A rollout from the last complete sample of a trajectory, or from its first.

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
    t0 = begin.t[0]
    with torch.no_grad():
        return simulator.rollout(
            begin.x[0],
            steps,
            begin.topology,
            t0=t0[begin.topology.system][:, None] if t0.ndim else float(t0),
            inputs=inputs_for(begin, steps, simulator.dt),
            every=every,
        )


def _write(out: Path, rolled: Sequence[Trajectory], data: Dataset, given: Any) -> None:
    told = {
        "forecast": {"simulator": str(given.simulator), "data": data.digest, "start": given.start},
        **{key: data.provenance[key] for key in ("units", "columns") if key in data.provenance},
    }
    if out.suffix == ".csv":
        write_csv(out, rolled, told)
        return
    with Writer(out, given.overwrite) as writer:
        for one in rolled:
            writer.append(one)
        writer.finish(told)


def _told(rolled: Sequence[Trajectory], simulator: Simulator, data: Dataset, steps: int) -> str:
    """Say who left the range of the training data; what to raise for those that were lost."""
    training: Mapping[str, Any] = simulator.provenance.get("training", {})
    if "low" in training:
        low, high = (torch.tensor(training[k], dtype=torch.float64) for k in ("low", "high"))
        for number, one in enumerate(rolled):
            told = _outside(one.x.double(), one.t, low, high)
            if told:
                print(f"simlearn: forecast {number} {told}", file=sys.stderr)
    bad = [(n, one) for n, one in enumerate(rolled) if one.status != "ok"]
    if not bad:
        return ""
    number, one = bad[0]
    return (
        f"{len(bad)} of {len(rolled)} forecasts stopped being finite, the first of them number "
        f"{number} after {one.finite_steps} of {steps} steps. What came before is in the file and "
        "marked `diverged`. Look at the gate's report before you trust the rest."
    )


def _outside(x: Tensor, t: Tensor, low: Tensor, high: Tensor) -> str:
    """Where a forecast first leaves the training range by more than a tenth of its width."""
    margin = 0.1 * (high - low)
    wrong = ((x < low - margin) | (x > high + margin)).any(1)
    if not bool(wrong.any()):
        return ""
    step = int(wrong.any(1).int().argmax())
    column = int(wrong[step].int().argmax())
    when = "begins outside" if step == 0 else f"leaves at t = {float(t[step].min()):.6g}"
    return (
        f"{when} the range of the training data: column {column} was in "
        f"[{float(low[column]):.4g}, {float(high[column]):.4g}] there"
    )
