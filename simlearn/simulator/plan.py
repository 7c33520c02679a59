"""The steps a rollout takes: evenly spaced, or from one given time to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time
from simlearn.state import Topology

SNAP = 1e-9  # relative distance to a whole number of steps that is taken for rounding of the times


class Leg(NamedTuple):
    """One step.

    Attributes:
        t: When it begins.
        dt: How long it is.
        keep: Whether the state after it is wanted.
        inputs: ``[rows, u]`` that act from here on; None where nothing changes.
    """

    t: Time
    dt: Time
    keep: bool
    inputs: Tensor | None = None


def even(t0: Time, dt: float, steps: int, every: int, inputs: Tensor | None) -> Iterator[Leg]:
    """Steps of one length, of which every so many are kept."""
    for k in range(steps):
        acting = None if inputs is None else inputs[k]
        yield Leg(t0 + k * dt, dt, (k + 1) % every == 0, acting)


def sampled(t0: Time, apart: float, count: int, topology: Topology) -> Tensor:
    """Times of evenly spaced states, ``[count]``, or ``[count, systems]`` from a start a row."""
    device = topology.system.device
    t = apart * torch.arange(count, dtype=torch.float64, device=device)
    if not isinstance(t0, Tensor):
        return t + t0
    first = t.new_zeros(topology.num_systems)
    return t[:, None] + first.index_put((topology.system,), t0[:, 0].to(t))


class Grid:
    """Times to be met, checked.

    Args:
        times: ``[n]``, or ``[n, systems]``.
        topology: Of the state.

    Raises:
        ConfigError: They are not finite, do not increase, or have another shape.
    """

    def __init__(self, times: Tensor, topology: Topology):
        times = torch.as_tensor(times).detach().to(torch.float64)
        systems = topology.num_systems
        if times.ndim not in (1, 2) or not len(times) or times.shape[1:] not in ((), (systems,)):
            raise ConfigError(
                f"times must be [n] or [n, {systems}] for {systems} systems, with n >= 1, got "
                f"{list(times.shape)}."
            )
        if times.ndim == 1:
            _increasing(times[:, None])
        else:
            _increasing(times)
        self.times, self.topology = times, topology

    def steps(self, longest: float) -> list[int]:
        """Into how many equal steps no longer than ``longest`` each gap is cut."""
        most = self.times.diff(dim=0) / longest
        if most.ndim > 1:
            most = most.amax(1)
        return [max(1, n) for n in (most * (1 - SNAP)).ceil().long().tolist()]

    def whole(self, dt: float, name: str) -> list[int]:
        """How many steps of ``dt`` each gap is, for a map that knows no other step.

        Raises:
            ConfigError: A gap is no whole number of them, or systems differ.
        """
        ratio = self.times.diff(dim=0).reshape(len(self.times) - 1, -1) / dt
        counts = ratio.round()
        off = ((ratio - counts).abs() > 1e-6 * counts) | (counts != counts[:, :1])
        if bool(off.any()):
            raise ConfigError(
                f"{name} is a map with the step {dt:g} and takes no other, but the times are "
                f"{float(ratio.min()) * dt:g} to {float(ratio.max()) * dt:g} apart. Give times "
                "that are whole numbers of steps apart, the same for all systems, or learn a field."
            )
        return [int(n) for n in counts[:, 0].tolist()]

    def legs(
        self, counts: Iterable[int], dt: float, x: Tensor, inputs: Tensor | None
    ) -> Iterator[Leg]:
        """The steps of a rollout through all times, each gap in so many equal ones."""
        times, gaps = self.times[:-1], self.times.diff(dim=0)
        one = times.ndim == 1  # numbers are quicker than tensors of one
        begins: list[Time] = times.tolist() if one else list(times)
        lengths: list[Time] = gaps.tolist() if one else list(gaps)
        for k, count in enumerate(counts):
            begin, step = self._of_rows(begins[k], x), self._step(lengths[k], count, dt, x)
            acting = None if inputs is None else inputs[k]
            for j in range(count):
                yield Leg(begin + j * step, step, j == count - 1, acting if j == 0 else None)

    def _step(self, gap: Time, count: int, dt: float, x: Tensor) -> Time:
        """Equal parts of a gap; exactly dt where only rounding of the times lies between."""
        if isinstance(gap, Tensor):
            same = bool(((gap - count * dt).abs() <= SNAP * gap).all())
        else:
            same = abs(gap - count * dt) <= SNAP * gap
        if same:
            return dt
        return self._of_rows(gap / count, x)

    def _of_rows(self, value: Time, x: Tensor) -> Time:
        """A number where all systems agree, else ``[rows, 1]``."""
        if not isinstance(value, Tensor):
            return value
        if value.ndim == 0 or bool((value == value[0]).all()):
            return float(value if value.ndim == 0 else value[0])
        return self.topology.per_row(value.to(x.device))[:, None].to(x.dtype)

    def first(self, x: Tensor) -> Time:
        """When the rollout begins."""
        return self._of_rows(self.times[0], x)


def _increasing(times: Tensor) -> None:
    """Refuse times ``[n, systems]`` that are not finite or do not increase."""
    if not bool(times.isfinite().all()):
        first = _where(~times.isfinite())
        raise ConfigError(f"times must be finite, but number {first} is {times[first].tolist()}.")
    back = times.diff(dim=0) <= 0
    if bool(back.any()):
        k = _where(back)
        raise ConfigError(
            f"times must increase, but those number {k} and {k + 1} are {times[k].tolist()} and "
            f"{times[k + 1].tolist()}. Sort them and drop what occurs twice."
        )


def _where(flags: Tensor) -> int:
    """The first entry in which any flag is set."""
    return int(flags.any(1).int().argmax())
