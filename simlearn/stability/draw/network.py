"""Pictures of a forecast on a graph: nodes over time, what speaks against it, the graph itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simlearn.stability.draw.lines import COLOURS, LABEL, draw, dressed, labelled
from simlearn.stability.finding import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAP = "viridis"
HATCH = "////"
CELLS = 1200  # of a heat map, along each side


@dataclass(frozen=True)
class Heat:
    """States of nodes over time.

    Attributes:
        t: ``[steps]``.
        x: ``[steps, nodes]``, nodes in the order in which they are drawn, the first at the top.
        outside: ``[steps, nodes]`` bool.
        label: What the colour is, with its unit.
        time: What the abscissa is, with its unit.
        nodes: What the ordinate is.
    """

    t: np.ndarray
    x: np.ndarray
    outside: np.ndarray
    label: str
    time: str
    nodes: str


@dataclass(frozen=True)
class Drawing:
    """A graph with a number for each node.

    Attributes:
        place: ``[nodes, 2]``.
        edges: ``[2, edges]``, each once.
        value: ``[nodes]``.
        outside: ``[nodes]`` bool.
        label: What the colour is.
        title: Which part of which graph it is, and how it is laid out.
    """

    place: np.ndarray
    edges: np.ndarray
    value: np.ndarray
    outside: np.ndarray
    label: str
    title: str


def heat_picture(heats: Sequence[Heat]) -> bytes:
    """One heat map for each column of the state, as PNG."""
    from simlearn.stability.draw.figure import Picture

    figure = Picture(7.2, 0.9 + 3.3 * len(heats))
    panels = figure.subplots(len(heats), 1, squeeze=False)[:, 0]
    for axes, heat in zip(panels, heats, strict=True):
        _heat(figure, axes, heat)
    if any(bool(heat.outside.any()) for heat in heats):
        from matplotlib.patches import Patch

        text = "out of the range of the training data"
        mark = Patch(facecolor="0.55", edgecolor="white", hatch=HATCH, linewidth=0, label=text)
        figure.legend(handles=[mark], loc="outside upper center", frameon=False, fontsize=10)
    return figure.png()


def _heat(figure: Any, axes: Axes, heat: Heat) -> None:
    steps, nodes = (_thin(n) for n in heat.x.shape)
    t, x, outside = heat.t[steps], heat.x[steps][:, nodes], heat.outside[steps][:, nodes]
    gap = (t[-1] - t[0]) / max(1, len(t) - 1) or 1.0
    box = (t[0] - gap / 2, t[-1] + gap / 2, heat.x.shape[1] - 0.5, -0.5)
    options: Any = {"aspect": "auto", "extent": box, "interpolation": "nearest"}
    shown = axes.imshow(x.T, cmap=MAP, **options)
    if outside.any():
        rows = np.linspace(0, heat.x.shape[1] - 1, outside.shape[1])
        flags = outside.T.astype(float)
        kind: Any = {"levels": [0.5, 1.5], "colors": "none", "hatches": [HATCH]}
        marked = axes.contourf(*_framed(t, rows, flags), **kind)
        marked.set_edgecolor("white")
        marked.set_linewidth(0)
    axes.set(xlabel=labelled(heat.time), ylabel=labelled(heat.nodes))
    bar = figure.colorbar(shown, ax=axes, pad=0.015)
    bar.set_label(labelled(heat.label), fontsize=LABEL)
    bar.ax.tick_params(labelsize=10)
    axes.tick_params(labelsize=10.5)
    axes.xaxis.label.set_fontsize(LABEL)
    axes.yaxis.label.set_fontsize(LABEL)
    axes.locator_params(axis="y", integer=True)


def _framed(t: np.ndarray, rows: np.ndarray, flags: np.ndarray) -> Any:
    """A grid of at least two by two, as contours need one."""
    if len(t) < 2:
        t, flags = np.array([t[0] - 0.5, t[0] + 0.5]), np.repeat(flags, 2, axis=1)
    if len(rows) < 2:
        rows, flags = np.array([rows[0] - 0.5, rows[0] + 0.5]), np.repeat(flags, 2, axis=0)
    return t, rows, flags


def _thin(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, CELLS)).round().astype(int))


def curves_picture(curves: Sequence[Curve], levels: Sequence[float | None]) -> bytes:
    """Curves over one time axis, one below the other, as PNG; a level is a dashed line."""
    from simlearn.stability.draw.figure import Picture

    figure = Picture(7.2, 0.4 + 2.5 * len(curves))
    panels = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for axes, curve, level in zip(panels, curves, levels, strict=True):
        draw(curve, axes, "beside")
        if level is not None:
            axes.axhline(level, color="0.4", linestyle=":", linewidth=1.2)
        if curve.caption:
            axes.set_title(labelled(curve.caption), fontsize=10.5, loc="left")
        if axes is not panels[-1]:
            axes.set_xlabel("")
    return figure.png()


def graph_picture(drawing: Drawing) -> bytes:
    """The graph, its nodes coloured, as PNG."""
    from matplotlib.collections import LineCollection

    from simlearn.stability.draw.figure import Picture

    figure = Picture(7.2, 6.2)
    axes = figure.subplots()
    place, links = drawing.place, drawing.edges.shape[1]
    ends, count = place[drawing.edges.T], len(place)
    alpha = float(np.clip(400 / max(1, links), 0.04, 0.5))
    axes.add_collection(LineCollection(list(ends), colors="0.3", linewidths=0.6, alpha=alpha))
    size = float(np.clip(9000 / count, 7, 160))
    shown = axes.scatter(
        *(place[:, 0], place[:, 1]),
        c=drawing.value,
        s=size,
        cmap=MAP,
        edgecolors="white",
        linewidths=0.3,
        zorder=3,
    )
    if drawing.outside.any():
        place = drawing.place[drawing.outside]
        axes.scatter(
            place[:, 0],
            place[:, 1],
            s=2.2 * size,
            facecolors="none",
            edgecolors="#D00000",
            linewidths=1.1,
            zorder=4,
            label=f"out of the range of the training data ({len(place)} of those shown)",
        )
        figure.legend(loc="outside lower center", frameon=False, fontsize=10)
    axes.set_title(labelled(drawing.title), fontsize=10.5)
    axes.set_aspect("equal")
    axes.set_axis_off()
    bar = figure.colorbar(shown, ax=axes, shrink=0.75, pad=0.01)
    bar.set_label(labelled(drawing.label), fontsize=LABEL)
    return figure.png()


def _plain(axes: Axes) -> None:
    """A logarithmic abscissa with numbers as people write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def transfer_picture(curves: Sequence[Curve]) -> bytes:
    """Errors against what graphs are like, in four panels, as PNG."""
    from simlearn.stability.draw.figure import Picture

    figure = Picture(9.0, 6.6)
    panels = figure.subplots(2, 2, sharey=True).ravel()
    kinds = list(dict.fromkeys(line.label for curve in curves for line in curve.lines))
    for axes, curve in zip(panels, curves, strict=False):
        for line in curve.lines:
            colour = COLOURS[kinds.index(line.label)]
            mark = "os^v"[kinds.index(line.label)]
            points: Any = {"color": colour, "markerfacecolor": "none", "markeredgewidth": 1.6}
            axes.plot(list(line.x), list(line.y), mark, label=line.label, **points)
        axes.set(xlabel=labelled(curve.x_label), xscale=curve.x_scale, yscale=curve.y_scale)
        if curve.x_scale == "log":
            _plain(axes)
        dressed(axes)
    for axes in panels[::2]:
        axes.set_ylabel("relative error", fontsize=LABEL)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=11)
    return figure.png()
