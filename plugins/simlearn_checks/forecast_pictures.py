"""How a forecast and data part, drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from simlearn import Curve, Evidence, Film, Trajectory
from simlearn.plot import film
from simlearn_checks.common import line, per, row_names, since
from simlearn_checks.orbits import TRUTH, orbits, track_of

DRAWN = 8  # rows of one picture that can be told apart


@dataclass(frozen=True)
class Pictures:
    """A forecast and the references beside the data.

    Attributes:
        rolled: The forecast under "", the references under their names.
        truth: The data.
        evidence: Says units.
        origin: Name of the row that positions are relative to.
        relative: Positions ``[steps, rows, c]`` of states, relative to it.
    """

    rolled: Mapping[str, Trajectory]
    truth: Trajectory
    evidence: Evidence
    origin: str | None
    relative: Callable[[Tensor, list[str]], Tensor]

    def curves(
        self, errors: Mapping[str, tuple[Tensor, Tensor]], size: float, unit: str
    ) -> dict[str, Curve]:
        """Growth of the errors, in units of a size, and the paths."""
        names = row_names(self.truth)
        growth = [
            line(name, t[1:] - t[0], (error[1:, k] / size).clamp_min(1e-12), names[k])
            for name, (t, error) in errors.items()
            for k in self._drawn(names)
        ]
        caption = f"Distance to the held-out data{f', from {self.origin}' if self.origin else ''}."
        label = f"error of the position{per(unit)}"
        return {
            "Growth of the error": Curve(
                growth, since(self.evidence), label, caption, y_scale="log"
            ),
            **self._paths(),
        }

    def films(self) -> dict[str, Film]:
        """The forecast beside the data, moving; none where it was lost at once."""
        mine = self.rolled[""]
        if mine.steps < 3:
            return {}
        units = self.evidence.units
        return {"Forecast beside the data": film(mine, self.truth, units, None, self.origin)}

    def _paths(self) -> dict[str, Curve]:
        """Orbits in the plane of the first two coordinates, or position against time."""
        t = self.rolled[""].t
        span = float(t[-1] - t[0]) * (1 + 1e-9)
        truth = self.truth.slice(0, int((self.truth.t - self.truth.t[0] <= span).sum()))
        names, unit = row_names(truth), per(self.evidence.units.get("position", ""))
        tracks = {TRUTH: self.relative(truth.x, names)}
        tracks.update({name: self.relative(one.x, names) for name, one in self.rolled.items()})
        bodies = self._drawn(names)
        if tracks[TRUTH].shape[-1] < 2:
            times = {TRUTH: truth.t, **{name: one.t for name, one in self.rolled.items()}}
            lines = [
                track_of(name, times[name] - times[name][0], track[:, k, 0], names[k])
                for name, track in tracks.items()
                for k in bodies
            ]
            told = f"Held-out data dotted, {len(bodies)} of {len(names)} rows."
            label = f"position{unit}"
            return {"Forecast and truth": Curve(lines, since(self.evidence), label, told)}
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

    def _drawn(self, names: Sequence[str]) -> list[int]:
        """At most eight rows, evenly spaced."""
        rows = [k for k, name in enumerate(names) if name != self.origin]
        count = min(DRAWN, len(rows))
        return [rows[round(k * (len(rows) - 1) / max(1, count - 1))] for k in range(count)]
