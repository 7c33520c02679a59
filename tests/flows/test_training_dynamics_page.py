"""The page "Watch training as a dynamical system" is walked as it stands, in an empty folder."""

import csv
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import simlearn

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/training-dynamics.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder after all commands of the page."""
    here = tmp_path_factory.mktemp("page")
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S):
        (here / re.match(r"# (\S+)", block)[1]).write_text(block)
    found = shutil.which("simlearn", path=f"{pathlib.Path(sys.executable).parent}")
    paths = [str(pathlib.Path(p).parent) for p in (found, sys.executable) if p]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": ":".join([*paths, os.environ["PATH"]])}
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S):
        for line in block.strip().splitlines():
            words = line.replace("configs/", f"{ROOT}/configs/")
            done = subprocess.run(
                words, shell=True, cwd=here, env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return here


@pytest.mark.slow
def test_the_training_ends_at_the_edge_and_the_report_shows_it(walked):
    rows = csv.DictReader((walked / "runs/edge-of-stability/metrics.csv").open())
    share = [float(row["edge_of_stability"]) for row in rows if row["edge_of_stability"]]
    assert share[0] < 0.8
    assert all(abs(one - 1) < 0.05 for one in share[-8:])
    kept = simlearn.load(walked / "runs/edge-of-stability").provenance["training_dynamics"]
    text = (walked / "report/report.html").read_text()
    assert "How it was trained" in text
    for told in kept.values():
        assert told["title"] in text


def test_the_callbacks_of_the_page_are_those_there_are(command, capsys, tmp_path):
    from simlearn_training_dynamics import callbacks

    table = PAGE.split("## The callbacks")[1].split("\n\n")[1]
    assert set(re.findall(r"^\| `(\w+)`", table, re.M)) == set(callbacks.__all__)
    (watched,) = [b for b in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if "trainer:" in b]
    (tmp_path / "watched.yaml").write_text(watched)
    config = ROOT / "configs/fit/mass-spring.yaml"
    assert command("fit", "-c", config, "-c", "watched.yaml", "--print_config") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    names = [one["class_path"].rpartition(".")[2] for one in printed["trainer"]["callbacks"]]
    assert names == ["Sharpness", "TrainingExponent"]


def test_the_skill_on_the_page_is_the_measured_one():
    import json

    kept = json.loads((ROOT / "benchmarks/results/training_dynamics.json").read_text())
    for name, score in kept["learning rates differ"].items():
        row = f"| {name} | {score['r2']} | {score['rank_correlation']} | {score['median_factor']} |"
        assert row in PAGE, row
    shipped = json.loads((ROOT / "simlearn/analysis/training/final_loss.json").read_text())
    for use, made in shipped.items():
        told = {k: made["skill"][k] for k in ("r2", "rank_correlation", "median_factor")}
        assert told == kept["learning rates differ"][f"fitted to {use}"]
    assert f"{kept['trainings']['vary']} that did not diverge" in PAGE
