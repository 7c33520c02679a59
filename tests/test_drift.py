"""What is written stays true: configs build, documents run, hooks are documented and tested."""

import inspect
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest
import yaml

from simlearn import cli, hooks
from simlearn.cli import Options
from simlearn.cli.check import read_gate
from simlearn.cli.parsing import prepare

ROOT = pathlib.Path(__file__).parents[1]
# a process for each block, that begins where a slow import has ended
EACH_ALONE = """
import os, sys, traceback
import simlearn
simlearn.fit, simlearn.check
for number, block in enumerate(sys.argv[1:], 1):
    if (child := os.fork()) == 0:
        try:
            exec(compile(block, f"<block {number}>", "exec"), {"__name__": "__main__"})
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"Block {number} failed:\\n{block}")
"""
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def configs(kind):
    return sorted((ROOT / "configs" / kind).glob("*.yaml"))


@pytest.mark.parametrize("path", configs("fit"), ids=lambda p: p.stem)
def test_every_fit_config_parses(path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["fit", "-c", str(path), "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["simulator"]["dynamics"]["class_path"].startswith("simlearn.dynamics.")
    assert len(path.read_text().splitlines()) <= 40


@pytest.mark.parametrize("path", configs("gate"), ids=lambda p: p.stem)
def test_every_gate_builds(path):
    known = prepare(Options())
    for suite in yaml.safe_load(path.read_text())["suites"]:
        name, cases = read_gate(path, suite, known)
        assert name == suite
        assert cases


@pytest.mark.parametrize("path", configs("data"), ids=lambda p: p.stem)
def test_every_data_config_parses(path, capsys):
    assert cli.run(["generate", "-c", str(path), "--out", "x.h5", "--print_config"]) == 0
    assert "class_path" in capsys.readouterr().out


@pytest.mark.parametrize("path", configs("trainer"), ids=lambda p: p.stem)
def test_every_trainer_config_parses(path, capsys):
    fit = ROOT / "configs/fit/mass-spring.yaml"
    assert cli.run(["fit", "-c", str(fit), "-c", str(path), "--print_config"]) == 0


def test_every_hook_is_documented_and_tested():
    specs = [n for n, f in vars(hooks).items() if hasattr(f, "simlearn_spec")]
    assert sorted(specs) == ["simlearn_components", "simlearn_gate_finished"]
    tests = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
    docs = "\n".join(p.read_text() for p in DOCS)
    for name in specs:
        assert len(re.findall(rf"\b{name}\b", tests)) >= 2
        signature = f"{name}({', '.join(inspect.signature(getattr(hooks, name)).parameters)})"
        assert signature in docs, f"{signature} stands in no document"


WALKED = ("forecast-your-network.md", "gate-your-ci.md")  # in tests/flows
ALONE = [p for p in DOCS if p.name not in WALKED]


@pytest.mark.parametrize("path", ALONE, ids=lambda p: p.name)
def test_python_blocks_run(path, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(), re.S)
    if not blocks:
        return
    done = subprocess.run(
        [sys.executable, "-c", EACH_ALONE, *blocks],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_command_line_block_of_the_readme_runs(tmp_path, shell):
    """Literally, but for where the configs lie; flows/test_walks.py runs it on the smoke suite."""
    text = (ROOT / "README.md").read_text().split("## From the command line")[1]
    block = re.search(r"```sh\n(.*?)```", text, re.S)[1]
    for line in block.strip().splitlines():
        words = line.replace("configs/", f"{ROOT}/configs/").split()
        assert words[0] == "simlearn"
        done = shell(*words[1:], OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs/mass-spring/report/report.html").exists()


def test_the_gate_of_the_readme_builds(tmp_path):
    text = (ROOT / "README.md").read_text().split("## A gate")[1]
    (tmp_path / "gate.yaml").write_text(re.search(r"```yaml\n(.*?)```", text, re.S)[1])
    known = prepare(Options())
    assert read_gate(tmp_path / "gate.yaml", "smoke", known)[1]
    assert len(read_gate(tmp_path / "gate.yaml", "full", known)[1]) == 2


def test_the_readme_shows_every_command():
    text = (ROOT / "README.md").read_text()
    for name in cli.COMMANDS:
        assert f"simlearn {name}" in text or f"|{name}" in text.replace(" ", "")


def test_the_wheel_holds_the_packages_and_nothing_else(tmp_path):
    """An editable install makes tests and benchmarks importable by accident; a wheel must not."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
    ]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {n.split("/")[0] for n in names}
    plugins = {p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").exists()}
    assert {t for t in top if "dist-info" not in t} == {"simlearn", *plugins}
    assert "simlearn/py.typed" in names
    assert "simlearn/stability/templates/report.html" in names


def test_no_config_or_document_names_a_machine():
    for path in [*DOCS, *(ROOT / "configs").rglob("*.yaml")]:
        assert "/home/" not in path.read_text()
        assert "/root/" not in path.read_text()
