"""What of a dataset decides how it is learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from simlearn.component import DataError
from simlearn.data.importing import Census
from simlearn.data.store import Dataset
from simlearn.state import Trajectory


@dataclass(frozen=True)
class Facts:
    """What of a dataset decides."""

    first: Trajectory
    census: Census
    second: str
    dt: float
    inputs: int
    attributes: int

    @classmethod
    def of(cls, dataset: Dataset) -> Facts:
        """Look at the data.

        Raises:
            DataError: There is none.
        """
        if not len(dataset):
            raise DataError("The dataset holds no trajectory; there is nothing to propose.")
        first, census = dataset[0], Census.of(dataset)
        units = dataset.provenance.get("units", {})
        columns = dataset.provenance.get("columns", {})
        named = [part for part in ("velocity", "momentum") if part in units or columns.get(part)]
        gaps = torch.cat([one.t.diff(dim=0).flatten() for one in dataset])
        attached = first.topology.system_attr
        return cls(
            first,
            census,
            named[0] if named and first.dim % 2 == 0 else "",
            census.step or float(gaps.median()),
            0 if first.inputs is None else first.inputs.shape[-1],
            0 if attached is None else attached.shape[-1],
        )

    @property
    def regular(self) -> bool:
        """Whether all samples are one step apart."""
        return self.census.step is not None

    @property
    def typical(self) -> int:
        """Samples of a trajectory such that nine tenths of all samples lie in longer ones."""
        lengths = sorted(self.census.lengths)
        left = 0.1 * sum(lengths)
        for length in lengths:
            left -= length
            if left <= 0:
                return length
        return lengths[-1]


def noise(facts: Facts, dataset: Dataset, half: int) -> float:
    """Standard deviation of the noise of the positions, norm over the columns.

    From third differences, whose variance is 20 σ² for white noise, and which a smooth curve hardly
    has; 0 where the times are irregular.
    """
    if not facts.regular or facts.typical < 4:
        return 0.0
    third = [one.x[..., :half].diff(n=3, dim=0).reshape(-1, half) for one in dataset]
    return float((torch.cat(third).square().mean(0) / 20).sqrt().norm())
