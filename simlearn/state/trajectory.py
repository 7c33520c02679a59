"""What moved: states over time on one topology."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.state.topology import Topology

Status = Literal["ok", "diverged", "left_bound"]


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """What moved: states over time on one topology.

    Args:
        t: ``[steps]``, or ``[steps, systems]`` where the systems are sampled at different times.
        x: ``[steps, rows, dim]``.
        topology: What stayed still.
        derivative: ``[steps, rows, dim]`` dx/dt where it is known.
        inputs: ``[steps, rows, u]``; ``inputs[k]`` acts from ``x[k]`` to ``x[k+1]``.
        mask: ``[steps, rows]`` bool, False where the sample is missing.
        status: "ok"; "diverged" when a state stopped being finite; "left_bound" when it left the
            bound asked for.
        finite_steps: Leading states that are finite and inside the bound; all of them by default.
        first_bad_row: The row that was lost first, in the state after those; −1 where none was, or
            where a rollout did not say.
    """

    t: Tensor
    x: Tensor
    topology: Topology
    derivative: Tensor | None = None
    inputs: Tensor | None = None
    mask: Tensor | None = None
    status: Status = "ok"
    finite_steps: int = -1
    first_bad_row: int = -1

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.x.shape[1] != self.topology.rows:
            raise DataError(
                f"States must be [steps, rows, dim] on {self.topology.rows} rows, got "
                f"{list(self.x.shape)}."
            )
        for name in ("t", "derivative", "inputs", "mask"):
            value = getattr(self, name)
            if value is not None and value.shape[0] != self.steps:
                raise DataError(f"{name} has {value.shape[0]} steps, the states have {self.steps}.")
        if self.finite_steps > self.steps:
            raise DataError(f"{self.finite_steps} of {self.steps} states cannot be finite.")
        if self.finite_steps < 0:
            object.__setattr__(self, "finite_steps", self.steps)

    def __repr__(self) -> str:
        steps, rows, dim = self.x.shape
        return f"Trajectory({steps} steps, {rows} rows, {dim} columns, status={self.status!r})"

    @property
    def steps(self) -> int:
        """Number of stored states."""
        return self.x.shape[0]

    @property
    def dim(self) -> int:
        """Columns of the state."""
        return self.x.shape[2]

    def slice(self, start: int, stop: int | None = None, every: int = 1) -> Trajectory:
        """The states ``start:stop:every``, with everything that belongs to them."""
        kept = range(self.steps)[start:stop:every]
        finite = sum(k < self.finite_steps for k in kept)
        taken: dict[str, Any] = {"finite_steps": finite}
        if finite == len(kept):
            taken["status"], taken["first_bad_row"] = "ok", -1
        for name in ("t", "x", "derivative", "inputs", "mask"):
            value = getattr(self, name)
            if value is not None:
                taken[name] = value[start:stop:every]
        return replace(self, **taken)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Trajectory:
        """On another device, real values but the times in ``dtype``, where one is given."""
        moved: dict[str, Any] = {"topology": self.topology.to(device, dtype)}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                real = value.is_floating_point() and f.name != "t"
                moved[f.name] = value.to(device, dtype if real else None)
        return replace(self, **moved)
