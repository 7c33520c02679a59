"""Are two long tracks of states drawn from one measure? Distances, spectra, correlation times.

States are ``[samples, d]``. Coordinates of different units are scaled by the caller. A number that
is none makes every distance NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import correlate, welch
from scipy.stats import wasserstein_distance
from torch import Tensor

from simlearn.component import ConfigError, DataError

TINY = 1e-12  # distances below this are rounding
Distance = Callable[[Tensor, Tensor], float]


def wasserstein(a: Tensor, b: Tensor) -> Tensor:
    """The 1-Wasserstein distance ∫ |F_a − F_b| of each coordinate, ``[d]``."""
    if not _sound(a, b):
        return _none(a)
    if len(a) == len(b):  # the same number, all coordinates at once
        return (a.double().sort(0).values - b.double().sort(0).values).abs().mean(0)
    pairs = zip(a.double().T.numpy(), b.double().T.numpy(), strict=True)
    return torch.tensor([wasserstein_distance(u, v) for u, v in pairs], dtype=torch.float64)


def sliced(a: Tensor, b: Tensor, projections: int = 50, seed: int = 0) -> float:
    """The sliced 1-Wasserstein distance: the mean over random directions (Bonneel et al. 2015).

    It sees how coordinates go together, which the distances of single coordinates do not.
    """
    if projections < 1:
        raise ConfigError(f"A sliced distance needs a projection, got {projections}.")
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(a.shape[1], projections, generator=rng, dtype=torch.float64)
    unit = drawn / drawn.norm(dim=0)
    return float(wasserstein(a.double() @ unit, b.double() @ unit).mean())


def hellinger(a: Tensor, b: Tensor, bins: int | None = None) -> Tensor:
    """The Hellinger distance √(1 − Σ √(p q)) of the histograms of each coordinate, ``[d]``.

    Between 0 and 1. Bins are equal and common to both; twice the cube root of the smaller number of
    samples by default.
    """
    if not _sound(a, b):
        return _none(a)
    count = bins or max(4, round(2 * min(len(a), len(b)) ** (1 / 3)))
    found = []
    for u, v in zip(a.double().T, b.double().T, strict=True):
        both = torch.cat([u, v])
        low, high = float(both.min()), float(both.max())
        if not low < high:  # one value only
            found.append(0.0)
            continue
        p, q = (torch.histc(one, count, low, high) for one in (u, v))
        found.append(_affinity_distance(p, q))
    return torch.tensor(found, dtype=torch.float64)


def mmd(a: Tensor, b: Tensor, width: float | None = None) -> float:
    """The maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012, eq. 5), biased.

    O(samples²): give `decorrelated` states. The width is the median distance within ``b`` by
    default.
    """
    if not _sound(a, b):
        return math.nan
    a, b = a.double(), b.double()
    within = torch.cdist(b, b)
    scale = width or float(within[~torch.eye(len(b), dtype=torch.bool)].median())
    if not scale > 0:
        return 0.0 if torch.equal(a.unique(dim=0), b.unique(dim=0)) else 1.0

    def mean(distances: Tensor) -> float:
        return float((-distances.square() / (2 * scale**2)).exp().mean())

    return math.sqrt(max(0.0, mean(torch.cdist(a, a)) + mean(within) - 2 * mean(torch.cdist(a, b))))


def power(x: Tensor, dt: float = 1.0, segment: int | None = None) -> tuple[Tensor, Tensor]:
    """Frequencies ``[f]`` (1/time) and power spectral densities ``[f, d]`` by Welch's method."""
    length = min(segment or max(8, len(x) // 4), len(x))
    found = welch(x.double().numpy(), fs=1 / dt, nperseg=length, axis=0)
    return torch.from_numpy(found[0]), torch.from_numpy(np.ascontiguousarray(found[1]))


def spectral(a: Tensor, b: Tensor, segment: int | None = None) -> Tensor:
    """The Hellinger distance of the normalised power spectra of each coordinate, ``[d]``.

    It sees time scales, to which a measure is blind; of tracks sampled alike.
    """
    if not _sound(a, b):
        return _none(a)
    length = segment or max(8, min(len(a), len(b)) // 4)
    p, q = power(a, segment=length)[1], power(b, segment=length)[1]
    pairs = zip(p.T, q.T, strict=True)
    return torch.tensor([_affinity_distance(u, v) for u, v in pairs], dtype=torch.float64)


def correlation_time(x: Tensor) -> Tensor:
    """The integrated correlation time 1 + 2 Σ ρ_k of each coordinate in samples, ``[d]``.

    Pairs ρ_2m + ρ_2m+1 are summed as long as they are positive (Geyer 1992). A coordinate that does
    not move has all its samples in one time.
    """
    found = []
    for column in x.double().T.numpy():
        if not np.isfinite(column).all():
            found.append(math.nan)
            continue
        off = column - column.mean()
        rho = correlate(off, off, method="fft")[len(off) - 1 :]
        if not rho[0] > TINY**2:
            found.append(float(len(off)))
            continue
        pairs = (rho / rho[0])[: 2 * (len(rho) // 2)].reshape(-1, 2).sum(1)
        ends = np.flatnonzero(pairs <= 0)
        kept = pairs[: ends[0]] if len(ends) else pairs
        found.append(max(1.0, float(2 * kept.sum() - 1)))
    return torch.tensor(found, dtype=torch.float64)


def effective(x: Tensor) -> Tensor:
    """How many independent samples a track is worth, coordinate by coordinate, ``[d]``."""
    return len(x) / correlation_time(x)


def decorrelated(x: Tensor, count: int = 500) -> Tensor:
    """At most ``count`` states, at least the longest correlation time apart."""
    slowest = float(correlation_time(x).max())
    every = max(1, math.ceil(slowest)) if math.isfinite(slowest) else 1
    kept = x[:: min(every, max(1, len(x) // 2))]
    return kept if len(kept) <= count else kept[:: math.ceil(len(kept) / count)]


@dataclass(frozen=True)
class Calibrated:
    """A distance in units of what independent pieces of truth are apart.

    Attributes:
        ratio: Judged to truth over truth to truth; at most about 1.5 is as good as resampling.
        noise: Standard error of the ratio, by leaving out one segment after another.
        distance: Mean distance of judged to truth.
        floor: Mean distance of truth to truth.
    """

    ratio: float
    noise: float
    distance: float
    floor: float


def calibrated(
    distance: Distance, judged: Sequence[Tensor], truth: Sequence[Tensor], paired: bool = False
) -> Calibrated:
    """Hold judged segments against true ones, and true ones against one another.

    Args:
        distance: Of two segments, ``(judged, true)``.
        judged: Segments ``[samples, d]``.
        truth: Independent segments of the same length, three at least.
        paired: ``judged[k]`` began where ``truth[k]`` did; this pair is then left out, as a true
            segment is not held against itself.

    Raises:
        DataError: Fewer than three true segments, none to judge, or segments that differ in length.
    """
    _refuse(judged, truth, paired)
    met_at = [[distance(one, two) for two in truth] for one in judged]
    across = torch.tensor(met_at, dtype=torch.float64)
    rows, columns = list(range(len(judged))), list(range(len(truth)))
    within = torch.zeros(len(truth), len(truth), dtype=torch.float64)
    for i in columns:
        for j in range(i):
            within[i, j] = within[j, i] = distance(truth[i], truth[j])

    def means(judges: list[int], trues: list[int]) -> tuple[float, float]:
        met = [across[i, j] for i in judges for j in trues if not (paired and i == j)]
        own = [within[i, j] for i in trues for j in trues if i < j]
        return float(torch.stack(met).mean()), float(torch.stack(own).mean())

    met, own = means(rows, columns)
    left = [means(_but(rows, k) if paired else rows, _but(columns, k)) for k in columns]
    noise = _jackknife([_over(*one) for one in left])
    if not paired and len(rows) > 1:
        left = [means(_but(rows, k), columns) for k in rows]
        noise = math.hypot(noise, _jackknife([_over(*one) for one in left]))
    return Calibrated(_over(met, own), noise, met, own)


def _refuse(judged: Sequence[Tensor], truth: Sequence[Tensor], paired: bool) -> None:
    if len(truth) < 3 or not judged or (paired and len(judged) != len(truth)):
        raise DataError(
            f"A calibrated distance needs three true segments, got {len(truth)}, and judged ones, "
            f"got {len(judged)}. Give more data, or cut them shorter."
        )
    lengths = {len(one) for one in (*judged, *truth)}
    if len(lengths) > 1:
        raise DataError(f"Segments must be equally long to be compared, got {sorted(lengths)}.")


def _over(met: float, own: float) -> float:
    return (met + TINY) / (own + TINY)


def _but(numbers: list[int], one: int) -> list[int]:
    return [k for k in numbers if k != one]


def _jackknife(values: list[float]) -> float:
    """Standard error from values that each leave out one of n."""
    n, mean = len(values), sum(values) / len(values)
    return math.sqrt((n - 1) / n * sum((v - mean) ** 2 for v in values))


def _affinity_distance(p: Tensor, q: Tensor) -> float:
    """√(1 − Σ √(p q)) of two nonnegative vectors, each divided by its sum."""
    if float(p.sum()) == 0 or float(q.sum()) == 0:
        return float(p.sum() != q.sum())
    return math.sqrt(max(0.0, 1 - float(((p / p.sum()) * (q / q.sum())).sqrt().sum())))


def _sound(a: Tensor, b: Tensor) -> bool:
    """Whether all numbers are finite.

    Raises:
        DataError: The tracks have other coordinates, or too few states.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise DataError(
            f"Distances are taken between states [samples, d], got {list(a.shape)} and "
            f"{list(b.shape)}; at least two samples each."
        )
    return bool(a.isfinite().all()) and bool(b.isfinite().all())


def _none(a: Tensor) -> Tensor:
    return torch.full((a.shape[1],), torch.nan, dtype=torch.float64)
