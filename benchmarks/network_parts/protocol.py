"""The cells as a list of runs, each of one method on one draw, and the log that keeps what ran."""

import json
import math
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass

import torch

import simlearn
from simlearn.component import NumericalError

from . import cells, ndcn, oneshot

OURS, RIVAL, FIRST = "simlearn", "NDCN", "first rung"
NOISE, NOISY_CELLS = 0.01, (("heat", "grid"), ("gene", "grid"), ("mutualistic", "grid"))
SEEDS, RIVAL_SEEDS = 20, 3
PACED = 30  # iterations of NDCN that are timed before and after a fit of ours


@dataclass(frozen=True)
class Run:
    """One method on one draw of a cell.

    Args:
        dynamics: Of the cell.
        graph: Of the cell.
        seed: Of stamps, noise, and the weights of NDCN.
        method: OURS, RIVAL, or FIRST, the weak form of the ladder alone.
        noise: Part of the mean size of the states.
        clean_start: Whether the first state has none.
        iterations: Of NDCN; zero for ours.
        paced: Whether NDCN's pace is taken before and after, in the same process.
    """

    dynamics: str
    graph: str
    seed: int
    method: str
    noise: float = 0.0
    clean_start: bool = True
    iterations: int = 0
    paced: bool = False

    @property
    def cell(self):
        """Its cell in words."""
        return f"{self.dynamics} {self.graph}"

    @property
    def title(self):
        """The run in words."""
        start = "" if self.clean_start else ", noisy start"
        noise = f", noise {self.noise:.0%}{start}" if self.noise else ""
        return f"{self.cell}{noise}, seed {self.seed}, {self.method}"


def runs(wanted, seeds, rival_seeds, iterations, noisy=False):
    """All runs on the cells wanted, first seeds first, NDCN's before ours."""
    kinds = [(NOISE, True), (NOISE, False)] if noisy else [(0.0, True)]
    found = []
    for seed in range(max(seeds, rival_seeds)):
        for dynamics, graph in wanted:
            for kind in kinds:
                if seed < rival_seeds:
                    found.append(Run(dynamics, graph, seed, RIVAL, *kind, iterations))
                both = seed < min(rival_seeds, seeds) and not noisy and dynamics != "mutualistic"
                if both:
                    found.append(Run(dynamics, graph, seed, FIRST, *kind, paced=True))
                if seed < seeds:
                    found.append(Run(dynamics, graph, seed, OURS, *kind, paced=both))
    return found


def execute(run):
    """Do one run, in one thread; its record."""
    torch.set_num_threads(1)
    cell = cells.drawn(run.dynamics, run.graph, run.seed, run.noise, run.clean_start)
    before = pace(cell, run) if run.paced else None
    began = time.monotonic()
    if run.method == RIVAL:
        result = ndcn.trained(cell, run.dynamics, run.seed, run.iterations)
    else:
        result = (oneshot.first_rung if run.method == FIRST else learned)(cell)
    wall = time.monotonic() - began
    if before is not None:
        result["rival_ms"] = min(before, pace(cell, run))
    extra = {"arrays": cell.digest, "wall_seconds": wall, "load": os.getloadavg()[0]}
    return {"run": asdict(run), **plain(result), **extra}


def pace(cell, run):
    """Milliseconds of an iteration of NDCN here and now: clocks of other hours do not compare."""
    ndcn.trained(cell, run.dynamics, run.seed, 2)  # the first ones are slower
    return ndcn.trained(cell, run.dynamics, run.seed, PACED)["ms_per_iteration"]


def learned(cell):
    """The ladder, automatic, and its rollout over all stamps."""
    began = time.process_time()
    try:
        simulator = simlearn.network_ladder(cell.trajectory())
    except NumericalError as refusal:
        spent = time.process_time() - began
        lost = {"interp": math.inf, "extrap": math.inf, "finite": False}
        return {**lost, "cpu_seconds": spent, "refusal": str(refusal)}
    fitted = time.process_time()
    start, times = torch.from_numpy(cell.start)[:, None], torch.from_numpy(cell.t)
    rolled = simulator.through(start, times, cell.topology())
    whole = rolled.finite_steps == len(times)
    errors = cell.errors(rolled.x[..., 0].numpy()) if whole else {}
    record = simulator.provenance["ladder"]
    return {
        "interp": math.inf,
        "extrap": math.inf,
        **errors,
        "finite": whole,
        "cpu_seconds": fitted - began,
        "rollout_cpu_seconds": time.process_time() - fitted,
        "choice": record["choice"],
        "rungs": record["rungs"],
    }


def plain(result):
    """Numbers that JSON does not know become None: a run that diverged."""
    if isinstance(result, dict):
        return {name: plain(value) for name, value in result.items()}
    if isinstance(result, list):
        return [plain(value) for value in result]
    return None if isinstance(result, float) and not math.isfinite(result) else result


class Log:
    """One line of JSON for each run that is done, so that a stopped benchmark goes on.

    Args:
        path: The file; made where there is none.
    """

    def __init__(self, path):
        self.path, self.records = path, []
        whole = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = whole.splitlines()
        if whole and not whole.endswith("\n"):  # it was stopped while it wrote
            lines.pop()
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self.records = [json.loads(line) for line in lines]

    def add(self, record):
        """Keep a record, in the file at once."""
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")

    def of(self, run):
        """The last record of a run, None where it has not been done."""
        wanted = asdict(run)
        return next((one for one in reversed(self.records) if one.get("run") == wanted), None)

    def section(self, name, mode):
        """The last record of a section in this mode, None where it has not been done."""
        wanted = (name, mode)
        found = (one for one in reversed(self.records) if "section" in one)
        return next((one for one in found if (one["section"], one["mode"]) == wanted), None)


def carry_out(wanted, log, jobs, say, again=False, pool=ProcessPoolExecutor):
    """Do the runs that the log does not hold, so many at a time, and keep each as it ends."""
    left = [run for run in wanted if again or log.of(run) is None]
    say(f"{len(wanted)} runs, {len(wanted) - len(left)} of them done before")
    if not left:
        return
    context = multiprocessing.get_context("spawn")
    with pool(min(jobs, len(left)), mp_context=context) as workers:
        waiting = {workers.submit(execute, run): run for run in left}
        for done, one in enumerate(as_completed(waiting), start=1):
            record = one.result()
            log.add(record)
            say(f"{done}/{len(left)}", waiting[one].title, told(record))


def told(record):
    """A record in a few words."""
    pair = [
        "lost" if record[name] is None else f"{record[name]:.3g}" for name in ("interp", "extrap")
    ]
    return f"interp / extrap {' / '.join(pair)} %, {record['cpu_seconds']:.1f} CPU-s"
