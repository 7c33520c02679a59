"""States and slopes from noisy states: Gaussian processes in time, or differences."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simlearn.training.ladder.samples import Samples, reintegrated

LENGTHS = 2.0 ** torch.linspace(0, 6, 13, dtype=torch.float64)  # in median intervals
RATIOS = 10.0 ** torch.linspace(-1, 11, 37, dtype=torch.float64)  # signal over noise variance
PIECE, OVERLAP = 256, 32  # states that are smoothed at once, and shared with the next ones
FEWEST = 6  # states of a trajectory from which on smoothing beats differences


@dataclass(frozen=True)
class Evened:
    """States with slopes, ready for a regression, and how far each may be wrong.

    Attributes:
        samples: With slopes.
        state: Standard deviation of the states, broadcasts to ``[n, steps, dim]``.
        slope: Standard deviation of the slopes, the same; zero where nobody knows.
        how: What was done, for the report.
    """

    samples: Samples
    state: Tensor
    slope: Tensor
    how: str


def evened(samples: Samples) -> Evened:
    """The best states and slopes that need no dynamics."""
    noise = samples.noise
    zero = torch.zeros_like(noise)
    if samples.slope is not None:
        error = replace(samples, x=samples.slope).noise
        better = reintegrated(samples, noise)
        if better is samples:
            return Evened(samples, noise, error, "as recorded")
        shift = noise / samples.mask.sum(1)[:, None, None].clamp_min(1.0).sqrt()
        return Evened(better, shift, error, "re-integrated from recorded slopes")
    if samples.shape[1] < FEWEST:
        return Evened(_middles(samples), zero, zero, "differences between neighbours")
    return _in_pieces(samples) if samples.shape[1] > PIECE else _smoothed(samples)


def _in_pieces(samples: Samples) -> Evened:
    """Smoothed in pieces that overlap, of each of which the middle is taken: the cost is cubic."""
    (n, steps, _), pace = samples.shape, PIECE - 2 * OVERLAP
    begins = [*range(0, steps - PIECE, pace), steps - PIECE]
    parts = [slice(k, k + PIECE) for k in begins]
    assert samples.slope is None  # recorded slopes are not smoothed
    t, x, mask = (
        torch.cat([part[:, one] for one in parts]) for part in (samples.t, samples.x, samples.mask)
    )
    whole = Samples(t, x, None, mask)
    there = whole.mask.sum(1) > 1
    found = _smoothed(whole.take(there))
    stitched = [torch.zeros_like(samples.x), *(torch.ones_like(samples.x) for _ in range(3))]
    stitched[1].zero_()
    assert found.samples.slope is not None  # smoothing gives slopes
    sources = found.samples.x, found.samples.slope, found.state, found.slope
    for target, source in zip(stitched, sources, strict=True):
        pieces = torch.zeros_like(whole.x)
        pieces[there] = source
        for number, k in enumerate(begins):
            skip = OVERLAP if k else 0
            target[:, k + skip : k + PIECE] = pieces[number * n : (number + 1) * n, skip:]
    x, slope, state, rate = stitched
    return Evened(replace(samples, x=x, slope=slope), state, rate, found.how)


def _middles(samples: Samples) -> Samples:
    """(x₀ + x₁)/2 and (x₁ − x₀)/h: what the implicit midpoint rule says of a vector field."""
    gap = samples.t.diff(dim=1)[..., None]
    mask = samples.mask[:, 1:] * samples.mask[:, :-1]
    gap = torch.where(mask[..., None] > 0, gap, 1.0)
    x, t = samples.x, samples.t
    return Samples(
        (t[:, 1:] + t[:, :-1]) / 2, (x[:, 1:] + x[:, :-1]) / 2, x.diff(dim=1) / gap, mask
    )


def _smoothed(samples: Samples) -> Evened:
    """Gaussian processes in time with a squared-exponential kernel, one for each column.

    Length and noise maximise the marginal likelihood over all trajectories together (Rasmussen and
    Williams 2006, eqs. 2.25, 2.26 and 9.1).
    """
    groups = _by_clock(samples)
    gaps = samples.t.diff(dim=1)[(samples.mask[:, 1:] * samples.mask[:, :-1]) > 0]
    gap = float(gaps.median()) if len(gaps) else float(samples.t.diff(dim=1).median())
    parts = [_process(samples.t[own[0]], samples.mask[own[0]], gap) for own in groups]
    x, slope = torch.zeros_like(samples.x), torch.zeros_like(samples.x)
    state, rate = torch.ones_like(samples.x), torch.ones_like(samples.x)
    for column in range(samples.shape[2]):
        values = [samples.x[own, :, column].T for own in groups]
        best = max(
            (
                (_likelihood(processes, values, float(ratio)), number, float(ratio))
                for number, processes in enumerate(zip(*parts, strict=True))
                for ratio in RATIOS
            ),
            key=lambda found: found[0],
        )
        for own, process, value in zip(groups, [p[best[1]] for p in parts], values, strict=True):
            found = process.posterior(value, best[2])
            for target, one in zip((x, slope, state, rate), found, strict=True):
                target[own, :, column] = one
    scale = slope.reshape(-1, slope.shape[2]).std(0)
    smooth = replace(samples, x=x, slope=slope)
    return Evened(smooth, state, rate.maximum(1e-9 * scale), "smoothed by Gaussian processes")


def _by_clock(samples: Samples) -> list[list[int]]:
    """Trajectories that are sampled at the same times, up to a shift."""
    groups: dict[bytes, list[int]] = {}
    for k, (t, mask) in enumerate(zip(samples.t, samples.mask, strict=True)):
        key = (t - t[0]).mul(1e12 / float(t[-1] - t[0])).round().numpy().tobytes()
        groups.setdefault(key + mask.numpy().tobytes(), []).append(k)
    return list(groups.values())


@dataclass(frozen=True)
class Process:
    """A Gaussian process of one length on one set of times.

    Attributes:
        kept: ``[steps]``, 1 where there is a sample.
        values: Eigenvalues of the centred kernel, ``[steps]``.
        vectors: Its eigenvectors, ``[steps, steps]``.
        slopes: ∂k(t, t')/∂t, ``[steps, steps]``.
        bend: Prior variance of the slope.
    """

    kept: Tensor
    values: Tensor
    vectors: Tensor
    slopes: Tensor
    bend: float

    def posterior(self, y: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mean of state and slope and their standard deviations, each ``[n, steps]``."""
        kept, v = self.kept[:, None], self.vectors
        mean = (y * kept).sum(0) / kept.sum()
        along = v.T @ ((y - mean) * kept)
        shrunk = 1 + ratio * self.values
        state = mean + v @ (ratio * self.values[:, None] * along / shrunk[:, None])
        pull = v @ (along / shrunk[:, None])
        pull = pull - kept * (pull * kept).sum(0) / kept.sum()  # rounding, which slopes would feel
        slope = ratio * self.slopes @ pull
        count = float(self.kept.sum()) * y.shape[1]
        noise = float((along.square() / shrunk[:, None]).sum()) / count
        # the mean of a trajectory is known to σ²/N, and says nothing of slopes
        mean_of = torch.outer(self.kept, self.kept) / self.kept.sum()
        inner = (v / shrunk) @ v.T - mean_of
        sure = (v * (ratio * self.values / shrunk)) @ v.T + mean_of
        rate = ratio * self.bend - ratio**2 * ((self.slopes @ inner) * self.slopes).sum(1)
        spread = (noise * sure.diagonal().clamp_min(0)).sqrt()
        steep = (noise * rate.clamp_min(0)).sqrt()
        return state.T, slope.T, spread.expand(y.shape[1], -1), steep.expand(y.shape[1], -1)


def _process(t: Tensor, mask: Tensor, gap: float) -> list[Process]:
    """One for each length; these are multiples of an interval."""
    kept = mask
    centre = torch.diag(kept) - torch.outer(kept, kept) / kept.sum()
    found = []
    for length in (LENGTHS * gap).tolist():
        apart = (t[:, None] - t) / length
        kernel = (-apart.square() / 2).exp()
        values, vectors = torch.linalg.eigh(centre @ kernel @ centre)
        slopes = -apart / length * kernel * kept
        found.append(Process(kept, values.clamp_min(0), vectors, slopes, 1 / length**2))
    return found


def _likelihood(processes: tuple[Process, ...], values: list[Tensor], ratio: float) -> float:
    quadratic, logs, count = 0.0, 0.0, 0.0
    for one, y in zip(processes, values, strict=True):
        kept = one.kept[:, None]
        along = one.vectors.T @ ((y - (y * kept).sum(0) / kept.sum()) * kept)
        shrunk = 1 + ratio * one.values
        quadratic += float((along.square() / shrunk[:, None]).sum())
        logs += y.shape[1] * float(shrunk.log().sum())
        count += float(one.kept.sum()) * y.shape[1]
    return -0.5 * (count * math.log(quadratic / count + 1e-300) + logs)
