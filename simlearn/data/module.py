"""The data as Lightning sees them: a file or a generator on one side, windows on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from simlearn.component import ConfigError, DataError, describe
from simlearn.data.generate import DatasetGenerator, sample_times
from simlearn.data.store import read
from simlearn.data.windows import Windows
from simlearn.state import Trajectory


class TrajectoryData(pl.LightningDataModule):
    """Trajectories to train on, from a dataset file or drawn by a generator.

    Args:
        file: A dataset that `simlearn generate` wrote. Give either this or a generator.
        generator: Draws the trajectories at the start of the run.
        count: Trajectories to draw.
        steps: States of each drawn trajectory.
        dt: Time between two states, in the generator's unit.
        seed: Seed of the draw and of the order of the windows.
        held_out: Share of the trajectories kept aside for validation (at least one, if it is not
            zero).
        batch_size: Windows in a batch; all of them where it is not given.
        stride: States between the starts of two windows; by default windows lie end to end.
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
    ):
        super().__init__()
        if (file is None) == (generator is None):
            raise ConfigError(
                "Give the data either a `file` or a `generator`, not both and not none."
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
        self.batch_size, self.stride = batch_size, stride
        self.given: Sequence[Trajectory] | None = None
        self.training: Sequence[Trajectory] = ()
        self.validation: Sequence[Trajectory] = ()
        self.provenance: dict[str, Any] = {}

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], **arguments: Any) -> TrajectoryData:
        """Data that are in memory already."""
        data = cls(file="(in memory)", **arguments)
        data.given = trajectories
        return data

    def setup(self, stage: str) -> None:
        """Read or draw, once."""
        if self.training:
            return
        drawn = self._load()
        kept = (
            min(len(drawn) - 1, max(1, round(self.held_out * len(drawn)))) if self.held_out else 0
        )
        self.training, self.validation = drawn[: len(drawn) - kept], drawn[len(drawn) - kept :]

    def _load(self) -> Sequence[Trajectory]:
        if self.given is not None:
            self.provenance = {"source": "memory"}
            return self.given
        if self.generator is not None:
            times = sample_times(self.steps, self.dt)
            self.provenance = {
                "generator": describe(self.generator),
                "count": self.count,
                "steps": self.steps,
                "dt": self.dt,
                "seed": self.seed,
            }
            return list(self.generator.draw(range(self.count), times, self.seed))
        assert self.file is not None
        dataset = read(self.file)
        if not dataset.trajectories:
            raise DataError(f"{self.file} holds no trajectory.")
        self.provenance = {"file": self.file, "digest": dataset.digest, **dataset.provenance}
        return dataset.trajectories

    def _windows(self, trajectories: Sequence[Trajectory], shuffle: bool) -> Windows:
        trainer = self.trainer
        assert trainer is not None
        length = trainer.lightning_module.objective.length(trajectories)
        device: torch.device = trainer.strategy.root_device
        return Windows(
            [one.to(device) for one in trajectories],
            length,
            stride=self.stride or max(1, length - 1),
            batch_size=self.batch_size,
            seed=self.seed,
            shuffle=shuffle,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )

    def train_dataloader(self) -> Windows:
        """Shuffled windows of the training trajectories."""
        return self._windows(self.training, shuffle=True)

    def val_dataloader(self) -> Windows | list[Any]:
        """Windows of the held-out trajectories, in order."""
        return self._windows(self.validation, shuffle=False) if self.validation else []

    def test_dataloader(self) -> Windows:
        """All windows in order, of the held-out trajectories where there are any."""
        return self._windows(self.validation or self.training, shuffle=False)

    predict_dataloader = test_dataloader
