"""The judge judged: how often the shipped gate is right about small trained simulators.

python benchmarks/gate.py [--quick] [--members N] [--seed S] [--jobs N] [--again] [--so-far]
[--out DIR]

Trains a panel of small simulators (several systems, dynamics, stabilizers and seeds, many with data
short of directions), finds the fate of each by brute force, and counts how often the gate
configs/gate/default.yaml is right, beside UnlearnableDirections alone and the validation loss. 50
members, chosen by hash, come first and fix all limits; if the one that Escape ships with is
another, the benchmark ends there and says so. The rates are those of the others. Members go into
DIR/gate.jsonl one by one, so a benchmark that was stopped goes on where it was; what other sources
of the checks have judged is done again, and --again begins anew. Nothing is told of a member before
all are done; --so-far trains nothing and counts what the log holds. Writes gate.{json,md}. --quick
takes 60 members; it keeps no log, writes gate-quick.{json,md}, and takes whatever limit there is.
One thread a process.
"""

import argparse
import json
import multiprocessing
import pathlib
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from gate_parts.members import panel, plain
from gate_parts.page import markdown
from gate_parts.results import results
from gate_parts.scores import Judges, decided, member_of, split
from gate_parts.verdicts import digest, finite, record
from network_parts.protocol import Log

from simlearn.training.fit import versions
from simlearn_checks.escape import LIMIT

RESULTS = pathlib.Path(__file__).parent / "results"
MEMBERS, FEW, SEED = 250, 60, 10


def arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{FEW} members, 5 minutes")
    parser.add_argument("--members", type=int, help=f"of the panel; {MEMBERS}, or {FEW} quickly")
    parser.add_argument("--seed", type=int, default=SEED, help="of the panel")
    parser.add_argument("--jobs", type=int, default=2, help="members at a time")
    parser.add_argument("--again", action="store_true", help="also what the log holds")
    parser.add_argument("--so-far", action="store_true", help="count what the log holds")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args(argv)
    given.members = given.members or (FEW if given.quick else MEMBERS)
    return given


def main(argv=None):
    """Train and judge what the log does not hold, then count."""
    given, began = arguments(argv), time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    base = given.out / ("gate-quick" if given.quick else "gate")
    if given.quick or given.again:
        base.with_suffix(".jsonl").unlink(missing_ok=True)
    log = Log(base.with_suffix(".jsonl"))
    wanted = panel(given.seed, given.members)
    first, others = split(wanted, lambda one: one.key)
    if not given.so_far:
        carry_out(first, log, given.jobs)
        if (given.seed, given.members) == (SEED, MEMBERS):
            stop_if_moved([known(log)[one.key] for one in first])
        carry_out(others, log, given.jobs)
    records = [known(log)[one.key] for one in wanted if one.key in known(log)]
    if len(records) <= len(first):
        sys.exit(f"The log holds {len(records)} members, and {len(first)} only fix the limits.")
    found = finite({"versions": versions(), **results(records, len(wanted))})
    base.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    command = "python benchmarks/gate.py" + (" --quick" if given.quick else "")
    command += " --so-far" if given.so_far else ""
    page = markdown(found, records, command)
    base.with_suffix(".md").write_text(page, encoding="utf-8")
    if given.quick:
        base.with_suffix(".jsonl").unlink()
    print(page)
    say(f"{(time.monotonic() - began) / 60:.1f} minutes.")


def stop_if_moved(calibration):
    """End where the members that fix the limit of Escape say another one than it ships with."""
    fixed = Judges.of(decided(calibration)).escape
    if fixed != LIMIT:
        sys.exit(
            f"The calibration fixes the limit of Escape at {fixed:g}, and it ships with {LIMIT:g}: "
            f"write LIMIT = {fixed:g} into simlearn_checks/escape.py, and go on."
        )


def known(log):
    """The records by the key of their member, those that these sources made."""
    return {member_of(one).key: one for one in log.records if one.get("digest") == digest()}


def carry_out(wanted, log, jobs):
    """Train and judge, so many members at a time, and keep each as it ends."""
    done = known(log)
    left = [one for one in wanted if one.key not in done or done[one.key]["member"] != plain(one)]
    say(f"{len(wanted)} members, {len(wanted) - len(left)} of them done before")
    if not left:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(left)), mp_context=context) as pool:
        waiting = {pool.submit(record, one): one for one in left}
        for count, one in enumerate(as_completed(waiting), start=1):
            log.add(one.result())
            say(f"{count}/{len(left)}", waiting[one].title)


def say(*words):
    """Progress, on standard error."""
    print("[gate]", *words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
