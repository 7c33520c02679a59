"""Windows of trajectories, kept resident and gathered a whole batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from simlearn.component import ConfigError, DataError
from simlearn.randomness import generator
from simlearn.state import Topology, Trajectory

VARYING = ("edge_attr", "node_attr", "system_attr")


@dataclass
class _Group:
    """Trajectories on one graph, stacked along time.

    ``starts`` are rows of the stack where windows begin, ``owner`` the trajectory of each.
    """

    base: Topology
    stacked: dict[str, Tensor]
    attributes: dict[str, Tensor]
    lengths: list[int]
    starts: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    owner: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    ahead: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def cut(self, length: int, stride: int) -> None:
        """Let windows of a length begin every so many states."""
        starts, owner, offset, device = [], [], 0, self.stacked["x"].device
        for number, steps in enumerate(self.lengths):
            begins = torch.arange(0, max(0, steps - length + 1), stride, device=device)
            starts.append(begins + offset)
            owner.append(torch.full_like(begins, number))
            offset += steps
        self.starts, self.owner = torch.cat(starts), torch.cat(owner)
        self.ahead = torch.arange(length, device=device)[:, None]


class Windows:
    """Batches of windows as one disjoint union each: states ``[length, batch · rows, dim]``.

    All data stay resident on one device; a batch is one gather a field. Windows of different
    graphs never share a batch, so that every batch of a size on a graph gets the same `Topology`
    object with its caches. The order of an epoch follows from (seed, epoch), and each rank takes
    every world-th window of it.

    Args:
        trajectories: Where the windows are cut from.
        length: States in a window, or a function that gives them for an epoch.
        stride: States from the start of a window to that of the next; None lets windows lie end to
            end.
        batch_size: Windows in a batch; None takes all of them.
        seed: Seed of the order.
        shuffle: Whether each epoch has an order of its own.
        rank: Index of this process.
        world: Number of processes.
        bundle: Batches handed out together, as a list; None hands out each by itself.

    Raises:
        DataError: No trajectory is as long as a window.
    """

    batch_sampler = None  # Lightning looks for it wherever it finds a sampler

    def __init__(
        self,
        trajectories: Sequence[Trajectory],
        length: int | Callable[[int], int],
        stride: int | None = 1,
        batch_size: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
        bundle: int | None = None,
    ):
        for name, size in (("stride", stride), ("batch_size", batch_size), ("bundle", bundle)):
            if size is not None and size < 1:
                raise ConfigError(f"{name} of windows must be at least 1, got {size}.")
        self.seed, self.shuffle, self.rank, self.world = seed, shuffle, rank, world
        self.batch_size, self.bundle, self._stride = batch_size, bundle, stride
        self._length = length if callable(length) else lambda epoch: length
        self.groups = [_stack(group) for group in _alike(trajectories)]
        self.length, self._handed = -1, 0
        self._resumed: tuple[int, int] | None = None
        self.set_epoch(0)

    @property
    def sampler(self) -> Windows:
        """Lightning calls ``loader.sampler.set_epoch`` before each epoch; the order is ours."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Order and length of the windows of the next iteration follow from this number.

        Raises:
            DataError: No trajectory is as long as a window, or there are fewer windows than
                processes.
        """
        self.epoch, length = epoch, self._length(epoch)
        if length == self.length:
            return
        if length < 1:
            raise ConfigError(f"length of windows must be at least 1, got {length}.")
        self.length, self.stride = length, self._stride or max(1, length - 1)
        for group in self.groups:
            group.cut(length, self.stride)
        self.total = sum(len(group.starts) for group in self.groups)
        if self.total == 0:
            longest = max((max(group.lengths) for group in self.groups), default=0)
            count = sum(len(group.lengths) for group in self.groups)
            raise DataError(
                f"No trajectory is long enough: a window needs {length} states, the longest of "
                f"{count} trajectories has {longest}."
            )
        if any(0 < len(group.starts) < self.world for group in self.groups):
            raise DataError(
                f"{self.world} processes share the windows of each graph, but one graph has fewer. "
                "Take fewer processes, or a smaller stride."
            )

    def _batches(self) -> list[tuple[int, Tensor]]:
        order: list[tuple[int, Tensor]] = []
        for number, group in enumerate(self.groups):
            count = len(group.starts)
            rng = generator(self.seed, self.epoch, number)
            indices = torch.randperm(count, generator=rng) if self.shuffle else torch.arange(count)
            usable = count - count % self.world
            mine = indices[:usable][self.rank :: self.world]
            size = self.batch_size or max(1, len(mine))
            order += [(number, chunk) for chunk in mine.split(size) if len(chunk)]
        if self.shuffle and len(self.groups) > 1:
            rng = generator(self.seed, self.epoch, 2**32 - 1)
            order = [order[int(k)] for k in torch.randperm(len(order), generator=rng)]
        return order

    def __len__(self) -> int:
        return -(-len(self._batches()) // (self.bundle or 1))

    def __iter__(self) -> Iterator[Trajectory | list[Trajectory]]:
        # begun at the first batch: by then the epoch is known, and what was loaded for it
        epoch, handed = self._resumed or (self.epoch, 0)
        self._handed, self._resumed = handed if epoch == self.epoch else 0, None
        left = self._batches()[self._handed * (self.bundle or 1) :]
        batches = (self._gather(self.groups[n], chosen) for n, chosen in left)
        while together := list(islice(batches, self.bundle or 1)):
            self._handed += 1
            yield together[0] if self.bundle is None else together

    def state_dict(self) -> dict[str, int]:
        """How far the epoch is: what is handed out together counts as one."""
        return {"epoch": self.epoch, "handed": self._handed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration of that epoch begin where it stood."""
        self._resumed = (state["epoch"], state["handed"])

    def _gather(self, group: _Group, chosen: Tensor) -> Trajectory:
        size, chosen = len(chosen), chosen.to(group.starts.device)
        index = group.starts.index_select(0, chosen)
        if self.length > 1:
            index = (index + group.ahead).flatten()
        t, *moved = [
            value.index_select(0, index).view(self.length, size * value.shape[1], *value.shape[2:])
            for value in group.stacked.values()
        ]
        fields: dict[str, Any] = dict(zip(list(group.stacked)[1:], moved, strict=True))
        topology = group.base.repeat(size)
        if topology.num_systems != size:
            t = t.repeat_interleave(topology.num_systems // size, dim=1)
        if group.attributes:
            owner = group.owner[chosen]
            topology = topology.replace(
                **{name: value[owner].flatten(0, 1) for name, value in group.attributes.items()}
            )
        return Trajectory(t, topology=topology, **fields)


def _alike(trajectories: Sequence[Trajectory]) -> list[list[Trajectory]]:
    groups: dict[Any, list[Trajectory]] = {}
    for one in trajectories:
        if one.t.ndim > 1:
            raise DataError(
                "Windows are cut from trajectories with one time axis; split the systems first."
            )
        still = one.topology
        types = None if still.node_type is None else tuple(still.node_type.tolist())
        carried = tuple(getattr(one, n) is not None for n in ("derivative", "inputs", "mask"))
        attached = tuple(getattr(still, n) is not None for n in VARYING)
        if still.inputs is not None:
            raise DataError("Inputs of a window belong to its trajectory, not to its topology.")
        systems = tuple(still.system.tolist())
        key = (still.graph.key, types, still.node_names, systems, one.dim, carried, attached)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _stack(group: Sequence[Trajectory]) -> _Group:
    usable = [one.slice(0, one.finite_steps) for one in group]
    stacked = {
        name: torch.cat([getattr(one, name) for one in usable])
        for name in ("t", "x", "derivative", "inputs", "mask")
        if getattr(usable[0], name) is not None
    }
    stacked["t"] = stacked["t"][:, None]
    attributes = {}
    for name in VARYING:
        values = [getattr(one.topology, name) for one in usable]
        if values[0] is not None and any(not torch.equal(values[0], v) for v in values[1:]):
            attributes[name] = torch.stack(values)
    return _Group(usable[0].topology, stacked, attributes, [one.steps for one in usable])
