"""`simlearn doctor`: sound environments pass, and each known trouble is named with a way out."""

import json
import os
from importlib import metadata

import pytest
import torch

from simlearn import cli
from simlearn.catalog.plugin import Plugin
from simlearn.cli import doctor


class Fake:
    """Another distribution called simlearn."""

    def __init__(self, folder, url=None):
        self.folder, self.url = folder, url

    def locate_file(self, name):
        return self.folder / name

    def read_text(self, name):
        return self.url


@pytest.fixture
def examined(capsys, tmp_path, monkeypatch):
    """The exit code and the rows by (part, name), seen from an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def look(*argv):
        code = cli.run(["doctor", "--json", *argv])
        told = json.loads(capsys.readouterr().out)
        assert told["exit_code"] == code
        return code, {(row["part"], row["name"]): row for row in told["rows"]}

    return look


def problems(rows):
    return {key for key, row in rows.items() if row["status"] == "problem"}


def test_a_sound_environment_has_no_problem(examined, tmp_path):
    code, rows = examined()
    assert code == 0
    assert not problems(rows)
    assert rows["versions", "torch"]["value"] == metadata.version("torch")
    assert rows["torch", "threads"]["value"].startswith(str(torch.get_num_threads()))
    assert rows["torch", "float32 products"]["value"] == "highest"
    assert "Pendulum" not in json.dumps(list(rows.values()))
    assert rows["plugins", "mechanics"]["status"] == "ok"
    assert all(row["advice"] for row in rows.values() if row["status"] != "ok")
    assert list(tmp_path.iterdir()) == [], "the probe is removed, and runs/ is not made"


def test_people_read_a_table(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "extra graph" in text
    assert "problems: 0" in text


@pytest.mark.fault(28)
def test_a_process_of_its_own_needs_no_writable_home(shell, tmp_path):
    home = tmp_path / "nowhere"
    done = shell("doctor", HOME=str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "read-only, which is fine" in done.stdout


@pytest.mark.parametrize(("name", "version"), [("jsonargparse", "5.0.1"), ("lightning", "2.5.9")])
def test_versions_known_to_be_bad_are_problems(examined, monkeypatch, name, version):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: version if n == name else real(n))
    code, rows = examined()
    assert code == 6
    assert problems(rows) == {("versions", name)}
    assert f"{version} (wanted" in rows["versions", name]["value"]
    assert rows["versions", name]["advice"].startswith(f"pip install '{name}")


def test_a_missing_dependency_is_a_problem_and_a_missing_extra_a_note(examined, monkeypatch):
    real = metadata.version

    def version(name):
        if name in ("scipy", "networkx"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    code, rows = examined()
    assert code == 6
    assert problems(rows) == {("versions", "scipy")}
    extra = rows["versions", "extra graph"]
    assert (extra["status"], extra["value"]) == ("note", "networkx missing")
    assert "pip install 'simlearn[graph]'" in extra["advice"]


def test_a_variable_that_lets_checkpoints_run_code(examined, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    code, rows = examined()
    assert code == 6
    assert problems(rows) == {("machine", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")}


def test_settings_that_only_cost_are_notes(examined, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "all")
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    code, rows = examined()
    assert code == 0
    for key in (
        ("machine", "OMP_NUM_THREADS"),
        ("torch", "deterministic"),
        ("torch", "float32 products"),
    ):
        assert rows[key]["status"] == "note"


def test_a_folder_here_that_is_imported_in_the_place_of_the_installed(examined, tmp_path):
    (tmp_path / "simlearn").mkdir()
    code, rows = examined()
    assert code == 0, "an empty folder shadows nothing"
    (tmp_path / "simlearn/__init__.py").touch()
    code, rows = examined()
    assert code == 6
    assert problems(rows) == {("install", "working directory")}


def test_a_second_install_is_a_problem(examined, monkeypatch, tmp_path):
    here = metadata.distribution("simlearn")
    two = [here, Fake(tmp_path / "elsewhere")]
    real = metadata.distributions
    monkeypatch.setattr(metadata, "distributions", lambda **asked: two if asked else real())
    code, rows = examined()
    assert code == 6
    assert problems(rows) == {("install", "installs")}


def test_what_is_imported_is_not_what_is_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(metadata, "distributions", lambda name: [Fake(tmp_path)])
    (found,) = [one for one in doctor.install() if one["name"] == "imported from"]
    assert found["status"] == "problem"
    assert str(tmp_path) in found["advice"]


def test_an_editable_install_whose_dependencies_changed(monkeypatch, tmp_path):
    (tmp_path / "a b").mkdir()
    body = '[project]\ndependencies = ["one"]\n[project.optional-dependencies]\nx = ["two"]\n'
    (tmp_path / "a b/pyproject.toml").write_text(body)
    url = json.dumps({"url": (tmp_path / "a b").as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(metadata, "distributions", lambda name: [Fake(tmp_path, url)])
    found = {one["name"]: one for one in doctor.install()}
    assert found["editable"]["status"] == "note"
    assert found["editable"]["advice"] == f"pip install -e {tmp_path}/a b"
    monkeypatch.setattr(metadata, "requires", lambda name: ["one", "two; extra == 'x'"])
    found = {one["name"]: one for one in doctor.install()}
    assert found["editable"]["status"] == "ok"


def test_a_folder_that_cannot_be_written_is_a_problem(examined, monkeypatch):
    def refuse(*given):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    code, rows = examined()
    assert code == 6
    assert rows["disk", "working directory"]["value"].endswith("Read-only file system")


def test_a_full_disk_is_a_problem(examined, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    usage = doctor.shutil.disk_usage(tmp_path)
    for free, status, wanted in ((10**6, "problem", 6), (10**8, "note", 0)):
        left = usage._replace(free=free)
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder, left=left: left)
        code, rows = examined()
        assert (rows["disk", "runs/"]["status"], code) == (status, wanted)


def test_a_broken_plugin_alone_gives_four(examined, monkeypatch):
    broken = Plugin("sad", "simlearn-sad", "0.1", "simlearn_sad", "failed", "no module named sad")

    class Known:
        plugins = (broken,)

    monkeypatch.setattr("simlearn.catalog.load", lambda block: Known)
    code, rows = examined()
    assert code == 4
    assert "--block sad" in rows["plugins", "sad"]["advice"]
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert examined()[0] == 6, "the environment weighs more"


def test_a_blocked_plugin_is_no_problem(examined):
    code, rows = examined("--block", "mechanics")
    assert code == 0
    assert "blocked" in rows["plugins", "mechanics"]["value"]


def test_a_part_that_cannot_be_looked_at_is_told(examined, monkeypatch):
    def broken(block):
        raise ImportError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr("simlearn.catalog.load", broken)
    code, rows = examined()
    assert "libtorch.so" in rows["plugins", "look"]["value"]
    assert code == 6
