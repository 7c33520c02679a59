"""Energy-conserving simulators beside the published ones, all in one run on a CPU.

python benchmarks/hamiltonian.py [--quick] [--full] [--only TASK ...] [--seeds N] [--jobs N]
                                 [--out DIR]

Hamiltonian Neural Networks, SRNN-style training and LA-SympNet, each written from its paper, and
the closed-form ladder of the framework, on the same arrays. Nothing is tuned on test data: ours is
automatic, the baselines have their published settings. Writes hamiltonian.{json,md} into
benchmarks/results; with --only, the other tasks keep what an earlier run found. Tasks run two at a
time, each in a process of one thread with everything it compares; that of steps runs alone.
"""

import argparse
import json
import multiprocessing
import pathlib
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

import torch
from hamiltonian_parts.body_tasks import three_body, two_body
from hamiltonian_parts.map_tasks import sympnets
from hamiltonian_parts.oscillator_tasks import pendulum, spring
from hamiltonian_parts.rows import Settings, kept, markdown
from hamiltonian_parts.size_tasks import zero_shot
from hamiltonian_parts.speed_tasks import speed
from hamiltonian_parts.state_tasks import states_alone

from simlearn.training.fit import versions

RESULTS = pathlib.Path(__file__).parent / "results"
LAST, LONG = "speed", ("states-alone", "zero-shot")
TASKS = {
    "spring": spring,
    "pendulum": pendulum,
    "two-body": two_body,
    "three-body": three_body,
    "states-alone": states_alone,
    "sympnets": sympnets,
    "speed": speed,
    "zero-shot": zero_shot,
}


def arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, nothing compiled")
    parser.add_argument("--full", action="store_true", help="five seeds where the default has 3")
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, help="seeds of everything")
    parser.add_argument("--jobs", type=int, default=2, help="tasks that run at a time")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="folder of the results")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the tasks, keep each as soon as it is done, print the table."""
    given, began = arguments(argv), time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "hamiltonian.json"
    done = kept(path)
    for name, result in results(given):
        done[name] = result
        found = {"versions": versions(), "tasks": {k: done[k] for k in TASKS if k in done}}
        write(path, found)
    print(markdown(found))
    print(f"{(time.monotonic() - began) / 60:.1f} minutes.", file=sys.stderr)


def results(given):
    """Name and result of each task, as they come; the one that takes times comes alone, last."""
    settings, alone = Settings(given.quick, given.full, given.seeds), [LAST] * (LAST in given.only)
    together = sorted((name for name in given.only if name != LAST), key=LONG.__contains__)[::-1]
    context = multiprocessing.get_context("spawn")
    for names, jobs in ((together, given.jobs), (alone, 1)):
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            waiting = {pool.submit(run, name, settings, mode(given)): name for name in names}
            for one in as_completed(waiting):
                yield waiting[one], one.result()


def run(name, settings, words):
    """One task, in one thread."""
    torch.set_num_threads(1)
    began = time.process_time()
    task = TASKS[name](settings)
    spent = time.process_time() - began
    return {"mode": words, "cpu_seconds": spent, "rows": task.rows, "notes": task.notes}


def mode(given):
    """How much was run, in words."""
    kind = "quick" if given.quick else "full" if given.full else "default"
    return f"{kind} run" + (f", {given.seeds} seeds" if given.seeds else "")


def write(path, found):
    """Both files."""
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
