"""Checkpoints that are whole files of torch and mean nonsense, read as ``fit --resume`` does."""

import copy
import shutil

import torch

import simlearn
from simlearn.cli.runs import checkpoint
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.durable import beside
from simlearn.training.objectives import MultiStep
from simlearn_mechanics import MassSpring
from tests.faults import fuzz_changes as changes

STRANGE = [
    None, True, -1, 0, 3, 0.5, float("nan"), float("inf"), 2**40, -(2**62), 10**30, "", "x", [], {},
    [[]], {"a": {}}, (1, 2), torch.zeros(0), torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64),
    torch.zeros(1).expand(8), torch.zeros((), dtype=torch.complex64), torch.full((2,), -1.0),
]  # fmt: skip


def trained(folder, tracks, **more):
    """A small training, with a schedule and its patience, in a folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        simulator = simlearn.Simulator(MLPField(dim=2, width=4), RK4(), 0.1)
    return simlearn.fit(
        simulator, tracks, objective=MultiStep(horizon=4), batch_size=4, held_out=0.5, patience=2,
        scheduler=lambda one: torch.optim.lr_scheduler.ReduceLROnPlateau(one), progress=False,
        default_root_dir=str(folder), enable_checkpointing=True, **more,
    )  # fmt: skip


def forged(rng, sound):
    """A checkpoint of which a few values, keys or branches are others."""
    found = copy.deepcopy(sound)
    for _ in range(rng.choice((1, 1, 1, 2))):
        path = rng.choice([path for path in changes.places(found) if path])
        owner = found
        for key in path[:-1]:
            owner = owner[key]
        key, what = path[-1], rng.randrange(4)
        if what < 2:
            owner[key] = copy.deepcopy(rng.choice(STRANGE))
        elif what == 2:
            del owner[key]
        elif isinstance(owner, dict):
            owner[f"{key}x"] = owner.pop(key)
    return found


class ForgedCheckpoint:
    """A checkpoint with a right SHA-256 or none, of which a training is resumed and ends."""

    name = "last.ckpt"

    def __init__(self, seeds):
        self.tracks = list(MassSpring().draw(range(2), simlearn.sample_times(12, 0.1), 0))
        trained(seeds / "run", self.tracks, max_epochs=1)
        kept = seeds / "run/checkpoints/last.ckpt"
        self.sound = torch.load(kept, weights_only=True)

    def spoil(self, rng, folder):
        torch.save(forged(rng, self.sound), folder / self.name)

    def read(self, folder, known):
        path = checkpoint(str(folder / self.name), folder)
        away = folder / "away"
        try:
            trained(away, self.tracks, max_epochs=2, resume=path)
        finally:
            shutil.rmtree(away, ignore_errors=True)
            beside(path).unlink(missing_ok=True)
