"""The page "Gate your CI" is run as it stands, in a git repository of somebody else's."""

import contextlib
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys
from xml.etree import ElementTree

import docstring_parser  # noqa: F401 - imported late, and some pytests below forget what they imported
import pytest
import yaml

from simlearn import catalog, cli
from simlearn.pytest_plugin import fixtures, judged  # noqa: F401 - as above
from simlearn.stability.gatefile import Tolerance, read_gate_file

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/gate-your-ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
FILES = {
    found[1]: text
    for kind, text in BLOCKS
    if kind != "sh" and (found := re.match(r"(?:#|//) (\S+)\n", text))
}
CHECK = "simlearn check -c spring.gate.yaml --suite smoke --out report"
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
ENV["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), ENV["PATH"]])
ENV |= {
    f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def shell(here, line):
    """A line in a process of its own: (code, words)."""
    done = subprocess.run(
        line, shell=True, cwd=here, env=ENV, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def inside(here, words):
    """The same in this process, for what has to import all of simlearn."""
    said = io.StringIO()
    out, err = contextlib.redirect_stdout(said), contextlib.redirect_stderr(said)
    with contextlib.chdir(here), out, err:
        code = cli.run(words[1:]) if words[0] == "simlearn" else pytest.main(words[1:])
    sys.modules.pop("test_spring", None)
    return int(code), said.getvalue()


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The repository after the whole page, and what each command said."""
    catalog.load()
    here = tmp_path_factory.mktemp("repository")
    assert shell(here, "git init -q")[0] == 0
    said = {}
    for kind, block in BLOCKS:
        name = re.match(r"(?:#|//) (\S+)\n", block)
        if kind != "sh":
            if name:
                (here / name[1]).parent.mkdir(parents=True, exist_ok=True)
                (here / name[1]).write_text(block)
            continue
        for line in block.strip().splitlines():
            alone = line.startswith(("pytest --junitxml", "python", "echo", "sed", "rm"))
            words = shlex.split(line, comments=True)
            code, told = shell(here, line) if alone else inside(here, words)
            wanted = re.search(r"# exit code (\d+)", line)
            assert code == int(wanted[1] if wanted else 0), f"{line}\n{told}"
            said[line] = told
    assert shell(here, "git add -A && git commit -qm gates")[0] == 0
    return here, said


def told(said, begin):
    (text,) = (text for line, text in said.items() if line.startswith(begin))
    return text


def test_plain_pytest_judges_both_gates(walked):
    here, said = walked
    text = told(said, "pytest --junitxml")
    assert "1 failed, 4 passed" in text
    assert "FAILED rushed.gate.yaml::smoke::ForecastError - " in text
    assert "what to do: " in text
    assert "report with pictures: simlearn check -c rushed.gate.yaml --suite smoke" in text
    assert "Traceback" not in text
    cases = ElementTree.parse(here / "junit.xml").getroot().iter("testcase")
    found = {(one.get("classname"), one.get("name")): [part.tag for part in one] for one in cases}
    assert len(found) == 5
    assert found["rushed.gate.yaml.smoke", "ForecastError"] == ["failure"]
    assert sum("failure" in parts for parts in found.values()) == 1
    assert not any("error" in parts for parts in found.values())


def test_a_check_alone_the_other_suite_and_the_fixtures(walked):
    _, said = walked
    assert "1 passed" in told(said, 'pytest "rushed')
    assert "2 passed" in told(said, "pytest spring.gate.yaml --simlearn-suite full")
    assert "3 passed" in told(said, "pytest test_spring.py")
    assert "5 deselected" in told(said, "pytest -m")


def test_the_baseline_is_written_and_compared(walked):
    here, said = walked
    assert "baseline: spring.baseline.json" in said[f"{CHECK} --update-baseline"]
    assert "4 passed" in said["pytest spring.gate.yaml"]
    assert "metrics unchanged" in said["pytest spring.gate.yaml --simlearn-update"]
    assert (here / "spring.baseline.json").stat().st_size < 5000


def test_every_check_can_run_alone_in_any_process(walked):
    here, _ = walked
    code, text = shell(here, "pytest -n 2 --dist load spring.gate.yaml rushed.gate.yaml")
    assert code == 1, text
    assert "1 failed, 5 passed" in text
    assert "FAILED rushed.gate.yaml::smoke::ForecastError" in text


def test_the_workflow_runs_the_gate(walked, action_step):
    here, _ = walked
    steps = yaml.safe_load(FILES[".github/workflows/gate.yml"])["jobs"]["gate"]["steps"]
    (ours,) = [step for step in steps if "simlearn@" in step.get("uses", "")]
    inputs = {key.replace("-", "_"): value for key, value in ours["with"].items()}
    code, text, outputs, summary = action_step(here, "Gate", **inputs)
    assert code == 0, text
    assert outputs == {"verdict": "passed", "code": "0", "report": "simlearn-report"}
    assert "simlearn gate: passed" in summary
    inputs["gate"] = "rushed.gate.yaml"
    code, text, outputs, summary = action_step(here, "Gate", **inputs)
    assert (code, outputs["verdict"]) == (1, "failed"), text
    assert "ForecastError" in summary
    uses = [step["if"] for step in steps if "upload" in step.get("uses", "")]
    assert uses == ["always() && steps.gate.outputs.report != ''"]


def test_the_other_servers_run_a_line_of_the_page(walked):
    here, said = walked
    job = yaml.safe_load(FILES[".gitlab-ci.yml"])["gate"]
    assert job["script"][-1] == CHECK
    assert CHECK in said
    assert job["artifacts"] == {
        "when": "always",
        "paths": ["report"],
        "reports": {"junit": "report/junit.xml"},
    }
    jenkins = FILES["Jenkinsfile"]
    assert re.search(r"sh '(.*?)'", jenkins)[1] == CHECK
    assert re.search(r"junit '(.*?)'", jenkins)[1] == "report/junit.xml"
    report = ElementTree.parse(here / "report/junit.xml").getroot()
    assert len(list(report.iter("testcase"))) == 3


def test_the_hooks_look_at_what_is_committed(walked):
    here, said = walked
    offered = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    hooks = {one["id"]: one for one in offered}
    (asked,) = yaml.safe_load(FILES[".pre-commit-config.yaml"])["repos"]
    assert {one["id"] for one in asked["hooks"]} == set(hooks)
    committed = shell(here, "git ls-files")[1].splitlines()
    hook = hooks["simlearn-validate-gate"]
    files = [path for path in committed if re.search(hook["files"], path)]
    assert files == ["rushed.gate.yaml", "spring.gate.yaml"]
    code, text = inside(here, [*hook["entry"].split(), *files])
    assert (code, text.count("sound (gate)")) == (0, 2)
    wrong = told(said, "simlearn config validate wrong.yaml")
    assert "wrong.yaml:8: check: There is no Check named ForecastErorr; did you mean" in wrong


def test_the_page_shows_what_there_is(walked, tmp_path):
    here, _ = walked
    assert set(read_gate_file(here / "spring.gate.yaml").suites) == {"smoke", "full"}
    (part,) = [text for kind, text in BLOCKS if kind == "yaml" and text.startswith("tolerance:")]
    path = tmp_path / "x.gate.yaml"
    path.write_text(f"schema: 1\nsuites: {{smoke: [Bounded]}}\n{part}")
    assert read_gate_file(path).tolerance == Tolerance(), "the page shows the defaults"
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    table = PAGE.split("| input |")[1].split("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == set(inputs)
    keys = PAGE.split("| key | meaning |")[1].split("\n\n")[0]
    rows = [row.split("|")[1] for row in keys.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    given = {"schema", *read_gate_file(path).__dataclass_fields__} - {"path"}
    assert named == given
