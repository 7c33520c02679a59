"""What training minimises."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from simlearn.component import Component, ConfigError, DataError, optional
from simlearn.dynamics.base import Time
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory

Scale = Literal["none", "column", "body"]


def central_differences(trajectory: Trajectory) -> tuple[Trajectory, Tensor]:
    """States with dx/dt, as recorded or by differences of second order in the intervals.

    With h before and H after sample k, the slope of the parabola through three samples,
    (h² x[k+1] + (H² − h²) x[k] − H² x[k−1]) / (h H (h + H)). Control inputs jump at the samples, so
    with them it is (x[k+1] − x[k]) / H at the middle of the interval, where inputs[k] acts.

    Raises:
        DataError: Neither is there a derivative, nor are there three states.
    """
    if trajectory.derivative is not None:
        return trajectory, trajectory.derivative
    if trajectory.steps < 3:
        raise DataError(
            f"Central differences need three states, got {trajectory.steps}. "
            "Record the derivative, or take longer trajectories."
        )
    x, gap = trajectory.x, trajectory.t.diff(dim=0)
    if gap.ndim == 2:
        gap = gap[:, trajectory.topology.system]
    gap = gap.reshape(len(gap), -1, 1).to(x)
    if trajectory.inputs is not None:
        middle = replace(
            trajectory.slice(0, trajectory.steps - 1),
            t=(trajectory.t[1:] + trajectory.t[:-1]) / 2,
            x=(x[1:] + x[:-1]) / 2,
        )
        return middle, x.diff(dim=0) / gap
    before, after = gap[:-1], gap[1:]
    forward, backward = x[2:] - x[1:-1], x[1:-1] - x[:-2]
    slope = (before / after * forward + after / before * backward) / (before + after)
    return trajectory.slice(1, trajectory.steps - 1), slope


def row_time(window: Trajectory, k: int) -> Time:
    """Time of every row at state k, ``[rows, 1]``, or a float where all agree on one clock."""
    t = window.t[k]
    return t[window.topology.system][:, None].to(window.x.dtype) if t.ndim else float(t)


def driven(window: Trajectory, k: int) -> Topology:
    """The topology with the control input that acts from state k on."""
    return (
        window.topology
        if window.inputs is None
        else window.topology.replace(inputs=window.inputs[k])
    )


class Objective(Component):
    """A loss of a simulator on a window of the data."""

    @optional
    def prepare(self, training: Sequence[Trajectory]) -> None:
        """Scales from the training data.

        A pure function of them, also run when a training is resumed.
        """
        return None

    @optional
    def epoch(self, number: int) -> None:
        """An epoch begins: a curriculum takes its next lesson.

        A pure function of the number, so that a resumed training goes on as it would have.
        """
        return None

    @abstractmethod
    def length(self, training: Sequence[Trajectory]) -> int:
        """How many states a window needs."""

    @abstractmethod
    def loss(self, simulator: Simulator, window: Trajectory) -> Tensor:
        """A scalar."""


class Scaled(Objective):
    """Objectives whose residuals are divided by the size of what they compare."""

    scale: Scale
    _sizes: Tensor | None = None

    def measured(self, values: Sequence[tuple[Tensor, Topology]]) -> None:
        """Root mean square of ``[steps, rows, dim]`` values.

        It is taken by column, or by body and half of the state.
        """
        self._sizes = None
        if self.scale == "none":
            return
        rows = torch.cat([v.reshape(-1, v.shape[-1]) for v, _ in values]).double()
        if self.scale == "column":
            self._sizes = _floor((rows**2).mean(0, keepdim=True).sqrt())
            return
        kinds = torch.cat([node_types(topology).repeat(len(v)) for v, topology in values])
        count = int(kinds.max()) + 1
        halves = (rows**2).reshape(len(rows), 2, -1).mean(-1) if rows.shape[1] % 2 == 0 else None
        if halves is None:
            raise ConfigError("scale: body needs a state of positions and velocities, dim even.")
        sums = halves.new_zeros(count, 2).index_add(0, kinds, halves)
        sizes = (sums / torch.bincount(kinds, minlength=count).clamp_min(1)[:, None]).sqrt()
        self._sizes = _floor(sizes).repeat_interleave(rows.shape[1] // 2, dim=1)

    def scaled(self, residual: Tensor, topology: Topology) -> Tensor:
        """The residual over the size."""
        if self._sizes is None:
            return residual
        sizes = self._sizes.to(residual.device, residual.dtype)
        if self.scale == "body":
            sizes = sizes[node_types(topology)]
        return residual / sizes


def node_types(topology: Topology) -> Tensor:
    """Type of each row, ``[rows]``; all of type 0 where the topology names none."""
    if topology.node_type is not None:
        return topology.node_type
    return torch.zeros(topology.rows, dtype=torch.int64, device=topology.system.device)


def _floor(sizes: Tensor) -> Tensor:
    """A column that is constant zero carries no scale of its own."""
    return torch.where(sizes > 0, sizes, torch.ones_like(sizes))


def same_interval(simulator: Simulator, window: Trajectory) -> bool:
    """Whether all samples of a window are one step of the simulator apart."""
    apart = (window.t.diff(dim=0) - simulator.dt).abs()
    return bool((apart <= 1e-4 * simulator.dt).all())
