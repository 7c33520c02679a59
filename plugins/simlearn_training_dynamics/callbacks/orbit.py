"""Orbital stability: does a training that begins a little apart stay on the same path?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from simlearn import ConfigError, Trajectory
from simlearn.analysis.training import Path, Twin, directions, to_orbit
from simlearn_training_dynamics.callbacks.copied import Copied
from simlearn_training_dynamics.callbacks.watch import Watch


class OrbitalStability(Watch):
    """How far a twin that is never drawn back strays from the path of the training.

    The twin begins at w + ε u and takes the same batches. Two distances are told, both over ε: at
    equal times |w'(t) − w(t)|, and to the path, min over s of |w'(t) − w(s)|. A twin that is only
    ahead or behind stays near the path; one that ends in another minimum leaves it. Rows of
    metrics.csv know the path up to now; the archive keeps the distances to all of it.

    Cost: one gradient a step, two where the training is in float32 (a pair in float64 then), and
    memory for ``points`` times twice the weights.

    Args:
        every: Steps of the optimizer between two rows.
        size: ε, relative to the size of all weights at the start.
        points: Points of the path that are kept, evenly spaced; an even number.

    Raises:
        ConfigError: A size outside 0 to 1, or an odd number of points.
    """

    everywhere = True

    def __init__(self, every: int = 100, size: float = 1e-3, points: int = 256):
        super().__init__(every)
        if not 0 < size < 1:
            raise ConfigError(f"OrbitalStability needs 0 < size < 1, got {size}.")
        self.size, self.points = size, points
        self.path = Path(points)
        self.pair: list[Tensor] = []  # the twin, and in float32 the training it is compared with
        self.epsilon = 0.0

    def begin(self, copied: Copied, kept: Mapping[str, Any]) -> None:
        """Begin apart, or go on."""
        state = copied.state()
        twin = Twin(state, directions(copied.n, 1, copied.module.seed)[0].to(state), self.size)
        alone = copied.module.number == torch.float64
        self.epsilon = twin.size
        self.pair = [twin.state] if alone else [twin.state, state]
        self.path = Path(self.points)
        if kept:
            self.epsilon = kept["epsilon"]
            self.pair = [one.to(state) for one in kept["pair"]]
            self.path.steps, self.path.interval = list(kept["path_steps"]), kept["path_interval"]
            self.path.points = list(kept["path"].to(state))
        else:
            self.path.add(0, state[0], twin.state[0])

    def ahead(self, windows: Sequence[Trajectory]) -> None:
        """Steps taken before, and what changes with epochs."""
        self.copy.follow()
        self._number = self.copy.number()

    def behind(self, windows: Sequence[Trajectory]) -> None:
        """Take the same steps."""
        self.pair = self.copy.replay(self.pair, windows, self.before, self._number)
        self.path.add(self.before + len(windows), self._home(), self.pair[0][0])

    def _home(self) -> Tensor:
        return self.pair[1][0] if len(self.pair) > 1 else self.copy.state()[0]

    def look(self) -> dict[str, float]:
        """Both distances over ε."""
        here, twin = self._home(), self.pair[0][0]
        orbit = torch.cat([self.path.stacked()[0], here[None]])
        across = float(to_orbit(twin[None], orbit)[0])
        return {
            "twin_distance": float((twin - here).norm()) / self.epsilon,
            "orbit_distance": across / self.epsilon,
        }

    def memory(self) -> dict[str, Any]:
        """The twin and the path."""
        points = torch.stack(self.path.points) if self.path.points else None
        return {
            "epsilon": self.epsilon,
            "pair": self.pair,
            "path": points,
            "path_steps": self.path.steps,
            "path_interval": self.path.interval,
        }

    def told(self) -> dict[str, Any] | None:
        """Both distances over the steps, the second to the whole path."""
        if len(self.path.steps) < 3:
            return None
        orbit, twin = self.path.stacked()
        apart = (twin - orbit).norm(dim=-1) / self.epsilon
        across = to_orbit(twin, orbit)[0] / self.epsilon
        lines = []
        for label, found in (("at equal times", apart), ("to the path", across)):
            points = [
                (float(s), float(d))
                for s, d in zip(self.path.steps, found, strict=True)
                if 0 < float(d) < math.inf
            ]
            x, y = zip(*points, strict=True) if points else ((), ())
            lines.append({"x": list(x), "y": list(y), "label": label})
        at, most = float(across[-1]), float(across.max())
        made = self.picture(
            "Distance of a twin",
            "distance over that at the start",
            {},
            caption=f"A training that began {self.size:g} of its weights apart ends "
            f"{float(apart[-1]):.3g} times as far away at equal times, and {at:.3g} times from the "
            f"path (at most {most:.3g}).",
            y_scale="log",
            numbers={"twin_distance": float(apart[-1]), "orbit_distance": at, "most": most},
        )
        return {**made, "lines": lines}
