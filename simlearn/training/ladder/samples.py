"""Vector trajectories side by side, and how noisy they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.state import Trajectory

WINDOW = 7  # states whose highest difference tells noise from motion


@dataclass(frozen=True)
class Samples:
    """Trajectories of equal meaning, padded to one length.

    Attributes:
        t: ``[n, steps]``; constant where a trajectory has ended.
        x: ``[n, steps, dim]``, as observed.
        slope: ``[n, steps, dim]`` recorded dx/dt, None where there is none.
        mask: ``[n, steps]``, 0 where there is no sample.
    """

    t: Tensor
    x: Tensor
    slope: Tensor | None
    mask: Tensor

    @staticmethod
    def of(training: Sequence[Trajectory], derivatives: bool = True) -> Samples:
        """One entry for each row of each trajectory.

        Raises:
            DataError: The trajectories have control inputs, differ in columns or are too short.
        """
        if any(one.inputs is not None for one in training):
            raise DataError("A closed-form energy takes no control inputs; train by gradients.")
        if len({one.dim for one in training}) != 1:
            raise DataError("All trajectories of a training must have the same columns.")
        if max((one.steps for one in training), default=0) < 2:
            raise DataError("A trajectory of one state says nothing about motion; give two.")
        derivatives = derivatives and all(one.derivative is not None for one in training)
        steps = max(one.steps for one in training)
        parts = [_rows(one, derivatives).padded(steps) for one in training if one.steps > 1]
        slopes = [part.slope for part in parts if part.slope is not None]
        joined = Samples(
            torch.cat([part.t for part in parts]),
            torch.cat([part.x for part in parts]),
            torch.cat(slopes) if derivatives else None,
            torch.cat([part.mask for part in parts]),
        )
        found = joined.without_gaps().begun()
        found = found.take(found.mask.sum(1) > 1)
        if not len(found.t):
            raise DataError("No trajectory has two complete states; there is nothing to learn.")
        return found.ended()

    @cached_property
    def noise(self) -> Tensor:
        """`noise_of` these samples."""
        return noise_of(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Trajectories, steps, columns."""
        n, steps, dim = self.x.shape
        return n, steps, dim

    def padded(self, steps: int) -> Samples:
        """Longer by samples that are not there."""
        more = steps - self.t.shape[1]
        if not more:
            return self

        def last(value: Tensor) -> Tensor:
            return torch.cat([value, value[:, -1:].expand(-1, more, *value.shape[2:])], dim=1)

        slope = None if self.slope is None else last(self.slope)
        none = self.mask.new_zeros(len(self.mask), more)
        return Samples(last(self.t), last(self.x), slope, torch.cat([self.mask, none], dim=1))

    def without_gaps(self) -> Samples:
        """Numbers that are missing as zeros that are not there."""
        bad = ~self.x.isfinite().all(-1)
        if self.slope is not None:
            bad = bad | ~self.slope.isfinite().all(-1)
        if not bool(bad.any()):
            return self
        none = bad[..., None]
        slope = None if self.slope is None else torch.where(none, 0.0, self.slope)
        return Samples(
            self.t, torch.where(none, 0.0, self.x), slope, torch.where(bad, 0.0, self.mask)
        )

    def ended(self) -> Samples:
        """No longer than the last sample that is there."""
        steps = int((self.mask > 0).any(0).nonzero()[-1]) + 1
        if steps == self.t.shape[1]:
            return self
        slope = None if self.slope is None else self.slope[:, :steps]
        return Samples(self.t[:, :steps], self.x[:, :steps], slope, self.mask[:, :steps])

    def begun(self) -> Samples:
        """Every trajectory from its first complete state on."""
        first = (self.mask > 0).int().argmax(1)
        if not bool(first.any()):
            return self
        steps = torch.arange(self.mask.shape[1])
        at = (steps + first[:, None]).clamp_max(len(steps) - 1)
        mask = self.mask.gather(1, at) * (steps + first[:, None] < len(steps))
        wide = at[..., None].expand_as(self.x)
        slope = None if self.slope is None else self.slope.gather(1, wide)
        return Samples(self.t.gather(1, at), self.x.gather(1, wide), slope, mask)

    def take(self, kept: Tensor) -> Samples:
        """Some of the trajectories."""
        if kept.dtype == torch.bool and bool(kept.all()):
            return self
        slope = None if self.slope is None else self.slope[kept]
        return Samples(self.t[kept], self.x[kept], slope, self.mask[kept])

    def cut(self, steps: int) -> Samples:
        """In pieces of at most so many intervals, each with a start of its own."""
        if self.t.shape[1] <= steps + 1:
            return self
        steps = -(-(self.t.shape[1] - 1) // -(-(self.t.shape[1] - 1) // steps))
        pieces = []
        for k in range(0, self.t.shape[1] - 1, steps):
            part = slice(k, min(k + steps + 1, self.t.shape[1]))
            slope = None if self.slope is None else self.slope[:, part]
            piece = Samples(self.t[:, part], self.x[:, part], slope, self.mask[:, part])
            pieces.append(piece.take(piece.mask.sum(1) > 1).padded(steps + 1))
        slopes = [piece.slope for piece in pieces if piece.slope is not None]
        whole = (torch.cat(parts) for parts in zip(*((p.t, p.x) for p in pieces), strict=True))
        t, x = whole
        mask = torch.cat([piece.mask for piece in pieces])
        return Samples(t, x, torch.cat(slopes) if slopes else None, mask)


def _rows(one: Trajectory, derivatives: bool) -> Samples:
    t = one.t.double()
    t = t[:, one.topology.system] if t.ndim == 2 else t[:, None].expand(-1, one.topology.rows)
    mask = torch.ones_like(t) if one.mask is None else one.mask.double()
    slope = None
    if derivatives and one.derivative is not None:
        slope = one.derivative.double().movedim(1, 0)
    return Samples(t.T, one.x.double().movedim(1, 0), slope, mask.T)


def noise_of(samples: Samples) -> Tensor:
    """Standard deviation of white noise on the states, ``[dim]``, by high differences.

    A polynomial of degree m − 1 is annihilated by the divided difference of m + 1 samples; with
    weights of unit norm its typical size is the noise, whatever m is. Motion that is sampled
    coarsely is left over too, but less and less of it the higher m is: where the size still falls
    from m to m + 2, or is half of all that moves, it tells of motion, and the noise counts as
    zero. So it does where trajectories are shorter than five states.
    """
    dim, width = samples.shape[2], min(WINDOW, samples.shape[1])
    if width < WINDOW - 2:
        return samples.x.new_zeros(dim)
    high, low = _differences(samples, width), _differences(samples, width - 2)
    spread = samples.x[samples.mask > 0].std(0)
    return torch.where((high > 0.7 * low) & (high < 0.5 * spread), high, 0.0)


def _differences(samples: Samples, width: int) -> Tensor:
    """Typical size of the divided differences of ``width`` samples, as of a normal variable."""
    shared = bool((samples.t == samples.t[:1]).all())
    t = (samples.t[:1] if shared else samples.t).unfold(1, width, 1)
    apart = t[..., :, None] - t[..., None, :] + torch.eye(width, dtype=t.dtype)
    logs = apart.abs().clamp_min(torch.finfo(t.dtype).tiny).log().sum(-1)
    sign = torch.tensor([(-1.0) ** k for k in range(width)], dtype=t.dtype)
    weight = sign * (logs.amin(-1, keepdim=True) - logs).exp()
    weight = weight / weight.norm(dim=-1, keepdim=True)
    found = (samples.x.unfold(1, width, 1) * weight[:, :, None]).sum(-1).abs()
    whole = samples.mask.unfold(1, width, 1).sum(-1) == width
    if not bool(whole.any()):
        return samples.x.new_zeros(samples.shape[2])
    return found[whole].median(0).values / 0.6745


def reintegrated(samples: Samples, noise: Tensor) -> Samples:
    """States re-integrated from recorded slopes, where these explain them to within their noise.

    x(t) = c + ∫ dx/dt, by cubics through four neighbours, with the c of least squares. It leaves
    one unknown shift a trajectory instead of noise in every state; where the slopes are the worse
    record of the two, the states come back as they are.
    """
    lengths = samples.mask.sum(1).long()
    whole = torch.equal(samples.mask.cumprod(1), samples.mask)
    if samples.slope is None or int(lengths.min()) < 4 or not whole:
        return samples
    path = samples.x.clone()
    for length in lengths.unique().tolist():
        own = lengths == length
        gained = _integrals(samples.t[own, :length], samples.slope[own, :length])
        path[own, 0], path[own, 1:length] = 0.0, gained.cumsum(1)
    weight = samples.mask[..., None] / samples.mask.sum(1)[:, None, None]
    path = path + ((samples.x - path) * weight).sum(1, keepdim=True)
    apart = ((samples.x - path).square() * weight).sum(1).mean(0).sqrt()
    explained = bool((apart <= 1.2 * noise).all())
    return replace(samples, x=path) if explained else samples


def _integrals(t: Tensor, slope: Tensor) -> Tensor:
    """∫ of the slope over every interval, ``[n, steps − 1, dim]``."""
    steps = t.shape[1]
    shared = bool((t == t[:1]).all())
    grid = t[:1] if shared else t
    first = (torch.arange(steps - 1) - 1).clamp(0, steps - 4)
    near = first[:, None] + torch.arange(4)
    start, gap = grid[:, :-1, None], grid.diff(dim=1)[..., None]
    local = (grid[:, near] - start) / gap
    power = torch.arange(4, dtype=t.dtype)
    moments = 1 / (power + 1)
    table = local[:, :, None] ** power[:, None]
    weight = torch.linalg.solve(table, moments.expand(*table.shape[:2], 4)) * gap
    return (slope[:, near] * weight[..., None]).sum(2)


def spread(measures: Tensor, most: int, seed: int) -> Tensor:
    """Numbers of ``most`` samples: some at random, the rest on even grids of each measure.

    A random subset leaves what is rare, close encounters and wide swings, to chance.
    """
    count = len(measures)
    if count <= most:
        return torch.arange(count)
    rng = torch.Generator().manual_seed(seed)
    kept = [torch.randperm(count, generator=rng)[: most // (1 + measures.shape[1])]]
    for values in measures.T:
        ordered, order = values.sort()
        grid = torch.linspace(
            float(ordered[0]),
            float(ordered[-1]),
            most // (1 + measures.shape[1]),
            dtype=values.dtype,
        )
        at = torch.searchsorted(ordered, grid).clamp_max(count - 1)
        before = (at - 1).clamp_min(0)
        nearer = (ordered[before] - grid).abs() < (ordered[at] - grid).abs()
        kept.append(order[torch.where(nearer, before, at)])
    return torch.cat(kept).unique()
