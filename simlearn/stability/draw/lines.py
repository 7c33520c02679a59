"""Draws a `Curve` with matplotlib: colours for groups, line styles for who is speaking."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from simlearn.stability.finding import Curve, Line

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe and Ito (2008): colours that people with any colour vision can tell apart.
COLOURS = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#7F3C8D", "#000000", "#8C6D31"),
]
STYLES = {"judged": "-", "truth": ":"}
REFERENCE_STYLES = ("--", "-.")
POINTS = 1500
LABEL = 11.5
ROW = 62  # letters that stand side by side above a picture


@dataclass(frozen=True)
class _Looks:
    """Colour and style of every line of a curve.

    With several groups, colours tell the groups apart and styles who is speaking; with one,
    colours do both.
    """

    groups: Sequence[str]
    voices: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, curve: Curve) -> _Looks:
        groups = list(dict.fromkeys(line.group for line in curve.lines))
        order = {"judged": 0, "reference": 1, "truth": 2}
        voices = list(dict.fromkeys((line.role, line.label) for line in curve.lines))
        return cls(groups, sorted(voices, key=lambda voice: order[voice[0]]))

    @property
    def by_group(self) -> bool:
        return len(self.groups) > 1

    def colour(self, line: Line) -> str:
        if line.role == "truth":
            return "0.1"
        index = (
            self.groups.index(line.group)
            if self.by_group
            else self.voices.index((line.role, line.label))
        )
        return COLOURS[index % len(COLOURS)]

    def style(self, role: str, label: str) -> str:
        if role != "reference":
            return STYLES[role]
        names = [name for kind, name in self.voices if kind == "reference"]
        return REFERENCE_STYLES[names.index(label) % len(REFERENCE_STYLES)]


def thinned(line: Line, most: int = POINTS) -> tuple[list[float], list[float]]:
    """At most so many points of a line."""
    stride = max(1, -(-len(line.x) // most))
    return list(line.x)[::stride], list(line.y)[::stride]


def draw(curve: Curve, axes: Axes, legend: Literal["beside", "above"] = "beside") -> None:
    """Draw a curve onto matplotlib axes, with the legend right of them or above."""
    looks = _Looks.of(curve)
    for low, high in curve.shaded:
        axes.axvspan(low, high, color="0.9", zorder=0)
    for line in curve.lines:
        _line(curve, line, looks, axes)
    axes.set(xlabel=labelled(curve.x_label), ylabel=labelled(curve.y_label), xscale=curve.x_scale)
    if curve.x_scale == "linear":
        axes.locator_params(axis="x", nbins=6)
    if curve.y_scale == "symlog":
        axes.set_yscale("symlog", linthresh=1e-2)
    else:
        axes.set_yscale(curve.y_scale)
    if curve.equal:
        axes.set_aspect("equal", adjustable="datalim")
    if curve.focus:
        _focus(curve, axes)
    if curve.categories:
        names = [labelled(name) for name in curve.categories]
        long = max(map(len, names)) > 3
        axes.set_xticks(
            range(len(names)), names, rotation=30 * long, ha="right" if long else "center"
        )
    dressed(axes)
    _legend(curve, looks, axes, legend)


def labelled(text: str) -> str:
    """A name is a name, never mathematics."""
    return text.replace("$", "\\$")


def _line(curve: Curve, line: Line, looks: _Looks, axes: Axes) -> None:
    x, y = thinned(line)
    colour = looks.colour(line)
    if line.error is not None:
        axes.errorbar(x, y, list(line.error), fmt="o", color=colour, capsize=3, markersize=4)
    elif curve.categories:
        axes.plot(x, y, "_", color=colour, markersize=11)
    else:
        judged = line.role == "judged"
        axes.plot(
            x,
            y,
            looks.style(line.role, line.label),
            color=colour,
            linewidth=1.6 if judged else 1.1,
            alpha=1.0 if judged else 0.8,
            zorder={"judged": 2.5, "truth": 3.0}.get(line.role, 2.0),
        )


def _focus(curve: Curve, axes: Axes) -> None:
    """Cut the ordinate to what the judged simulator and the truth need, with a margin."""
    seen = [v for n in curve.lines if n.role != "reference" for v in n.y if math.isfinite(v)]
    if seen:
        low, high = min(seen), max(seen)
        margin = 0.25 * (high - low) or abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)


def dressed(axes: Axes) -> None:
    """Letters that are still read on a phone, and a faint grid."""
    axes.grid(visible=True, color="0.93", linewidth=0.6)
    axes.tick_params(labelsize=10.5)
    axes.xaxis.label.set_fontsize(LABEL)
    axes.yaxis.label.set_fontsize(LABEL)


def _legend(curve: Curve, looks: _Looks, axes: Axes, where: str) -> None:
    """Who is speaking once, and groups once, instead of every combination."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    voices: list[Artist] = []
    for role, label in looks.voices:
        first = next(n for n in curve.lines if (n.role, n.label) == (role, label))
        plain = looks.by_group and not curve.categories and role != "truth"
        colour = "0.35" if plain else looks.colour(first)
        mark = ("o" if first.error is not None else "_") if curve.categories else ""
        style: Any = "" if curve.categories else looks.style(role, label)
        voices.append(
            Line2D([], [], linestyle=style, marker=mark, color=colour, label=labelled(label))
        )
    if curve.shaded and curve.shaded_label:
        voices.append(Patch(color="0.9", label=labelled(curve.shaded_label)))
    grouped = looks.groups if looks.by_group and not curve.categories else ()
    legend(axes, where, voices, [swatch(k, name) for k, name in enumerate(grouped)])


def swatch(number: int, name: str) -> Artist:
    """The entry of a group or a row in a legend."""
    from matplotlib.lines import Line2D

    colour = COLOURS[number % len(COLOURS)]
    return Line2D([], [], color=colour, linewidth=4, label=labelled(name))


def legend(axes: Axes, where: str, voices: Sequence[Artist], groups: Sequence[Artist]) -> None:
    """A legend outside the axes; above them, who is speaking has a column of its own."""
    voices, groups = ([one for one in part if one.get_label()] for part in (voices, groups))
    handles = [*voices, *groups]
    if not handles:
        return
    if where == "beside":
        axes.legend(
            handles=handles,
            fontsize=8,
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
        )
        return
    columns = next(n for n in (5, 4, 3, 2, 1) if n == 1 or _letters(voices, groups, n) <= ROW)
    parts = _columns(voices, groups, columns)
    handles = [one for part in parts for one in part]
    axes.legend(
        handles=handles,
        fontsize=10,
        frameon=False,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(parts),
        columnspacing=1.2,
        handlelength=1.8,
    )


def _columns(
    voices: Sequence[Artist], groups: Sequence[Artist], columns: int
) -> list[list[Artist]]:
    """The columns of a legend, filled up to one height."""
    from matplotlib.lines import Line2D

    blank = Line2D([], [], linestyle="", label=" ")
    apart = bool(groups) and columns > 1
    first, rest = (list(voices), list(groups)) if apart else ([], [*voices, *groups])
    parts = columns - bool(first)
    rows = max(len(first), -(-len(rest) // parts))
    found = [first] if first else []
    found += [rest[k : k + rows] for k in range(0, len(rest), rows)]
    return [column + [blank] * (rows - len(column)) for column in found]


def _letters(voices: Sequence[Artist], groups: Sequence[Artist], columns: int) -> int:
    """How wide a legend is."""
    parts = _columns(voices, groups, columns)
    return sum(max(len(str(one.get_label())) for one in part) + 6 for part in parts)


def picture(curve: Curve) -> bytes:
    """The curve as PNG."""
    from simlearn.stability.draw.figure import Picture

    figure = Picture(height=5.6 if curve.equal else 4.3)
    draw(curve, figure.subplots(), "above")
    return figure.png()
