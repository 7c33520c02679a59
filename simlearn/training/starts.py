"""States that windows begin with, learned beside the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simlearn.component import ArchiveError, DataError
from simlearn.state import Topology, Trajectory

KEY = 0x5851F42D4C957F2D  # odd, from Knuth's generator MMIX


class Starts(nn.Module):
    """A learnable offset for each sample of the training data: x₀ = sample + spread · offset.

    A window carries no number, so it is found by what it holds: the time of its first sample and
    its first two states, of all rows of a system, in a hash of 64 bits. Samples that agree in all
    of that share an offset. A window that is not of the training data begins where it was measured.

    The offsets are a parameter of the training, in its checkpoints and in no archive. The order of
    windows, their length and their stride may change: an offset belongs to a sample.

    Args:
        training: The trajectories that windows are cut from.

    Raises:
        DataError: No trajectory has two states.
    """

    keys: Tensor
    first: Tensor
    spread: Tensor

    def __init__(self, training: Sequence[Trajectory]):
        super().__init__()
        long = [one for one in training if one.steps > 1]
        if not long:
            raise DataError("Starts are learned from trajectories of at least two states.")
        keys, first, rows = [], [], 0
        for one in long:
            topology, count = one.topology, one.steps - 1
            for k in range(count):
                keys.append(state_keys(one.t[k], one.x[k : k + 2], topology))
                first.append(_leading_rows(topology) + rows)
                rows += topology.rows
        found, order = torch.cat(keys).sort(stable=True)
        states = torch.cat([one.x.flatten(0, 1) for one in long])
        spread = states.std(0) if len(states) > 1 else torch.zeros(states.shape[1])
        self.register_buffer("keys", found, persistent=False)
        self.register_buffer("first", torch.cat(first)[order], persistent=False)
        self.register_buffer("spread", torch.where(spread > 0, spread, 1.0), persistent=False)
        self.offset = nn.Parameter(states.new_zeros(rows, states.shape[1]))

    def forward(self, window: Trajectory) -> Tensor:
        """Where the rollout of a window begins, ``[rows, dim]``."""
        topology, measured = window.topology, window.x[0]
        key = state_keys(window.t[0], window.x[:2], topology)
        place = torch.searchsorted(self.keys, key).clamp(max=len(self.keys) - 1)
        known = (self.keys[place] == key)[topology.system][:, None]
        row = self.first[place][topology.system] + _ranks(topology)
        moved = measured + (self.spread * self.offset[row]).to(measured)
        return torch.where(known, moved, measured)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **more: Any
    ) -> None:
        kept = state_dict.get(f"{prefix}offset")
        if kept is not None and kept.shape != self.offset.shape:
            raise ArchiveError(
                f"The checkpoint holds learned starts of {kept.shape[0]} rows, the training data "
                f"have {self.offset.shape[0]}. Resume with the data it was written with."
            )
        super()._load_from_state_dict(state_dict, prefix, *rest, **more)


def _leading_rows(topology: Topology) -> Tensor:
    """The first row of each system, ``[systems]``."""
    counts = topology.system.new_zeros(topology.num_systems)
    counts = counts.index_add(0, topology.system, torch.ones_like(topology.system))
    return counts.cumsum(0) - counts


def _ranks(topology: Topology) -> Tensor:
    """Place of each row within its system, ``[rows]``."""
    number = torch.arange(topology.rows, device=topology.system.device)
    return number - _leading_rows(topology)[topology.system]


def state_keys(t: Tensor, x: Tensor, topology: Topology) -> Tensor:
    """Hash of a time ``[]`` or ``[systems]`` and of states ``[n, rows, dim]``, ``[systems]``.

    States count in float32, so that data and windows agree in whatever precision is trained.
    """
    bits = x.detach().float().contiguous().view(torch.int32).to(torch.int64)
    bits = bits.permute(1, 0, 2).flatten(1)
    place = _ranks(topology)[:, None] * bits.shape[1]
    place = place + torch.arange(bits.shape[1], device=bits.device)
    mixed = _mixed(_mixed(bits) + _mixed(place + 1))
    summed = topology.per_system(mixed.sum(1))
    return _mixed(summed + t.detach().double().contiguous().view(torch.int64))


def _mixed(value: Tensor) -> Tensor:
    """Every bit of the answer depends on every bit of the value (a multiply-xorshift round)."""
    value = value * KEY
    value = value ^ (value >> 32)
    value = value * KEY
    return value ^ (value >> 29)
