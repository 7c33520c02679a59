"""Pictures and the HTML page of a report.

One file, readable offline; every name in it is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, select_autoescape

from simlearn.stability.check import Curve, Line
from simlearn.stability.report import Report, measured, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008): colours that people with any colour vision can tell apart.
COLOURS = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#7F3C8D", "#000000", "#8C6D31"),
]
STYLES = {"judged": "-", "truth": ":", "reference": "--"}
POINTS = 1500
TABLE_ROWS = 24


def thinned(line: Line) -> tuple[list[float], list[float]]:
    """At most 1500 points of a line."""
    stride = max(1, len(line.x) // POINTS)
    return list(line.x)[::stride], list(line.y)[::stride]


def draw(curve: Curve, axes: Axes) -> None:
    """Draw a curve onto matplotlib axes."""
    groups = list(dict.fromkeys(line.group for line in curve.lines))
    references = list(dict.fromkeys(n.label for n in curve.lines if n.role == "reference"))
    for low, high in curve.shaded:
        axes.axvspan(low, high, color="0.9", zorder=0)
    for line in curve.lines:
        colour = COLOURS[groups.index(line.group) % len(COLOURS)]
        x, y = thinned(line)
        style: Any = STYLES[line.role]
        if line.role == "reference" and references.index(line.label) > 0:
            style = "-."
        if line.error is not None:
            axes.errorbar(
                x,
                y,
                list(line.error),
                fmt="o",
                color=colour,
                capsize=3,
                markersize=4,
                label=line.label,
            )
        elif curve.categories:
            mark = "o" if line.role == "judged" else "_"
            axes.plot(
                x, y, mark, color=colour, markersize=10 if mark == "_" else 5, label=line.label
            )
        else:
            width = 1.6 if line.role == "judged" else 1.1
            axes.plot(x, y, style, color=colour, linewidth=width, label=line.label, alpha=0.95)
    axes.set(xlabel=curve.x_label, ylabel=curve.y_label, xscale=curve.x_scale)
    if curve.y_scale == "symlog":
        axes.set_yscale("symlog", linthresh=1e-2)
    else:
        axes.set_yscale(curve.y_scale)
    if curve.equal:
        axes.set_aspect("equal", adjustable="datalim")
    if curve.categories:
        axes.set_xticks(
            range(len(curve.categories)), list(curve.categories), rotation=30, ha="right"
        )
    axes.grid(visible=True, color="0.93", linewidth=0.6)
    _legend(curve, axes, groups)


def _legend(curve: Curve, axes: Axes, groups: Sequence[str]) -> None:
    """Styles once and colours once, instead of every combination."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    seen: list[tuple[str, str]] = []
    for line in curve.lines:
        if (line.role, line.label) not in seen and line.label:
            seen.append((line.role, line.label))
    many = len(groups) > 1
    references = [label for role, label in seen if role == "reference"]
    for role, label in seen:
        style: Any = "-." if role == "reference" and references.index(label) > 0 else STYLES[role]
        own = next(n.group for n in curve.lines if (n.role, n.label) == (role, label))
        shared = len({n.group for n in curve.lines if (n.role, n.label) == (role, label)}) > 1
        colour = "0.35" if shared else COLOURS[groups.index(own) % len(COLOURS)]
        if curve.categories:
            mark = "_" if role != "judged" else "o"
            handles.append(Line2D([], [], linestyle="", marker=mark, color=colour, label=label))
        else:
            handles.append(Line2D([], [], linestyle=style, color=colour, label=label))
    if (
        many
        and all(groups)
        and any(
            len({n.label for n in curve.lines if n.group == g}) > 1 or len(seen) == 1
            for g in groups
        )
    ):
        handles += [
            Line2D([], [], color=COLOURS[k % len(COLOURS)], linewidth=4, label=g)
            for k, g in enumerate(groups)
        ]
    if curve.shaded and curve.shaded_label:
        handles.append(Patch(color="0.9", label=curve.shaded_label))
    if handles:
        axes.legend(
            handles=handles,
            fontsize=8,
            frameon=False,
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
        )


def picture(curve: Curve) -> bytes:
    """The curve as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.2 if curve.equal else 4.4), layout="constrained")
    draw(curve, figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _table(curve: Curve) -> list[dict[str, Any]]:
    """The numbers behind a picture, at most 24 of each line."""
    tables = []
    for line in curve.lines:
        stride = max(1, -(-len(line.x) // TABLE_ROWS))
        cells = list(zip(list(line.x)[::stride], list(line.y)[::stride], strict=True))
        label = " · ".join(part for part in (line.group, line.label) if part)
        names = curve.categories
        rows = [(names[int(x)] if names else number(x), number(y)) for x, y in cells]
        tables.append({"label": label, "rows": rows})
    return tables


def to_html(report: Report) -> str:
    """The report as one self-contained page."""
    environment = Environment(
        loader=PackageLoader("simlearn.stability", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = {
        (k, title): {
            "png": base64.b64encode(picture(curve)).decode(),
            "caption": curve.caption,
            "table": _table(curve),
            "x": curve.x_label,
            "y": curve.y_label,
        }
        for k, item in enumerate(report.items)
        for title, curve in item.finding.curves.items()
    }
    template = environment.get_template("report.html")
    return template.render(report=report, pictures=pictures, number=number, measured=measured)
