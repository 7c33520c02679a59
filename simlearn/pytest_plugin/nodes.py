"""Gate files as pytest sees them: a file, its suite, and one item a check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from simlearn.pytest_plugin.judged import Judged
    from simlearn.stability.gatefile import Entry, GateFile

NOTE = "simlearn note"
FIGURES = "simlearn"
DEFAULT = "smoke"
LONGEST = 60  # characters of an argument list that still reads as a name


def heavy(name: str) -> Any:
    """A module of this package that needs all of simlearn.

    What cannot be imported is told without a traceback; the tests of others go on.
    """
    try:
        return import_module(f"simlearn.pytest_plugin.{name}")
    except Exception as error:
        text = f"simlearn cannot judge here: {type(error).__name__}: {error}."
        hint = " `simlearn doctor` looks at the installation."
        raise pytest.fail.Exception(text + hint, pytrace=False) from None


class GateNode(pytest.File):
    """A gate file."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """The suite that was asked for."""
        try:
            from simlearn.component import ConfigError
            from simlearn.stability.gatefile import read_gate_file
        except Exception as error:  # the installation, not the file: others' tests go on
            yield BrokenItem.from_parent(self, name="gate", reason=error)
            return
        try:
            gate = read_gate_file(self.path)
            given = self.config.getoption("simlearn_suite")
            name, entries = suite_of(gate, given or self.config.getini("simlearn_suite"))
        except ConfigError as error:
            raise self.CollectError(str(error)) from None
        yield SuiteNode.from_parent(self, name=name, gate=gate, entries=entries)


class SuiteNode(pytest.Collector):
    """The suite of a gate file; its simulator and data are loaded once, and given back."""

    def __init__(self, *, gate: GateFile, entries: Sequence[Entry], **more: Any):
        super().__init__(**more)
        self.gate, self.entries = gate, entries
        self.judged: Judged | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """One item a check, and one for the baseline where the file names it."""
        for number, name in enumerate(names(self.entries)):
            yield CheckItem.from_parent(self, name=name, number=number)
        if self.gate.baseline is not None:
            yield BaselineItem.from_parent(self, name="baseline")

    def setup(self) -> None:
        """Load; what cannot be loaded is an error of every check, and is tried once."""
        allowed = self.config.getini("simlearn_allow_import")
        self.judged = heavy("judged").opened(self.gate, self.name, self.entries, allowed)

    def teardown(self) -> None:
        """Give simulator, data and rollouts back."""
        self.judged = None


class _Item(pytest.Item):
    def __init__(self, **more: Any):
        super().__init__(**more)
        self.add_marker("simlearn")

    @property
    def judged(self) -> Judged:
        """What the suite has loaded."""
        suite = self.parent
        assert isinstance(suite, SuiteNode)
        assert suite.judged is not None
        return suite.judged

    def note(self, text: str) -> None:
        """Say it at the end of the run, also where the item passes."""
        self.add_report_section("setup", NOTE, text)

    def reportinfo(self) -> tuple[Any, None, str]:
        """The file, and the name in it."""
        return self.path, None, f"{self.path.name} {self.nodeid.partition('::')[2]}"


class CheckItem(_Item):
    """A check. It judges in its set-up: what could not be judged is an error, and no failure."""

    def __init__(self, *, number: int, **more: Any):
        super().__init__(**more)
        self.number = number

    def setup(self) -> None:
        """Judge."""
        verdict = self.judged.verdict(self.number)
        self.add_report_section("setup", FIGURES, verdict.figures)
        for remark in verdict.remarks:
            self.note(remark)
        self.verdict = verdict

    def runtest(self) -> None:
        """Pass, fail, skip, or be expected to fail, by what was found."""
        outcome, text = self.verdict.outcome, self.verdict.text
        if outcome == "skip":
            pytest.skip(text)
        if outcome == "warn":
            pytest.xfail(text)
        if outcome == "fail":
            pytest.fail(text, pytrace=False)


class BaselineItem(_Item):
    """The comparison with the baseline that a gate file names."""

    def setup(self) -> None:
        """Compare, or write."""
        write = self.config.getoption("simlearn_update")
        self.worse, remark = self.judged.write_baseline() if write else self.judged.compare()
        if remark:
            self.note(remark)

    def runtest(self) -> None:
        """Fail where something became worse, or was not good enough to be written."""
        if self.worse:
            pytest.fail(self.worse, pytrace=False)


class BrokenItem(pytest.Item):
    """Stands for a gate file that this installation cannot even read."""

    def __init__(self, *, reason: Exception, **more: Any):
        super().__init__(**more)
        self.reason = f"{type(reason).__name__}: {reason}"

    def setup(self) -> None:
        """An error, and no failure of the simulator."""
        pytest.fail(f"simlearn cannot read gate files here: {self.reason}", pytrace=False)

    def runtest(self) -> None:
        """Never reached."""


def suite_of(gate: GateFile, given: str | None) -> tuple[str, Sequence[Entry]]:
    """The suite that was named; smoke where none was, or what `simlearn check` takes without one.

    Raises:
        ConfigError: There is no such suite.
    """
    return gate.suite(given or (DEFAULT if DEFAULT in gate.suites else None))


def names(entries: Sequence[Entry]) -> list[str]:
    """The checks' names; those of one name are told apart by the arguments they differ in.

    By their place among their likes where the arguments do not tell them apart, or not briefly.
    """
    plain = [entry.class_path.rpartition(".")[2] for entry in entries]
    found = list(plain)
    for name in {one for one in plain if plain.count(one) > 1}:
        likes = [number for number, one in enumerate(plain) if one == name]
        marks = _marks([entries[number].init_args for number in likes])
        for number, mark in zip(likes, marks, strict=True):
            found[number] = f"{name}[{mark}]"
    return found


def _marks(arguments: Sequence[dict[str, Any]]) -> list[str]:
    keys = sorted({key for one in arguments for key in one})
    differing = [k for k in keys if any(one.get(k) != arguments[0].get(k) for one in arguments)]
    told = [{key: one[key] for key in differing if key in one} for one in arguments]
    marks = [",".join(f"{key}={value}" for key, value in one.items()) for one in told]
    plain = all(isinstance(v, bool | int | float | str) for one in told for v in one.values())
    good = [0 < len(m) <= LONGEST and m.isprintable() and "::" not in m for m in marks]
    if plain and all(good) and len(set(marks)) == len(marks):
        return marks
    return [str(number) for number in range(len(arguments))]
