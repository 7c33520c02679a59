"""A config that was saved with a run trains another one, which leaves the first alone."""

import pytest
import yaml

from simlearn.training.saved import bound

TINY = """
model:
  simulator:
    dynamics: {class_path: ResidualMap, init_args: {dim: 2, width: 4}}
    dt: 0.1
  objective: OneStep
data: {generator: MassSpring, count: 2, steps: 11}
trainer: {max_epochs: 1}
"""
CSV = "lightning.pytorch.loggers.CSVLogger"


def of_version_1(name):
    """What simlearn 0.1 wrote into the config of a run."""
    return {"class_path": CSV, "init_args": {"save_dir": "runs", "name": name, "version": ""}}


def test_what_leads_back_to_a_run_is_known():
    assert bound({"default_root_dir": "runs/A", "logger": None}) == ["default_root_dir"]
    assert bound({"default_root_dir": "runs/A/report/remedies/1"}) == ["default_root_dir"]
    assert bound({"logger": of_version_1("A")}) == ["logger"]


@pytest.mark.parametrize(
    "trainer",
    [
        {},
        {"default_root_dir": "/scratch/mine", "logger": False},
        {"default_root_dir": None, "logger": CSV},
        {"logger": {"class_path": CSV, "init_args": {"save_dir": "logs"}}},
        {"logger": [of_version_1("A")]},
    ],
)
def test_what_somebody_asked_for_stays(trainer):
    assert bound(trainer) == []


@pytest.mark.parametrize("logger", [None, False, of_version_1("A")])
def test_a_saved_config_trains_a_run_of_its_own(command, tmp_path, logger):
    (tmp_path / "tiny.yaml").write_text(TINY)
    first, second = tmp_path / "runs/A", tmp_path / "runs/B"
    assert command("fit", "-c", "tiny.yaml", "--run", "A") == 0
    saved = yaml.safe_load((first / "config.yaml").read_text())
    saved["trainer"]["logger"] = logger
    (first / "config.yaml").write_text(yaml.safe_dump(saved))
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    more = ["--trainer.max_epochs=2", "--model.seed=4"]
    assert command("fit", "-c", "runs/A/config.yaml", "--run", "B", *more) == 0
    after = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert after == before
    config = yaml.safe_load((second / "config.yaml").read_text())
    assert config["trainer"]["default_root_dir"] == "runs/B"
    assert config["trainer"]["max_epochs"] == 2
    assert (second / "metrics.csv").exists() == (logger is not False)
