"""What a finding says about a failure: where it is worst, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

Action = Literal[
    "", "stabilizer", "integrator", "dynamics", "objective", "optimizer", "dt", "train", "data"
]


@dataclass(frozen=True)
class Place:
    """Where something was worst. What does not apply is left out.

    Attributes:
        trajectory: Number of the held-out trajectory, from 0.
        step: Step of the rollout since its start.
        time: Time at which it was, as the data count it.
        row: Name of the row.
        column: Column of the state, from 0.
    """

    trajectory: int | None = None
    step: int | None = None
    time: float | None = None
    row: str = ""
    column: int | None = None

    def told(self) -> dict[str, Any]:
        """In plain JSON types, what applies only."""
        return {name: one for name, one in vars(self).items() if one not in (None, "")}

    def __str__(self) -> str:
        parts = [
            "" if self.trajectory is None else f"held-out trajectory {self.trajectory}",
            "" if self.step is None else f"step {self.step}",
            "" if self.time is None else f"t = {self.time:.6g}",
            f"{self.row}" if self.row else "",
            "" if self.column is None else f"column {self.column}",
        ]
        return ", ".join(part for part in parts if part)


class Remedy(str):
    """What to do about a failure: a sentence, and what of it a program can do.

    A plain string is a remedy, too: one that only people can follow.

    Attributes:
        action: What changes in the config that trained the simulator: "stabilizer" (the component
            is added, or made stronger), "integrator", "dynamics", "objective" or "optimizer" (it
            takes the place of the present one), "dt" (a smaller step), "train" (for longer),
            "data" (more of them); "" where only a person can tell.
        component: Class name of the component that the action puts in.
    """

    action: Action
    component: str

    def __new__(cls, text: str, action: Action = "", component: str = "") -> Self:
        """The sentence, with what a program can do."""
        made = super().__new__(cls, text)
        made.action, made.component = action, component
        return made

    def told(self) -> dict[str, str]:
        """In plain JSON types."""
        return {"action": self.action, "component": self.component, "remedy": str(self)}
