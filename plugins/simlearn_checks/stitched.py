"""Rollouts of one horizon, each continued by one that began where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simlearn import Simulator, Trajectory
from simlearn_checks.batch import Flock, together
from simlearn_checks.divergence import Box

ASIDE = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 4.0)  # pushes in a random direction, in half ranges
# times the distance from the middle of the data
OUTWARD = (1.05, 1.1, 1.15, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0)
SHARE = (10, 20)  # held-out states to each that is pushed aside, and to each outward
KEPT = 100  # states of a rollout
NARROW = 0.3  # times the widest direction of the data: narrower ones count as so wide
MOST = 2000  # states from which the directions are taken
LOST = 1000.0  # half ranges from the middle, where a rollout is given up
FAR = 1e6  # where nothing is near


@dataclass(frozen=True)
class Begins:
    """Where rollouts begin.

    Attributes:
        states: Stretches of held-out data, as they are; then more, with the first state pushed.
        near: How many are as they are.
        origin: Which of these each was made from.
    """

    states: list[Trajectory]
    near: int
    origin: list[int]

    def add(self, origin: int, x: Tensor) -> None:
        """One more: a held-out state, moved to x."""
        one = self.states[origin]
        moved = one.x.clone()
        moved[0] = x
        self.states.append(replace(one, x=moved))
        self.origin.append(origin)


def pushed(found: Sequence[Trajectory], count: int, box: Box, seed: int) -> Begins:
    """The held-out states, and some of them, taken from all of the data, pushed aside and outward.

    Args:
        found: The held-out states.
        count: How many there were to be; there are fewer in short data.
        box: Of the data.
        seed: Of which are pushed, and where to.
    """
    rng = torch.Generator().manual_seed(seed)
    begins = Begins(list(found), len(found), list(range(len(found))))
    order = torch.randperm(len(found), generator=rng).tolist()
    aside, outward = (max(1, count // share) for share in SHARE)
    for k in range(aside):
        x = found[order[k % len(order)]].x[0]
        for push in ASIDE:
            way = torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x)
            begins.add(order[k % len(order)], x + push * box.half * way / way.abs().max())
    for k in order[:outward]:
        for times in OUTWARD:
            begins.add(k, box.middle + times * (found[k].x[0] - box.middle))
    return begins


@dataclass(frozen=True)
class Stitched:
    """Rollouts of systems of one size over one horizon, and parts of them.

    States are seen from the middle of the data, in their widths. Sizes are the largest component of
    a state, in half ranges of the data; 1000 where it was lost.

    Attributes:
        first: ``[near]`` the largest size of those that begin on the data.
        ends: ``[near, n]`` where they end.
        begin: ``[parts, n]`` where a part of half a horizon begins.
        end: ``[parts, n]`` where it ends.
        size: ``[parts]`` its largest size.
        origin: ``[parts]`` the held-out state that it was made from; first those of ``first``.
    """

    first: Tensor
    ends: Tensor
    begin: Tensor
    end: Tensor
    size: Tensor
    origin: Tensor

    def course(self, hops: int) -> tuple[Tensor, float]:
        """The largest size until each half horizon, ``[1 + hops, near]``, and the widest jump.

        A rollout that ends at y goes on as the part that begins at b, the nearest, and ends at e:
        in r·e, with r = max(1, |y|) / max(1, |b|). So growth goes on where nothing began so far
        out; within the data, where the next beginning is near, r is 1.
        """
        begin, distance = _near(self.begin), _outside(self.begin)
        sizes, here, widest = [self.first], self.ends, 0.0
        for _ in range(hops):
            inside = sizes[-1] < LOST
            apart, which = torch.cdist(_near(here), begin).min(1)
            if bool(inside.any()):
                widest = max(widest, float(apart[inside].max()))
            times = _outside(here) / distance[which]
            grown = torch.where(self.size[which] < LOST, self.size[which] * times, LOST)
            sizes.append(torch.maximum(sizes[-1], grown.clamp(max=LOST)))
            here = (self.end[which] * times[:, None]).clamp(-FAR, FAR)
        return torch.stack(sizes), widest

    def largest(self, odd: bool, hops: int) -> float:
        """The largest size of all, by every second held-out state alone; 0 where there is none."""
        parts = self.origin % 2 == int(odd)
        mine = parts[: len(self.first)]
        if not bool(mine.any()):
            return 0.0
        kept = (one[parts] for one in (self.begin, self.end, self.size, self.origin))
        half = Stitched(self.first[mine], self.ends[mine], *kept)
        return float(half.course(hops)[0][-1].max())


@dataclass(frozen=True)
class Told:
    """What rollouts of one horizon foretell.

    Attributes:
        sizes: ``[half horizons, near]`` the largest until then; the first of a whole horizon.
        halves: The largest of all, by every second held-out state, and by the others.
        jump: The widest between where a rollout ended and where its continuation began.
        before: ``[rollouts]`` sizes in the beginning.
        after: ``[rollouts]`` the largest sizes.
        near: How many of these began on the data.
        lost: ``[near]`` the step at which each was lost, or the horizon.
    """

    sizes: Tensor
    halves: tuple[float, float]
    jump: float
    before: Tensor
    after: Tensor
    near: int
    lost: Tensor

    @property
    def size(self) -> float:
        """The largest of all."""
        return float(self.sizes[-1].max())


def foretold(
    simulator: Simulator,
    begins: Begins,
    data: Sequence[Trajectory],
    box: Box,
    steps: int,
    hops: int,
) -> Told:
    """Roll out over a horizon from all of them, as one batch, and go on from end to beginning."""
    far = Box(box.middle, LOST * box.half)
    flock = together(simulator, begins.states, steps, max(1, steps // KEPT), far)
    z = (flock.x - box.middle) / box.half
    sizes = _largest(z, flock).nan_to_num(LOST).clamp(max=LOST)
    sizes[-1] = torch.where(flock.lost < 0, sizes[-1], LOST)
    rows = torch.tensor([one.topology.rows for one in begins.states])
    courses = sizes.new_zeros(1 + hops, begins.near)
    jump, halves = 0.0, (0.0, 0.0)
    for count in rows.unique().tolist():  # systems of one size go on as one another
        which = (rows == count).nonzero().flatten()
        alike = [(one.x - box.middle) / box.half for one in data if one.topology.rows == count]
        states = z[:, (rows == count).repeat_interleave(rows)].reshape(len(z), len(which), -1)
        found = _cut(
            _frame(torch.cat(alike).flatten(1), states),
            sizes[:, which],
            torch.tensor(begins.origin)[which],
            int((which < begins.near).sum()),
        )
        courses[:, which[which < begins.near]], widest = found.course(hops)
        parts = found.largest(False, hops), found.largest(True, hops)
        jump = max(jump, widest)
        halves = max(halves[0], parts[0]), max(halves[1], parts[1])
    lost = torch.where(flock.lost < 0, steps, flock.lost)[: begins.near]
    return Told(courses, halves, jump, sizes[0], sizes.amax(0), begins.near, lost)


def _cut(states: Tensor, sizes: Tensor, origin: Tensor, near: int) -> Stitched:
    """Parts of half a horizon: from the beginning, from a quarter, and from the middle."""
    last = len(sizes) - 1
    half = max(1, last // 2)
    at = (0, half // 2, last - half)
    states = torch.where(sizes[..., None] < LOST, states, FAR)
    return Stitched(
        sizes[:, :near].amax(0),
        states[-1, :near],
        torch.cat([states[k] for k in at]),
        torch.cat([states[k + half] for k in at]),
        torch.cat([sizes[k : k + half + 1].amax(0) for k in at]),
        origin.repeat(len(at)),
    )


def _frame(data: Tensor, states: Tensor) -> Tensor:
    """States from the middle of the data, in their widths along their principal directions.

    A direction in which the data are narrow counts as 0.3 times the widest.
    """
    middle = data.mean(0)
    some = (data - middle)[:: max(1, len(data) // MOST)]
    ways = torch.linalg.svd(some, full_matrices=False).Vh
    widths = (some @ ways.T).abs().amax(0)
    least = NARROW * float(widths.max()) or 1.0
    wide = widths > least
    ways, widths = ways[wide], widths[wide]
    off = states.nan_to_num(FAR) - middle
    return off / least + ((off @ ways.T) * (1 / widths - 1 / least)) @ ways


def _near(states: Tensor) -> Tensor:
    """States with the inverse hyperbolic sine of their distances: far off, ratios count."""
    size = states.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return states / size * size.asinh()


def _outside(states: Tensor) -> Tensor:
    """Distances from the middle in widths of the data, 1 within them."""
    return states.norm(dim=-1).clamp_min(1.0)


def _largest(z: Tensor, flock: Flock) -> Tensor:
    """The largest component of every system, ``[kept, systems]``."""
    rows, topology = z.abs().amax(-1), flock.topology
    systems = topology.system.expand(len(rows), -1)
    empty = rows.new_zeros(len(rows), topology.num_systems)
    return empty.scatter_reduce(1, systems, rows, "amax")
