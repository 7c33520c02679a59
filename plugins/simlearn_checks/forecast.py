"""How far is a forecast from data it never saw?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

import simlearn
from simlearn import (
    ConfigError,
    Curve,
    DataError,
    Evidence,
    Film,
    Finding,
    Metric,
    Simulator,
    Trajectory,
)
from simlearn.plot import film
from simlearn_checks.common import line, per, positive, row_names, since
from simlearn_checks.orbits import TRUTH, orbits, track_of

DRAWN = 8  # rows of one picture that can be told apart
MANY = 32  # rows of which each is told; of more, the worst and the median
MEANING = (
    "how far a forecast may be trusted, and until when. Chaotic systems part from any forecast in "
    "the end: a straight rise of the (logarithmic) error is that, an early jump is a wrong law."
)


class ForecastError(simlearn.Check):
    """Distance between a forecast and held-out data, body by body, at the end of the horizon.

    Of more than 32 rows without limits of their own, the worst and the median are told.

    Args:
        horizon: Steps of the forecast.
        limit: Largest allowed error of any row that has no limit of its own; without it only the
            rows that ``limits`` names are judged.
        limits: Largest allowed error of each named row.
        origin: Name of the row that positions are relative to (heliocentric: the Sun); absolute
            where not given.
        at: Judge the error at the end of the horizon, or its maximum.
        starts: Held-out trajectories to start from, at most; the worst is judged.
    """

    def __init__(
        self,
        horizon: int = 1000,
        limit: float | None = None,
        limits: Mapping[str, float] | None = None,
        origin: str | None = None,
        at: Literal["end", "max"] = "end",
        starts: int = 1,
    ):
        positive(horizon=horizon, starts=starts, **(limits or {}))
        if limit is not None:
            positive(limit=limit)
        if at not in ("end", "max"):
            raise ConfigError(f"ForecastError.at must be end or max, got {at!r}.")
        if limit is None and not limits:
            raise ConfigError("ForecastError needs a `limit`, or `limits` by name of the row.")
        self.horizon, self.limit, self.limits, self.origin = horizon, limit, limits, origin
        self.at, self.starts = at, starts

    @classmethod
    def examples(cls) -> list[ForecastError]:
        """Ten steps."""
        return [cls(horizon=10, limit=1.0)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Forecast from each start and compare positions."""
        worst: dict[str, dict[str, float]] = {}
        curves: dict[str, Curve] = {}
        films: dict[str, Film] = {}
        for number in range(min(self.starts, max(1, len(evidence.held_out)))):
            truth = evidence.require(self.horizon, simulator.dt, number)
            names = self._known(row_names(truth))
            rolled = evidence.rollouts(simulator, self.horizon, 1, number)
            errors = {name: self._errors(one, truth, names) for name, one in rolled.items()}
            for name, (_, error) in errors.items():
                for body, value in zip(names, self._last(error, rolled[name]), strict=True):
                    seen = worst.setdefault(body, {})
                    seen[name] = max(seen.get(name, 0.0), value)
            if number == 0:
                curves = self._curves(rolled, truth, errors, evidence)
                films = self._films(rolled[""], truth, evidence)
        metrics = self._metrics(worst, evidence.units.get("position", ""))
        missed = [m.name.removeprefix("error of ") for m in metrics if not m.passed]
        verdict = f"misses its limit for {', '.join(missed)}" if missed else "meets every limit"
        span = self.horizon * simulator.dt
        return Finding.of(
            metrics,
            f"The forecast over {self.horizon} steps (a time of {span:g}) {verdict}.",
            curves,
            (
                "Train through longer rollouts (MultiStep with a larger horizon), or longer.",
                "Give it more data of the rows that miss.",
            ),
            films=films,
            meaning=MEANING,
        )

    def _last(self, error: Tensor, one: Trajectory) -> list[float]:
        """The error of each row that is judged; infinite where the rollout was lost."""
        if one.status != "ok":
            return [float("inf")] * error.shape[1]
        last: list[float] = (error[-1] if self.at == "end" else error.amax(0)).tolist()
        return last

    def _known(self, names: list[str]) -> list[str]:
        """The names of the rows, if they contain every name that the arguments use."""
        used = {*(self.limits or {}), *([self.origin] if self.origin else [])}
        if used - set(names):
            raise ConfigError(
                f"ForecastError names {sorted(used - set(names))}, the data have {names}."
            )
        return names

    def _metrics(self, worst: Mapping[str, dict[str, float]], unit: str) -> list[Metric]:
        metrics = []
        if len(worst) > MANY and not self.limits:
            worst = _summed_up({k: v for k, v in worst.items() if k != self.origin})
        for body, found in worst.items():
            limit = (self.limits or {}).get(body, self.limit)
            if body == self.origin or limit is None:
                continue
            beside = {name: value for name, value in found.items() if name}
            title = f"error of {body}"
            metrics.append(Metric(title, found[""], limit, "max", unit, beside=beside))
        return metrics

    def _relative(self, x: Tensor, names: list[str]) -> Tensor:
        positions = x[..., : max(1, x.shape[-1] // 2)]
        if self.origin is None:
            return positions
        return positions - positions[:, names.index(self.origin)][:, None]

    def _errors(
        self, one: Trajectory, truth: Trajectory, names: list[str]
    ) -> tuple[Tensor, Tensor]:
        """Times and errors ``[steps, rows]`` where the rollout meets the data."""
        t, mine, theirs = _common(one, truth)
        return t, (self._relative(mine, names) - self._relative(theirs, names)).norm(dim=-1)

    def _curves(
        self,
        rolled: Mapping[str, Trajectory],
        truth: Trajectory,
        errors: Mapping[str, tuple[Tensor, Tensor]],
        evidence: Evidence,
    ) -> dict[str, Curve]:
        names = row_names(truth)
        growth = [
            line(name, t[1:] - t[0], error[1:, k].clamp_min(1e-12), names[k])
            for name, (t, error) in errors.items()
            for k in self._drawn(names)
        ]
        caption = f"Distance to the held-out data{f', from {self.origin}' if self.origin else ''}."
        label = f"error of the position{per(evidence.units.get('position', ''))}"
        span = float(rolled[""].t[-1] - rolled[""].t[0]) * (1 + 1e-9)
        seen = truth.slice(0, int((truth.t - truth.t[0] <= span).sum()))
        return {
            "Growth of the error": Curve(growth, since(evidence), label, caption, y_scale="log"),
            **self._paths(rolled, seen, evidence),
        }

    def _films(self, rolled: Trajectory, truth: Trajectory, evidence: Evidence) -> dict[str, Film]:
        """The forecast beside the data, moving; none where it was lost at once."""
        if rolled.steps < 3:
            return {}
        return {"Forecast beside the data": film(rolled, truth, evidence.units, None, self.origin)}

    def _paths(
        self, rolled: Mapping[str, Trajectory], truth: Trajectory, evidence: Evidence
    ) -> dict[str, Curve]:
        """Orbits in the plane of the first two coordinates, or position against time."""
        names, unit = row_names(truth), per(evidence.units.get("position", ""))
        tracks = {TRUTH: self._relative(truth.x, names)}
        tracks.update({name: self._relative(one.x, names) for name, one in rolled.items()})
        bodies = self._drawn(names)
        if tracks[TRUTH].shape[-1] < 2:
            times = {TRUTH: truth.t, **{name: one.t for name, one in rolled.items()}}
            lines = [
                track_of(name, times[name] - times[name][0], track[:, k, 0], names[k])
                for name, track in tracks.items()
                for k in bodies
            ]
            told = f"Held-out data dotted, {len(bodies)} of {len(names)} rows."
            return {"Forecast and truth": Curve(lines, since(evidence), f"position{unit}", told)}
        far = tracks[TRUTH].norm(dim=-1).amax(0)
        middle = float(far[bodies].median())
        halves = {
            "Orbits, inner half": [k for k in bodies if far[k] <= middle],
            "Orbits, outer half": [k for k in bodies if far[k] > middle],
        }
        if float(far[bodies].max()) <= 3 * middle:
            halves = {"Orbits": bodies}
        return {
            title: orbits(tracks, part, 1.6 * float(far[part].max()), names, unit)
            for title, part in halves.items()
        }

    def _drawn(self, names: list[str]) -> list[int]:
        """At most eight rows, evenly spaced."""
        rows = [k for k, name in enumerate(names) if name != self.origin]
        count = min(DRAWN, len(rows))
        return [rows[round(k * (len(rows) - 1) / max(1, count - 1))] for k in range(count)]


def _summed_up(worst: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The worst and the median row of each rollout."""
    found: dict[str, dict[str, float]] = {"the worst row": {}, "the median row": {}}
    for name in next(iter(worst.values())):
        values = sorted(one[name] for one in worst.values())
        found["the worst row"][name] = values[-1]
        found["the median row"][name] = values[len(values) // 2]
    return found


def _common(one: Trajectory, truth: Trajectory) -> tuple[Tensor, Tensor, Tensor]:
    """Times, states of the rollout and of the data, at the times that both have.

    Raises:
        DataError: There are none but the start, although the rollout went on.
    """
    if truth.t.ndim > 1:
        raise DataError("ForecastError needs data with one time axis; split the systems first.")
    spacing = truth.t.diff().min() if truth.steps > 1 else torch.tensor(1.0)
    right = torch.searchsorted(truth.t, one.t).clamp(0, truth.steps - 1)
    left = (right - 1).clamp_min(0)
    nearer = (truth.t[left] - one.t).abs() < (truth.t[right] - one.t).abs()
    index = torch.where(nearer, left, right)
    hit = (truth.t[index] - one.t).abs() < 1e-3 * spacing
    if one.steps > 1 and not bool(hit[1:].any()):
        raise DataError("Rollout and held-out data have no time in common; check simulator.dt.")
    return one.t[hit], one.x[hit], truth.x[index[hit]]
