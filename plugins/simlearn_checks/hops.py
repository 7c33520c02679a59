"""Half a horizon at a time: how large rollouts are before and after, from near and far."""

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
NEAR = 0.03  # pushes that leave a state beside the data
KEPT = 100  # states of a rollout
PART = 5  # sizes are the largest over a fifth of the horizon, which may hold a swing
LEAP = 10.0  # times its size at the start, where a rollout leaves before half a horizon is over
MOST = 0.75  # of the errors grow as fast as the growth that counts
LOST = 1000.0  # half ranges from the middle, where a rollout is given up


@dataclass(frozen=True)
class Hops:
    """How large rollouts were after half a horizon, and after all of it.

    The size of a state is the largest distance of a component from the middle of its column in the
    data, in half ranges of the column: 1 is the edge of the data. In the first half of the horizon
    what was pushed settles, so that states of one size are alike.

    Attributes:
        before: ``[rollouts]`` after half a horizon.
        after: ``[rollouts]`` in the end; infinite where it was lost.
        near: ``[rollouts]`` whether it began on the data, or beside them.
        aside: ``[rollouts]`` how far each was pushed off a state of the data; 0 where it was not.
        apart: ``[rollouts]`` how far it is in the end from the one that was not.
    """

    before: Tensor
    after: Tensor
    near: Tensor
    aside: Tensor
    apart: Tensor

    def reach(self, horizons: int) -> list[float]:
        """The largest size after 1, 1.5, ... horizons of what begins near the data.

        In half a horizon a state gets as large as any rollout got that was no larger before; from
        there the next one starts.
        """
        sizes = [max([1.0, *self.after[self.near].tolist()])]
        for _ in range(2 * (horizons - 1)):
            ends = self.after[self.before <= sizes[-1]]
            sizes.append(max([sizes[-1], *ends.tolist()]))
        return sizes

    def errors(self, horizons: int) -> list[float]:
        """How large an error of 0.01 is after 0, 1, ... horizons, if all grow as most of them do.

        The growth is that of the largest push that is no larger than the error.
        """
        errors = [ASIDE[0]]
        for _ in range(horizons):
            errors.append(errors[-1] * max(1.0, self.growth(errors[-1])))
        return errors

    def growth(self, error: float) -> float:
        """The factor by which most errors of this size grow in a horizon."""
        pushed = self.aside[(self.aside > 0) & (self.aside <= error)]
        if not len(pushed):
            return 1.0
        alike = self.aside == pushed.max()
        return float((self.apart[alike] / self.aside[alike]).quantile(1 - MOST))

    def some(self, which: slice) -> Hops:
        """Of some of the rollouts."""
        parts = (self.before, self.after, self.near, self.aside, self.apart)
        return Hops(*(part[which] for part in parts))


@dataclass(frozen=True)
class Begins:
    """Where rollouts begin.

    Attributes:
        states: Stretches of held-out data, the first state of each maybe pushed.
        aside: How far each was pushed in a random direction.
        partner: Which one is the same state without a push; itself where there was none.
        outward: Whether it was pushed away from the middle.
    """

    states: list[Trajectory]
    aside: list[float]
    partner: list[int]
    outward: list[bool]

    def add(self, one: Trajectory, aside: float, partner: int, outward: bool = False) -> None:
        """One more."""
        self.states.append(one)
        self.aside.append(aside)
        self.partner.append(partner)
        self.outward.append(outward)


def pushed(found: Sequence[Trajectory], every: int, box: Box, seed: int) -> Begins:
    """The states of the data, and some of them pushed aside and outward."""
    rng = torch.Generator().manual_seed(seed)
    begins = Begins([], [], [], [])
    for k, one in enumerate(found):
        begins.add(one, 0.0, k)
    for k, one in list(enumerate(found))[::every]:
        x = one.x[0]
        for push in ASIDE:
            way = torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x)
            begins.add(_at(one, x + push * box.half * way / way.abs().max()), push, k)
        for times in OUTWARD:
            begins.add(_at(one, box.middle + times * (x - box.middle)), 0.0, k, outward=True)
    return begins


def _at(one: Trajectory, x: Tensor) -> Trajectory:
    moved = one.x.clone()
    moved[0] = x
    return replace(one, x=moved)


def hops(simulator: Simulator, begins: Begins, steps: int, box: Box) -> Hops:
    """Roll out over a horizon from all of them, as one batch."""
    far = Box(box.middle, LOST * box.half)
    flock = together(simulator, begins.states, steps, max(1, steps // KEPT), far)
    z = (flock.x - box.middle) / box.half
    sizes = _largest(z, flock).nan_to_num(LOST).clamp(max=LOST)
    rows = [one.topology.rows for one in begins.states]
    blocks = torch.arange(sum(rows)).split(rows)
    apart = _largest(z - z[:, torch.cat([blocks[k] for k in begins.partner])], flock)
    last = len(sizes) - 1
    part, half = max(1, last // PART), max(1, last // 2)
    after = torch.where(flock.lost < 0, sizes[-part:].amax(0), torch.inf)
    before = sizes[max(0, half + 1 - part) : half + 1].amax(0)
    aside = sizes.new_tensor(begins.aside)
    return Hops(
        torch.where(after >= LEAP * sizes[0], sizes[0], before),
        after,
        (aside <= NEAR) & ~torch.tensor(begins.outward),
        aside,
        apart[-part:].amax(0).nan_to_num(LOST),
    )


def _largest(z: Tensor, flock: Flock) -> Tensor:
    """The largest component of every system, ``[kept, systems]``."""
    rows, topology = z.abs().amax(-1), flock.topology
    systems = topology.system.expand(len(rows), -1)
    empty = rows.new_zeros(len(rows), topology.num_systems)
    return empty.scatter_reduce(1, systems, rows, "amax")
