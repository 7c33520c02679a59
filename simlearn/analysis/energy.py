"""How much energy the data carry in each direction: what could be learned at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simlearn.component import ConfigError, DataError

Kind = Literal["learned", "slow", "null"]


@dataclass(frozen=True)
class Energy:
    """Second moment of data, direction by direction, largest first.

    With states X in units of ``scale`` (and the mean taken off where ``centred``),
    C = XᵀX / N = U diag(λ) Uᵀ, from the singular values of X: a direction of relative energy
    1e-20 is still seen, which the eigenvalues of C would lose in rounding.

    Attributes:
        values: λ ``[n]``, in units of scale².
        directions: U ``[n, n]``, orthonormal columns in scaled coordinates.
        scale: ``[n]`` unit of each column.
        mean: ``[n]`` what was taken off, in the unit of the data; zero where not centred.
        floor: λ below which a direction cannot be told from rounding and noise.
        samples: N.
    """

    values: Tensor
    directions: Tensor
    scale: Tensor
    mean: Tensor
    floor: float
    samples: int

    @property
    def rank(self) -> int:
        """Directions above the floor."""
        return int((self.values > self.floor).sum())

    @property
    def cumulative(self) -> Tensor:
        """Share of the energy in the first i directions, ``[n]``."""
        return self.values.cumsum(0) / self.values.sum()

    @property
    def participation(self) -> float:
        """The participation ratio (Σλ)² / Σλ²: how many directions share the energy."""
        return float(self.values.sum() ** 2 / self.values.square().sum())

    def kinds(self, training_time: float | None = None, tolerance: float = 0.1) -> list[Kind]:
        """Each direction as learned, slow or null.

        Gradient descent on a linear layer leaves exp(−λ T) of the first error in a direction of
        energy λ, so it is learned to ``tolerance`` where λ ≥ ln(1/tolerance) / T.

        Args:
            training_time: T, the sum of learning rates times the factor of the loss (2 / outputs
                for a mean squared error); None where the optimiser is not plain descent: nothing
                is called slow then.
            tolerance: The share of the first error that may be left.
        """
        least = 0.0 if training_time is None else threshold(training_time, tolerance)
        return [
            "null" if v <= self.floor else "slow" if v < least else "learned"
            for v in self.values.tolist()
        ]

    def basis(self, kinds: list[Kind], *wanted: Kind) -> Tensor:
        """The directions of some kinds, ``[n, m]``."""
        return self.directions[:, [k in wanted for k in kinds]]


def energy(
    x: Tensor,
    *,
    centred: bool = False,
    scale: Tensor | None = None,
    noise: float = 0.0,
    precision: float | None = None,
) -> Energy:
    """Energy of data by direction.

    Args:
        x: ``[N, n]`` samples in physical units; of a graph, the stacked local inputs.
        centred: Take the mean off. The Jacobian of a model with biases is learned where the
            centred data have energy; the raw energy says where its value is.
        scale: Unit of each column ``[n]``; its spread by default, that of
            the others where a column is constant.
        noise: Standard deviation of measurement noise, in scaled units. Its energy reaches up to
            σ² (1 + √(n/N))², the edge of Marchenko and Pastur (1967).
        precision: Relative rounding of the data; by default that of float32 where every number is
            one, whatever the dtype now.

    Raises:
        DataError: There are no samples, or some are not finite.
        ConfigError: A negative noise.
    """
    if x.ndim != 2 or not len(x):
        raise DataError(f"The energy of data needs samples [N, n], got {list(x.shape)}.")
    if not bool(x.isfinite().all()):
        raise DataError("The data hold numbers that are not finite; nothing can be said of them.")
    if noise < 0:
        raise ConfigError(f"noise is a standard deviation, at least 0; got {noise}.")
    precision = rounding(x) if precision is None else precision
    x = x.double()
    count, n = x.shape
    scale = unit_of(x, precision) if scale is None else scale.double()
    mean = x.mean(0) if centred else x.new_zeros(n)
    largest = float((x / scale).square().sum(-1).mean())
    s, basis = _svd((x - mean) / scale)
    edge = (noise * (1 + math.sqrt(n / count))) ** 2
    floor = max(100 * precision**2 * largest, (n * 2.2e-16) ** 2 * largest, edge)
    return Energy(s.square() / count, basis, scale, mean, floor, count)


def _svd(x: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values ``[n]`` and right vectors ``[n, n]``; zeros where there are few samples."""
    n = x.shape[1]
    if len(x) > 4 * n:  # R has the singular values of X, at a fraction of the cost
        x = torch.linalg.qr(x, mode="r")[1]
    _, s, v = torch.linalg.svd(x, full_matrices=True)
    return torch.cat([s, s.new_zeros(n - len(s))]), v.mT


def rounding(x: Tensor) -> float:
    """Relative rounding of numbers as they were stored, also where they were cast since."""
    single = x.dtype == torch.float32 or bool((x.float().to(x) == x).all())
    return torch.finfo(torch.float32 if single else torch.float64).eps


def unit_of(x: Tensor, precision: float = 2.2e-16) -> Tensor:
    """Spread of each column ``[n]``; that of the others where it is constant up to rounding.

    A constant column divided by its spread would turn rounding into energy. 1 where none moves.
    """
    spread, size = x.std(0, correction=0), x.abs().amax(0)
    moves = spread > 100 * precision * size
    typical = spread[moves].square().mean().sqrt() if bool(moves.any()) else 1.0
    return torch.where(moves, spread, typical)


def threshold(training_time: float, tolerance: float = 0.1) -> float:
    """λ_c = ln(1/tolerance) / T: the least energy that is learned in a training time T.

    Raises:
        ConfigError: A time or a tolerance that makes no sense.
    """
    if not training_time > 0 or not 0 < tolerance < 1:
        raise ConfigError(
            f"A training time is positive and a tolerance between 0 and 1, got {training_time} "
            f"and {tolerance}."
        )
    return math.log(1 / tolerance) / training_time


def threshold_of_steps(rate: float, steps: int, tolerance: float = 0.1) -> float:
    """λ_c = (1 − tolerance^(1/K)) / η after K steps of plain gradient descent, without limit."""
    return float(-math.expm1(math.log(tolerance) / steps) / rate)
