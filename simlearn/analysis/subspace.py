"""Where the data of a simulator live, in the frame in which its dynamics see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.analysis.energy import Energy, Kind, energy
from simlearn.analysis.flat import states
from simlearn.component import DataError
from simlearn.dynamics.base import Dynamics
from simlearn.state import Trajectory

NOISE = 1e-5  # share of a column's spread that no training resolves


@dataclass(frozen=True)
class Subspace:
    """A frame of directions with data and without, orthonormal in scaled coordinates.

    Attributes:
        energy: Of the centred data.
        kinds: Each direction as learned, slow or null.
        data: S ``[n, r]``.
        normal: N ``[n, m]``: without data, and slow ones.
        rate: Fastest rate of the data, rms(dx/dt) / rms(x − mean), 1/time.
    """

    energy: Energy
    kinds: list[Kind]
    data: Tensor
    normal: Tensor
    rate: float

    @property
    def projector(self) -> Tensor:
        """P = D S Sᵀ D⁻¹ ``[n, n]`` in physical coordinates, D the scale."""
        scale = self.energy.scale
        return scale[:, None] * (self.data @ self.data.mT) / scale


def subspace(
    training: Sequence[Trajectory],
    whole: bool = False,
    *,
    noise: float = NOISE,
    training_time: float | None = None,
    tolerance: float = 0.1,
) -> Subspace:
    """The frame of some training data.

    Args:
        training: The data.
        whole: A sample is a whole system, all rows side by side; else each row is one, as for
            dynamics that share their weights over rows.
        noise: Noise of the data as a share of each column's spread. Directions below it count as
            empty, whatever a closed form could make of them.
        training_time: See `Energy.kinds`.
        tolerance: The same.

    Raises:
        DataError: There are no data, they never move, or are not finite.
    """
    if not training:
        raise DataError("There are no training data, so nothing can be said of what they taught.")
    x = torch.cat([_samples(one.x, one, whole) for one in training])
    found = energy(x, centred=True, noise=noise)
    if not float(found.values[0]) > 0 or bool((x == x[0]).all()):
        raise DataError(
            f"The training data never move: all {len(x)} samples are the same (rank zero). "
            "A simulator cannot have learned anything from them."
        )
    kinds = found.kinds(training_time, tolerance)
    return Subspace(
        found,
        kinds,
        found.basis(kinds, "learned"),
        found.basis(kinds, "slow", "null"),
        _rate(training, found, whole),
    )


def looks_at_whole(dynamics: Dynamics) -> bool:
    """Whether dynamics see all rows of a system at once, instead of sharing weights over rows."""
    return not dynamics.equivariant


def _samples(x: Tensor, one: Trajectory, whole: bool) -> Tensor:
    if not whole:
        return x.reshape(-1, x.shape[-1])
    return states(one).flatten(0, 1)


def _slopes(one: Trajectory) -> tuple[Tensor, Tensor]:
    """Slopes as recorded or by differences, and their states."""
    if one.derivative is not None:
        return one.derivative, one.x
    gap = one.t.diff(dim=0)
    gap = gap[:, one.topology.system] if gap.ndim > 1 else gap[:, None]
    return one.x.diff(dim=0) / gap[..., None].to(one.x), one.x[1:]


def _rate(training: Sequence[Trajectory], found: Energy, whole: bool) -> float:
    """rms(dx/dt) / rms(x − mean), both in scaled units; 0 where no slope can be told."""
    sums = torch.zeros(2, dtype=torch.float64)
    for one in training:
        slope, x = _slopes(one)
        scale = found.scale if not whole else found.scale.reshape(-1, one.dim)
        mean = found.mean if not whole else found.mean.reshape(-1, one.dim)
        if whole:
            systems = one.topology.num_systems
            scale, mean = scale.repeat(systems, 1), mean.repeat(systems, 1)
        sums[0] += (slope.double() / scale).square().sum()
        sums[1] += ((x.double() - mean) / scale).square().sum()
    return float((sums[0] / sums[1]).sqrt()) if float(sums[1]) else 0.0
