"""Training as a dynamical system: edge of stability, twins, costs, and forecasts of final losses.

python benchmarks/training_dynamics.py
One thread, some minutes. Writes benchmarks/results/training_dynamics.{json,md} and the forecast
that ships with simlearn, simlearn/analysis/training/final_loss.json.
"""

import json
import logging
import pathlib
import time
import warnings

import torch
from training_parts.costs import costs
from training_parts.edges import edges, twins
from training_parts.study import (
    BEGUN,
    RUNS,
    STEPS,
    SYSTEMS,
    forecasters,
    skills,
    trainings,
)

import simlearn
from simlearn.training.fit import versions

RESULTS = pathlib.Path(__file__).parent / "results"
SHIPPED = pathlib.Path(simlearn.__file__).parent / "analysis/training/final_loss.json"


def table(rows):
    """Rows as Markdown."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(str(r[h]) for h in heads) + " |" for r in rows)])


def named(found):
    """Scores as rows."""
    return [{"forecast": name, **one} for name, one in found.items()]


PAGE = """# Training as a dynamical system

`python benchmarks/training_dynamics.py`, one thread, float64.

## Edge of stability

An acceleration 2-16-1 (tanh) learned from 40 states of a pendulum, full batches. The limit is 2/η,
2 (1 + β)/η with momentum, 2 (1 + β)/((1 + 2 β) η) with Nesterov's, 38/η of the preconditioned
Hessian under Adam. A rate of 0.4 (0.1) is one of 0.2 (0.05) for the mean squared error of the
acceleration: the objective averages over two columns, one of which is exact.

{edges}

## Twins against tangents

A network 2-6-1, 400 steps on batches that change. Both see the same batches.

{twins}

## Costs

CPU time over that of one gradient (forward and backward, less the optimizer's step): of the probe
for Sharpness, of the training's own batch for all others. Here they are the same, for all windows
are in one batch. A product with the Hessian is a backward pass through the graph of the gradient,
which is built once a look.

{costs}

## Does the first tenth tell the final loss?

{begun} trainings of {steps} steps: {systems} systems, three ways to train, two widths, {runs}
starts and learning rates each. The {vary} that did not diverge are scored, so the skill is that of
trainings that survive. Forecast is ln (final / first loss), from the first tenth. Fits never saw
the system they are scored on. `r2` is the explained variance, `rank_correlation` the mean over
groups (one system, optimizer and width), `median_factor` the factor by which half of the forecasts
are off.

{vary_table}

The same with one learning rate for all of a group, so that only the start differs
({alike} of {begun} trainings):

{alike_table}

{told}
"""


def page(parts, counts, told):
    """The results as a page."""
    tables = {name: table(parts[name]) for name in ("edges", "twins", "costs")}
    return PAGE.format(
        **tables,
        **counts,
        begun=BEGUN,
        steps=STEPS,
        systems=len(SYSTEMS),
        runs=RUNS,
        vary_table=table(named(parts["learning rates differ"])),
        alike_table=table(named(parts["only starts differ"])),
        told=", ".join(f"{name} {version}" for name, version in told.items()),
    )


def main():
    """Measure, print, keep."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    began = time.process_time()
    vary, alike = trainings(alike=False), trainings(alike=True)
    found, left = skills(vary)
    parts = {
        "learning rates differ": found,
        "only starts differ": skills(alike)[0],
        "twins": twins(),
        "costs": costs(),
        "edges": edges(),
    }
    counts = {"vary": len(vary), "alike": len(alike)}
    text = page(parts, counts, versions())
    print(text)
    SHIPPED.write_text(json.dumps(forecasters(vary, left, found), indent=2) + "\n")
    spent = {"cpu_seconds": round(time.process_time() - began)}
    kept = {**parts, "trainings": counts, **spent, "versions": versions()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training_dynamics.json").write_text(json.dumps(kept, indent=2) + "\n")
    (RESULTS / "training_dynamics.md").write_text(text)


if __name__ == "__main__":
    main()
