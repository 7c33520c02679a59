"""Training from a config without the command line gives what the command line gives."""

import math
from pathlib import Path

import pytest
import torch
import yaml

import simlearn
from simlearn import ConfigError, Simulator
from simlearn.catalog import load
from simlearn.dynamics import LinearField
from simlearn.integrators import RK4
from simlearn.remedies.accuracy import forecast_error, span_of
from simlearn.remedies.config import config_of, run_of
from simlearn.remedies.training import trainer_of
from simlearn_checks import Bounded, ForecastError
from simlearn_mechanics import Pendulum

CONFIG = {
    "model": {
        "simulator": {
            "dynamics": {"class_path": "ResidualMap", "init_args": {"dim": 4, "width": 8}},
            "dt": 0.1,
        },
        "objective": "OneStep",
        "stabilizers": [{"class_path": "NoiseInjection", "init_args": {"scale": 0.1}}],
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.003}},
        "scheduler": {
            "class_path": "torch.optim.lr_scheduler.StepLR",
            "init_args": {"step_size": 2},
        },
        "seed": 3,
    },
    "data": {
        "generator": {"class_path": "EmbeddedOscillator", "init_args": {"columns": 4}},
        "count": 4,
        "steps": 21,
        "batch_size": 16,
    },
    "trainer": {"max_epochs": 4},
    "seed_everything": 2,
}


def test_the_weights_are_those_of_the_command_line(command, tmp_path):
    """From a config as people write it, and from the one that the run keeps."""
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(CONFIG))
    assert command("fit", "-c", "small.yaml") == 0
    wanted = simlearn.load("runs/small")
    for config in (CONFIG, config_of(tmp_path / "runs/small")):
        found = trainer_of(load())(config, None)
        for name, value in wanted.state_dict().items():
            assert torch.equal(value, found.state_dict()[name]), name
        assert found.provenance["training"]["sha256"] == wanted.provenance["training"]["sha256"]


def test_the_config_of_a_run_leads_nowhere_near_its_folder(command, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(CONFIG))
    assert command("fit", "-c", "small.yaml", "--trainer.max_epochs=1") == 0
    config = config_of(tmp_path / "runs/small")
    assert "runs" not in yaml.safe_dump(config)
    assert "logger" not in config["trainer"]
    assert config_of(tmp_path / "runs/small/simulator") is None
    assert run_of(tmp_path / "runs/small/simulator") == tmp_path / "runs/small"
    assert run_of(tmp_path / "runs/latest") == tmp_path / "runs/small"
    assert run_of(Path("runs/latest")) == Path("runs/small")


def test_a_path_of_dots_and_a_link_from_elsewhere_name_the_run(tmp_path, monkeypatch):
    run = tmp_path / "runs/small"
    (run / "simulator").mkdir(parents=True)
    (run / "config.yaml").touch()
    (tmp_path / "chosen").symlink_to(run)
    monkeypatch.chdir(run / "simulator")
    assert run_of(Path()) == run
    assert run_of(Path("..")) == run
    assert run_of(Path("../../..") / "chosen") == run
    monkeypatch.chdir(run)
    assert run_of(Path()) == run


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ("trainer", {"callbacks": [{"class_path": "lightning.pytorch.callbacks.EarlyStopping"}]}),
        ("model", {"validation_steps": 7}),
        ("model", {"optimizer": {"class_path": "somebody.Adam"}}),
    ],
)
def test_what_only_the_command_line_makes_is_refused(section, part):
    config = {**CONFIG, section: {**CONFIG[section], **part}}
    with pytest.raises(ConfigError, match="only the command line"):
        trainer_of(load())(config, None)


def test_the_error_of_a_forecast_is_that_of_its_formula():
    """x' = −a x learned as −b x: the error is known, in spreads of the data."""
    a, b, span = 0.5, 0.6, 1.0
    t = simlearn.sample_times(31, 0.1)
    starts = torch.tensor([1.0, -2.0], dtype=torch.float64)
    held_out = [
        simlearn.Trajectory(
            t, (s * torch.exp(-a * t))[:, None, None], simlearn.Topology.isolated(1)
        )
        for s in starts
    ]
    field = LinearField(dim=1).double()
    with torch.no_grad():
        for weight in field.parameters():
            weight.zero_()
        next(field.parameters()).fill_(-b)
    found = forecast_error(Simulator(field, RK4(), 0.1), held_out, span)
    seen = t[1:11]
    off = starts[:, None] * (torch.exp(-b * seen) - torch.exp(-a * seen))
    spread = torch.cat([one.x.flatten() for one in held_out]).std(correction=0)
    assert found == pytest.approx(float((off / spread).square().mean().sqrt()), rel=1e-5)
    fine = forecast_error(Simulator(field, RK4(), 0.025), held_out, span)
    assert fine == pytest.approx(found, rel=1e-4)
    with torch.no_grad():
        next(field.parameters()).fill_(1e6)
    assert forecast_error(Simulator(field, RK4(), 0.1), held_out, 3.0) == math.inf


def test_forecasts_are_compared_over_the_time_that_the_gate_asks_for():
    """In steps or in periods; never beyond the data."""
    held_out = list(Pendulum().draw(range(2), simlearn.sample_times(301, 0.1), 0))
    simulator = Simulator(Pendulum().truth().double(), RK4(), 0.1)
    evidence, period = simlearn.Evidence(held_out), 6.7

    def span(*checks):
        report = simlearn.check(simulator, evidence, checks)
        return span_of(report, simulator, held_out)

    assert span(ForecastError(horizon=70, limit=1.0)) == pytest.approx(7.0)
    assert span(ForecastError(horizon="2 periods", limit=1.0)) == pytest.approx(2 * period, rel=0.1)
    assert span(Bounded(horizon=20)) == pytest.approx(100 * 0.1)
    report = simlearn.check(simulator, evidence, [Bounded(horizon=20)])
    short = [one.slice(0, 51) for one in held_out]
    assert span_of(report, simulator, short) == pytest.approx(5.0)


def test_a_map_of_another_step_has_no_error():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = trainer_of(load())({**CONFIG, "trainer": {"max_epochs": 0}}, None)
    t = simlearn.sample_times(11, 0.25)
    x = torch.zeros(11, 1, 4, dtype=torch.float64)
    one = simlearn.Trajectory(t, x, simlearn.Topology.isolated(1))
    assert forecast_error(other, [one], 3.0) is None
