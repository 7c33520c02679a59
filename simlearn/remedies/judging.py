"""The gate for remedies: the same checks over the same time, on a part of the evidence."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from simlearn.archive import estimates
from simlearn.catalog import Catalog
from simlearn.component import ConfigError, build, describe
from simlearn.remedies.accuracy import forecast_error
from simlearn.remedies.config import Config
from simlearn.remedies.subject import Subject
from simlearn.remedies.training import data_of
from simlearn.simulator import Simulator
from simlearn.stability.evidence import Evidence
from simlearn.stability.gate import Case, check
from simlearn.stability.report import Report
from simlearn.state import Trajectory

IN_STEPS = ("horizon", "steps", "transient")  # arguments of checks that count steps


def cases_of(report: Report, plugins: Catalog) -> list[Case]:
    """The checks of a report, built again.

    Raises:
        ConfigError: One is not installed any more.
    """
    found = []
    for item in report.items:
        spec = {"class_path": item.name, "init_args": dict(item.arguments)}
        found.append(Case(build(spec, plugins.find), item.severity, item.optional))
    return found


@dataclass(frozen=True)
class Gate:
    """Judges what has been remedied.

    Attributes:
        origin: What failed.
        evidence: What it was held against.
        cases: The checks.
        suite: Their name.
        choosing: Held-out trajectories by which remedies are chosen.
        kept: Those that were kept aside.
        span: Time over which the errors of forecasts are compared.
    """

    origin: Subject
    evidence: Evidence
    cases: Sequence[Case]
    suite: str
    choosing: Sequence[Trajectory]
    kept: Sequence[Trajectory]
    span: float

    def report(
        self, simulator: Simulator, config: Config | None, held_out: Sequence[Trajectory]
    ) -> Report:
        """What the checks say, on these held-out trajectories.

        Nothing is drawn beside, and siblings are left out: they are relatives of what failed.

        Args:
            simulator: What is judged.
            config: What trained its weights, which tells whether it saw other data.
            held_out: What it is held against.

        Raises:
            DataError: These are too few for a check.
        """
        times = self.origin.simulator.dt / simulator.dt
        part = replace(
            self.evidence,
            held_out=tuple(held_out),
            training=self._training(config),
            siblings=(),
            references={},
            estimates=estimates(simulator),
            _rolled={},
        )
        return check(
            simulator, part, [self._case(one, times) for one in self.cases], suite=self.suite
        )

    def alone(self, before: Report) -> tuple[Gate, Report, str]:
        """The gate without the checks that siblings alone make applicable.

        Args:
            before: What the checks said of the origin beside its siblings.

        Returns:
            That gate, what its checks say of the origin alone, and in words what was left out.

        Raises:
            ConfigError: No check is left.
        """
        found = self.report(self.origin.simulator, self.origin.config, self.evidence.held_out)
        applied = [
            (item.name, dict(item.arguments))
            for item in before.items
            if item.finding.verdict != "not_applicable"
        ]
        lost = [
            item.finding.verdict == "not_applicable" and (item.name, item.arguments) in applied
            for item in found.items
        ]
        if not any(lost):
            return self, found, ""
        names = [item.name for item, gone in zip(found.items, lost, strict=True) if gone]
        if all(lost):
            raise ConfigError(
                f"{', '.join(names)} can be judged beside siblings only, and a remedied simulator "
                "has none. Train several seeds of a changed config and check those."
            )
        told = f" Left out, for a remedied simulator has no siblings: {', '.join(names)}."
        cases = [case for case, gone in zip(self.cases, lost, strict=True) if not gone]
        items = tuple(item for item, gone in zip(found.items, lost, strict=True) if not gone)
        return replace(self, cases=cases), replace(found, items=items), told

    def error(self, simulator: Simulator) -> float | None:
        """Error of forecasts from the states by which remedies are chosen."""
        double = copy.deepcopy(simulator).double()
        return forecast_error(double, self.choosing, self.span)

    def _training(self, config: Config | None) -> Sequence[Trajectory]:
        before = self.origin.config
        if not self.evidence.training or not config or not before:
            return self.evidence.training
        if config["data"] == before["data"]:
            return self.evidence.training
        data = data_of(config, self.origin.plugins)
        data.setup("fit")
        return data.training

    def _case(self, case: Case, times: float) -> Case:
        """The check for a simulator that takes so many times as many steps."""
        cls, told = type(case.check), describe(case.check)
        given = {
            name: round(value * times) if name in IN_STEPS and type(value) is int else value
            for name, value in told["init_args"].items()
        }
        if times == 1 or given == told["init_args"]:
            return case

        def resolve(path: str) -> type[Any]:
            # it may be of a module that was allowed for this one command
            return cls if path == told["class_path"] else self.origin.plugins.find(path)

        return replace(case, check=build({**told, "init_args": given}, resolve))
