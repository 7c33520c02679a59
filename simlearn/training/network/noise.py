"""Noisy observations: how noisy, smooth curves through them, and what is kept aside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simlearn.training.network.data import Data

NOISY = 2e-3  # of the size of the states: data with less noise are taken as they are
ASIDE = 5  # every so many stamps are kept aside where there is noise
SURE = 1e4  # weight of the first state, from which paths start, in a smooth curve
PENALTIES = 10.0 ** torch.arange(-10, 5.1, 0.5, dtype=torch.float64)
NORMAL = 0.6745  # median of |normal| over its standard deviation


@dataclass(frozen=True)
class Observed:
    """Data as they are used.

    Attributes:
        fitted: What trajectories are fitted to.
        judged: What chooses ridge, iteration and size. The same where there is no noise.
        smooth: What the weak form integrates along, and pieces are cut from. The same where there
            is no noise.
        noise: Standard deviation over the root mean square of the states; 0 where it is little.
    """

    fitted: Sequence[Data]
    judged: Sequence[Data]
    smooth: Sequence[Data]
    noise: float = 0.0

    @staticmethod
    def of(data: Sequence[Data]) -> Observed:
        """Data as they are; where they are noisy, smooth, and every fifth stamp kept aside."""
        size = math.sqrt(
            sum(float(one.x.square().sum()) for one in data) / sum(one.x.numel() for one in data)
        )
        noise = max(noise_of(one) for one in data) / (size or 1.0)
        if noise < NOISY:
            return Observed(data, data, data)
        aside = [_aside(one) for one in data]
        return Observed(
            [replace(one, weight=1.0 - mask) for one, mask in zip(data, aside, strict=True)],
            [replace(one, weight=mask) for one, mask in zip(data, aside, strict=True)],
            [_smooth(one, mask) for one, mask in zip(data, aside, strict=True)],
            noise,
        )

    def pieces(self, length: int, every: int) -> Observed:
        """Pieces of so many intervals, of the smooth states; see `Data.pieces`."""
        some = [piece for one in self.smooth for piece in one.pieces(length, every)]
        return Observed(some, some, some)


def noise_of(data: Data) -> float:
    """Standard deviation of the noise: by how much states miss the cubic through four others.

    The median over stamps and nodes is taken, so that a short transient does not count as noise.
    """
    if len(data.t) < 5:
        return 0.0
    t, x = data.t, data.x
    around = torch.tensor([0, 1, 3, 4]) + torch.arange(len(t) - 4)[:, None]
    near, middle = t[around], t[2:-2, None]
    weights = torch.ones_like(near)
    for k in range(4):
        for other in range(4):
            if other != k:
                weights[:, k] *= (
                    (middle - near[:, other, None]) / (near[:, k, None] - near[:, other, None])
                )[:, 0]
    missed = x[2:-2] - torch.einsum("sk,skrm->srm", weights, x[around])
    missed = missed / (1 + weights.square().sum(1)).sqrt()[:, None, None]
    return float(missed.abs().median()) / NORMAL


def smoothed(t: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Cubic smoothing splines through columns ``[steps, columns]``, as stiff as each one asks.

    Of Σ wₖ (yₖ − g(tₖ))² + λ ∫ g''² dt the λ of each column minimises the error of generalised
    cross-validation (Craven and Wahba 1978), from one eigendecomposition for all columns (Reinsch
    1967).
    """
    root = weight.sqrt()
    penalty = _roughness(t) / root[:, None] / root
    values, vectors = torch.linalg.eigh((penalty + penalty.T) / 2)
    along = vectors.T @ (root[:, None] * y)
    scale = values.clamp_min(0.0) / values[len(values) // 2].clamp_min(1e-300)
    keep = 1 / (1 + PENALTIES[:, None] * scale)
    left = ((1 - keep).square() @ along.square()) * len(t)
    found = left / (len(t) - keep.sum(1, keepdim=True)).square()
    best = keep[found.argmin(0)].T
    return (vectors @ (best * along)) / root[:, None]


def _roughness(t: Tensor) -> Tensor:
    """K of ∫ g''² = gᵀ K g of natural cubic splines (Green and Silverman 1994, section 2.3)."""
    n, h = len(t), t.diff()
    second, mass = t.new_zeros(n, n - 2), t.new_zeros(n - 2, n - 2)
    at = torch.arange(n - 2)
    second[at, at], second[at + 2, at] = 1 / h[:-1], 1 / h[1:]
    second[at + 1, at] = -1 / h[:-1] - 1 / h[1:]
    mass[at, at] = (h[:-1] + h[1:]) / 3
    mass[at[:-1], at[1:]] = mass[at[1:], at[:-1]] = h[1:-1] / 6
    return second @ torch.linalg.solve(mass, second.T)


def _aside(data: Data) -> Tensor:
    """1 for every fifth stamp, not the first, ``[steps]``; the last stamp is fitted."""
    mask = torch.zeros_like(data.t)
    mask[ASIDE // 2 :: ASIDE] = 1.0
    mask[-1] = 0.0
    return mask


def _smooth(data: Data, aside: Tensor) -> Data:
    """Smooth states at the stamps that are fitted, in √t, which is fine where states move fast."""
    stay = aside == 0
    t, x = data.t[stay], data.x[stay]
    weight = torch.ones_like(t)
    weight[0] = SURE
    flat = smoothed((t - t[0]).sqrt(), x.flatten(1), weight)
    return Data(t, torch.cat([x[:1], flat.reshape(x.shape)[1:]]), data.topology)
