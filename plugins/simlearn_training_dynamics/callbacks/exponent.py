"""The largest finite-time exponent of a training, from twins."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from simlearn import ConfigError, Trajectory
from simlearn.analysis.training import Twin, directions
from simlearn_training_dynamics.callbacks.copied import Copied
from simlearn_training_dynamics.callbacks.watch import Watch


class TrainingExponent(Watch):
    """How fast two trainings part that begin a little apart, per step of the optimizer.

    Each twin begins at w + ε u in a random direction u, with a copy of what the optimizer
    remembers, and takes every step with the same batch and the same randomness.
    λ = (1/K) Σ ln(d/ε), and the twin is drawn back to the distance ε after every call of Lightning
    (Benettin). Above zero small differences grow: with large learning rates the training is
    chaotic; below zero it forgets where it began. Flat directions of the loss give about zero, and
    a time K leaves about 1/K open, so compare with the spread over the twins (Danovski et al. 2024;
    Sharafi et al. 2024).

    Cost: one gradient a step for each twin, and one more where the training is in float32, for
    twins live in float64. Several processes: each takes its share of the batch, as in the training.

    Args:
        every: Steps of the optimizer between two rows.
        twins: How many. Two or more give a spread.
        size: ε, relative to the size of all weights at the start.

    Raises:
        ConfigError: A number that is not positive.
    """

    everywhere = True

    def __init__(self, every: int = 100, twins: int = 2, size: float = 1e-6):
        super().__init__(every)
        if twins < 1 or not 0 < size < 1:
            raise ConfigError(
                f"TrainingExponent needs twins of at least 1 and 0 < size < 1, got {twins}, {size}."
            )
        self.twins, self.size = twins, size
        self.pairs: list[Twin] = []
        self.reference: Tensor | None = None
        self.steps, self.last = 0, [0.0, 0.0]

    def begin(self, copied: Copied, kept: Mapping[str, Any]) -> None:
        """Begin apart, or go on."""
        state = copied.state()
        drawn = directions(copied.n, self.twins, copied.module.seed).to(state)
        self.pairs = [Twin(state, one, self.size) for one in drawn]
        self.steps, self.last = 0, [0.0, 0.0]
        self.reference = None if copied.module.number == torch.float64 else state
        for twin, held in zip(self.pairs, kept.get("twins", ()), strict=False):
            twin.state, twin.size = held["state"].to(state), held["size"]
            twin.total, twin.steps = held["total"], held["steps"]
        if kept:
            self.steps, self.last = kept["steps"], list(kept["last"])
            if self.reference is not None:
                self.reference = kept["reference"].to(state)

    def ahead(self, windows: Sequence[Trajectory]) -> None:
        """What changes with epochs; in float32 the pair moves with the training, which rounds."""
        copied = self.copy
        copied.follow()
        self._number = copied.number()
        if self.reference is not None:
            state = copied.state()
            for twin in self.pairs:
                twin.state = twin.state + (state - self.reference)
            self.reference = state

    def behind(self, windows: Sequence[Trajectory]) -> None:
        """Take the same steps, and draw back."""
        copied = self.copy
        states = [twin.state for twin in self.pairs]
        if self.reference is not None:
            states.append(self.reference)
        moved = copied.replay(states, windows, self.before, self._number)
        if self.reference is not None:
            self.reference = moved[-1]
        home = copied.state() if self.reference is None else self.reference
        for twin, state in zip(self.pairs, moved, strict=False):
            twin.state = state
            twin.draw_back(home, len(windows))
        self.steps += len(windows)

    def look(self) -> dict[str, float]:
        """The exponent since the start with its spread, and that since the last row."""
        each = [twin.exponent for twin in self.pairs]
        mean = statistics.fmean(each)
        total, since = mean * self.steps - self.last[0], self.steps - self.last[1]
        self.last = [mean * self.steps, float(self.steps)]
        found = {"training_exponent": mean, "training_growth": total / max(1.0, since)}
        if len(each) > 1:
            found["training_exponent_spread"] = statistics.stdev(each)
        return found

    def memory(self) -> dict[str, Any]:
        """Where the twins are, and what was added up."""
        twins = [
            {"state": t.state, "size": t.size, "total": t.total, "steps": t.steps}
            for t in self.pairs
        ]
        kept = {"twins": twins, "steps": self.steps, "last": self.last}
        return kept if self.reference is None else {**kept, "reference": self.reference}

    def told(self) -> dict[str, Any] | None:
        """The exponent over the steps."""
        if not self.rows:
            return None
        last = self.rows[-1]
        value, open_ = last["training_exponent"], 1 / max(1, self.steps)
        margin = max(open_, 2 * last.get("training_exponent_spread", 0.0))
        word = "neither parts nor gathers beyond what the time leaves open"
        if abs(value) > margin:
            word = "lets small differences grow" if value > 0 else "forgets small differences"
        return self.picture(
            "Exponent of the training",
            "growth of a small difference per step",
            {"training_exponent": "since the start", "training_growth": "since the last row"},
            caption=f"After {self.steps} steps the exponent is {value:.3g} ± {margin:.1g} per "
            f"step: the training {word}.",
            numbers={"exponent": value, "margin": margin, "steps": self.steps},
        )
