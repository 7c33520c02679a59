"""What a dataset holds: lengths, steps, ranges, and the energy of every direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simlearn.state import Trajectory

TOGETHER = 64  # columns of a whole system up to which its directions are taken over all rows
LARGE = 1024  # columns beyond which directions are not looked for
FLAT = 1e-13  # of the largest value: a column that varies less is constant


@dataclass
class Census:
    """Counts trajectories one after another, keeping none.

    Attributes:
        names: Names of the columns of the state; numbered where the file names none.
        each: Smallest and largest value of each row, where all systems are of one size.
    """

    names: Sequence[str] = ()
    count: int = 0
    lengths: list[int] = field(default_factory=list)
    rows: set[int] = field(default_factory=set)
    edges: set[int] = field(default_factory=set)
    steps: list[tuple[float, float]] = field(default_factory=list)
    span: tuple[float, float] = (np.inf, -np.inf)
    carried: set[str] = field(default_factory=set)
    masked: int = 0
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    each: tuple[np.ndarray, np.ndarray] | None = None
    _first: np.ndarray | None = None
    _sum: np.ndarray | None = None
    _square: np.ndarray | None = None
    _samples: int = 0

    @classmethod
    def of(cls, trajectories: Iterable[Trajectory], names: Sequence[str] = ()) -> Census:
        """The census of trajectories."""
        census = cls(names)
        for one in trajectories:
            census.add(one)
        return census

    def add(self, one: Trajectory) -> None:
        """Count a trajectory."""
        self.count += 1
        self.lengths.append(one.steps)
        self.rows.add(one.topology.rows)
        self.edges.add(one.topology.graph.edge_index.shape[1])
        t = one.t.double().numpy() if one.t.ndim == 1 else one.t[:, 0].double().numpy()
        gaps = np.diff(t)
        if len(gaps):
            self.steps.append((float(gaps.min()), float(gaps.max())))
        self.span = (min(self.span[0], float(t[0])), max(self.span[1], float(t[-1])))
        for name in ("derivative", "inputs", "mask"):
            if getattr(one, name) is not None:
                self.carried.add(name)
        x = one.x.double().numpy()
        if one.mask is not None:
            self.masked += int((~one.mask).sum())
            x = x[one.mask.all(1).numpy()]
        if len(x):
            self._ranges(x)
            self._moments(x)

    def _ranges(self, x: np.ndarray) -> None:
        low, high = x.min(0), x.max(0)
        if self.each is None:
            self.each = low, high
        elif self.each[0].shape == low.shape:
            self.each = np.minimum(self.each[0], low), np.maximum(self.each[1], high)
        low, high = low.min(0), high.max(0)
        if self.low is None or self.high is None:
            self.low, self.high = low, high
        else:
            self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)

    def _moments(self, x: np.ndarray) -> None:
        """First and second moments around the first sample, so that nothing cancels."""
        together = x.shape[1] * x.shape[2] <= TOGETHER
        flat = x.reshape(len(x), -1) if together else x.reshape(-1, x.shape[2])
        if self._first is None:
            self._first = flat[0].copy()
            size = min(flat.shape[1], LARGE)
            self._sum, self._square = np.zeros(size), np.zeros((size, size))
        if flat.shape[1] != len(self._first) or flat.shape[1] > LARGE:
            self._samples = -1  # systems of several sizes have no directions in common
        if self._samples < 0 or self._sum is None or self._square is None:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # squares of the largest numbers
            moved = flat - self._first
            self._sum += moved.sum(0)
            self._square += moved.T @ moved
        self._samples += len(flat)

    @property
    def samples(self) -> int:
        """Samples of all trajectories."""
        return sum(self.lengths)

    @property
    def step(self) -> float | None:
        """The one time step of all trajectories, None where they differ by more than 1e-6."""
        if not self.steps:
            return None
        low, high = min(s[0] for s in self.steps), max(s[1] for s in self.steps)
        return (low + high) / 2 if high - low <= 1e-6 * high else None

    def constant(self, wide: bool = False) -> dict[int, float]:
        """Columns that never change, in any trajectory, and their value.

        Args:
            wide: Whether every row is a column of its own.
        """
        if self.low is None or self.high is None or self.each is None:
            return {}
        low, high = (e[:, 0] for e in self.each) if wide else (self.low, self.high)
        with np.errstate(over="ignore"):
            still = high - low <= FLAT * np.maximum(np.abs(low), np.abs(high))
        return {int(k): float(low[k]) for k in np.flatnonzero(still)}

    def directions(self) -> list[tuple[float, str]]:
        """Share of the variance in each principal direction, with the columns that make it up.

        Columns are measured in units of their own spread, so that metres and radians weigh alike.
        """
        if self._samples < 2 or self._sum is None or self._square is None:
            return []
        if not np.isfinite(self._square).all():
            return []
        mean = self._sum / self._samples
        covariance = self._square / self._samples - np.outer(mean, mean)
        spread = np.sqrt(np.clip(np.diag(covariance), 0, None))
        scale = np.where(spread > 0, spread, 1.0)
        value, vector = np.linalg.eigh(covariance / np.outer(scale, scale))
        value = np.clip(value[::-1], 0, None)
        total = value.sum() or 1.0
        names = self._coordinates(len(value))
        return [
            (float(v / total), _made_of(vector[:, ::-1][:, k], names)) for k, v in enumerate(value)
        ]

    def _coordinates(self, size: int) -> list[str]:
        columns = self.columns()
        rows = size // len(columns)
        return list(columns) if rows == 1 else [f"{c}@{r}" for r in range(rows) for c in columns]

    def columns(self) -> list[str]:
        """Names of the columns of the state."""
        dim = 0 if self.low is None else len(self.low)
        return list(self.names) if len(self.names) == dim else [f"x{k}" for k in range(dim)]

    def to_json(self) -> dict[str, Any]:
        """The census in plain types."""
        none: list[float] = []
        return {
            "trajectories": self.count,
            "length": [min(self.lengths, default=0), max(self.lengths, default=0)],
            "samples": sum(self.lengths),
            "rows": sorted(self.rows),
            "edges": sorted(self.edges),
            "step": self.step,
            "time": list(self.span) if self.count else none,
            "columns": self.columns(),
            "low": none if self.low is None else self.low.tolist(),
            "high": none if self.high is None else self.high.tolist(),
            "carries": sorted(self.carried),
            "masked": self.masked,
            "directions": [list(pair) for pair in self.directions()],
        }

    def to_text(self, units: Mapping[str, str] | None = None) -> str:
        """The census for people."""
        if not self.count:
            return "trajectories  0"
        units = units or {}
        said = [
            f"trajectories  {self.count}",
            f"length        {_range(self.lengths)} samples, {sum(self.lengths)} in all",
            f"time          {self.span[0]:g} to {self.span[1]:g}{_in(units.get('time'))}, "
            f"{self._told_step()}",
            f"rows          {_range(sorted(self.rows))} a system, "
            f"{_range(sorted(self.edges))} edges",
        ]
        if self.carried or self.masked:
            also = ", ".join(sorted(self.carried - {"mask"})) or "nothing"
            masked = f"; {self.masked} samples masked" if self.masked else ""
            said.append(f"also carries  {also}{masked}")
        return "\n".join([*said, "", *self._ranges_told(units), "", *self._directions_told()])

    def _told_step(self) -> str:
        if self.step is not None:
            return f"step {self.step:g}"
        if not self.steps:
            return "one sample each"
        low, high = min(s[0] for s in self.steps), max(s[1] for s in self.steps)
        return f"irregular steps from {low:g} to {high:g}"

    def _ranges_told(self, units: Mapping[str, str]) -> list[str]:
        if self.low is None or self.high is None:
            return []
        lines = ["column        smallest       largest"]
        for name, low, high in zip(self.columns(), self.low, self.high, strict=True):
            unit = units.get(name, "")
            lines.append(f"{name[:12]:<12} {low:>10.4g}   {high:>10.4g} {unit}".rstrip())
        return lines

    def _directions_told(self) -> list[str]:
        found = self.directions()
        if not found:
            return []
        lines = ["energy of the data by direction (share of the variance, columns at unit spread)"]
        shown = found if len(found) <= 8 else [*found[:5], *found[-3:]]
        for k, (share, made) in enumerate(shown):
            if len(found) > 8 and k == 5:
                lines.append(f"  ... {len(found) - 8} more")
            lines.append(f"  {share:>8.2%}  {made}")
        if found[-1][0] < 1e-6:
            weak = sum(share < 1e-6 for share, _ in found)
            lines.append(
                f"  {weak} of {len(found)} directions carry almost no energy: what a model does "
                "along them, these data do not teach."
            )
        return lines


def _made_of(vector: np.ndarray, names: Sequence[str]) -> str:
    order = np.argsort(-np.abs(vector), kind="stable")[:3]
    vector = vector * np.sign(vector[order[0]])
    parts = [f"{vector[k]:+.2f} {names[k]}" for k in order if abs(vector[k]) > 0.1]
    return " ".join(parts)


def _range(values: Sequence[int]) -> str:
    low, high = min(values, default=0), max(values, default=0)
    return f"{low}" if low == high else f"{low} to {high}"


def _in(unit: str | None) -> str:
    return f" {unit}" if unit else ""
