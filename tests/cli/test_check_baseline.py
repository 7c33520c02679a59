"""``simlearn check --baseline`` and ``--update-baseline``."""

import json
import math
from xml.etree import ElementTree

import pytest

from simlearn.cli import judging
from simlearn.stability import gate


def body(folder="sound/report"):
    with open(f"{folder}/report.json") as file:
        return json.load(file)


def test_a_baseline_is_written_compared_and_updated(check, gated, write_gate):
    code, out, _ = check("--update-baseline")
    assert code == 0
    assert "Bounded, share of the horizon reached: new, 1" in out
    assert "`baseline: own.baseline.json` in own.gate.yaml" in out
    assert list(json.loads((gated / "own.baseline.json").read_text())["suites"]) == ["full"]
    write_gate(
        "smoke: [BOUNDED]\n  full: [BOUNDED, FORECAST]",
        "baseline: own.baseline.json\n",
    )
    code, out, _ = check()
    assert code == 0
    assert "nothing is worse than own.baseline.json" in out
    assert body()["regressions"] == []
    assert body()["provenance"]["baseline"]["file"] == "own.baseline.json"
    before = (gated / "own.baseline.json").read_bytes()
    code, out, _ = check("stiffer")
    assert code == 1
    assert "worse than the baseline: ForecastError, error of row 0:" in out
    told = body("stiffer/report")
    assert told["verdict"] == "fail"
    assert all(one["good"] for one in told["checks"]), "every limit is kept"
    assert {one["check"] for one in told["regressions"]} == {"ForecastError"}
    assert (gated / "own.baseline.json").read_bytes() == before
    code, out, _ = check("stiffer", "--update-baseline")
    assert code == 0
    assert " -> " in out
    assert check("stiffer")[0] == 0


def test_a_regression_stands_in_every_format(check, gated):
    assert check("--update-baseline", "--baseline", "b.json")[0] == 0
    assert check("stiffer", "--baseline", "b.json")[0] == 1
    texts = {p.name: p.read_text() for p in (gated / "stiffer/report").iterdir()}
    suite = ElementTree.fromstring(texts["junit.xml"]).find("testsuite")
    assert int(suite.get("failures")) >= 1
    assert any(case.find("failure") is not None for case in suite)
    for name in ("summary.md", "report.html", "junit.xml"):
        assert "baseline" in texts[name], name


def test_a_warning_that_became_worse_fails_nothing(check, write_gate):
    write_gate("full: [BOUNDED, MILD]")
    assert check("--update-baseline", "--baseline", "b.json")[0] == 0
    code, out, _ = check("stiffer", "--baseline", "b.json")
    assert code == 0
    assert "worse than the baseline (warning): ForecastError" in out


def test_the_tolerance_of_the_gate_file_counts(check, write_gate):
    suites = "full: [BOUNDED, FORECAST]"
    assert check("--update-baseline", "--baseline", "b.json")[0] == 0
    write_gate(suites, "baseline: b.json\ntolerance: {absolute: 0.5}\n")
    assert check("stiffer")[0] == 0
    write_gate(suites, "baseline: b.json\ntolerance: {absolute: 1e-3}\n")
    assert check("stiffer")[0] == 1


def test_the_spread_of_siblings_widens_what_is_allowed(check, gated):
    words = ["--update-baseline", "--baseline", "b.json", "--sibling", "stiffer"]
    code, out, _ = check(*words)
    assert code == 0
    assert "sibling 1/1" in out
    kept = json.loads((gated / "b.json").read_text())["suites"]["full"]
    assert kept["about"]["siblings"] == 1
    alone = check("stiffer", "--update-baseline", "--baseline", "c.json")
    assert alone[0] == 0
    one, two = (
        json.loads((gated / name).read_text())["suites"]["full"]["checks"][1]["metrics"]
        for name in ("b.json", "c.json")
    )
    (name,) = one
    apart = abs(one[name]["value"] - two[name]["value"])
    assert one[name]["spread"] == pytest.approx(apart / math.sqrt(2), rel=1e-12)
    assert check("stiffer", "--baseline", "b.json", "--sibling", "sound")[0] == 0
    code, _, error = check("stiffer", "--baseline", "b.json")
    assert code == 2
    assert "its siblings is 1, now it is 0" in error


@pytest.mark.fault(30)
def test_a_truth_that_is_not_known_any_more_is_refused(check, monkeypatch):
    assert check("--update-baseline", "--baseline", "b.json")[0] == 0
    monkeypatch.setattr(judging, "_system", lambda data, known: None)
    code, _, error = check("--baseline", "b.json")
    assert code == 2
    assert "its truth is " in error
    assert "now it is unknown" in error


def test_a_failing_simulator_is_never_blessed(check, gated):
    code, out, _ = check("lost", "--update-baseline", "--baseline", "b.json")
    assert code == 1
    assert "b.json was not written" in out
    assert not (gated / "b.json").exists()


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "other.h5"], "its data is"),
        (["--seed", "1"], "its seed is 0, now it is 1"),
        (["finer"], "its dt is 0.1, now it is 0.05"),
        (["--suite", "smoke"], "has no suite 'smoke', it has full"),
        (["--baseline", "none.json"], "There is no baseline none.json"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_judging(check, monkeypatch, words, told):
    assert check("--update-baseline", "--baseline", "b.json")[0] == 0
    monkeypatch.setattr(gate, "check", lambda *a, **k: pytest.fail("judged"))
    words = words if "--baseline" in words else [*words, "--baseline", "b.json"]
    code, _, error = check(*words)
    assert code == 2
    assert told in error


@pytest.mark.fault(30)
def test_arguments_of_a_check_that_changed_are_refused(check, gated):
    assert check("--update-baseline", "--baseline", "b.json")[0] == 0
    path = gated / "own.gate.yaml"
    path.write_text(path.read_text().replace("horizon: 100", "horizon: 50"))
    code, _, error = check("--baseline", "b.json")
    assert code == 2
    assert "its ForecastError.horizon is 100, now it is 50" in error
