"""Fault rows 14 and 25: one training a run folder, and no silent change of what it is."""

import json
import os
import signal
import subprocess
import sys

import pytest

from simlearn.training.drift import ROOMS

CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
data: {generator: Pendulum, count: 6, steps: 41, dt: 0.1, batch_size: 8}
trainer: {max_epochs: 2}
"""
FIT = ("fit", "-c", "x.yaml")


@pytest.fixture
def here(tmp_path):
    (tmp_path / "x.yaml").write_text(CONFIG)
    return tmp_path


@pytest.mark.fault(14)
def test_two_trainings_never_share_a_folder(forks, here):
    """A second resume is refused and hears who is at work; a new training gets its own folder."""
    process = forks.start(here, *FIT, "--trainer.max_epochs", "1000000")
    process.until((here / "runs/x/checkpoints/last.ckpt").exists)
    code, second = forks.run(here, *FIT, "--resume")
    assert code == 6
    assert f"The run folder runs/x is in use by process {process.pid} on" in second.said()
    assert forks.run(here, *FIT)[0] == 0
    assert (here / "runs/x-2/simulator").is_dir()
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -9
    assert (here / "runs/x/.lock").exists(), "the dead remove nothing"
    code, third = forks.run(here, *FIT, "--resume", "--trainer.max_epochs", "1000000000",
                            "--trainer.max_time", "00:00:00:01")  # fmt: skip
    assert code == 0, third.said()
    assert not (here / "runs/x/.lock").exists()


@pytest.mark.fault(25)
def test_what_has_changed_is_told_refused_and_if_allowed_recorded(forks, here):
    assert forks.run(here, *FIT)[0] == 0
    more = (*FIT, "--resume", "--trainer.max_epochs", "3")
    code, process = forks.run(here, *more, "--model.clip", "1.0", "--data.batch_size", "16")
    assert code == 7
    assert "model.clip: None before, 1.0 now" in process.said()
    assert "data.batch_size: 8 before, 16 now" in process.said()
    assert "--allow-drift" in process.said()
    code, process = forks.run(here, *more, "--model.clip", "1.0", "--allow-drift")
    assert code == 0, process.said()
    assert "drift: model.clip: None before, 1.0 now" in process.said()
    told = json.loads((here / "runs/x/simulator/simulator.json").read_text())["provenance"]
    assert told["drift"] == [
        {"epoch": 2, "step": 2, "differences": ["model.clip: None before, 1.0 now"]}
    ]
    code, process = forks.run(here, *FIT, "--resume", "--trainer.max_epochs", "4", "--model.clip=1")
    assert code == 0, "what was allowed once is what the training is now"
    told = json.loads((here / "runs/x/simulator/simulator.json").read_text())["provenance"]
    assert len(told["drift"]) == 1


@pytest.mark.fault(25)
def test_other_data_are_another_training(forks, here):
    draw = ("generate", "--generator", "Pendulum", "--count", "6", "--steps", "41", "--dt", "0.1")
    for seed in (0, 1):
        assert forks.run(here, *draw, "--seed", seed, "--out", f"{seed}.h5")[0] == 0
    data = ("--data.generator", "null", "--data.count=16", "--data.steps=200")
    run = (*FIT, *data, "--trainer.max_epochs=2")
    assert forks.run(here, *run, "--data.file", "0.h5")[0] == 0
    code, process = forks.run(here, *run, "--data.file", "1.h5", "--resume")
    assert code == 7
    assert "\n  data: " in process.said()
    (here / "0.h5").rename(here / "moved.h5")
    code, process = forks.run(here, *run, "--data.file", "moved.h5", "--resume")
    assert code == 0, "the same data under another name are the same data"


@pytest.mark.fault(25)
def test_another_code_of_a_plugin_is_another_training(forks, here):
    """A package whose source has changed, although its version has not."""
    (here / "own.py").write_text(
        "from simlearn.training.objectives import MultiStep\n\n\nclass Own(MultiStep):\n"
        '    """Its own.\n\n    Args:\n        horizon: Steps.\n    """\n\n'
        "    def __init__(self, horizon: int = 4):\n        super().__init__(horizon=horizon)\n"
    )
    own = (*FIT, "--allow-import", "own", "--model.objective", "own.Own")
    code, process = forks.run(here, *own)
    assert code == 0, process.said()
    with (here / "own.py").open("a") as file:
        file.write("# another comment is another source\n")
    code, process = forks.run(here, *own, "--resume")
    assert code == 7
    assert "code.own: " in process.said()


@pytest.mark.fault(25)
def test_how_long_where_to_and_how_loud_are_free(forks, here):
    assert forks.run(here, *FIT)[0] == 0
    free = ("--trainer.max_epochs", "3", "--trainer.log_every_n_steps", "2")
    code, process = forks.run(here, *FIT, "--resume", *free)
    assert code == 0, process.said()
    assert "drift" not in process.said()
    code, process = forks.run(here, *FIT, "--resume", "--trainer.max_epochs", "3")
    assert code == 0
    assert "the training had ended already" in process.said()


@pytest.mark.fault(14)
def test_checkpoints_that_are_kept_elsewhere_are_found_and_belong_to_one_run(forks, here):
    """--resume goes on from them; a second run neither rotates nor overwrites them."""
    kept = here / "disk/kept"
    keeper = json.dumps([{"class_path": "Checkpoints", "init_args": {"folder": str(kept)}}])
    fit = (*FIT, "--trainer.callbacks", keeper)
    code, process = forks.run(here, *fit)
    assert code == 0, process.said()
    assert (here / "runs/x/checkpoints").resolve() == kept
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    code, process = forks.run(here, *fit)
    assert code == 2
    assert "holds the checkpoints of another training" in process.said()
    assert not (here / "runs/x-2").exists()
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    code, process = forks.run(here, *fit, "--resume", "--trainer.max_epochs", "3")
    assert code == 0, process.said()
    assert "going on from runs/x/checkpoints/last.ckpt" in process.said()
    code, process = forks.run(here, *fit, "--resume", "--trainer.callbacks",
                              keeper.replace("kept", "other"))  # fmt: skip
    assert code == 2, process.said()
    assert "runs/x keeps its checkpoints in" in process.said()
    kept.rename(here / "away")
    code, process = forks.run(here, *fit, "--resume")
    assert code == 7, "that is no run without a checkpoint"
    assert "Is its disk mounted?" in process.said()


@pytest.mark.fault(14)
def test_two_trainings_never_share_a_folder_of_checkpoints(forks, here):
    keeper = json.dumps([{"class_path": "Checkpoints", "init_args": {"folder": "kept"}}])
    process = forks.start(here, *FIT, "--trainer.callbacks", keeper, "--trainer.max_epochs=1000000")
    process.until((here / "kept/last.ckpt").exists)
    code, second = forks.run(here, *FIT, "--trainer.callbacks", keeper)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -9
    assert code == 6
    assert f"The folder of checkpoints kept is in use by process {process.pid}" in second.said()


@pytest.mark.fault(25)
def test_every_room_that_decides_what_is_trained_is_looked_at():
    """Whatever of simlearn a training imports, less what only says or carries things."""
    code = (
        "import sys, simlearn.training.module, simlearn.data.module\n"
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('simlearn.')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"component", "hooks", "lock"} <= set(ROOMS)
