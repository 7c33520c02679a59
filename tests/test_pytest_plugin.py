"""Gate files under pytest: items, outcomes, faults, baselines, fixtures, each in its own pytest."""

import gc
import json
import os
import pathlib
import subprocess
import sys
import weakref
from functools import partial

import docstring_parser  # noqa: F401 - as below
import jsonargparse
import pytest
import torch

import simlearn
from simlearn import catalog
from simlearn.data.generate import sample_times
from simlearn.integrators import Euler, Leapfrog
from simlearn.pytest_plugin import fixtures, judged  # noqa: F401 - or each pytest below has its own
from simlearn.pytest_plugin.nodes import names
from simlearn.stability.gatefile import Entry
from simlearn_mechanics import MassSpring

pytest_plugins = ["pytester"]
catalog.load()

OWN = """
import simlearn

class Told(simlearn.Check):
    '''Says what it is told to say.'''
    def __init__(self, value: float = 1.0, noise: float = 0.0, raises: str = ""):
        self.value, self.noise, self.raises = value, noise, raises
    def run(self, simulator, evidence):
        if self.raises == "bug":
            raise RuntimeError("a bug of the check")
        if self.raises:
            raise simlearn.DataError("the evidence is too short")
        metric = simlearn.Metric("size", self.value, 2.0, noise=self.noise, unit="m")
        return simlearn.Finding.of([metric], "It has a size.", remedies=["Make it smaller."])

class Never(simlearn.Check):
    '''Applies to nothing.'''
    def run(self, simulator, evidence):
        return simlearn.Finding.not_applicable("there is nothing to look at")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A sound simulator, one that blows up, and data to hold them against."""
    here = tmp_path_factory.mktemp("trained")
    spring = MassSpring()
    for name, scheme in (("sound", Leapfrog()), ("wild", Euler())):
        simlearn.save(simlearn.Simulator(spring.truth(), scheme, dt=0.1), here / name)
    simlearn.write(here / "test.h5", spring.draw(range(2), sample_times(101, 0.1), 0), {})
    return here


@pytest.fixture
def run(pytester):
    """Runs pytest in this process, without what would be imported or collected anew each time."""
    without = ("hypothesispytest", "unraisableexception", "threadexception")
    words = [word for name in without for word in ("-p", f"no:{name}")]
    return partial(pytester.runpytest_inprocess, *words)


@pytest.fixture
def gate(pytester, trained, monkeypatch):
    """Writes a gate file of a simulator; its suites are lists of checks in YAML."""
    monkeypatch.syspath_prepend(str(pytester.path))
    pytester.makepyfile(own_checks=OWN)
    pytester.makeini("[pytest]\nsimlearn_allow_import = own_checks\n")

    def write(name, simulator="sound", more="", **suites):
        head = f"schema: 1\nsimulator: {trained / simulator}\ndata: {trained / 'test.h5'}\n{more}"
        body = "".join(
            f"  {suite}:\n" + "".join(f"    - {one}\n" for one in checks)
            for suite, checks in suites.items()
        )
        path = pytester.path / f"{name}.gate.yaml"
        path.write_text(f"{head}\nsuites:\n{body}")
        return path

    return write


def bounded(horizon, more=""):
    return f"{{class_path: Bounded, init_args: {{horizon: {horizon}, factor: 2.0}}{more}}}"


def told(more="", **arguments):
    given = ", ".join(f"{key}: {value}" for key, value in arguments.items())
    return f"{{class_path: own_checks.Told, init_args: {{{given}}}{more}}}"


def ids(result):
    return [line for line in result.outlines if "::" in line and " " not in line]


def test_one_item_a_check_with_a_name_that_stays(gate, run):
    gate("a", smoke=[bounded(100), bounded(1000), "ForecastError"], full=["Bounded"])
    gate("b", full=["EnergyDrift", "EnergyDrift"], other=["Bounded"])
    found = ids(run("--collect-only", "-q"))
    assert found == [
        "a.gate.yaml::smoke::Bounded[horizon=100]",
        "a.gate.yaml::smoke::Bounded[horizon=1000]",
        "a.gate.yaml::smoke::ForecastError",
        "b.gate.yaml::full::EnergyDrift[0]",
        "b.gate.yaml::full::EnergyDrift[1]",
    ]


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([("a.b.Bounded", {}), ("Bounded", {"factor": 2})], ["Bounded[0]", "Bounded[1]"]),
        ([("A", {"n": 1, "m": 2}), ("A", {"n": 1, "m": 3})], ["A[m=2]", "A[m=3]"]),
        ([("A", {"n": [1]}), ("A", {"n": [2]})], ["A[0]", "A[1]"]),
        ([("A", {"n": "x" * 99}), ("A", {"n": "y"})], ["A[0]", "A[1]"]),
        ([("A", {"n": "a::b"}), ("A", {"n": "c"})], ["A[0]", "A[1]"]),
        ([("A", {"n": 1}), ("B", {}), ("A", {"n": 2, "m": 1})], ["A[n=1]", "B", "A[m=1,n=2]"]),
    ],
)
def test_likes_are_told_apart_by_what_differs_or_by_their_place(entries, found):
    assert names([Entry(*one) for one in entries]) == found


def test_which_suite(pytester, gate, run):
    gate("a", smoke=["Bounded"], full=["EnergyDrift"], nightly=["StepHalving"])
    asked = ("--collect-only", "-q")
    assert ids(run(*asked)) == ["a.gate.yaml::smoke::Bounded"]
    full = ids(run(*asked, "--simlearn-suite", "full"))
    assert full == ["a.gate.yaml::full::EnergyDrift"]
    pytester.makeini("[pytest]\nsimlearn_suite = nightly\n")
    assert ids(run(*asked)) == ["a.gate.yaml::nightly::StepHalving"]
    assert ids(run(*asked, "--simlearn-suite=full")) == full
    wrong = run("--simlearn-suite", "fulll")
    wrong.assert_outcomes(errors=1)
    wrong.stdout.fnmatch_lines(["*has no suite 'fulll'; did you mean full?*"])


def test_which_files(pytester, gate, run):
    gate("a", smoke=["Bounded"]).rename(pytester.path / "a.gate.yml")
    gate("b", smoke=["Bounded"]).rename(pytester.path / "b.yaml")
    asked = ("--collect-only", "-q")
    assert ids(run(*asked)) == ["a.gate.yml::smoke::Bounded"]
    pytester.makeini("[pytest]\nsimlearn_files = b.yaml\n")
    assert ids(run(*asked)) == ["b.yaml::smoke::Bounded"]
    pytester.makeini("[pytest]\nsimlearn_files =\n")
    assert ids(run(*asked)) == []


def test_what_becomes_of_a_check(pytester, gate, run):
    gate(
        "a",
        smoke=[
            bounded(100),
            told(value=3.0),
            told(value=4.0, more=", severity: warning"),
            told(value=1.9, noise=0.2),
            "{class_path: own_checks.Never, optional: true}",
            "{class_path: own_checks.Never}",
        ],
    )
    result = run("-rsxf", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2, failed=2, skipped=1, xfailed=1)
    assert result.ret == 1
    said = result.stdout.str()
    assert "Traceback" not in said
    assert "nodes.py" not in said.split("short test summary")[0]
    result.stdout.fnmatch_lines(
        [
            "It has a size.",
            "  size: 3 m, limit ≤ 2",
            "what to do: Make it smaller.",
            "report with pictures: simlearn check -c a.gate.yaml --suite smoke",
        ]
    )
    result.stdout.fnmatch_lines(["*if that is acceptable, write `optional: true`*"])
    notes = said.split("= simlearn gates =")[1]
    assert "Told[noise=0.2,value=1.9]: size: 1.9 ± 0.2 m (within noise of the limit)" in notes
    assert "Told[value=4.0]: warning: It has a size." in notes
    assert "value=3.0" not in notes.split("short test summary")[0]
    junit = (pytester.path / "junit.xml").read_text()
    assert 'errors="0" failures="2" skipped="2" tests="6"' in junit


@pytest.mark.parametrize(
    ("more", "checks", "words"),
    [
        ("simulator: nowhere", [bounded(10)], ["archive, exit code 7", "nowhere"]),
        ("data: nowhere.h5", [bounded(10)], ["data, exit code 3", "nowhere.h5"]),
        ("", ["{class_path: Bouned}"], ["config, exit code 2", "did you mean Bounded"]),
        ("", ["{class_path: os.system}"], ["config, exit code 2", "refused and not imported"]),
        ("", [told(raises="short")], ["data, exit code 3", "the evidence is too short"]),
        ("", [told(raises="bug")], ["RuntimeError: a bug of the check"]),
    ],
)
def test_what_cannot_be_judged_is_an_error_and_no_failure(pytester, gate, more, checks, words, run):
    path = gate("a", smoke=[*checks, *checks])
    if more:
        key = more.split(":")[0]
        lines = path.read_text().splitlines()
        path.write_text("\n".join(more if one.startswith(key) else one for one in lines))
    pytester.makepyfile(test_other="def test_other(): pass")
    result = run()
    result.assert_outcomes(errors=2, passed=1)
    said = result.stdout.str()
    for word in words:
        assert word in said
    assert ("own_checks.py" in said) == ("bug" in checks[0])
    assert "direct cause" not in said
    assert "During handling" not in said


def test_a_wrong_check_spoils_no_other(gate, run):
    gate("a", smoke=[bounded(100), "{class_path: Bouned}"])
    run().assert_outcomes(passed=1, errors=1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("schema: 2\nsuites: {smoke: [Bounded]}", "newer simlearn"),
        ("schema: 1", "has no `suites:`"),
        ("schema: 1\nsuites: {smoke: []}", "has no checks"),
        ("schema: [", "no valid YAML"),
        ("schema: 1\nsuites: {a: [{class_path: B, severity: warning}]}", "nothing would be proved"),
        ("", "must be a YAML mapping"),
    ],
)
def test_a_broken_gate_file_is_an_error_of_the_collection(pytester, text, word, run):
    (pytester.path / "a.gate.yaml").write_text(text)
    result = run()
    result.assert_outcomes(errors=1)
    assert word in result.stdout.str()
    assert "Traceback" not in result.stdout.str()
    assert result.ret == 2


def test_a_suite_is_loaded_once_and_given_back(gate, monkeypatch, run):
    loads, alive = [], []
    load = judged.open_pair

    def counted(asked, known):
        simulator, data = load(asked, known)
        loads.append(asked.path.name)
        alive.append(weakref.ref(simulator))
        gc.collect()
        assert sum(one() is not None for one in alive) == 1, "the one before is still held"
        return simulator, data

    monkeypatch.setattr(judged, "open_pair", counted)
    gate("a", smoke=[bounded(10), bounded(20), bounded(30)])
    gate("b", smoke=[bounded(10), bounded(20)])
    run().assert_outcomes(passed=5)
    assert loads == ["a.gate.yaml", "b.gate.yaml"]
    gc.collect()
    assert not any(one() for one in alive)


def test_it_leaves_the_process_as_it_was(pytester, gate, run):
    """Threads, random numbers and the settings of jsonargparse are those of the tests around it."""
    gate("a", smoke=[bounded(10)])
    pytester.makepyfile(
        test_z="""
        import jsonargparse, torch

        def test_settings():
            assert "*" not in jsonargparse._common.parsing_settings["import_path_verdicts"]
            assert torch.get_num_threads() == 3
        """
    )
    before = torch.get_num_threads()
    settings = jsonargparse._common.parsing_settings
    kept = dict(settings)
    settings["import_path_verdicts"] = {}
    torch.set_num_threads(3)
    state = torch.get_rng_state()
    try:
        result = run("-W", "error")
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(before)
        settings.update(kept)
    result.assert_outcomes(passed=2)


def test_baselines(pytester, gate, run):
    checks = [told(value=1.0), told(value=0.5, more=", severity: warning")]
    gate("a", smoke=checks, more="baseline: a.baseline.json")
    missing = run()
    missing.assert_outcomes(passed=2, errors=1)
    missing.stdout.fnmatch_lines(["*There is no baseline*pytest --simlearn-update*"])
    result = run("--simlearn-update")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*::smoke::baseline: baseline *a.baseline.json*", "*new, 1 m*"])
    kept = json.loads((pytester.path / "a.baseline.json").read_text())
    assert list(kept["suites"]) == ["smoke"]
    run().assert_outcomes(passed=3)
    alone = run("a.gate.yaml::smoke::baseline")
    alone.assert_outcomes(passed=1)


def test_what_became_worse_fails_and_is_written_on_demand(pytester, gate, run):
    file = "baseline: a.baseline.json"
    path = gate("a", smoke=[told(value=1.0)], more=file)
    run("--simlearn-update").assert_outcomes(passed=2)
    own = pytester.path / "own_checks.py"
    own.write_text(OWN.replace('"size", self.value', '"size", self.value + 0.5'))
    sys.modules.pop("own_checks", None)
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Told, size: 1 m -> 1.5 m, allowed at most 1.1 m*"])
    run("--simlearn-update").assert_outcomes(passed=2)
    run().assert_outcomes(passed=2)
    path.write_text(path.read_text().replace("value: 1.0", "value: 9.0"))
    refused = run("--simlearn-update")
    refused.assert_outcomes(failed=2)
    refused.stdout.fnmatch_lines(["*was not written: only what passes its gate*"])


def test_the_fixtures_judge_and_roll_out(pytester, gate, trained, run):
    gate("a", "wild", smoke=[bounded(1000)])
    pytester.makepyfile(
        f"""
        import pathlib
        import pytest, torch
        import simlearn
        from simlearn_checks import Bounded, ForecastError

        HERE = pathlib.Path({str(trained)!r})
        SOUND, DATA = HERE / "sound", HERE / "test.h5"

        def test_rollout(simlearn_rollout):
            told = simlearn_rollout(SOUND, DATA)
            assert (told.x.dtype, len(told.x)) == (torch.float64, 101)
            again = simlearn_rollout(str(SOUND), str(DATA), 100, number=0)
            assert torch.equal(told.x, again.x)
            other = simlearn_rollout(SOUND, DATA, 20, number=1, every=5)
            assert len(other.x) == 5
            model, given = simlearn.load(SOUND).float(), simlearn.read(DATA).trajectories
            rolled = simlearn_rollout(model, given[1], steps=20, every=5)
            assert next(model.parameters(), torch.zeros(1)).dtype == torch.float32
            assert torch.allclose(rolled.x, other.x)
            wild = simlearn.load(HERE / "wild").with_step(50.0)
            assert simlearn_rollout(wild, DATA, 400).status != "ok"

        def test_gate(simlearn_gate):
            report = simlearn_gate(SOUND, DATA, [Bounded(horizon=100, factor=2.0)])
            assert report.passed and report.suite == "test"
            told = simlearn.read(DATA).trajectories
            for evidence in (told, told[0], simlearn.Evidence(held_out=told)):
                model = simlearn.load(SOUND)
                assert simlearn_gate(model, evidence, Bounded(horizon=100, factor=2.0)).passed
            bad = simlearn_gate(checks="a.gate.yaml", must_pass=False)
            assert not bad.passed and bad.suite == "smoke"
            assert simlearn_gate(SOUND, checks="a.gate.yaml").passed

        @pytest.mark.filterwarnings("error")
        def test_gate_fails_the_test(simlearn_gate):
            simlearn_gate(checks=pathlib.Path("a.gate.yaml"))

        def test_gate_wants_both(simlearn_gate):
            with pytest.raises(pytest.fail.Exception, match="needs a simulator"):
                simlearn_gate(checks=Bounded(horizon=10))
            with pytest.raises(pytest.fail.Exception, match="needs evidence"):
                simlearn_gate(SOUND, checks=Bounded(horizon=10))
        """
    )
    result = run("-p", "no:randomly", "--ignore=a.gate.yaml")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["Bounded: Over 1000 steps*", "report with pictures: *a.gate.yaml"])
    assert "fixtures.py" not in result.stdout.str()
    told = run("--fixtures", "-p", "simlearn").stdout
    told.fnmatch_lines(["simlearn_gate *", "*Judge a simulator inside a test*"])
    told.fnmatch_lines(["simlearn_rollout *", "*Roll a simulator out*"])


def test_fixtures_tell_bad_input_in_one_message(pytester, trained, run):
    pytester.makepyfile(
        f"""
        import pytest
        from simlearn_checks import Bounded
        SOUND, DATA = {str(trained / "sound")!r}, {str(trained / "test.h5")!r}

        def test_none(simlearn_gate):
            simlearn_gate("nowhere", DATA, Bounded(horizon=10))

        def test_gate_file(simlearn_gate):
            simlearn_gate(checks="none.gate.yaml")

        @pytest.mark.parametrize("given", [
            dict(number=-1), dict(number=2), dict(steps=-5), dict(steps=0), dict(every=0),
            dict(seed=-1),
        ])
        def test_counts(simlearn_rollout, given):
            simlearn_rollout(SOUND, DATA, **given)
        """
    )
    result = run("-p", "no:randomly")
    result.assert_outcomes(failed=8)
    said = result.stdout.str()
    for word in (
        "not judged (archive, exit code 7 of simlearn check): There is no simulator at nowhere",
        "not judged (config, exit code 2 of simlearn check): There is no config none.gate.yaml",
        "The data have trajectories 0 to 1, got number=-1",
        "got number=2",
        "steps is a whole number from 1, got -5",
        "steps is a whole number from 1, got 0",
        "every is a whole number from 1, got 0",
        "seed is a whole number from 0, got -1",
    ):
        assert word in said, word
    assert "fixtures.py" not in said
    assert "Traceback" not in said


def test_what_a_gate_file_says_counts_with_evidence_of_ones_own(pytester, gate, trained, run):
    more = f"siblings: [{trained / 'wild'}]\nreferences: {{other: {trained / 'wild'}}}\nseed: 7\n"
    gate("a", more=more, smoke=["{class_path: own_checks.Sees}"])
    gate("b", more="baseline: b.json\n", smoke=["{class_path: own_checks.Never}"])
    with (pytester.path / "own_checks.py").open("a") as file:
        file.write(SEES)
    pytester.makepyfile(
        f"""
        import pytest
        import simlearn
        MODEL = simlearn.load({str(trained / "sound")!r})
        TOLD = simlearn.read({str(trained / "test.h5")!r}).trajectories

        def test_both(simlearn_gate):
            for evidence in (TOLD, simlearn.Evidence(held_out=TOLD)):
                report = simlearn_gate(MODEL, evidence, "a.gate.yaml")
                assert report.items[0].finding.summary == "1 sibling, seed 7, ['other']"
            mine = simlearn.Evidence(held_out=TOLD, seed=3, siblings=(MODEL, MODEL))
            report = simlearn_gate(MODEL, mine, "a.gate.yaml")
            assert report.items[0].finding.summary == "2 sibling, seed 3, ['other']"
            for evidence in (TOLD, mine):
                with pytest.raises(pytest.fail.Exception, match="names a baseline.*the path of"):
                    simlearn_gate(MODEL, evidence, "b.gate.yaml")
        """
    )
    run("--ignore=a.gate.yaml", "--ignore=b.gate.yaml").assert_outcomes(passed=1)


SEES = """
class Sees(simlearn.Check):
    "Tells what it sees."
    def run(self, simulator, evidence):
        count, names = len(evidence.siblings), list(evidence.references)
        told = f"{count} sibling, seed {evidence.seed}, {names}"
        return simlearn.Finding.of([simlearn.Metric("one", 1.0, 1.0)], told)
"""

BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def without(folder, missing, *argv):
    """Runs pytest in a process that lacks some modules."""
    where = folder / "blocked"
    where.mkdir(exist_ok=True)
    (where / "sitecustomize.py").write_text(BLOCKED.format(names=set(missing)))
    paths = [str(where), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


HEAVY = ("torch", "numpy", "jsonargparse", "lightning", "scipy", "h5py")


def test_a_hundred_gate_files_are_listed_without_torch(tmp_path):
    for number in range(100):
        text = "schema: 1\nsuites: {smoke: [Bounded, EnergyDrift], full: [Bounded]}\n"
        (tmp_path / f"p{number:02}.gate.yaml").write_text(text)
    done = without(tmp_path, HEAVY, "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "200 tests collected" in done.stdout


@pytest.mark.parametrize("missing", [HEAVY, ("yaml",)])
def test_a_broken_installation_breaks_no_test_of_others(tmp_path, missing):
    text = "schema: 1\nsimulator: x\ndata: y.h5\nsuites: {smoke: [Bounded]}\n"
    (tmp_path / "a.gate.yaml").write_text(text)
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")
    done = without(tmp_path, missing)
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout
    assert f"No module named '{'yaml' if 'yaml' in missing else ''}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    named = "a.gate.yaml::gate" if "yaml" in missing else "a.gate.yaml::smoke::Bounded"
    assert f"ERROR {named}" in done.stdout


def test_the_plugin_itself_imports_only_pytest(run):
    heavy = {*HEAVY, "yaml", "pluggy", "simlearn.component", "simlearn.cli"} - {"pluggy"}
    code = f"import sys, simlearn.pytest_plugin; sys.exit(str({heavy!r} & set(sys.modules) or 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "0")


def test_what_judges_is_the_code_as_installed():
    """Pytest would compile every package of a distribution with a plugin anew, for its asserts."""
    for module in (judged, catalog, simlearn.simulator):
        assert not type(module.__loader__).__module__.startswith("_pytest")


def test_the_entry_point_is_in_the_metadata():
    import tomllib

    root = pathlib.Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"simlearn": "simlearn.pytest_plugin"}
