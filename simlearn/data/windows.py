"""Windows of trajectories, kept resident and gathered a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simlearn.component import ConfigError, DataError
from simlearn.randomness import generator
from simlearn.state import Topology, Trajectory

VARYING = ("edge_attr", "node_attr", "system_attr")


@dataclass(frozen=True)
class _Group:
    """Trajectories on one graph, stacked along time.

    ``starts`` are rows of the stack where windows begin.
    """

    base: Topology
    stacked: dict[str, Tensor]
    attributes: dict[str, Tensor]
    starts: Tensor
    owner: Tensor


class Windows:
    """Batches of windows as one disjoint union each: states ``[length, batch · rows, dim]``.

    All data stay resident on one device; a batch is one gather a field. Windows of different
    graphs never share a batch, so that every batch of a size on a graph gets the same `Topology`
    object with its caches. The order of an epoch follows from (seed, epoch), and each rank takes
    every world-th window of it.

    Args:
        trajectories: Where the windows are cut from.
        length: States in a window.
        stride: States from the start of a window to the start of the next.
        batch_size: Windows in a batch; None takes all of them.
        seed: Seed of the order.
        shuffle: Whether each epoch has an order of its own.
        rank: Index of this process.
        world: Number of processes.

    Raises:
        DataError: No trajectory is as long as a window.
    """

    batch_sampler = None  # Lightning looks for it wherever it finds a sampler

    def __init__(
        self,
        trajectories: Sequence[Trajectory],
        length: int,
        stride: int = 1,
        batch_size: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
    ):
        if length < 1 or stride < 1 or (batch_size is not None and batch_size < 1):
            raise ConfigError(
                f"A window needs length, stride and batch_size of at least 1, got {length}, "
                f"{stride}, {batch_size}."
            )
        self.length, self.seed, self.shuffle, self.rank, self.world = (
            length,
            seed,
            shuffle,
            rank,
            world,
        )
        self.groups = [_stack(group, length, stride) for group in _alike(trajectories)]
        self.total = sum(len(group.starts) for group in self.groups)
        if self.total == 0:
            longest = max((t.finite_steps for t in trajectories), default=0)
            raise DataError(
                f"No trajectory is long enough: a window needs {length} states, the longest of "
                f"{len(trajectories)} trajectories has {longest}."
            )
        if any(0 < len(group.starts) < world for group in self.groups):
            raise DataError(
                f"{world} processes share the windows of each graph, but one graph has fewer. "
                "Take fewer processes, or a smaller stride."
            )
        self.batch_size = batch_size
        self.epoch = 0

    @property
    def sampler(self) -> Windows:
        """Lightning calls ``loader.sampler.set_epoch`` before each epoch; the order is ours."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """The order of the next iteration follows from this number."""
        self.epoch = epoch

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
        return len(self._batches())

    def __iter__(self) -> Iterator[Trajectory]:
        for number, chosen in self._batches():
            yield self._gather(self.groups[number], chosen)

    def _gather(self, group: _Group, chosen: Tensor) -> Trajectory:
        size, device = len(chosen), group.starts.device
        chosen = chosen.to(device)
        index = group.starts[chosen][None, :] + torch.arange(self.length, device=device)[:, None]
        fields: dict[str, Any] = {
            name: value[index].flatten(1, 2) for name, value in group.stacked.items() if name != "t"
        }
        topology = group.base.repeat(size)
        t = group.stacked["t"][index]
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


def _stack(group: Sequence[Trajectory], length: int, stride: int) -> _Group:
    usable = [one.slice(0, one.finite_steps) for one in group]
    stacked = {
        name: torch.cat([getattr(one, name) for one in usable])
        for name in ("t", "x", "derivative", "inputs", "mask")
        if getattr(usable[0], name) is not None
    }
    starts, owner, offset = [], [], 0
    for number, one in enumerate(usable):
        begins = torch.arange(0, max(0, one.steps - length + 1), stride, device=one.x.device)
        starts.append(begins + offset)
        owner.append(torch.full_like(begins, number))
        offset += one.steps
    attributes = {}
    for name in VARYING:
        values = [getattr(one.topology, name) for one in usable]
        if values[0] is not None and any(not torch.equal(values[0], v) for v in values[1:]):
            attributes[name] = torch.stack(values)
    return _Group(usable[0].topology, stacked, attributes, torch.cat(starts), torch.cat(owner))
