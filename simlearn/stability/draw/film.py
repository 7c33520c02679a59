"""Draws a `Film` with matplotlib and Pillow: a poster first, then the points on their way."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simlearn.stability.draw.lines import COLOURS, LABEL, dressed, labelled, legend, swatch
from simlearn.stability.finding import Film, Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

FRAMES = 60  # at most, the poster not counted
DPI = 100
SHADES = 48  # colours of a GIF
TRAIL = 6  # a trail is this part of the film
POSTER_MS, FRAME_MS = 1500, 80
LARGEST = 600_000  # bytes of a GIF
MARGIN = 0.06
STRAY = 0.5  # the judged may leave the truth's extent by this part before it leaves the frame


def place(film: Film) -> list[int]:
    """Which samples are frames: evenly spaced, first and last among them."""
    last = len(film.t) - 1
    count = min(FRAMES, last + 1)
    return [round(k * last / max(1, count - 1)) for k in range(count)]


def poster(film: Film, axes: Axes) -> None:
    """The whole film in one picture: every path, and the points where they end."""
    _Scene(film, axes, animated=False).show(len(film.t) - 1, whole=True)


def still(film: Film) -> bytes:
    """The poster as PNG, for paper and for people who asked their device not to move things."""
    from simlearn.stability.draw.figure import Picture

    figure = Picture(height=_height(film))
    poster(film, figure.subplots())
    return figure.png(dpi=DPI * 1.6)


def gif(film: Film) -> bytes:
    """The film as an endless GIF whose first frame is the poster, with fewer frames if large."""
    first, *others = _images(film)
    table = _table(first)
    frames = [one.quantize(palette=table, dither=_plain()) for one in others]
    every = 1
    while len(moving := _moving(table, frames[::every], every)) > LARGEST and every < len(frames):
        every += 1
    return moving


def _moving(poster: Image, frames: Sequence[Image], every: int) -> bytes:
    buffer = io.BytesIO()
    poster.save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames,
        duration=[POSTER_MS, *[every * FRAME_MS] * len(frames)],
        loop=0,
    )
    return buffer.getvalue()


def _table(poster: Image) -> Image:
    """The poster with a palette for all frames, in which paper is white."""
    table = poster.quantize(SHADES, dither=_plain())
    colours = table.getpalette() or []
    shades = [colours[k : k + 3] for k in range(0, len(colours), 3)]
    table.putpalette([v for shade in shades for v in ([255] * 3 if min(shade) > 248 else shade)])
    return table


def _plain() -> Any:
    from PIL.Image import Dither

    return Dither.NONE


def _height(film: Film) -> float:
    return 6.0 if film.equal else 4.4


def _images(film: Film) -> Iterator[Image]:
    """The poster and every frame; the background is drawn once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    from simlearn.stability.draw.figure import Picture

    figure = Picture(height=_height(film), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    scene = _Scene(film, figure.subplots(), animated=True)
    canvas.draw()
    empty = canvas.copy_from_bbox(figure.bbox)
    for whole, sample in [(True, len(film.t) - 1), *((False, k) for k in place(film))]:
        canvas.restore_region(empty)
        scene.show(sample, whole)
        for artist in scene.artists:
            figure.draw_artist(artist)
        size = canvas.get_width_height()
        yield Image.frombytes("RGBA", size, bytes(canvas.buffer_rgba())).convert("RGB")


class _Scene:
    """Axes, and what moves on them: a trail and a point of every row, by every account."""

    def __init__(self, film: Film, axes: Axes, animated: bool):
        self.film, self.trail = film, max(2, len(film.t) // TRAIL)
        self.points, self.trails = [], []
        axes.set(xlabel=labelled(film.x_label), ylabel=labelled(film.y_label))
        dressed(axes)
        _frame(film, axes)
        count = 1 if film.joined else len(film.tracks[0].x[0])
        for number, track in enumerate(film.tracks):
            for point in range(count):
                style = _style(track, 0 if film.joined else point, number, animated)
                self.trails.append(axes.plot([], [], **style["trail"])[0])
                self.points.append(axes.plot([], [], **style["point"])[0])
        self.when = axes.figure.text(0.02, 0.012, "", fontsize=LABEL, animated=animated)
        self.when.set_in_layout(False)
        _legend(film, axes)

    @property
    def artists(self) -> list[Any]:
        """What is drawn anew on each frame, from the back to the front."""
        return [*self.trails, *self.points, self.when]

    def show(self, sample: int, whole: bool = False) -> None:
        """Move everything to a sample; with the whole path behind it instead of a trail."""
        film, each = self.film, iter(zip(self.trails, self.points, strict=True))
        first = 0 if whole else max(0, sample - self.trail)
        for track in film.tracks:
            x, y = track.x[sample], track.y[sample]
            if film.joined:
                joint, points = next(each)
                joint.set_data(x, y)
                points.set_data(x, y)
                continue
            for k, (here, there) in enumerate(zip(x, y, strict=True)):
                trail, point = next(each)
                past = range(first, sample + 1)
                trail.set_data([track.x[j][k] for j in past], [track.y[j][k] for j in past])
                point.set_data([here], [there])
        unit = film.t_label.partition(" / ")[2]
        self.when.set_text(labelled(f"t = {film.t[sample]:.4g} {unit}".strip()))


def _style(track: Track, point: int, number: int, animated: bool) -> dict[str, dict[str, Any]]:
    """A full dot for the judged, a ring around it for the truth: no colour is needed to tell."""
    truth = track.role == "truth"
    colour = "0.1" if truth else COLOURS[point % len(COLOURS)]
    trail = {
        "linestyle": ":" if truth else "-",
        "linewidth": 1.3 if truth else 1.7,
        "color": colour,
        "zorder": 3 if truth else 2,
    }
    marker = {
        "linestyle": "",
        "marker": "o",
        "markersize": 9 if truth else 5.5,
        "markerfacecolor": "none" if truth else colour,
        "markeredgecolor": colour,
        "zorder": 4 + number,
    }
    return {"trail": {**trail, "animated": animated}, "point": {**marker, "animated": animated}}


def _legend(film: Film, axes: Axes) -> None:
    from matplotlib.lines import Line2D

    handles = []
    many = len(film.names) > 1 and not film.joined
    for number, track in enumerate(film.tracks):
        style = _style(track, 0, number, False)
        look = {**style["point"], "linestyle": style["trail"]["linestyle"]}
        colour = "0.35" if many and track.role != "truth" else look["markeredgecolor"]
        look |= {"color": colour, "markeredgecolor": colour}
        look["markerfacecolor"] = "none" if track.role == "truth" else colour
        handles.append(Line2D([], [], label=labelled(track.label), **look))
    names = film.names if many else ()
    legend(axes, "above", handles, [swatch(point, name) for point, name in enumerate(names)])


def _frame(film: Film, axes: Axes) -> None:
    """All of the truth, and so much of the judged as leaves the truth large enough to see."""
    x = _extent([(track.role, track.x) for track in film.tracks])
    y = _extent([(track.role, track.y) for track in film.tracks])
    if film.equal:
        half = max(x[1] - x[0], y[1] - y[0]) / 2
        x, y = ((sum(ends) / 2 - half, sum(ends) / 2 + half) for ends in (x, y))
        axes.set_aspect("equal")
    axes.set(xlim=x, ylim=y)


def _extent(seen: Sequence[tuple[str, Sequence[Sequence[float]]]]) -> tuple[float, float]:
    by_role: dict[str, list[float]] = {"truth": [], "judged": []}
    for role, values in seen:
        by_role[role] += [v for sample in values for v in sample if math.isfinite(v)]
    true, judged = by_role["truth"] or by_role["judged"], by_role["judged"]
    if not true:
        return -1.0, 1.0
    low, high = min(true), max(true)
    stray = STRAY * (high - low) or abs(high) or 1.0
    low = max(min([low, *judged]), low - stray)
    high = min(max([high, *judged]), high + stray)
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin
