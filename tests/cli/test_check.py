"""``simlearn check``: gate files that name what is judged, and what is refused."""

import json
import math
import pathlib
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import simlearn
from simlearn import Finding, Metric, Simulator
from simlearn.data import store
from simlearn.integrators import Leapfrog
from simlearn.stability import gate
from simlearn_checks import Bounded
from simlearn_mechanics import MassSpring, MassSpringLaw

MARKUP = "<script>alert(1)</script>|[a](b)&\"'`*_"


def body(folder="sound/report"):
    with open(f"{folder}/report.json") as file:
        return json.load(file)


def test_a_gate_file_that_names_all_is_enough(check):
    assert check()[0] == 0
    assert [one["check"] for one in body()["checks"]] == ["Bounded", "ForecastError"]
    assert check("--suite", "smoke")[0] == 0
    assert body()["suite"] == "smoke"


def test_the_command_line_wins(check):
    assert check("lost")[0] == 1
    assert body("lost/report")["verdict"] == "fail"
    assert check("--data", "other.h5", "--seed", 3)[0] == 0
    wanted = store.read("other.h5").digest
    assert body()["provenance"]["held_out"]["digest"] == wanted
    assert check("--data", "none.h5")[0] == 3


def test_paths_of_a_gate_file_are_seen_from_where_it_lies(check, gated, monkeypatch):
    (gated / "elsewhere").mkdir()
    monkeypatch.chdir(gated / "elsewhere")
    assert check("--out", "r", gate="../own.gate.yaml")[0] == 0
    assert (gated / "elsewhere/r/report.html").is_file()


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("simulator: sound\n", "", "What is to be judged? Name SIMULATOR"),
        ("data: test.h5\n", "", "Give --data FILE.h5, or write `data: FILE.h5` into"),
        ("data:", "dada:", "did you mean data?"),
        ("Bounded", "Bouned", "did you mean Bounded"),
        ("horizon: 20", "horizn: 20", "did you mean horizon?"),
    ],
)
def test_what_is_missing_or_misspelt_is_named(check, gated, old, new, told):
    path = gated / "own.gate.yaml"
    path.write_text(path.read_text().replace(old, new))
    code, _, error = check("--suite", "smoke")
    assert code == 2, error
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.fault(29)
def test_an_unknown_suite_and_no_gate_at_all(check):
    code, _, error = check("--suite", "smoek")
    assert code == 2
    assert "has no suite 'smoek'; did you mean smoke? It has smoke, full." in error
    code, _, error = check(gate=None)
    assert code == 2
    assert "simlearn check SIMULATOR --data FILE.h5 -c GATE.yaml" in error
    code, _, error = check("sound", gate=None)
    assert code == 2
    assert "needs a gate" in error


def test_the_help_teaches_suites_baselines_and_exit_codes(check):
    code, out, _ = check("--help", gate=None)
    assert code == 0
    for word in ("suites:", "baselines:", "exit codes:", "--update-baseline", "examples:"):
        assert word in out


def test_a_folder_that_cannot_be_written_is_told_before_judging(check, gated, monkeypatch):
    monkeypatch.setattr(gate, "check", lambda *a, **k: pytest.fail("judged"))
    (gated / "file").write_text("")
    code, _, error = check("--out", "file/report")
    assert code == 6
    assert "Cannot write the report into file/report" in error
    code, _, error = check("--update-baseline", "--baseline", "file/b.json", "--out", "r")
    assert code == 6
    assert "Cannot write the baseline into file" in error


@pytest.mark.fault(29)
def test_a_nan_metric_fails_the_gate(check, monkeypatch):
    monkeypatch.setattr(
        Bounded, "run", lambda *_: Finding("pass", (Metric("told only", math.nan),))
    )
    assert check()[0] == 1
    assert body()["checks"][0]["metrics"][0]["value"] == "nan"


def test_training_data_that_are_missing_name_the_flag(check, gated, write_gate):
    write_gate("full: [UnlearnableDirections]")
    code, out, error = check()
    assert code == 3
    assert "--training-data" in error
    assert "training data not found again: The archive does not say" in out
    write_gate(
        "full: [{class_path: UnlearnableDirections, init_args: {horizon: 5}}]",
        "training_data: test.h5\n",
    )
    assert check()[0] in (0, 1)


def test_training_data_that_moved_are_named(check, gated, write_gate):
    one = Simulator(MassSpringLaw(), Leapfrog(), 0.1)
    one.provenance = {"data": {"file": "gone.h5"}, "training": {"sha256": "x", "trajectories": 2}}
    simlearn.save(one, "moved")
    write_gate("full: [UnlearnableDirections]")
    code, out, _ = check("moved")
    assert code == 3
    assert "It was trained on gone.h5, which is not here. --training-data FILE.h5" in out
    shutil.copy("other.h5", "gone.h5")
    assert "their SHA-256 is another" in check("moved")[1]


def test_markup_in_names_stays_text(check, gated, write_gate):
    """Of a suite, a reference, a row of the data and a folder."""
    one = next(MassSpring().draw(range(1), simlearn.sample_times(200, 0.1), 0))
    named = replace(simlearn.Topology.isolated(1), node_names=(MARKUP,))
    store.write("rows.h5", [simlearn.Trajectory(one.t, one.x, named)], {})
    text = json.dumps(MARKUP)
    write_gate(f"{text}: [BOUNDED, FORECAST]", f"references: {{{text}: lost}}\n")
    assert check("--data", "rows.h5")[0] == 0
    told = body()
    assert told["suite"] == told["references"][0] == MARKUP
    page, summary, junit = (
        (gated / "sound/report" / name).read_text()
        for name in ("report.html", "summary.md", "junit.xml")
    )
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in summary
    for line in summary.splitlines():
        assert "[a](b)" not in line
    assert {len(_cells(line)) for line in summary.splitlines() if line.startswith("|")} == {6}
    suite = ElementTree.fromstring(junit).find("testsuite")
    assert MARKUP in suite.get("name")


def _cells(line):
    """Cells of a row of a Markdown table, by bars that are not escaped."""
    return line.replace("\\\\", "").replace("\\|", "").strip("|").split("|")


@pytest.mark.parametrize(
    ("generator", "told"),
    [
        ({"class_path": "MassSpring", "init_args": {"stifness": 1.0}}, "stifness"),
        ({"class_path": "NoSystem"}, "NoSystem"),
        ({"class_path": "simlearn_mechanics.Gone"}, "(plugin mechanics (simlearn"),
    ],
)
def test_a_truth_that_is_named_and_cannot_be_had_is_refused(check, generator, told):
    """Without it checks would lose limits, and a gate that became weaker would pass."""
    store.write("told.h5", store.read("test.h5").trajectories, {"generator": generator})
    code, _, error = check("--data", "told.h5")
    assert code == 4
    assert f"drawn by {generator['class_path']}" in error
    assert told in error
    store.write("silent.h5", store.read("test.h5").trajectories, {})
    assert check("--data", "silent.h5")[0] == 0


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--data", "none.h5"], 3),
        (["--suite", "none"], 2),
        (["--baseline", "none.json"], 2),
        (["--seed=-5"], 2),
    ],
)
@pytest.mark.parametrize("out", [[], ["--out", "told"]])
def test_an_earlier_report_does_not_outlive_a_run_without_a_verdict(check, words, code, out):
    folder = pathlib.Path(*out[1:] or ["sound/report"])
    assert check(*out)[0] == 0
    (folder / "mine.txt").write_text("kept")
    assert check(*out, *words)[0] == code
    left = [] if out or "--seed=-5" not in words else sorted(gate.FILES)
    assert sorted(one.name for one in folder.iterdir()) == sorted(["mine.txt", *left])


def test_a_seed_below_zero_is_refused_before_judging(check, monkeypatch):
    monkeypatch.setattr(gate, "check", lambda *a, **k: pytest.fail("judged"))
    code, _, error = check("--seed=-5")
    assert code == 2
    assert "whole number from 0" in error
    assert "got -5" in error


def test_a_suite_of_warnings_is_a_fault_of_the_gate_file(check, write_gate):
    write_gate("full: [MILD]")
    code, _, error = check()
    assert code == 2
    assert "nothing would be proved" in error
