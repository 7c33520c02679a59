"""What a check says: metrics, pictures, and a verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from simlearn.stability.failure import Place

Verdict = Literal["pass", "fail", "not_applicable"]


@dataclass(frozen=True)
class Metric:
    """One number of a finding.

    Attributes:
        name: What it is.
        value: What was measured; NaN fails.
        limit: What it is held against; None where it is only told.
        sense: "max" if the value may be at most the limit, "min" if at least.
        unit: Unit of value and limit.
        noise: Uncertainty of the value, one standard error where it is a statistic; of a maximum
            over some states or times, what other ones could have made of it. A value this near to
            its limit is flagged. 0 where there is none: counts, and values that have their
            uncertainty inside, such as the end of an interval.
        beside: The same number for the references, never judged.
    """

    name: str
    value: float
    limit: float | None = None
    sense: Literal["max", "min"] = "max"
    unit: str = ""
    noise: float = 0.0
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the value is a number on the right side of its limit."""
        if not math.isfinite(self.value):
            return False
        if self.limit is None:
            return True
        return self.value <= self.limit if self.sense == "max" else self.value >= self.limit

    @property
    def marginal(self) -> bool:
        """Whether the limit lies within the noise of the value."""
        return self.limit is not None and 0 < self.noise >= abs(self.value - self.limit)


@dataclass(frozen=True)
class Line:
    """A line of a picture.

    Attributes:
        x: Abscissae.
        y: Ordinates.
        role: "judged", "truth" or "reference": decides its style.
        group: Lines of one group share a colour.
        label: What the legend says.
        error: Half the length of error bars; points instead of a line.
    """

    x: Sequence[float]
    y: Sequence[float]
    role: Literal["judged", "truth", "reference"] = "judged"
    group: str = ""
    label: str = ""
    error: Sequence[float] | None = None


@dataclass(frozen=True)
class Curve:
    """A picture: lines on axes, with regions shaded.

    Attributes:
        lines: What is drawn.
        x_label: Abscissa with its unit.
        y_label: Ordinate with its unit.
        caption: What to see, in a sentence or two.
        x_scale: "linear" or "log".
        y_scale: "linear", "log" or "symlog".
        shaded: Intervals of the abscissa.
        shaded_label: What they are.
        equal: Whether both axes have one scale, as for orbits.
        focus: Whether the ordinate is cut to what the judged simulator and the truth need.
        categories: Names of the abscissae 0, 1, 2 ... instead of numbers.
    """

    lines: Sequence[Line]
    x_label: str
    y_label: str
    caption: str = ""
    x_scale: str = "linear"
    y_scale: str = "linear"
    shaded: Sequence[tuple[float, float]] = ()
    shaded_label: str = ""
    equal: bool = False
    focus: bool = False
    categories: Sequence[str] = ()


@dataclass(frozen=True)
class Track:
    """Where the points of a film are, by one account.

    Attributes:
        x: ``[samples][points]`` abscissae.
        y: ``[samples][points]`` ordinates.
        role: "judged" or "truth": decides the marker.
        label: What the legend says.
    """

    x: Sequence[Sequence[float]]
    y: Sequence[Sequence[float]]
    role: Literal["judged", "truth"] = "judged"
    label: str = ""


@dataclass(frozen=True)
class Film:
    """A moving picture: the same points by several accounts, at the same times.

    Attributes:
        t: ``[samples]`` times, ascending; there may be more of them than frames.
        tracks: Who says where the points are.
        x_label: Abscissa with its unit.
        y_label: Ordinate with its unit.
        t_label: What the times are, with their unit.
        caption: What to see, in a sentence or two.
        names: Name of each point.
        equal: Whether both axes have one scale, as for orbits.
        joined: Whether the points of one moment are joined, as in a chain, instead of trailed.
    """

    t: Sequence[float]
    tracks: Sequence[Track]
    x_label: str
    y_label: str
    t_label: str = "time since the start"
    caption: str = ""
    names: Sequence[str] = ()
    equal: bool = False
    joined: bool = False


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        verdict: "pass", "fail", or "not_applicable" with the reason as summary.
        metrics: The numbers.
        summary: One paragraph in plain words.
        curves: Pictures by title.
        remedies: What to do about a failure, best first; a `Remedy` where a program can do it.
        films: Moving pictures by title; they, too, stay out of the JSON.
        meaning: What such a finding says about a simulator, and what it does not say.
        details: What programs may want of it, in plain JSON types; the report's JSON keeps it.
        worst: Where it is worst.
        causes: Likely causes of a failure, as far as there is evidence, most likely first; also
            what was looked at and is none.
    """

    verdict: Verdict
    metrics: tuple[Metric, ...] = ()
    summary: str = ""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    remedies: tuple[str, ...] = ()
    films: Mapping[str, Film] = field(default_factory=dict)
    meaning: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    worst: Place | None = None
    causes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        metrics: Sequence[Metric],
        summary: str,
        curves: Mapping[str, Curve] | None = None,
        remedies: Sequence[str] = (),
        *,
        films: Mapping[str, Film] | None = None,
        meaning: str = "",
        details: Mapping[str, Any] | None = None,
        worst: Place | None = None,
        causes: Sequence[str] = (),
    ) -> Self:
        """A finding whose verdict follows from its metrics; no metric at all is a failure."""
        good = bool(metrics) and all(metric.passed for metric in metrics)
        verdict: Verdict = "pass" if good else "fail"
        told = tuple(metrics), summary, curves or {}, tuple(remedies), films or {}
        return cls(verdict, *told, meaning, details or {}, worst, tuple(causes))

    @classmethod
    def not_applicable(cls, reason: str) -> Self:
        """The check says nothing about this simulator, and why."""
        return cls("not_applicable", summary=reason)
