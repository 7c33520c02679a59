"""What is said of a member: by brute force, by the gate, by validation."""

import functools
import hashlib
import math
import os
import pathlib
import time

import torch

import simlearn
import simlearn_checks
from simlearn import Evidence, SimlearnError, Trajectory, catalog
from simlearn.cli.judging import read_gate
from simlearn.training.validation import through
from simlearn_checks.batch import together
from simlearn_checks.divergence import box_around

from . import members, systems
from .members import plain, trained

HORIZON, HORIZONS, ROLLOUTS, BOX = 500, 10, 100, 10.0
GATE = pathlib.Path(__file__).parents[2] / "configs" / "gate" / "default.yaml"
FORECAST = 100  # steps of the forecast that validation looks at
OFTEN = 10  # steps between the states in which brute force looks for the largest
CHECKS = pathlib.Path(simlearn_checks.__file__).parent
DECIDE = ("escape.py", "stitched.py", "batch.py", "starts.py", "divergence.py", "unlearnable/*.py")
LIMIT = "LIMIT = "  # the line that the calibration members fix


@functools.cache
def digest():
    """SHA-256 of all that decides a record: gate, checks, systems, members, fates; not the limit.

    Numbers of different digests are never counted together.
    """
    here = [pathlib.Path(part.__file__) for part in (members, systems)]
    files = [GATE, pathlib.Path(__file__), *here]
    files += [path for name in DECIDE for path in sorted(CHECKS.glob(name))]
    return digest_of([path.read_text(encoding="utf-8") for path in files])


def digest_of(texts):
    """Of texts without the line of the limit."""
    kept = [line for text in texts for line in text.splitlines() if not line.startswith(LIMIT)]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def record(member):
    """Train a member, judge it, and see what becomes of it, in one thread."""
    torch.set_num_threads(1)
    known = {"member": plain(member), "digest": digest()}
    try:
        one = trained(member, ROLLOUTS)
    except SimlearnError as error:
        return {**known, "untrained": f"{type(error).__name__}: {error}"[:300]}
    found = {
        **known,
        "fit_seconds": one.seconds,
        "gate": gate(one),
        "validation": validation(one),
        "fate": fate(one),
        "load": os.getloadavg()[0],
    }
    return finite(found)


@functools.cache
def cases():
    """The checks of the shipped gate."""
    return read_gate(GATE, "full", catalog.load())[1]


def gate(one):
    """Every check of the shipped gate, with the first number that it judges."""
    evidence, told = Evidence(one.held_out, one.training), {}
    for case in cases():
        began = time.process_time()
        (item,) = simlearn.check(one.simulator, evidence, [case]).items
        finding = item.finding
        judged = [metric for metric in finding.metrics if metric.limit is not None]
        told[type(case.check).__name__] = {
            "verdict": finding.verdict,
            "metrics": {metric.name: metric.value for metric in judged},
            "marginal": any(metric.marginal for metric in judged),
            "seconds": time.process_time() - began,
            "summary": finding.summary,
        }
    return told


def validation(one):
    """What a training tells of held-out data: its loss, and the error of a forecast."""
    data = one.held_out
    topology = data[0].topology.repeat(len(data))
    whole = Trajectory(data[0].t, torch.cat([d.x for d in data], 1), topology)
    length = one.objective.length(one.training)
    with torch.no_grad():
        losses = [
            one.objective.loss(one.simulator, whole.slice(k, k + length))
            for k in range(0, whole.steps - length + 1, length)
        ]
        rolled = through(one.simulator, whole.slice(0, FORECAST + 1))
    error = math.inf
    if rolled.status == "ok":
        spread = whole.x.flatten(0, 1).std(0).mean()
        error = float((rolled.x - whole.x[: FORECAST + 1]).square().mean().sqrt() / spread)
    return {"loss": float(torch.stack(losses).mean()), "forecast_error": error}


def fate(one):
    """Brute force: ten horizons from a hundred fresh starts; the step at which each was lost.

    Largest is the largest size at every tenth step, of those that were not lost by then.
    """
    began = time.process_time()
    box = box_around(Evidence(one.held_out), BOX)
    flock = together(one.simulator, one.fresh, HORIZON * HORIZONS, OFTEN, box)
    lost = flock.lost[flock.lost >= 0]
    edge = box_around(Evidence(one.held_out), 1.0)
    sizes = ((flock.x - edge.middle).abs() / edge.half).amax(-1)
    return {
        "doomed": len(lost) > 0,
        "lost": len(lost),
        "first": int(lost.min()) if len(lost) else None,
        "largest": float(sizes.nan_to_num(0.0).max()),
        "seconds": time.process_time() - began,
    }


def finite(found):
    """Numbers that JSON does not know become None: what is beyond all bounds."""
    if isinstance(found, dict):
        return {name: finite(value) for name, value in found.items()}
    if isinstance(found, float) and not math.isfinite(found):
        return None
    return found
