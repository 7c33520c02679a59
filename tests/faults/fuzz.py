"""``python -m tests.faults.fuzz``: spoilt inputs, read as the commands read them.

Every input must end as the table of exit codes says: with 0, or with one message and 2 to 7. An
internal error, a message that a terminal would obey, a reader that hangs, a file that is left
half-written: each is an unclassified exit, and fails.
"""

import argparse
import collections
import contextlib
import faulthandler
import io
import json
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings

import torch

from simlearn import cli
from simlearn.cli import Options
from simlearn.cli.parsing import prepared
from simlearn.training.record import versions
from tests.faults.fuzz_readers import KINDS, SHARES

ROOT = pathlib.Path(__file__).parents[2]
CODES = {0, 2, 3, 4, 5, 6, 7}
PATIENCE = 20  # seconds for one input
MEMORY = 8 << 30  # bytes of address space beyond what the start takes
KEPT = 20  # faulty inputs that are kept


class Hang(BaseException):
    """A reader took too long."""


def _hang(*_):
    raise Hang(f"longer than {PATIENCE} s")


class Fuzz:
    """Readers, sound inputs, and what became of the spoilt ones.

    Args:
        folder: A folder for everything; faulty inputs are kept in ``faulty/``.
        known: The catalog.
        kinds: Names of the readers; all of them by default.
    """

    def __init__(self, folder, known, kinds=()):
        self.folder, self.known = folder, known
        (folder / "seeds").mkdir(parents=True)
        self.readers = {
            name: kind(folder / "seeds")
            for name, kind in KINDS.items()
            if not kinds or name in kinds
        }
        self.counts = {name: collections.Counter() for name in self.readers}
        self.seconds = collections.Counter()
        self.faults = collections.Counter()
        self.kept = 0

    def one(self, seed, number):
        """Spoil one input and read it."""
        rng = random.Random(f"{seed} {number}")
        shares = [share for kind, share in zip(KINDS, SHARES, strict=True) if kind in self.readers]
        (name,) = rng.choices(list(self.readers), shares)
        self.spoilt(rng, name, number)

    def spoilt(self, rng, name, number):
        """Spoil one input of a reader and read it."""
        reader = self.readers[name]
        place = self.folder / "input"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        reader.spoil(rng, place)
        began = time.perf_counter()
        before = set(place.rglob("*"))
        code, fault = self._judged(reader, place)
        left = set(place.rglob("*")) - before
        if left - ({place / "o.h5"} if code == 0 else set()):
            fault = fault or f"left behind: {sorted(path.name for path in left)}"
        self.seconds[name] += time.perf_counter() - began
        self.counts[name][code if not fault else "unclassified"] += 1
        if fault:
            self.faults[f"{name}: {fault}"] += 1
            self._keep(place, f"{name}-{number}".replace(" ", "-"))

    def _judged(self, reader, place):
        """Exit code, and what is wrong with it; with nothing wrong, nothing."""
        said = io.StringIO()
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        faulthandler.dump_traceback_later(6 * PATIENCE, exit=True)  # where Python is not asked
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                try:
                    reader.read(place, self.known)
                    code, where = 0, ""
                except Hang as error:
                    return "hang", f"hangs, {_where(error)}"
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    code, where = cli._code(error, Options()), _where(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
        text = said.getvalue()
        if code not in CODES:
            return code, f"exit {code}, {where}"
        if "Traceback" in text or any(not c.isprintable() and c not in "\n\t" for c in text):
            return code, f"a message that is no message, {where}"
        if code and not text.strip():
            return code, f"exit {code} without a word, {where}"
        return code, ""

    def _keep(self, place, name):
        if self.kept < KEPT:
            self.kept += 1
            shutil.copytree(place, self.folder / "faulty" / name, dirs_exist_ok=True)

    def table(self):
        """How many inputs of each kind ended how."""
        codes = sorted({code for one in self.counts.values() for code in one}, key=str)
        head = "".join(f"{c!s:>8}" if isinstance(c, int) else f"{c!s:>14}" for c in codes)
        lines = [f"{'reader':<14}{'inputs':>8}{head}   per s"]
        for name, one in self.counts.items():
            total = sum(one.values())
            rate = total / self.seconds[name] if self.seconds[name] else 0
            cells = "".join(
                f"{one[c]:>8}" if isinstance(c, int) else f"{one[c]:>14}" for c in codes
            )
            lines.append(f"{name:<14}{total:>8}{cells}{rate:>8.0f}")
        total = sum(sum(one.values()) for one in self.counts.values())
        lines += ["", f"{total} inputs, {sum(self.faults.values())} unclassified exits"]
        return "\n".join([*lines, *(f"  {n} x {text}" for text, n in self.faults.most_common())])

    def to_json(self):
        """The same for programs."""
        counts = {k: {str(code): n for code, n in v.items()} for k, v in self.counts.items()}
        return {
            "inputs": sum(sum(one.values()) for one in self.counts.values()),
            "unclassified": sum(self.faults.values()),
            "exits": counts,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "faults": dict(self.faults),
        }


PAGE = """# Spoilt input

`python -m tests.faults.fuzz {words}`; columns are exit codes.

```text
{table}
```
"""


def _where(error):
    """Type of an exception and the innermost line of simlearn that it passed."""
    own = [one for one in traceback.extract_tb(error.__traceback__) if "simlearn" in one.filename]
    place = own[-1] if own else None
    line = f"{pathlib.Path(place.filename).name}:{place.lineno}" if place else "elsewhere"
    return f"{type(error).__name__} in {line}: {str(error)[:120]}"


@contextlib.contextmanager
def fuzzing(folder, kinds=()):
    """A fuzz whose settings of the process are taken back."""
    handler = signal.signal(signal.SIGALRM, _hang)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with warnings.catch_warnings(), prepared(Options()) as known, torch.random.fork_rng([]):
            warnings.simplefilter("ignore")
            made = Fuzz(folder, known, kinds)
            pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (4096 * pages + MEMORY, limits[1]))
            yield made
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, handler)


def _options(argv):
    reader = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    add = reader.add_argument
    add("--inputs", type=int, default=100_000, metavar="N")
    add("--seed", type=int, default=0, metavar="N")
    add("--first", type=int, default=0, metavar="N", help="number of the first input")
    add("--only", nargs="+", choices=KINDS, default=(), metavar="READER")
    results = ROOT / "benchmarks/results/fuzz.json"
    add(
        "--out",
        type=pathlib.Path,
        metavar="FILE",
        nargs="?",
        const=results,
        help="JSON and Markdown",
    )
    return reader.parse_args(argv)


def say(text, end="\n"):
    sys.stdout.write(f"{text}{end}")
    sys.stdout.flush()


def main(argv=None):
    """Run it; the exit code is 1 where an exit was unclassified."""
    given, shared = _options(argv), pathlib.Path("/dev/shm")
    torch.set_num_threads(1)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if shared.is_dir() else None))
    say(f"the input that is read now lies in {folder}/input")
    began = told = time.monotonic()
    with fuzzing(folder, given.only) as fuzz:
        for done in range(1, given.inputs + 1):
            fuzz.one(given.seed, given.first + done - 1)
            now = time.monotonic()
            if now - told > 5 or done == given.inputs:
                told, bad = now, sum(fuzz.faults.values())
                say(f"\r{done}/{given.inputs}  {done / (now - began):.0f} per s  {bad} bad", end="")
    say(f"\n\n{fuzz.table()}")
    if fuzz.kept:
        say(f"faulty inputs: {folder}/faulty")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if given.out:
        body = {"seed": given.seed, "seconds_in_all": round(time.monotonic() - began, 1)}
        body |= {"versions": versions(), **fuzz.to_json()}
        given.out.with_suffix(".json").write_text(
            json.dumps(body, indent=2) + "\n", encoding="utf-8"
        )
        words = " ".join(sys.argv[1:] if argv is None else argv)
        page = PAGE.format(words=words, table=fuzz.table())
        given.out.with_suffix(".md").write_text(page, encoding="utf-8")
    return 1 if fuzz.faults else 0


if __name__ == "__main__":
    sys.exit(main())
