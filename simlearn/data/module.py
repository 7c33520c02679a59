"""The data as Lightning sees them: a file or a generator on one side, windows on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import lightning.pytorch as pl
import torch

from simlearn.component import ConfigError, DataError, describe
from simlearn.data.fresh import fresh
from simlearn.data.generate import DatasetGenerator
from simlearn.data.screen import checked, column_names, common_interval, pieces, unused
from simlearn.data.store import read
from simlearn.data.windows import Windows
from simlearn.state import Trajectory

LOOKED_AT = 2**31  # the order of an epoch that no training reaches
UNCOUNTED = 1000  # epochs taken for many where nobody counts them: Lightning's own default


class TrajectoryData(pl.LightningDataModule):
    """Trajectories to train on, from a dataset file or drawn by a generator.

    Args:
        file: A dataset that `simlearn generate` or `simlearn data import` wrote. Give either this
            or a generator.
        generator: Draws the trajectories at the start of the run.
        count: Trajectories to draw.
        steps: States of each drawn trajectory.
        dt: Time between two states, in the generator's unit.
        seed: Seed of the draw and of the order of the windows.
        held_out: Share of the trajectories kept aside for validation (at least one, if it is not
            zero).
        batch_size: Windows in a batch; all of them where it is not given.
        stride: States between the starts of two windows; by default windows lie end to end.
        noise: Standard deviation of white noise added to the states that a generator draws, in
            their own unit; derivatives stay exact. For trying what a training makes of it.
        missing: What happens to samples that are no numbers: "error" refuses them, "drop" cuts the
            trajectories there, as it does where samples are masked.
    """

    def __init__(
        self,
        file: str | None = None,
        generator: DatasetGenerator | None = None,
        count: int = 16,
        steps: int = 200,
        dt: float = 0.1,
        seed: int = 0,
        held_out: float = 0.0,
        batch_size: int | None = None,
        stride: int | None = None,
        missing: Literal["error", "drop"] = "error",
        noise: float = 0.0,
    ):
        super().__init__()
        if (file is None) == (generator is None):
            raise ConfigError(
                "Give the data either a `file` or a `generator`, not both and not none. "
                "The file instead of a config's generator: --data.generator null"
            )
        if file is not None:
            unused(count=(count, 16), steps=(steps, 200), dt=(dt, 0.1))
        if noise < 0 or (noise and generator is None):
            raise ConfigError(
                f"noise is a standard deviation and belongs to a generator, got {noise}"
                + ("." if noise < 0 else " with a file: measured data have their own.")
            )
        if not 0 <= held_out < 1:
            raise ConfigError(f"held_out is a share of the trajectories in [0, 1), got {held_out}.")
        self.file, self.generator, self.count, self.steps, self.dt = (
            file,
            generator,
            count,
            steps,
            dt,
        )
        self.seed, self.held_out = seed, held_out
        self.batch_size, self.stride, self.missing = batch_size, stride, missing
        self.noise = noise
        self.given: Sequence[Trajectory] | None = None
        self.training: Sequence[Trajectory] = ()
        self.validation: Sequence[Trajectory] = ()
        self.interval: float | None = None
        self.provenance: dict[str, Any] = {}
        self._trained: Windows | None = None

    @classmethod
    def of(
        cls,
        trajectories: Sequence[Trajectory],
        provenance: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> TrajectoryData:
        """Data that are in memory already, with where they come from."""
        data = cls(file="(in memory)", **arguments)
        data.given, data.provenance = trajectories, dict(provenance or {"source": "memory"})
        return data

    def setup(self, stage: str) -> None:
        """Read or draw, once; the windows are cut anew for every training."""
        self._trained = None
        if self.training:
            return
        loaded = list(self._load())
        names = column_names(self.provenance, loaded)
        marked = [checked(one, n, names, self.missing) for n, one in enumerate(loaded)]
        count = len(marked)
        if self.held_out and count < 2:
            raise ConfigError(f"held_out needs at least two trajectories, there is {count}.")
        kept = min(count - 1, max(1, round(self.held_out * count))) if self.held_out else 0
        # whole trajectories are held out, and cut afterwards: nothing of them is trained on
        self.training = [part for one in marked[: count - kept] for part in pieces(one)]
        self.validation = [part for one in marked[count - kept :] for part in pieces(one)]
        if not self.training or (kept and not self.validation):
            raise DataError("No two complete samples follow one another in the data.")
        self.interval = common_interval(self.validation)

    def _load(self) -> Sequence[Trajectory]:
        if self.given is not None:
            return self.given
        if self.generator is not None:
            self.provenance = {
                "generator": describe(self.generator),
                "count": self.count,
                "steps": self.steps,
                "dt": self.dt,
                "seed": self.seed,
            }
            if self.noise:
                self.provenance["noise"] = self.noise
            how = (self.count, self.steps, self.dt, self.seed, self.noise)
            return fresh(self.generator, *how)
        assert self.file is not None
        dataset = read(self.file)
        if not dataset.trajectories:
            raise DataError(f"{self.file} holds no trajectory.")
        self.provenance = {"file": self.file, "digest": dataset.digest, **dataset.provenance}
        return dataset.trajectories

    def _windows(
        self,
        trajectories: Sequence[Trajectory],
        length: int | Callable[[int], int],
        bundle: int | None = None,
    ) -> Windows:
        trainer = self.trainer
        assert trainer is not None
        device: torch.device = trainer.strategy.root_device
        return Windows(
            [one.to(device) for one in trajectories],
            length,
            stride=self.stride,
            batch_size=self.batch_size,
            seed=self.seed,
            shuffle=bundle is not None,
            rank=trainer.global_rank,
            world=trainer.world_size,
            bundle=bundle,
        )

    def train_dataloader(self) -> Windows:
        """Shuffled windows of the training trajectories, several batches at a time."""
        assert self.trainer is not None
        module = self.trainer.lightning_module

        def length(epoch: int) -> int:
            module.objective.epoch(epoch)
            wanted: int = module.objective.length(self.training)
            return wanted

        if self._trained is None:
            last = length(_last_epoch(self.trainer))
            if last != length(self.trainer.current_epoch):
                # Lightning counts batches once, unless it is told that they change
                self.trainer.reload_dataloaders_every_n_epochs = 1
            self._trained = self._windows(self.training, length, module.steps_per_call)
        self._trained.set_epoch(self.trainer.current_epoch)
        return self._trained

    def looked_at(self, size: int | None, epoch: int | None = None) -> Windows:
        """Training windows for those who look on: apart from the loaders, all on one process.

        Args:
            size: Windows in a batch; None takes all.
            epoch: Whose order; by default one that is the same whenever it is asked for.
        """
        assert self.trainer is not None
        length: int = self.trainer.lightning_module.objective.length(self.training)
        device: torch.device = self.trainer.strategy.root_device
        tracks = [one.to(device) for one in self.training]
        windows = Windows(tracks, length, self.stride, size, self.seed)
        windows.set_epoch(LOOKED_AT if epoch is None else epoch)
        return windows

    def val_dataloader(self) -> Windows | list[Any]:
        """Windows of the held-out trajectories, in order, long enough for a rollout.

        Raises:
            ConfigError: Validation was asked for, and nothing is held out.
        """
        if self.validation:
            return self._windows(self.validation, self._validated(self.validation))
        if self.trainer is not None and self.trainer.state.fn == "validate":
            raise ConfigError("Nothing is held out: set data.held_out to a share above zero.")
        return []

    def _validated(self, trajectories: Sequence[Trajectory]) -> int:
        """States of a window that is validated: those asked for, as far as the data reach."""
        assert self.trainer is not None
        module = self.trainer.lightning_module
        shortest = min(one.steps for one in trajectories)
        module.objective.epoch(_last_epoch(self.trainer))  # the last lesson of a curriculum
        needed: int = module.objective.length(self.training)
        module.objective.epoch(self.trainer.current_epoch)
        return max(needed, min(shortest, module.validation_steps + 1))

    def test_dataloader(self) -> Windows:
        """All windows in order, of the held-out trajectories where there are any."""
        kept = self.validation or self.training
        return self._windows(kept, self._validated(kept))

    def predict_dataloader(self) -> Windows:
        """The objective's windows in order, of the held-out trajectories where there are any."""
        assert self.trainer is not None
        objective = self.trainer.lightning_module.objective
        return self._windows(self.validation or self.training, objective.length(self.training))


def _last_epoch(trainer: pl.Trainer) -> int:
    """The number of the last epoch, or one beyond every curriculum where steps or time are counted.

    Lightning says -1 where ``max_steps`` or ``max_time`` ends a training.
    """
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        return trainer.max_epochs
    grows: int = getattr(trainer.lightning_module.objective, "grow_over", 0)
    return max(UNCOUNTED, grows)
