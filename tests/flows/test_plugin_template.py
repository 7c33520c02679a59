"""A stranger's plugin, from wheels in a fresh environment: the template does what it says."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TEMPLATE = ROOT / "docs/plugin-template"
NOISE = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SIMLEARN_ALLOW_IMPORT")


def call(*command, cwd):
    """Run a command that must succeed; its output."""
    environment = {k: v for k, v in os.environ.items() if k not in NOISE}
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a copy of the template and an environment that holds the two wheels.

    Third-party packages are lent by a .pth file. Files of that kind inside a lent folder are not
    read, so an editable install of the checkout stays invisible.
    """
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    place = tmp_path_factory.mktemp("stranger")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    shutil.copytree(TEMPLATE, place / "template")
    call(*build, place / "wheels", ROOT, cwd=place)
    call(*build, place / "wheels", place / "template", cwd=place)
    shutil.rmtree(place / "template/src")  # what is tested is what was installed
    call(sys.executable, "-m", "venv", "--without-pip", place / "env", cwd=place)
    (site,) = (place / "env").glob("lib/python*/site-packages")
    wheels = sorted((place / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    call(*install, "--target", site, *wheels, cwd=place)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (place / "empty").mkdir()
    return place


@pytest.fixture(scope="module")
def python(place):
    """Runs the environment's Python in the empty folder."""

    def run(*argv):
        return call(place / "env/bin/python", *argv, cwd=place / "empty")

    return run


def test_simlearn_comes_from_the_wheel(python, place):
    told = python(
        "-c", "import simlearn, simlearn_duffing as d; print(simlearn.__file__, d.__file__)"
    )
    for path in told.split():
        assert pathlib.Path(path).resolve().is_relative_to((place / "env").resolve())


def test_the_plugin_is_found(python):
    told = python("-m", "simlearn", "plugins", "--load")
    assert "duffing  (simlearn-duffing 0.1.0)  ok" in told
    assert "  Check             Period" in told
    assert "failed" not in told


def test_its_readme_works_by_name_and_the_gate_passes(python, place):
    """The commands of the README, but for pip and for where the configs lie."""
    block = re.search(r"```sh\n(.*?)```", (TEMPLATE / "README.md").read_text(), re.S)[1]
    install, *lines = block.strip().splitlines()
    assert install.startswith("pip install")
    assert len(lines) == 3
    for line in lines:
        words = line.replace("configs/", f"{place}/template/configs/").split()
        assert words[0] == "simlearn"
        told = python("-m", *words)
    assert "PASS" in told.upper()
    assert (place / "empty/runs/duffing/report/report.json").exists()


def test_its_own_tests_pass(python, place):
    told = python("-m", "pytest", "-p", "no:cacheprovider", "-rs", place / "template")
    assert " passed" in told
    assert "skipped" not in told
    assert "failed" not in told


def test_the_page_shows_the_template_literally():
    files = "\n".join(p.read_text() for p in TEMPLATE.rglob("*") if p.suffix in (".py", ".toml"))
    page = (ROOT / "docs/plugins.md").read_text()
    blocks = re.findall(r"```(?:python|py|toml)\n(.*?)```", page, re.S)
    assert len(blocks) >= 4
    for block in blocks:
        assert block.strip() in files
    assert len(page.splitlines()) < 60
