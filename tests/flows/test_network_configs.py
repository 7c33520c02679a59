"""A network is learned in closed form on one grid and forecast on a larger one, by command line."""

import csv
import json
import pathlib

import simlearn
from simlearn import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]


def config(kind):
    return str(ROOT / f"configs/{kind}/heat.yaml")


def test_heat_is_learned_and_passes_its_gate_on_a_larger_grid(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["fit", "-c", config("fit")]) == 0
    assert "whole rollouts" in "".join(capsys.readouterr())
    record = simlearn.load("runs/heat").provenance["ladder"]
    rows = list(csv.DictReader((tmp_path / "runs/heat/metrics.csv").open()))
    assert [float(r["rung_error"]) for r in rows if r.get("rung_error")] == [
        rung["error"] for rung in record["rungs"]
    ]
    assert cli.run(["generate", "-c", config("data"), "--out", "test.h5"]) == 0
    gate = ["check", "runs/heat", "--data", "test.h5", "-c", config("gate"), "--out", "report"]
    assert cli.run(gate) == 0
    assert json.loads((tmp_path / "report/report.json").read_text())["verdict"] == "pass"
    page = (tmp_path / "report/report.html").read_text()
    assert "How the network was found" in page
    assert f"Chosen: <b>{record['choice']}</b>" in page
