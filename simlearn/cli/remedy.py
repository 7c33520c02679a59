"""``simlearn check --remedy``: what a failing report advises, tried."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from simlearn import archive
from simlearn.catalog import Catalog
from simlearn.cli.fit_parser import fit_parser
from simlearn.cli.lightning import Run, defaults, execute
from simlearn.cli.parsing import OneMessage
from simlearn.component import EnvironmentFault, SimlearnError, build
from simlearn.data.generate import DatasetGenerator
from simlearn.data.store import Dataset
from simlearn.remedies import TRIES, Trials, remedy
from simlearn.remedies.config import FILE, Config, config_of, run_of, written
from simlearn.simulator import Simulator
from simlearn.stability.evidence import Evidence
from simlearn.stability.report import Report
from simlearn.stability.tables import printable

ONE_PROCESS = {"devices": 1, "num_nodes": 1, "strategy": "auto"}


@dataclass(frozen=True)
class Search:
    """A search for remedies, ready before anything is judged.

    Attributes:
        simulator: The run or archive that is judged.
        config: What trained it; None where it has none.
        known: The plugins.
        limits: ``tries`` and ``seconds`` of `simlearn.remedy`.
    """

    simulator: Path
    config: Config | None
    known: Catalog
    limits: Mapping[str, Any]

    @classmethod
    def of(cls, simulator: Path, known: Catalog, limits: Mapping[str, Any]) -> Search:
        """With the config of the run.

        Raises:
            ConfigError: That cannot be read.
        """
        config = config_of(run_of(simulator))
        return cls(simulator, None if config is None else compact(config, known), known, limits)

    def seek(self, report: Report, evidence: Evidence, held_out: Dataset, **given: Any) -> None:
        """Try what the report advises; say the table, and what to do with the winner.

        The verdict stands, so that a search that cannot be made is only told.

        Args:
            report: What was said of the simulator.
            evidence: What it was held against.
            held_out: The held-out data with where they come from.
            given: ``checks`` and ``out`` of `simlearn.remedy`.
        """
        if report.passed:
            print("--remedy: the gate passed, so there is nothing to remedy")
            return
        if all(item.good for item in report.items):
            print("--remedy: no check failed; of a missed baseline nobody advises a remedy")
            return
        self._say_limits()
        try:
            found = remedy(
                self.simulator,
                report,
                evidence,
                config=self.config,
                generator=_generator(held_out, self.known),
                train=_trained(self.known),
                plugins=self.known,
                tell=_tell,
                **self.limits,
                **given,
            )
        except (KeyboardInterrupt, SystemExit):
            print(f"\nwhat was found so far: {given['out'] / 'remedies.md'}")
            raise
        except SimlearnError as error:
            print(printable(f"--remedy: {error}"), file=sys.stderr)
        else:
            _say(found)

    def _say_limits(self) -> None:
        if self.config is None:
            place = run_of(self.simulator) / FILE
            print(f"--remedy: there is no {place}, so only what needs no training is tried")
        else:
            tries = self.limits.get("tries", TRIES)
            print(f"--remedy: {tries} trainings at most (--remedy-tries, --remedy-seconds)")


def compact(config: Config, known: Catalog) -> Config:
    """A config that says only what differs from what ``simlearn fit`` takes by itself."""
    OneMessage.known = known
    reader = fit_parser()
    body: Config = yaml.safe_load(reader.dump(reader.parse_object(config), skip_default=True))
    usual = {**defaults(Run("fit", Path())), "max_epochs": None}
    trainer = body.get("trainer") or {}
    kept = {k: v for k, v in trainer.items() if k not in usual or usual[k] != v}
    return {
        **{k: body[k] for k in ("seed_everything", "model", "data") if k in body},
        "trainer": kept,
    }


def _trained(known: Catalog) -> Any:
    """Trains as ``simlearn fit -c`` does, into a folder, on one process."""

    def train(config: Mapping[str, Any], folder: Path | None) -> Simulator:
        assert folder is not None
        body = {**config, "trainer": {**config.get("trainer", {}), **ONE_PROCESS}}
        try:
            folder.mkdir(parents=True)
            path = folder / FILE
            path.write_text(written(body, ""), encoding="utf-8")
        except OSError as error:
            raise EnvironmentFault(f"Cannot write {folder}: {error}.") from error
        OneMessage.known, OneMessage.files = known, [path]
        execute(Run("fit", folder, aside=True, allow=known.allow), ["-c", str(path)], asking=False)
        return archive.load(folder, known)

    return train


def _generator(data: Dataset, known: Catalog) -> DatasetGenerator | None:
    """What drew the held-out data, where its plugin is here."""
    description = data.provenance.get("generator")
    if not isinstance(description, Mapping) or "class_path" not in description:
        return None
    try:
        found = build(description, known.find)
    except SimlearnError:
        return None
    return found if isinstance(found, DatasetGenerator) else None


def _tell(line: str) -> None:
    print(printable(line), flush=True)


def _say(found: Trials) -> None:
    """The table, the winner, and what is left to people."""
    print(f"\n{found.to_text()}\n\n{found.legend()}\n{found.evidence}\n")
    print(printable("".join(f"only you can do that: {one}\n" for one in found.advice)), end="")
    print(printable(f"\n{found.summary()}"))
    told = {
        "run": "the winner",
        "remedied.yaml": "its config",
        "remedies.md": "the table",
        "tries": "the others",
    }
    for name, what in told.items():
        if name in found.files:
            print(f"  {what + ':':<12}{found.files[name]}")
