"""Where remedies are tried, one after the other, within a budget."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simlearn.component import ConfigError, SimlearnError
from simlearn.remedies.advice import key
from simlearn.remedies.anew import anew
from simlearn.remedies.at_once import at_once
from simlearn.remedies.config import Config
from simlearn.remedies.judging import Gate
from simlearn.remedies.shelf import Shelf
from simlearn.remedies.subject import Subject, Untried
from simlearn.remedies.training import Train
from simlearn.remedies.trial import State, Trial, Trials
from simlearn.simulator import Simulator
from simlearn.stability.failure import Remedy


@dataclass
class Budget:
    """How much may be trained.

    Attributes:
        tries: Trainings that are left.
        seconds: After so many no further training begins; None for no end.
    """

    tries: int
    seconds: float | None
    began: float = field(default_factory=time.monotonic)

    def ask(self) -> None:
        """Refuse a training that there is no budget for.

        Raises:
            Untried: None is left, or the time is over.
        """
        if self.tries < 1:
            raise Untried("no training is left of those allowed")
        if self.seconds is not None and time.monotonic() - self.began > self.seconds:
            raise Untried(f"the {self.seconds:g} s allowed are over")


@dataclass
class Bench:
    """Tries remedies; what was found so far is ``found``, and lies on the shelf.

    Attributes:
        gate: Judges them.
        train: Trains a config.
        budget: How much may be trained.
        shelf: Where all of it is written.
        found: What was found so far.
        tell: Hears a line before and after each try.
    """

    gate: Gate
    train: Train
    budget: Budget
    shelf: Shelf
    found: Trials
    tell: Callable[[str], None]

    def round(self, subject: Subject, remedies: Sequence[Remedy], base: Trial) -> None:
        """Each remedy on top of the base: those that need no training, then the others anew."""
        refused: dict[Remedy, str] = {}
        said = [one for one in remedies if not one.action and one not in self.found.advice]
        self.found = replace(self.found, advice=(*self.found.advice, *said))
        remedies = [one for one in remedies if one.action]
        for one in remedies:
            try:
                change, made = at_once(one, subject)
            except Untried:
                continue
            except Exception as error:
                refused[one] = _reason(error)
                continue
            row = self._row(one, base, change, _config(one, subject))
            row = replace(row, origin=subject.config)
            self.tell(f"{row.change}, same weights ...")
            self._add(self._timed(row, lambda made=made: made))  # type: ignore[misc]
        passed = {one.keys for one in self.found.rows if one.state == "passes"}
        for one in remedies:
            if (*base.keys, key(one)) not in passed:
                self._add(self._anew(one, subject, base, refused.get(one, "")))

    def best(self) -> Trial | None:
        """Who passes most checks, at the smallest error; None where all pass fewer than before."""
        rows = [r for r in self.found.rows if r.report and r.good >= self.found.before.good]
        return min(rows, key=lambda r: (r.state != "passes", -r.good, r.cost), default=None)

    def finish(self) -> Trials:
        """The winner: the smallest error among those that pass, also on what was kept aside."""
        passing = [one for one in self.found.rows if one.state == "passes"]
        winner = None
        # measured seconds would break ties differently every time
        for one in sorted(passing, key=lambda row: (row.cost, row.trained)):
            new = self._confirmed(one) if self.gate.kept else one
            self._put(tuple(new if row is one else row for row in self.found.rows))
            if new.confirmed is None and self.gate.kept:
                continue
            if new.confirmed is None or new.confirmed.passed:
                winner = new
                break
        self.found = self.shelf.finish(replace(self.found, winner=winner))
        return self.found

    def interrupt(self) -> None:
        """Somebody broke off: what was found so far stays."""
        self.found = self.shelf.put(replace(self.found, interrupted=True))

    def _confirmed(self, row: Trial) -> Trial:
        self.tell(f"{row.change}: judged by what was kept aside ...")
        assert row.simulator is not None
        try:
            report = self.gate.report(row.simulator, row.origin, self.gate.kept)
        except SimlearnError as error:
            return replace(row, why=f"not confirmed: {_reason(error)}")
        return replace(row, confirmed=report)

    def _anew(self, remedy: Remedy, subject: Subject, base: Trial, before: str) -> Trial:
        """A remedy, trained anew."""
        try:
            change, config = anew(remedy, subject)
            self.budget.ask()
        except Exception as error:
            told = before if before and subject.config is None else _reason(error)
            return replace(self._row(remedy, base, _name(remedy), None), why=told)
        row = replace(self._row(remedy, base, change, config), trained=True, origin=config)
        self.tell(f"{row.change}, trained anew ...")
        room = self.shelf.room(row)
        row = self._timed(row, lambda: self.train(config, room), room)
        self.budget.tries -= row.state != "not tried"
        return row

    def _row(self, remedy: Remedy, base: Trial, change: str, config: Config | None) -> Trial:
        change = f"{base.change}, {change}" if base.keys else change
        return Trial(str(remedy), change, keys=(*base.keys, key(remedy)), config=config)

    def _timed(self, row: Trial, work: Callable[[], Simulator], room: Path | None = None) -> Trial:
        """The row with what came of it; whatever breaks off breaks this one only."""
        began = cpu_seconds()
        try:
            row = self._judged(replace(row, simulator=work()))
        except ConfigError as error:
            row = replace(row, why=_reason(error))
        except Exception as error:
            row = replace(row, state="broke off", why=_reason(error))
        row = replace(row, seconds=cpu_seconds() - began)
        if row.simulator is None:
            return row
        return self.shelf.store(row, room or self.shelf.room(row))

    def _judged(self, row: Trial) -> Trial:
        """The row with what the gate says; whatever breaks off there was tried all the same."""
        assert row.simulator is not None
        try:
            report = self.gate.report(row.simulator, row.origin, self.gate.choosing)
            error = self.gate.error(row.simulator)
        except Exception as fault:
            return replace(row, state="broke off", why=_reason(fault))
        state: State = "passes" if report.passed else "fails"
        return replace(row, state=state, report=report, error=error)

    def _add(self, row: Trial) -> None:
        """Say it and keep it, unless it was left out before, for the same reason."""
        if any(
            not one.report and one.remedy == row.remedy and one.why == row.why
            for one in self.found.rows
        ):
            return
        self._put((*self.found.rows, row))
        self.tell(f"  {self.found.line(row)}")

    def _put(self, rows: Sequence[Trial]) -> None:
        self.found = self.shelf.put(replace(self.found, rows=rows))


def _config(remedy: Remedy, subject: Subject) -> Config | None:
    """What would train it; None where no config can."""
    try:
        return anew(remedy, subject)[1]
    except Exception:
        return None


def _name(remedy: Remedy) -> str:
    """How the table calls a remedy that was not tried."""
    return " ".join(part for part in (remedy.action, remedy.component) if part) or str(remedy)


def _reason(error: Exception) -> str:
    told = " ".join(str(error).split()) or type(error).__name__
    return told if isinstance(error, SimlearnError) else f"{type(error).__name__}: {told}"


def cpu_seconds() -> float:
    """What this process and those it waited for have spent."""
    return sum(os.times()[:4])
