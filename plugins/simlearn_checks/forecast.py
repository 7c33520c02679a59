"""How far is a forecast from data it never saw?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, DataError, Evidence, Finding, Metric, Simulator, Trajectory
from simlearn_checks import causes, remedies
from simlearn_checks.common import motion, place, positive, row_names
from simlearn_checks.forecast_pictures import Pictures
from simlearn_checks.forecast_rows import Row, met, scaled, summed_up, worse
from simlearn_checks.noise import noise_of, rounded_otherwise
from simlearn_checks.times import refuse, steps_in

MANY = 32  # rows of which each is told; of more, the worst and the median
USUAL = (remedies.LONGER_ROLLOUTS, remedies.LONGER, remedies.MORE_DATA)
MEANING = (
    "how far a forecast may be trusted, and until when. Chaotic systems part from any forecast in "
    "the end: a straight rise of the (logarithmic) error is that, an early jump is a wrong law."
)


class ForecastError(simlearn.Check):
    """Distance between a forecast and held-out data, body by body, at the end of the horizon.

    Of more than 32 rows without limits of their own, the worst and the median are told. The noise
    of an error is what rounding makes of it, and the noise of measurement that is seen in the data.

    Args:
        horizon: Steps of the forecast, or periods of the data ("5 periods").
        limit: Largest allowed error of any row that has no limit of its own; without it only the
            rows that ``limits`` names are judged.
        limits: Largest allowed error of each named row.
        origin: Name of the row that positions are relative to (heliocentric: the Sun); absolute
            where not given.
        at: Judge the error at the end of the horizon, or its maximum.
        starts: Held-out trajectories to start from, at most; the worst is judged.
        relative: Limits are in parts of how far the rows of the held-out data move, the root mean
            square distance from their mean places; else in the unit of the data.
    """

    def __init__(
        self,
        horizon: int | str = 1000,
        limit: float | None = None,
        limits: Mapping[str, float] | None = None,
        origin: str | None = None,
        at: Literal["end", "max"] = "end",
        starts: int = 1,
        relative: bool = False,
    ):
        positive(starts=starts, **(limits or {}))
        refuse(horizon)
        if limit is not None:
            positive(limit=limit)
        if at not in ("end", "max"):
            raise ConfigError(f"ForecastError.at must be end or max, got {at!r}.")
        if limit is None and not limits:
            raise ConfigError("ForecastError needs a `limit`, or `limits` by name of the row.")
        self.horizon, self.limit, self.limits, self.origin = horizon, limit, limits, origin
        self.at, self.starts, self.relative = at, starts, relative

    @classmethod
    def examples(cls) -> list[ForecastError]:
        """Ten steps."""
        return [cls(horizon=10, limit=1.0), cls(horizon=10, limit=1.0, relative=True)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Forecast from each start and compare positions."""
        horizon = steps_in(self.horizon, simulator, evidence)
        size, unit = self._unit(evidence)
        rows: dict[str, Row] = {}
        seen = []
        for number in range(min(self.starts, max(1, len(evidence.held_out)))):
            truth = evidence.require(horizon, simulator.dt, number)
            names = self._known(row_names(truth))
            rolled = evidence.rollouts(simulator, horizon, 1, number)
            errors = {name: self._errors(one, truth, names) for name, one in rolled.items()}
            noise = self._noise(simulator, evidence, number, errors[""])
            for k, body in enumerate(names):
                found = self._row(rolled, errors, k, simulator.dt, number, float(noise[k]))
                if len(names) > 1:
                    found = replace(found, where=replace(found.where, row=body))
                rows[body] = worse(scaled(found, size), rows.get(body))
            pictures = Pictures(rolled, truth, evidence, self.origin, self._positions)
            seen.append((pictures, errors))
        judged = self._judged(rows)
        metrics = [self._metric(body, row, unit) for body, row in judged.items()]
        missed = ", ".join(m.name.removeprefix("error of ") for m in metrics if not m.passed)
        said = f"misses its limit for {missed}" if missed else "meets every limit"
        worst = max(judged, key=lambda body: judged[body].value / self._limit(body), default="")
        pictures, errors = seen[judged[worst].where.trajectory or 0 if worst else 0]
        why: tuple[tuple[str, ...], list[str]] = ((), [])
        if missed:
            why = self._why(simulator, evidence, judged[worst], horizon, size, worst)
        return Finding.of(
            metrics,
            f"The forecast over {horizon} steps (a time of {horizon * simulator.dt:g}) {said}.",
            pictures.curves(errors, size, "motion" if self.relative else unit),
            remedies.ranked(why[1], USUAL),
            films=pictures.films(),
            meaning=MEANING,
            details={"steps": horizon},
            worst=judged[worst].where if worst else None,
            causes=why[0],
        )

    def _unit(self, evidence: Evidence) -> tuple[float, str]:
        """What errors are divided by, and their unit."""
        if not self.relative:
            return 1.0, evidence.units.get("position", "")
        evidence.start()
        tracks = (self._positions(one.x, row_names(one)) for one in evidence.held_out)
        moved = motion(tracks)
        if not moved > 0:
            raise DataError("The held-out data never move: nothing is relative to their motion.")
        return moved, "of the motion"

    def _row(
        self,
        rolled: Mapping[str, Trajectory],
        errors: Mapping[str, tuple[Tensor, Tensor]],
        k: int,
        dt: float,
        number: int,
        noise: float,
    ) -> Row:
        values = {n: self._last(errors[n][1], one)[k] for n, one in rolled.items()}
        (t, error), mine = errors[""], rolled[""]
        when = float(t[-1] if self.at == "end" or mine.status != "ok" else t[error[:, k].argmax()])
        where = place(mine, int((mine.t - when).abs().argmin()), dt, number)
        return Row(values.pop(""), noise, where, values)

    def _last(self, error: Tensor, one: Trajectory) -> list[float]:
        """The error of each row that is judged; infinite where the rollout was lost."""
        if one.status != "ok":
            return [math.inf] * error.shape[1]
        last: list[float] = (error[-1] if self.at == "end" else error.amax(0)).tolist()
        return last

    def _noise(
        self, simulator: Simulator, evidence: Evidence, number: int, mine: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Uncertainty of the error of each row: rounding of the rollout, noise of the data."""
        truth, (t, error) = evidence.start(number), mine
        columns = noise_of([truth]).columns[: max(1, truth.dim // 2)]
        measured = float(columns.norm())
        steps = round(float(t[-1] - t[0]) / simulator.dt)
        other = rounded_otherwise(simulator, truth, steps, evidence.seed)
        if other.status != "ok":
            return torch.full_like(error[0], measured)
        moved = self._errors(other, truth, row_names(truth))[1]
        apart = moved[-1] - error[-1] if self.at == "end" else moved.amax(0) - error.amax(0)
        return torch.hypot(apart, torch.full_like(apart, measured))

    def _known(self, names: list[str]) -> list[str]:
        """The names of the rows, if they contain every name that the arguments use."""
        used = {*(self.limits or {}), *([self.origin] if self.origin else [])}
        if used - set(names):
            raise ConfigError(
                f"ForecastError names {sorted(used - set(names))}, the data have {names}."
            )
        return names

    def _limit(self, body: str) -> float:
        return (self.limits or {}).get(body, self.limit or math.inf)

    def _judged(self, rows: Mapping[str, Row]) -> dict[str, Row]:
        """Rows with a limit; of many the worst and the median."""
        kept = {b: row for b, row in rows.items() if b != self.origin}
        if len(rows) <= MANY or self.limits:
            return {b: row for b, row in kept.items() if math.isfinite(self._limit(b))}
        return summed_up(list(kept.values()))

    def _metric(self, body: str, row: Row, unit: str) -> Metric:
        limit = self._limit(body)
        return Metric(f"error of {body}", row.value, limit, "max", unit, row.noise, row.beside)

    def _why(
        self,
        simulator: Simulator,
        evidence: Evidence,
        worst: Row,
        horizon: int,
        size: float,
        body: str,
    ) -> tuple[tuple[str, ...], list[str]]:
        """Likely causes of the largest error, and what follows."""
        number = worst.where.trajectory or 0
        truth, name = evidence.start(number), worst.where.row

        def error(one: Trajectory) -> float:
            names = row_names(truth)
            last = self._last(self._errors(one, truth, names)[1], one)
            return last[names.index(name) if name else 0] / size

        rolled = evidence.rollouts(simulator, horizon, 1, number)[""]
        word, limit = f"the error of {body}", self._limit(body)
        failed = causes.Failure(simulator, evidence, number, rolled, horizon, error, limit, word)
        return causes.told(failed.suspicions())

    def _positions(self, x: Tensor, names: list[str]) -> Tensor:
        positions = x[..., : max(1, x.shape[-1] // 2)]
        if self.origin is None:
            return positions
        return positions - positions[:, names.index(self.origin)][:, None]

    def _errors(
        self, one: Trajectory, truth: Trajectory, names: list[str]
    ) -> tuple[Tensor, Tensor]:
        """Times and errors ``[steps, rows]`` where the rollout meets the data."""
        t, mine, theirs = met(one, truth)
        return t, (self._positions(mine, names) - self._positions(theirs, names)).norm(dim=-1)
