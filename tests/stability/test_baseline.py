"""Baselines: what is a regression, what is not, and what is never compared."""

import dataclasses
import json
import math
import os
import threading
from typing import ClassVar

import pytest
import torch

import simlearn
from simlearn import ConfigError, Finding, Metric, Simulator
from simlearn.component import EnvironmentFault
from simlearn.integrators import Leapfrog
from simlearn.stability import baseline
from simlearn.stability.baseline import (
    Baseline,
    Facts,
    read_baseline,
    write_baseline,
)
from simlearn.stability.compare import changes, recorded, worse
from simlearn.stability.gate import Case
from simlearn.stability.gatefile import Tolerance
from simlearn.stability.report import Item, Regression, Report
from simlearn_mechanics import MassSpringLaw

FACTS = Facts("d" * 64, 0.1, 0)
EXACT = Tolerance(absolute=0.0, relative=0.0, spread=0.0, noise=0.0)


class Says(simlearn.Check):
    """Says what the test wants."""

    said: ClassVar[dict[str, Finding]] = {}

    def __init__(self, name="a", horizon=10):
        self.name, self.horizon = name, horizon

    def run(self, simulator, evidence):
        return self.said[self.name]


def item(*metrics, severity="error", horizon=10):
    told = {"name": "a", "horizon": horizon}
    return Item("Says", told, Finding.of(metrics, ""), severity)


def simulator():
    return Simulator(MassSpringLaw(), Leapfrog(), 0.1)


def record(*items, siblings=()):
    reports = [Report("s", "full", (one,)) for one in siblings]
    return recorded(Report("s", "full", items), FACTS, simulator(), reports)


def compared(was, now, tolerance=EXACT, siblings=()):
    (kept,) = record(item(was), siblings=[item(one) for one in siblings])["checks"]
    return worse(kept, item(now), tolerance)


@pytest.mark.parametrize(
    ("was", "now", "regressed"),
    [
        (Metric("m", 1.0, 9.0), Metric("m", 1.001, 9.0), True),
        (Metric("m", 1.0, 9.0), Metric("m", 1.0, 9.0), False),
        (Metric("m", 1.0, 9.0), Metric("m", 0.1, 9.0), False),
        (Metric("m", 1.0, 0.5, "min"), Metric("m", 0.999, 0.5, "min"), True),
        (Metric("m", 1.0, 0.5, "min"), Metric("m", 7.0, 0.5, "min"), False),
        (Metric("m", 1.0, 9.0), Metric("m", math.nan, 9.0), True),
        (Metric("m", 1.0, 9.0), Metric("m", math.inf, 9.0), True),
        (Metric("m", 1.0, 9.0), Metric("other", 1.0, 9.0), True),
        (Metric("m", 1.0, 0.1 + 0.2), Metric("m", 1.0, 0.3), False),
        (Metric("m", math.nan, 9.0), Metric("m", 1.0, 9.0), False),
        (Metric("m", 1.0), Metric("m", 50.0), False),
        (Metric("m", math.inf, 9.0), Metric("m", 50.0, 9.0), False),
        (Metric("m", -2.0, 9.0), Metric("m", -1.9, 9.0), True),
    ],
)
def test_only_what_became_worse_is_a_regression(was, now, regressed):
    assert bool(compared(was, now)) is regressed


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (Metric("m", 1.0), Metric("m", 1.0, 9.0), "m: limit is missing, now it is 9.0"),
        (Metric("m", 1.0, 9.0), Metric("m", 1.0), "m: limit is 9.0, now it is missing"),
        (Metric("m", 1.0, 9.0), Metric("m", 1.0, 8.0), "m: limit is 9.0, now it is 8.0"),
        (Metric("m", 1.0, 0.5), Metric("m", 1.0, 0.5, "min"), "m: sense is max, now it is min"),
        (Metric("m", 1.0, unit="m"), Metric("m", 1.0, unit="km"), "m: unit is m, now it is km"),
        (Metric("n", 1.0), Metric("m", 1.0, 9.0), "Says, m is missing, now it is measured"),
    ],
)
def test_metrics_that_are_judged_in_another_way_are_not_compared(was, now, told):
    with pytest.raises(ConfigError, match=told):
        compared(was, now)


def test_a_check_that_measures_nothing_any_more_is_a_regression():
    (kept,) = record(item(Metric("m", 1.0, 9.0)))["checks"]
    gone = Item("Says", {}, Finding.not_applicable("no"), optional=True)
    (found,) = worse(kept, gone, Tolerance())
    assert math.isnan(found.value)
    assert "not measured" in str(found)
    assert not Report("s", "full", (gone, item(Metric("m", 1.0))), regressions=(found,)).passed


@pytest.mark.parametrize(
    ("tolerance", "allowed"),
    [
        ({"absolute": 0.3}, 0.3),
        ({"relative": 0.1}, 0.2),
        ({"spread": 3.0}, 3.0 * math.sqrt(2) / 10),
        ({"noise": 2.0}, 2.0 * 0.5),
        ({"absolute": 0.3, "relative": 0.5, "spread": 1.0, "noise": 1.0}, 1.0),
    ],
)
def test_the_tolerance_is_the_largest_of_its_parts(tolerance, allowed):
    """Value 2, noise 0.3 and 0.4 that add in quadrature, two seeds 0.2 apart."""
    given = dataclasses.replace(EXACT, **tolerance)
    was, beside = Metric("m", 2.0, 99.0, noise=0.3), Metric("m", 2.2, 99.0)
    just, over = (Metric("m", 2 + f * allowed, 99.0, noise=0.4) for f in (0.999, 1.001))
    assert compared(was, just, given, [beside]) == []
    (found,) = compared(was, over, given, [beside])
    assert found.allowed == pytest.approx(allowed, rel=1e-12)
    assert found.bound == pytest.approx(2 + allowed, rel=1e-12)


def test_a_sibling_that_fails_does_not_widen_the_spread():
    good, bad = Metric("m", 2.2, 99.0), Metric("m", 1e6, 99.0)
    (kept,) = record(item(Metric("m", 2.0, 99.0)), siblings=[item(good), item(bad)])["checks"]
    assert kept["metrics"]["m"]["spread"] == pytest.approx(math.sqrt(2) / 10)


def test_metrics_of_one_name_are_told_apart():
    first, second = Metric("m", 1.0, 9.0), Metric("m", 5.0, 9.0)
    (kept,) = record(item(first, second))["checks"]
    assert list(kept["metrics"]) == ["m", "m (2)"]
    assert worse(kept, item(first, second), EXACT) == []
    (found,) = worse(kept, item(first, Metric("m", 6.0, 9.0)), EXACT)
    assert (found.metric, found.baseline) == ("m (2)", 5.0)


def test_a_regression_fails_the_gate_unless_its_check_only_warns():
    good = item(Metric("m", 1.0, 9.0))
    told = ("Says", {}, "m", 2.0, 1.0, 0.1, "max", "m")
    assert not Report("s", "full", (good,), regressions=(Regression(*told),)).passed
    assert Report("s", "full", (good,), regressions=(Regression(*told, "warning"),)).passed
    body = json.loads(Report("s", "full", (good,), regressions=(Regression(*told),)).to_json())
    assert body["verdict"] == "fail"
    assert body["regressions"][0]["bound"] == 1.1
    assert str(Regression(*told)) == "Says, m: 1 m -> 2 m, allowed at most 1.1 m"


def cases(**more):
    return [Case(Says(**more))]


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "b.json"
    write_baseline(path, "full", record(item(Metric("m", 1.0, 9.0))))
    return read_baseline(path)


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("suite", "facts", "checks", "told"),
    [
        ("smoke", FACTS, cases(), "has no suite 'smoke', it has full"),
        ("full", Facts("e" * 64, 0.1, 0), cases(), r"data is d{12}\.\.\., now it is e{12}\.\.\."),
        ("full", Facts("d" * 64, 0.2, 0), cases(), "its dt is 0.1, now it is 0.2"),
        ("full", Facts("d" * 64, 0.1, 3), cases(), "its seed is 0, now it is 3"),
        (
            "full",
            dataclasses.replace(FACTS, truth="e" * 64),
            cases(),
            r"its truth is unknown, now it is e{12}\.\.\.",
        ),
        ("full", dataclasses.replace(FACTS, siblings=2), cases(), "siblings is 0, now it is 2"),
        ("full", FACTS, cases(horizon=20), "its Says.horizon is 10, now it is 20"),
        ("full", FACTS, cases(name="b"), "its Says.name is a, now it is b"),
        ("full", FACTS, cases() * 2, r'checks is \["Says"\], now it is \["Says", "Says"\]'),
    ],
)
def test_other_conditions_are_not_compared(kept, suite, facts, checks, told):
    with pytest.raises(ConfigError, match=told):
        kept.fitting(suite, facts, checks)


def test_checks_are_found_by_name_whatever_their_order():
    checks = [{"check": n, "arguments": {}, "metrics": {}} for n in ("B", "A", "B")]
    checks[2]["arguments"] = {"k": 1}
    told = {**vars(FACTS), "checks": checks}
    wanted = [type(name, (Says,), {"__init__": lambda self: None}) for name in ("A", "B")]
    second = type("B", (Says,), {"__init__": lambda self, k=1: setattr(self, "k", k)})
    found = Baseline("b.json", {"full": told}).fitting(
        "full", FACTS, [Case(one()) for one in (*wanted, second)]
    )
    assert [(one["check"], one["arguments"]) for one in found] == [
        ("A", {}),
        ("B", {}),
        ("B", {"k": 1}),
    ]


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("metric.spread", "inf", "spread are sizes"),
        ("metric.spread", -1, "spread are sizes"),
        ("metric.noise", -1, "noise and spread are sizes"),
        ("metric.noise", "1.0", "noise is one of nan, inf, -inf, got '1.0'"),
        ("metric.value", "nan", "value is finite, got 'nan'"),
        ("metric.value", True, "value is a number, got True"),
        ("metric.value", 10**400, "too large"),
        ("metric.sense", "MAX", "sense is one of max, min, got 'MAX'"),
        ("metric.unit", None, "unit is text"),
        ("metric.limit", [1], "limit is a number"),
        ("check.metrics", [], "metrics of Says is a mapping"),
        ("check.arguments", None, "arguments of Says is a mapping"),
        ("check.check", ["Says"], "name of a check is text"),
        ("check.severity", "fatal", "severity of Says is one of"),
        ("suite.about", None, "about is a mapping, got None"),
        ("suite.about", {"simulator": []}, "about holds text"),
        ("suite.siblings", None, "are text or numbers"),
        ("suite.checks", {}, "checks is a list"),
        ("suite.checks", ["Says"], "a check is a mapping"),
        ("file.suites", {"full": None}, "a suite is a mapping"),
        ("file.schema", True, "has schema True"),
    ],
)
def test_what_was_changed_by_hand_is_refused(kept, where, value, told):
    body = json.loads(kept.path.read_text())
    suite = body["suites"]["full"]
    (check,) = suite["checks"]
    parts = {"file": body, "suite": suite, "check": check, "metric": check["metrics"]["m"]}
    part, _, key = where.partition(".")
    parts[part][key] = value
    kept.path.write_text(json.dumps(body))
    with pytest.raises(ConfigError, match=told):
        read_baseline(kept.path)


def test_a_check_that_lost_its_metrics_is_not_compared(kept):
    body = json.loads(kept.path.read_text())
    body["suites"]["full"]["checks"][0]["metrics"] = {}
    kept.path.write_text(json.dumps(body))
    (check,) = read_baseline(kept.path).suites["full"]["checks"]
    with pytest.raises(ConfigError, match="Says, m is missing, now it is measured"):
        worse(check, item(Metric("m", 1.0, 9.0)), Tolerance())


def test_two_that_write_at_once_lose_no_suite(kept, monkeypatch):
    """Another writes its suite after this one has begun and before it puts its file in place."""
    lock = kept.path.with_name(".b.json.lock")
    started, dump = [], json.dumps

    def meanwhile(body, **more):
        if not started:
            started.append(threading.Thread(target=write, args=("nightly",)))
            started[0].start()
            started[0].join(0.2)
            assert lock.exists()
        return dump(body, **more)

    def write(suite):
        write_baseline(kept.path, suite, record(item(Metric("m", 2.0, 9.0))))

    monkeypatch.setattr(json, "dumps", meanwhile)
    write("smoke")
    started[0].join()
    assert sorted(read_baseline(kept.path).suites) == ["full", "nightly", "smoke"]
    assert not lock.exists()


def test_a_lock_that_was_left_is_named(kept, monkeypatch):
    monkeypatch.setattr(baseline, "WAIT", 0.05)
    kept.path.with_name(".b.json.lock").write_text("1")
    with pytest.raises(EnvironmentFault, match=r"If none is, remove .*\.b\.json\.lock"):
        write_baseline(kept.path, "smoke", record(item(Metric("m", 2.0, 9.0))))
    assert kept.path.with_name(".b.json.lock").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("<<<<<<< HEAD\n", "cannot be read"),
        ("[]", "no baseline"),
        ("{}", "no baseline"),
        ('{"schema": 2}', "schema 2"),
        ('{"schema": 1}', "changed by hand and lacks 'suites'"),
        ('{"schema": 2, "simlearn": "9.1", "suites": {}}', r"schema 2 \(written by simlearn 9.1\)"),
        ('{"schema": 1, "suites": {"full": {"data": "x"}}}', "changed by hand and lacks 'dt'"),
    ],
)
def test_what_is_no_baseline_is_refused_and_kept(tmp_path, text, told):
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_baseline(path)
    with pytest.raises(ConfigError, match=told):
        write_baseline(path, "full", record(item(Metric("m", 1.0, 9.0))))
    assert path.read_text() == text
    with pytest.raises(ConfigError, match=r"There is no baseline .*--update-baseline"):
        read_baseline(tmp_path / "none.json")


def test_it_is_written_whole_or_not_at_all(tmp_path, kept, monkeypatch):
    before = kept.path.read_bytes()
    assert before == json.dumps(json.loads(before), indent=2, sort_keys=True).encode() + b"\n"

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        write_baseline(kept.path, "full", record(item(Metric("m", 2.0, 9.0))))
    assert kept.path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["b.json"]


def test_other_suites_stay_and_links_are_followed(tmp_path, kept):
    (tmp_path / "link.json").symlink_to(kept.path)
    write_baseline(tmp_path / "link.json", "smoke", record(item(Metric("m", 2.0, 9.0))))
    assert (tmp_path / "link.json").is_symlink()
    assert sorted(read_baseline(kept.path).suites) == ["full", "smoke"]


def test_numbers_that_are_none_are_kept_as_text(tmp_path):
    path = tmp_path / "b.json"
    write_baseline(
        path, "full", record(item(Metric("m", math.inf, noise=math.inf), severity="warning"))
    )
    (check,) = read_baseline(path).suites["full"]["checks"]
    assert check["metrics"]["m"]["value"] == "inf"
    assert worse(check, item(Metric("m", 1.0)), Tolerance()) == []


def test_the_difference_of_two_baselines_names_what_changed():
    old = record(item(Metric("m", 2.0, 9.0, unit="AU"), Metric("same", 1.0), Metric("gone", 1.0)))
    new = record(item(Metric("m", 3.0, 9.0, unit="AU"), Metric("same", 1.0), Metric("more", 1.0)))
    new["checks"][0]["arguments"]["horizon"] = 20
    assert changes(old, {**new, "seed": 5}) == [
        "seed: 0 -> 5",
        "Says.horizon: 10 -> 20",
        "Says, m: 2 -> 3 AU (+50.00%)",
        "Says, more: new, 1",
        "Says, gone: no longer measured",
        "1 metrics unchanged",
    ]
    assert changes(None, old)[0] == "Says, m: new, 2 AU"
    empty = {**old, "checks": []}
    assert changes(old, empty) == ["Says: no longer judged"]


def test_a_baseline_keeps_every_digit(tmp_path, kept):
    value = float(torch.tensor(1 / 3, dtype=torch.float64))
    write_baseline(kept.path, "full", record(item(Metric("m", value, 9.0))))
    (check,) = read_baseline(kept.path).suites["full"]["checks"]
    assert check["metrics"]["m"]["value"] == value
