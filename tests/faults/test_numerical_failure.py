"""Fault row 20: numbers that fail stop a training at that step, and what explains it is kept."""

import json

import pytest
import torch
from safetensors.torch import load_file

from simlearn.training.checkpoint import read

CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: odd.Odd, init_args: {how: HOW, update: 13}}
  stabilizers: [{class_path: NoiseInjection, init_args: {scale: 0.01}}]
  steps_per_call: 4
data: {generator: Pendulum, count: 6, steps: 41, dt: 0.1, batch_size: 12, held_out: 0.2}
trainer: {max_epochs: 6, callbacks: [{class_path: Checkpoints, init_args: {every_steps: 1}}]}
"""
ODD = """
import torch

from simlearn.training.objectives import MultiStep


class Odd(MultiStep):
    \"\"\"Goes wrong in one update, which it knows by the weights it has seen.

    Args:
        how: In which way.
        update: In which one.
    \"\"\"

    def __init__(self, how: str = "", update: int = 0):
        super().__init__(horizon=4)
        self.how, self.update, self.seen = how, update, []

    def loss(self, simulator, window):
        loss = super().loss(simulator, window)
        if not torch.is_grad_enabled():
            return loss
        weight = next(simulator.parameters())
        mark = float(weight.detach().sum())
        if mark not in self.seen:
            self.seen.append(mark)
        if self.seen.index(mark) != self.update:
            return loss
        if self.how == "loss":
            return loss + (weight.sum() * 0 - 1).log()
        if self.how == "gradient":
            return loss + (weight.sum() * 0).abs().sqrt()
        return loss * 1e30
"""
WEIGHT = "simulator.dynamics.net.layers.0.weight"
FIT = ("fit", "-c", "x.yaml", "--allow-import", "odd")


def failed(forks, here, how):
    here.mkdir()
    (here / "x.yaml").write_text(CONFIG.replace("HOW", how))
    (here / "odd.py").write_text(ODD)
    code, process = forks.run(here, *FIT)
    assert code == 5, process.said()
    return process.said(), json.loads((here / "runs/x/post-mortem/post-mortem.json").read_text())


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("how", "fault", "operation"),
    [
        ("loss", "the loss became nan", "aten.log.default"),
        ("gradient", f"the gradient of {WEIGHT} became nan", "aten.div.Tensor"),
        ("explosion", "the loss exploded to", None),
    ],
)
def test_a_failure_stops_at_its_step_and_is_explained(forks, tmp_path, how, fault, operation):
    here = tmp_path / "here"
    said, told = failed(forks, here, how)
    assert f"update 13: {fault}" in said
    assert "Its batch, its weights and all norms are in runs/x/post-mortem." in said
    assert "Traceback" not in said
    assert "--resume goes on" not in said, "it would fail again"
    assert told["fault"].startswith(fault)
    assert (told["update"], told["seed"], told["rank"]) == (13, 0, 0)
    assert told["operation"] == operation
    if operation:
        assert operation in said
    if how == "loss":
        assert any("odd.py" in line for line in told["where"])
    if how == "gradient":  # detect_anomaly names the function, and the line of the forward pass
        assert "AbsBackward0" in told["anomaly"]
        assert any("odd.py" in line for line in told["forward"])
    weights = load_file(here / "runs/x/post-mortem/weights.safetensors")
    assert all(torch.isfinite(weight).all() for weight in weights.values()), "those before the step"
    norms = told["norms"][WEIGHT]
    found = float(weights["dynamics.net.layers.0.weight"].norm())
    assert norms["weight"] == pytest.approx(found, rel=1e-12)
    window, shown = (
        load_file(here / f"runs/x/post-mortem/{name}.safetensors")
        for name in ("window", "perturbed")
    )
    assert window["x"].shape == shown["x"].shape == (5, 12, 2)
    assert not torch.equal(window["x"], shown["x"]), "as the stabilizer showed it"
    assert told["seeds"]["stabilizers"] == [[0, told["epoch"], 13, 0, 0]]


@pytest.mark.fault(20)
def test_what_failed_is_never_kept(forks, tmp_path):
    here = tmp_path / "here"
    failed(forks, here, "gradient")
    for name in ("last.ckpt", "previous.ckpt"):
        kept = read(here / "runs/x/checkpoints" / name)
        assert all(torch.isfinite(weight).all() for weight in kept["state_dict"].values())
        assert kept["callbacks"]["Ledger"]["updates"] <= 13
    assert not (here / "runs/x/simulator").exists()
    assert "nan" not in (here / "runs/x/metrics.csv").read_text()
