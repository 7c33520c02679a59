"""Writes the files of this release that later ones must still read: tests/golden/VERSION/.

Run it once for a release, ``python tests/golden/make.py``; what is there is never written again.
"""

import json
import os
import pathlib
import shutil
import tempfile
from importlib.metadata import version

import simlearn
from simlearn.cli import run

HERE = pathlib.Path(__file__).parent
CONFIG = """\
model:
  simulator:
    dynamics: {class_path: SeparableEnergy, init_args: {dim: 2, width: 6}}
    integrator: Leapfrog
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
  stabilizers: [{class_path: NoiseInjection, init_args: {scale: 0.01}}]
  steps_per_call: 2
data: {file: data.h5, batch_size: 8, held_out: 0.3}
trainer: {max_epochs: 3}
"""
DRAW = ("--generator", "Pendulum", "--count", "3", "--steps", "21", "--dt", "0.1")


def numbers(folder):
    """What the files of a folder say, in numbers: of the data, and of a rollout."""
    data, simulator = simlearn.read(folder / "data.h5"), simlearn.load(folder / "simulator")
    begin = data[0].slice(0, 1)
    rolled = simulator.rollout(begin.x[0], 20, begin.topology)
    return {
        "digest": data.digest,
        "states": [float(one.x.sum()) for one in data],
        "rollout": rolled.x[::5].flatten().tolist(),
    }


def make(target):
    """Draw, train, take the run to pieces, and note what it says."""
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        pathlib.Path("golden.yaml").write_text(CONFIG)
        assert run(["generate", *DRAW, "--out", "data.h5"]) == 0
        assert run(["fit", "-c", "golden.yaml"]) == 0
        target.mkdir()
        for name in ("data.h5", "golden.yaml"):
            shutil.copy(name, target)
        shutil.copytree("runs/golden/simulator", target / "simulator")
        for path in pathlib.Path("runs/golden/checkpoints").glob("last.ckpt*"):
            shutil.copy(path, target)
        (target / "said.json").write_text(json.dumps(numbers(target), indent=1) + "\n")


if __name__ == "__main__":
    make(HERE / version("simlearn"))
