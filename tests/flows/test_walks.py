"""The three walks of the design, and a stranger's plugin, from the command line."""

import csv
import json
import pathlib
import re
import shutil
from xml.etree import ElementTree

import pytest
import torch

import simlearn
from simlearn import cli

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands_of_the_readme():
    """The words of its command-line block; configs are those of the checkout."""
    text = (ROOT / "README.md").read_text().split("## From the command line")[1]
    block = re.search(r"```sh\n(.*?)```", text, re.S)[1]
    lines = block.replace("configs/", f"{ROOT}/configs/").strip().splitlines()
    assert all(line.startswith("simlearn ") for line in lines)
    return [line.split()[1:] for line in lines]


def test_train_from_config_then_gate(here, capsys):
    """Walk A and B: the README's fit, generate, check; a run folder with all it promises."""
    fit, generate, check = commands_of_the_readme()
    assert cli.run(fit) == 0
    run = here / "runs/mass-spring"
    assert {p.name for p in run.iterdir()} == {
        "config.yaml",
        "metrics.csv",
        "checkpoints",
        "simulator",
    }
    assert (here / "runs/latest").resolve() == run
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert set(rows[0]) == {"epoch", "evaluations", "learning_rate", "loss", "mean_loss", "step"}
    assert float(rows[-1]["loss"]) < 1e-5
    assert cli.run(generate) == 0
    assert cli.run([*check, "--suite", "smoke"]) == 0, capsys.readouterr()
    report = json.loads((run / "report/report.json").read_text())
    assert report["verdict"] == "pass"
    assert report["schema"] == 1
    assert [c["check"] for c in report["checks"]] == [
        "Bounded",
        "EnergyDrift",
        "ForecastError",
    ]
    assert report["provenance"]["held_out"]["generator"]["class_path"].endswith("MassSpring")
    suite = ElementTree.parse(run / "report/junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    assert "| ok | Bounded |" in (run / "report/summary.md").read_text()
    assert "data:image/png;base64," in (run / "report/report.html").read_text()
    saved = run / "config.yaml"
    assert cli.run(["fit", "-c", str(saved), "--run", "again", "--trainer.max_epochs", "1"]) == 0


def test_a_run_is_never_overwritten_and_sisters_differ(here):
    """Names are appended to; --seeds trains relatives with other weights."""
    config = here / "tiny.yaml"
    text = (ROOT / "configs/fit/mass-spring.yaml").read_text()
    config.write_text(text.replace("max_epochs: 25", "max_epochs: 1"))
    for _ in range(2):
        assert cli.run(["fit", "-c", str(config)]) == 0
    assert (here / "runs/tiny-2/simulator").is_dir()
    first, second = simlearn.load("runs/tiny"), simlearn.load("runs/tiny-2")
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), "the same seed trains the same weights"
    assert cli.run(["fit", "-c", str(config), "--seeds", "2"]) == 0
    sisters = [simlearn.load(f"runs/tiny-seed{k}") for k in range(2)]
    assert not torch.equal(*(next(s.parameters()) for s in sisters))


def test_resume_continues_and_validate_reads_the_run(here, capsys):
    """Two epochs and two more leave a run of four; the old archive is kept."""
    config = here / "tiny.yaml"
    text = (ROOT / "configs/fit/mass-spring.yaml").read_text()
    config.write_text(text.replace("max_epochs: 25", "max_epochs: 2") + "\n")
    assert cli.run(["fit", "-c", str(config)]) == 0
    before = json.loads((here / "runs/tiny/simulator/simulator.json").read_text())
    more = ["--resume", "--trainer.max_epochs", "4"]
    assert cli.run(["fit", "-c", str(config), *more]) == 0
    after = json.loads((here / "runs/tiny/simulator/simulator.json").read_text())
    assert after["provenance"]["loss"] < before["provenance"]["loss"]
    assert (here / "runs/tiny/simulator-before").is_dir()
    held = ["--data.held_out", "0.25"]
    assert cli.run(["validate", "-c", str(config), *held]) == 0
    assert "validation_loss" in capsys.readouterr().out


def test_zero_epochs_run_the_closed_form_only(here):
    """max_epochs 0 still solves the start, and writes an archive with the estimates."""
    shutil.copy(ROOT / "tests/data/ephemeris-excerpt.h5", here / "days.h5")
    args = ["--data.file", "days.h5", "--trainer.max_epochs", "0"]
    assert cli.run(["fit", "-c", str(ROOT / "configs/fit/solar-system.yaml"), *args]) == 0
    trained = simlearn.load("runs/solar-system")
    kept = trained.provenance["estimates"]
    assert list(kept) == ["mercury", "venus", "earth-moon-barycenter", "mars", "jupiter", "saturn",
                          "uranus", "neptune"]  # fmt: skip
    assert kept["venus"]["value"] == pytest.approx(1 / 408523.71, rel=0.03)
    assert not (here / "runs/solar-system/checkpoints").exists()


DUFFING = """
import torch

import simlearn


class DuffingEnergy(simlearn.HamiltonianField):
    \"\"\"H(q, p) = p²/2 + q²/2 + stiffening · q⁴/4.

    Args:
        stiffening: Strength of the quartic term.
    \"\"\"

    def __init__(self, stiffening: float = 1.0):
        super().__init__()
        self.stiffening = stiffening

    def energy(self, x, topology):
        q, p = x.chunk(2, dim=-1)
        return topology.per_system((p**2 / 2 + q**2 / 2 + self.stiffening * q**4 / 4).sum(-1))


class Duffing(simlearn.System):
    \"\"\"Free oscillations from random starts.

    Args:
        stiffening: Strength of the quartic term. Good values: 0 to 5.
    \"\"\"

    def __init__(self, stiffening: float = 1.0):
        self.stiffening = stiffening

    def truth(self):
        return DuffingEnergy(self.stiffening)

    def start(self, rng):
        return torch.randn(1, 2, generator=rng), simlearn.Topology.isolated(1)


@simlearn.hookimpl
def simlearn_components():
    return [Duffing, DuffingEnergy]
"""

CONFIG = """
model:
  simulator:
    dynamics: {class_path: Energy, init_args: {dim: 2, width: 24}}
    integrator: ImplicitMidpoint
    dt: 0.1
  objective: {class_path: DerivativeMatching}
  optimizer: {class_path: torch.optim.LBFGS, init_args: {max_iter: 20, line_search_fn:
      strong_wolfe}}
  dtype: float64
data: {generator: Duffing, count: 16, steps: 60, dt: 0.1, seed: 3}
trainer: {max_epochs: 25}
"""

GATE = """
schema: 1
suites:
  full:
    - {class_path: Bounded, init_args: {horizon: 300, factor: 1.5}}
    - {class_path: EnergyDrift, init_args: {horizon: 1000, max_ratio: 1.2}}
    - {class_path: ForecastError, init_args: {horizon: 100, limit: 0.3}}
"""
SHORT = "schema: 1\nsuites: {full: [{class_path: Bounded, init_args: {horizon: 50}}]}\n"


def distribution(folder, name, module, text, point):
    """A distribution as pip leaves it behind: a module and its metadata."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[simlearn]\n{point} = {module}\n")


def test_a_strangers_plugin_generates_trains_and_passes_a_gate(here, shell):
    """The Duffing text of the design, beside the project, with no line of simlearn changed."""
    site = here / "site"
    site.mkdir()
    distribution(site, "simlearn-duffing", "simlearn_duffing", DUFFING, "duffing")
    (here / "fit.yaml").write_text(CONFIG)
    (here / "gate.yaml").write_text(GATE)
    env = {"PYTHONPATH": str(site)}
    listed = shell("plugins", **env)
    assert "duffing" in listed.stdout
    assert "simlearn-duffing" in listed.stdout
    draw = ["--generator", "Duffing", "--count", "2", "--steps", "200", "--dt", "0.1"]
    drawn = shell("generate", *draw, "--out", "test.h5", **env)
    assert drawn.returncode == 0, drawn.stderr
    fitted = shell("fit", "-c", "fit.yaml", **env)
    assert fitted.returncode == 0, fitted.stderr
    judged = shell("check", "runs/fit", "--data", "test.h5", "-c", "gate.yaml", **env)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    (here / "short.yaml").write_text(SHORT)
    without = shell("check", "runs/fit", "--data", "test.h5", "-c", "short.yaml")
    assert without.returncode == 4, "a gate that cannot have its truth must not become weaker"
    assert "drawn by simlearn_duffing.Duffing" in without.stderr, without.stderr


def test_a_broken_and_a_twin_plugin_do_not_stop_the_others(here, shell):
    """SystemExit, an abstract offer, a hook typo, a twin name: each is named, others load."""
    site = here / "site"
    site.mkdir()
    hook = "import simlearn\n@simlearn.hookimpl\ndef simlearn_components():\n    return {}\n"
    distribution(site, "p-exit", "p_exit", "raise SystemExit(3)", "exits")
    distribution(site, "p-abstract", "p_abstract", hook.format("[simlearn.System]"), "abstract")
    distribution(
        site, "p-typo", "p_typo", hook.replace("components", "component").format("[]"), "typo"
    )
    distribution(site, "p-twin", "p_twin", hook.format("[]"), "mechanics")
    distribution(site, "p-type", "p_type", hook.format("3"), "wrong-type")
    distribution(site, "duffing", "simlearn_duffing", DUFFING, "duffing")
    env = {"PYTHONPATH": str(site)}
    listed = json.loads(shell("plugins", "--load", "--json", **env).stdout)
    found = {(row["name"], row["distribution"]): row for row in listed}
    for name, dist, why in (
        ("exits", "p-exit", "SystemExit"),
        ("abstract", "p-abstract", "System is abstract"),
        ("typo", "p-typo", "did you mean simlearn_components"),
        ("mechanics", "p-twin", "simlearn has a plugin of the same name"),
        ("mechanics", "simlearn", "p-twin has a plugin of the same name"),
        ("wrong-type", "p-type", "must return a list"),
    ):
        assert found[name, dist]["status"] == "failed"
        assert why in found[name, dist]["reason"]
    assert found["duffing", "duffing"]["status"] == "ok"
    strict = shell("plugins", "--load", "--strict-plugins", **env)
    assert strict.returncode == 4
    assert "p-exit" in strict.stderr
    missing = shell("plugins", "Pendulum", **env)
    assert missing.returncode == 2
    assert "mechanics" in missing.stderr
