"""Networks are learned in closed form and judged on graphs never seen, by command line."""

import csv
import json
import pathlib

import pytest

import simlearn
from simlearn import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]


def config(kind, name="heat"):
    return str(ROOT / f"configs/{kind}/{name}.yaml")


@pytest.fixture
def walked(tmp_path, monkeypatch):
    """Fit, draw what is held out, and judge; the folder of the report and what it says."""
    monkeypatch.chdir(tmp_path)

    def walk(name, *fewer):
        assert cli.run(["fit", "-c", config("fit", name)]) == 0
        held = ["generate", "-c", config("data", name), *fewer, "--out", "test.h5"]
        assert cli.run(held) == 0
        gate = ["check", f"runs/{name}", "--data", "test.h5", "-c", config("gate", name)]
        assert cli.run([*gate, "--suite", "smoke", "--out", "report"]) == 0
        return json.loads((tmp_path / "report/report.json").read_text())

    return walk


def value(report, words):
    found = [m for item in report["checks"] for m in item["metrics"] if words in m["name"]]
    return found[0]["value"]


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


def test_kuramoto_is_learned_and_follows_its_mean_field(walked):
    report = walked("kuramoto", "--count", "1")
    assert value(report, "fall of the error") == pytest.approx(0.5, abs=0.2)
    assert value(report, "worst row") < 1e-3


def test_a_power_grid_is_learned_and_forecast_without_a_line(walked):
    """One second after the loss of the transformer between the buses 5 and 8."""
    pytest.importorskip("pandapower", reason="pandapower is not installed (extra powergrid)")
    report = walked("ieee118", "--steps", "21")
    assert value(report, "worst row") < 1e-3
    (held,) = simlearn.read("test.h5")
    assert held.topology.graph.edge_index.shape[1] == 2 * 178
    assert held.topology.node_names[7] == "8"
    assert (held.x - held.x[0])[..., 0].abs().max() > 0.2
