"""Baselines: the numbers of an earlier simulator, in a small file that is committed.

A limit says what is good enough; a baseline says what was reached, so that nobody loses it unseen.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simlearn.component import ConfigError, EnvironmentFault, describe
from simlearn.stability.gate import Case
from simlearn.stability.intact import well_formed
from simlearn.stability.report import plain

SCHEMA = 1
UNKNOWN = "unknown"  # the truth, where the data name no system
WAIT = 10.0  # seconds for another process that writes
Record = dict[str, Any]  # of a suite, in plain JSON types


@dataclass(frozen=True)
class Facts:
    """What the numbers depend on besides the simulator and the checks.

    Attributes:
        data: Digest of the held-out data.
        dt: Step of the simulator, so that a horizon in steps is a time.
        seed: Seed of whatever a check draws.
        truth: SHA-256 of what the data say of the system they were drawn from, or "unknown": where
            the true dynamics are known, checks judge by them.
        siblings: How many simulators of other seeds the checks saw beside it.
    """

    data: str
    dt: float
    seed: int
    truth: str = UNKNOWN
    siblings: int = 0


@dataclass(frozen=True)
class Baseline:
    """A baseline file.

    Attributes:
        path: The file.
        suites: What was measured, by suite.
    """

    path: Path
    suites: Mapping[str, Record]

    def fitting(self, suite: str, facts: Facts, cases: Sequence[Case]) -> tuple[Record, ...]:
        """What was measured of each of these checks, in their order.

        Known before anything is judged.

        Raises:
            ConfigError: The numbers cannot be compared: another suite, other data, another step or
                seed, other checks or arguments. Field and both values are named.
        """
        if suite not in self.suites:
            raise ConfigError(
                f"{self.path} has no suite {suite!r}, it has {', '.join(self.suites) or 'none'}. "
                "Add it: simlearn check ... --suite NAME --update-baseline."
            )
        kept = self.suites[suite]
        for name, now in vars(facts).items():
            refuse_other(self.path, name, kept[name], now)
        now_checks = [_named(case) for case in cases]
        for was, now in zip(_matched(self, kept["checks"], now_checks), now_checks, strict=True):
            for key in sorted({**was["arguments"], **now["arguments"]}):
                where = f"{now['check']}.{key}"
                one, other = was["arguments"].get(key), now["arguments"].get(key)
                refuse_other(self.path, where, one, other)
        return tuple(_matched(self, kept["checks"], now_checks))


def refuse_other(path: Path | str, field: str, was: Any, now: Any) -> None:
    """Refuse to compare under other conditions.

    Raises:
        ConfigError: They are other; field and both values are named.
    """
    if was != now:
        raise ConfigError(
            f"{path} cannot be compared with: its {field} is {short(was)}, now it is {short(now)}. "
            "Judge under the same conditions, or make a new baseline with --update-baseline."
        )


def read_baseline(path: Path | str) -> Baseline:
    """Read a baseline.

    Raises:
        ConfigError: It is missing, of another schema, or no baseline.
    """
    path = Path(path)
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no baseline {path}. Make it: simlearn check ... --baseline {path} "
            "--update-baseline."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"The baseline {path} cannot be read: {error}.") from error
    if not isinstance(body, dict) or "schema" not in body:
        raise ConfigError(f"{path} is no baseline of simlearn: it has no `schema`.")
    if isinstance(body["schema"], bool) or body["schema"] != SCHEMA:
        raise ConfigError(
            f"The baseline {path} has schema {body['schema']!r} (written by simlearn "
            f"{body.get('simlearn', 'unknown')}); this simlearn {version('simlearn')} reads "
            f"schema {SCHEMA}."
        )
    try:
        suites = dict(body["suites"])
        for kept in suites.values():
            well_formed(kept)
    except LookupError as error:
        raise ConfigError(_by_hand(path, f"lacks {error}")) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(_by_hand(path, f"cannot be read: {error}")) from error
    return Baseline(path, suites)


def _by_hand(path: Path, fault: str) -> str:
    return (
        f"The baseline {path} was changed by hand and {fault}. Take an intact copy, or remove it "
        "and make it anew."
    )


def _matched(baseline: Baseline, kept: list[Record], wanted: list[Record]) -> Iterator[Record]:
    """For each check that is wanted, the kept one of that name; the second for the second."""
    was, now = ([one["check"] for one in some] for some in (kept, wanted))
    refuse_other(baseline.path, "list of checks", sorted(was), sorted(now))
    by_name = defaultdict(list)
    for one in kept:
        by_name[one["check"]].append(one)
    return (by_name[name].pop(0) for name in now)


def _named(case: Case) -> Record:
    told = describe(case.check)["init_args"]
    return {"check": type(case.check).__name__, "arguments": plain(told)}


def write_baseline(path: Path | str, suite: str, kept: Record) -> None:
    """Write what was measured of a suite; other suites of the file stay. Whole or not at all.

    Raises:
        ConfigError: What lies there is no baseline, or a newer one.
        EnvironmentFault: It cannot be written.
    """
    path = Path(path).resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _alone(path):
            others = read_baseline(path).suites if path.exists() else {}
            suites = {**others, suite: kept}
            body = {"schema": SCHEMA, "simlearn": version("simlearn"), "suites": suites}
            text = json.dumps(body, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write the baseline {path}: {error}.") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process at a time reads the other suites of a file and writes it anew."""
    lock, until = path.with_name(f".{path.name}.lock"), time.monotonic() + WAIT
    while True:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            if time.monotonic() > until:
                raise EnvironmentFault(
                    f"Cannot write the baseline {path}: another process has been writing it for "
                    f"{WAIT:g} s. If none is, remove {lock}."
                ) from None
            time.sleep(0.02)
    try:
        os.write(handle, str(os.getpid()).encode())
        os.close(handle)
        yield
    finally:
        lock.unlink(missing_ok=True)


def short(value: Any) -> str:
    """A value for a message; of a digest its beginning."""
    text = "missing" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) != 64 else f"{text[:12]}..."
