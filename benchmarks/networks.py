"""Network dynamics on graphs: the ladder beside NDCN, transfer, significance, and speed, on a CPU.

python benchmarks/networks.py [--quick] [--only SECTION ...] [--cells DYNAMICS-GRAPH ...]
                              [--seeds N] [--rival-seeds N] [--jobs N] [--again] [--out DIR]

NDCN is written from its paper and trained on the very arrays that the ladder of the framework gets,
to a fixed last iteration; no run is chosen by its test error, and seeds that diverge are listed.
Runs go into DIR/networks.jsonl one by one, so a benchmark that was stopped goes on where it was;
--again does what is asked anew. Writes networks.{json,md}. --quick takes few cells, one seed, and
NDCN with 200 iterations instead of 2000; it keeps no log and writes networks-quick.{json,md}.
Cells run so many at a time, each in a process of one thread; what takes times runs alone, last.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import pathlib
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

import networkx
import torch
from hamiltonian_parts.rows import Settings, Task, counted
from network_parts import protocol
from network_parts.limits import EVERY, Found, clean_rows, noisy_rows, wide
from network_parts.ndcn import ITERATIONS
from network_parts.page import markdown, number, verdict

from simlearn.training.fit import versions

RESULTS = pathlib.Path(__file__).parent / "results"
QUICK = [("heat", "SW"), ("heat", "grid"), ("gene", "BA")]
RUNS, TOGETHER, ALONE = (
    ("cells", "noise"),
    ("transfer", "significance"),
    ("gnvf", "speed", "operator"),
)
FEW = 200  # iterations of NDCN in a quick run
HOMES = {"significance": "calibration"}  # modules that are not named like their section
COMPACT = ("run", "arrays", "interp", "extrap", "cpu_seconds", "choice", "finite", "sizes", "load")


def arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = [*RUNS, *TOGETHER, *ALONE]
    names = ["-".join(cell) for cell in EVERY]
    parser.add_argument("--quick", action="store_true", help="few cells, one seed, 5 minutes")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections)
    parser.add_argument("--cells", nargs="+", choices=names, help="of the protocol; all of them")
    parser.add_argument("--seeds", type=int, help="of ours; 20, or 1 in a quick run")
    parser.add_argument("--rival-seeds", type=int, help="of NDCN; 3, or 1 in a quick run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--again", action="store_true", help="also what the log holds")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="folder of the results")
    return parser.parse_args(argv)


class Plan:
    """What the command line asks for.

    Args:
        given: The parsed command line.
    """

    def __init__(self, given):
        self.given, self.quick = given, given.quick
        self.stem = "networks-quick" if given.quick else "networks"
        self.iterations = FEW if given.quick else ITERATIONS
        asked = [tuple(name.split("-")) for name in given.cells or []]
        self.cells = asked or (QUICK if given.quick else EVERY)
        noisy = protocol.NOISY_CELLS[:1] if given.quick else protocol.NOISY_CELLS
        self.noisy = [one for one in noisy if not asked or one in asked]
        self.seeds = _first(given.seeds, 1 if given.quick else protocol.SEEDS)
        self.rivals = _first(given.rival_seeds, 1 if given.quick else protocol.RIVAL_SEEDS)

    @property
    def mode(self):
        """How much was run, in words."""
        kind = "quick run" if self.quick else "full run"
        rival = f"{self.rivals} of NDCN, which had {self.iterations} iterations"
        return f"{kind}; seeds: {self.seeds} of ours, {rival}"

    @property
    def command(self):
        """The command, as the page tells it."""
        return "python benchmarks/networks.py" + (" --quick" if self.quick else "")


def _first(value, default):
    return default if value is None else value


def main(argv=None):
    """Run what is asked, keep each part as soon as it is done, print the page."""
    plan, began = Plan(arguments(argv)), time.monotonic()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that do the work, NumPy's BLAS too
    plan.given.out.mkdir(parents=True, exist_ok=True)
    base = plan.given.out / plan.stem
    if plan.quick:
        base.with_suffix(".jsonl").unlink(missing_ok=True)
    log = protocol.Log(base.with_suffix(".jsonl"))
    done = kept(base.with_suffix(".json"))
    found = {}
    for name, result in results(plan, log):
        done[name] = result
        found = {"versions": used(), "sections": done, "runs": compact(log)}
        base.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        page = markdown(found, plan.command)
        base.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)
    say(f"{(time.monotonic() - began) / 60:.1f} minutes.")


def say(*words):
    """Progress, on standard error."""
    print("[networks]", *words, file=sys.stderr, flush=True)


def kept(path):
    """Sections of an earlier run; those that are not asked for stay."""
    return json.loads(path.read_text(encoding="utf-8"))["sections"] if path.exists() else {}


def compact(log):
    """The runs without the stages of the ladder; the last record of each."""
    last = {json.dumps(one["run"]): one for one in log.records if "run" in one}
    return [{name: one[name] for name in COMPACT if name in one} for one in last.values()]


def used():
    """Versions of everything that gives numbers."""
    return {**versions(), "networkx": networkx.__version__}


def results(plan, log):
    """Name and result of each section, as they come."""
    only, given = plan.given.only, plan.given
    for name in RUNS:
        if name in only:
            noisy = name == "noise"
            cells = plan.noisy if noisy else plan.cells
            wanted = protocol.runs(cells, plan.seeds, plan.rivals, plan.iterations, noisy)
            say(name)
            protocol.carry_out(wanted, log, given.jobs, say, given.again)
            yield name, (noise if noisy else clean)(plan, log, cells)
    for names, jobs in ((TOGETHER, given.jobs), (ALONE, 1)):
        yield from sections([name for name in names if name in only], jobs, plan, log)


def sections(names, jobs, plan, log):
    """Sections that are one piece of work each, in processes of their own."""
    left = []
    for name in names:
        before = None if plan.given.again else log.section(name, plan.mode)
        if before is None:
            left.append(name)
        else:
            yield name, before["result"]
    if not left:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        settings = Settings(plan.quick, jobs=plan.given.jobs)
        waiting = {pool.submit(run, name, settings, plan.mode): name for name in left}
        for one in as_completed(waiting):
            name, result = waiting[one], one.result()
            log.add({"section": name, "mode": plan.mode, "result": result})
            say(name, "done,", counted(result["rows"]))
            yield name, result


def run(name, settings, mode):
    """One section, in one thread; its modules are loaded only where it is asked for."""
    torch.set_num_threads(1)
    began = sum(os.times()[:4])
    if name == "operator":
        result = operator(settings.quick)
    else:
        module = importlib.import_module(f"network_parts.{HOMES.get(name, name)}")
        result = getattr(module, name)(settings)
    result = result if isinstance(result, dict) else plain(result)
    return {"mode": mode, "cpu_seconds": sum(os.times()[:4]) - began, **result}


def plain(task):
    """A task as JSON."""
    return protocol.plain({"rows": task.rows, "notes": task.notes})


def clean(plan, log, cells):
    """The cells without noise."""
    task = Task("cells")
    found = Found(log.records, seeds=plan.seeds, iterations=plan.iterations)
    clean_rows(task, found, cells)
    records = [one for methods in found.by.values() for one in methods.values()]
    table = wide(found, cells, number, verdict)
    task.notes.append(
        f"Errors: mean |found − true| / mean true in %. NDCN: {plan.iterations} iterations"
        + ("" if plan.iterations == ITERATIONS else f" instead of {ITERATIONS}")
        + ". Ratios on the seeds that both ran. Clocks of other hours do not compare: ratios of "
        f"CPU time take NDCN's iterations at the faster pace of {protocol.PACED} before and "
        f"{protocol.PACED} after each fit of ours, in its process; the column of its own CPU-s "
        "is of when it was trained. The last column counts seeds of ours and of NDCN."
    )
    return {"mode": plan.mode, "cpu_seconds": total(records), **plain(task), "table": table}


def noise(plan, log, cells):
    """The cells with noise."""
    task = Task("noise")
    noisy_rows(task, log.records, cells, plan.seeds, plan.iterations)
    records = [one for one in log.records if one.get("run", {}).get("noise")]
    return {"mode": plan.mode, "cpu_seconds": total(records), **plain(task)}


def total(records):
    """CPU seconds of runs."""
    return sum(one["cpu_seconds"] for one in records)


def operator(quick):
    """`benchmarks/graph_operator.py`, with a million nodes unless it is quick."""
    import graph_operator as graphs

    rounds, sizes = (3, graphs.QUICK) if quick else (9, graphs.SIZES)
    cases = [graphs.case(kind, nodes, rounds) for kind in graphs.KINDS for nodes in sizes]
    grown, task = graphs.exponents(cases), Task("operator")
    for asked, limit, value, _ in graphs.limits(cases, grown):
        values = [] if value is None else [value]
        task.row(asked, values, median=float(limit[2:]), least=limit[0] == "≥")
    task.notes.append(f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    told = graphs.tables(cases, grown).split("\n\n", 1)[1]
    return {**plain(task), "after": told.splitlines(), "cases": cases, "exponents": grown}


if __name__ == "__main__":
    sys.exit(main())
