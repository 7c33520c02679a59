"""From a failing report to a winner."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from simlearn import archive, catalog
from simlearn.catalog import Catalog
from simlearn.component import ConfigError, DataError
from simlearn.data.generate import DatasetGenerator
from simlearn.remedies.accuracy import span_of
from simlearn.remedies.advice import advised
from simlearn.remedies.aside import set_aside
from simlearn.remedies.bench import Bench, Budget
from simlearn.remedies.config import Config, config_of, run_of, tidied
from simlearn.remedies.judging import Gate, cases_of
from simlearn.remedies.shelf import Shelf
from simlearn.remedies.subject import Subject
from simlearn.remedies.training import Train, data_of, trainer_of
from simlearn.remedies.trial import AS_IT_IS, Trial, Trials
from simlearn.simulator import Simulator
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence
from simlearn.stability.gate import Case
from simlearn.stability.report import Report
from simlearn.state import Trajectory

TRIES = 6


def remedy(
    simulator: Simulator | Path | str,
    report: Report,
    evidence: Evidence,
    *,
    checks: Sequence[Check | Case] | None = None,
    config: Mapping[str, Any] | None = None,
    generator: DatasetGenerator | None = None,
    train: Train | None = None,
    tries: int = TRIES,
    seconds: float | None = None,
    out: Path | str | None = None,
    plugins: Catalog | None = None,
    tell: Callable[[str], None] | None = None,
) -> Trials:
    """Try what a failing report advises, judge each remedy, and confirm the best one.

    What needs no training is tried first: another integrator, a smaller step, a projection around
    the trained dynamics. Whatever does not pass so is trained anew, by the config with that one
    change, from the same seed, for as long, on the same data. Where no single remedy passes, those
    that are advised for the best of them are tried on top of it, once.

    The gate is that of the report. Held-out trajectories choose: those remedies that pass are
    ranked by the error of their forecasts. Then they are confirmed in this order, until one passes,
    on evidence that was kept aside: as many trajectories drawn anew by ``generator``; without it,
    every other held-out trajectory.

    Args:
        simulator: What failed: its run or archive, or the simulator itself.
        report: What `check` said of it.
        evidence: What it was held against.
        checks: The checks of the report, which builds them again where they are not given.
        config: What trained it, as ``simlearn fit`` takes it; the run's own where there is one.
            Without any, only what needs no training is tried.
        generator: What drew the held-out trajectories.
        train: Trains a config, and may leave a run in the folder that it is given.
        tries: Trainings, at most.
        seconds: After so many seconds no further training begins.
        out: Folder for remedies.json, remedies.md, remedied.yaml and the remedied simulators;
            nothing is written where it is not given.
        plugins: The catalog; the installed plugins by default.
        tell: Hears a line before and after each try.

    Returns:
        The table, and the winner.

    Raises:
        ConfigError: The report passes, or no check of it failed without siblings.
        DataError: There are no held-out trajectories.
    """
    _refuse(report, evidence, tries, seconds)
    known = plugins or catalog.load()
    subject, run = _subject(simulator, evidence, config, known)
    cases = cases_of(report, known) if checks is None else [_case(one) for one in checks]
    gate, found = _begun(subject, report, evidence, cases, generator)
    shelf = Shelf(None if out is None else Path(out), run)
    trains, budget = train or trainer_of(known), Budget(tries, seconds)
    return _searched(Bench(gate, trains, budget, shelf, found, tell or _silent), subject)


def _subject(
    simulator: Simulator | Path | str,
    evidence: Evidence,
    config: Mapping[str, Any] | None,
    known: Catalog,
) -> tuple[Subject, Path | None]:
    """What failed, with the config that trained it, and its run folder where it has one."""
    run = None if isinstance(simulator, Simulator) else run_of(Path(simulator))
    model = simulator if isinstance(simulator, Simulator) else archive.load(simulator, known)
    trains = tidied(config) if config is not None else config_of(run) if run else None
    training = _training(evidence, trains, known)
    return Subject(model, trains, known, evidence.held_out[0].dim, training), run


def _searched(bench: Bench, subject: Subject) -> Trials:
    """All remedies, those on top of the best one, the winner; whatever is found stays."""
    before = bench.found.before
    assert before.report is not None
    bench.tell(bench.found.evidence)
    try:
        bench.round(subject, advised(before.report), before)
        best = bench.best()
        if best is not None and best.state == "fails" and best.report and best.simulator:
            bench.tell(f"No single remedy passes; on top of {best.change}:")
            on_top = replace(subject, simulator=best.simulator, config=best.config)
            bench.round(on_top, advised(best.report, best.keys), best)
        return bench.finish()
    except (KeyboardInterrupt, SystemExit):
        bench.interrupt()
        raise


def _begun(
    subject: Subject,
    report: Report,
    evidence: Evidence,
    cases: Sequence[Case],
    generator: DatasetGenerator | None,
) -> tuple[Gate, Trials]:
    """The gate with the first way to keep evidence aside in which the rest shows the failure."""
    model, told = subject.simulator, ""
    gate = Gate(subject, evidence, cases, report.suite, evidence.held_out, (), 0.0)
    if evidence.siblings:
        gate, report, told = gate.alone(report)
    for aside in set_aside(evidence.held_out, evidence.training, generator, evidence.seed):
        span = span_of(report, model, aside.choosing)
        gate = replace(gate, choosing=aside.choosing, kept=aside.kept, span=span)
        found = report
        if len(aside.choosing) < len(evidence.held_out):
            try:
                found = gate.report(model, subject.config, aside.choosing)
            except DataError:
                continue
        if not found.passed:
            break
    else:
        raise ConfigError(
            "Without its siblings, which no remedied simulator has, nothing fails any more."
            f"{told} Train several seeds of a changed config and check those."
        )
    before = Trial(AS_IT_IS, AS_IT_IS, state="fails", report=found, error=gate.error(model))
    return gate, Trials(before, (), aside.told + told, span)


def _training(
    evidence: Evidence, config: Config | None, plugins: Catalog
) -> Callable[[], Sequence[Trajectory]]:
    """The data it was trained on: those of the evidence, or those of the config, once asked for."""

    @cache
    def found() -> Sequence[Trajectory]:
        if evidence.training or config is None:
            return evidence.training
        data = data_of(config, plugins)
        data.setup("fit")
        return data.training

    return found


def _case(given: Check | Case) -> Case:
    return given if isinstance(given, Case) else Case(given)


def _silent(line: str) -> None:
    """Nobody listens."""


def _refuse(report: Report, evidence: Evidence, tries: int, seconds: float | None) -> None:
    if report.passed:
        raise ConfigError("The report passes: there is nothing to remedy.")
    if all(item.good for item in report.items):
        raise ConfigError(
            "No check of the report failed: what fails is the comparison with its baseline, for "
            "which nobody advises a remedy."
        )
    if tries < 0 or (seconds is not None and not seconds >= 0):
        raise ConfigError(f"tries and seconds are numbers from 0, got {tries} and {seconds}.")
    if not evidence.held_out:
        raise DataError("Remedies are chosen by held-out trajectories, and the evidence has none.")
