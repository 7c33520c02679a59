"""Pictures for notebooks: the same drawing code as the report's.

Every function returns a matplotlib figure, which shows itself in a notebook and can be saved with
``figure.savefig("x.png")``; with ``ax`` it draws onto axes of your own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from simlearn.component import DataError
from simlearn.plot.curves import (
    directions_curve,
    energy_curve,
    phase_curve,
    rollout_curve,
    training_curve,
)
from simlearn.plot.scene import Names, film
from simlearn.stability.draw import draw, gif, labelled, poster
from simlearn.stability.finding import Curve, Film, Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simlearn.dynamics.base import Dynamics
    from simlearn.simulator import Simulator
    from simlearn.stability.report import Report
    from simlearn.state import Trajectory

__all__ = [
    "Animation",
    "animation",
    "curve",
    "directions",
    "energy",
    "film",
    "finding",
    "phase",
    "report",
    "rollout",
    "training",
]


class Animation(bytes):
    """The bytes of a GIF, which shows itself in a notebook."""

    def _repr_html_(self) -> str:
        text = base64.b64encode(self).decode()
        return f'<img alt="rollout and truth" src="data:image/gif;base64,{text}">'


def curve(curve: Curve, ax: Axes | None = None) -> Figure:
    """A picture of a finding.

    Args:
        curve: One of ``finding.curves``.
        ax: Axes to draw onto; a new figure where not given.
    """
    if ax is None:
        figure = _figure(5.6 if curve.equal else 4.3)
        draw(curve, figure.subplots(), "above")
        return figure
    draw(curve, ax)
    return _of(ax)


def finding(finding: Finding) -> Figure:
    """All pictures of a finding, one below the other; films as their posters.

    Raises:
        DataError: It has no picture.
    """
    return _stack({**finding.films, **finding.curves})


def report(report: Report) -> Figure:
    """All pictures of a report, one below the other, each titled with its check.

    Raises:
        DataError: It has no picture.
    """
    pictures: dict[str, Curve | Film] = {}
    for item in report.items:
        own: dict[str, Curve | Film] = {**item.finding.films, **item.finding.curves}
        pictures |= {f"{item.name}: {title}": one for title, one in own.items()}
    return _stack(pictures)


def rollout(
    rolled: Trajectory,
    truth: Trajectory | None = None,
    units: Mapping[str, str] | None = None,
    rows: Names | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A rollout beside the truth: orbits in the plane, or the first column against time.

    Args:
        rolled: The rollout.
        truth: What it should be, drawn dotted as far as the rollout goes.
        units: Units of "time" and "position".
        rows: Rows to draw, by number or name; at most eight by default.
        ax: Axes to draw onto.

    Raises:
        DataError: There is no such row.
    """
    return curve(rollout_curve(rolled, truth, units or {}, rows), ax)


def phase(
    rolled: Trajectory,
    truth: Trajectory | None = None,
    units: Mapping[str, str] | None = None,
    rows: Names | None = None,
    ax: Axes | None = None,
) -> Figure:
    """The phase plane: the first position against its momentum or velocity.

    Args:
        rolled: The rollout.
        truth: What it should be, drawn dotted.
        units: Units of "position" and of "momentum" or "velocity".
        rows: Rows to draw, by number or name.
        ax: Axes to draw onto.

    Raises:
        DataError: The state has one column, or there is no such row.
    """
    return curve(phase_curve(rolled, truth, units or {}, rows), ax)


def energy(
    rolled: Trajectory | Mapping[str, Trajectory],
    source: Dynamics | Simulator,
    units: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """The relative error of the energy along a rollout, (E − E₀) / |E₀|, first system.

    Args:
        rolled: A rollout, or several by name; "" is the one that the axes are fitted to.
        source: Whose energy: the truth's, or the simulator's own.
        units: Unit of "time".
        ax: Axes to draw onto.

    Raises:
        ConfigError: The source has no energy.
    """
    named = rolled if isinstance(rolled, Mapping) else {"": rolled}
    return curve(energy_curve(named, source, units or {}), ax)


def directions(dataset: Trajectory | Iterable[Trajectory], ax: Axes | None = None) -> Figure:
    """How much of the data lies in each direction of the state: what they can teach.

    Args:
        dataset: A dataset, or trajectories.
        ax: Axes to draw onto.

    Raises:
        DataError: The systems differ in size, or there are too few samples.
    """
    return curve(directions_curve(dataset), ax)


def training(run: Path | str, ax: Axes | None = None) -> Figure:
    """Loss and held-out errors against epochs.

    Args:
        run: Folder of a run, or its metrics.csv.
        ax: Axes to draw onto.

    Raises:
        DataError: There is no metrics.csv, or nothing in it yet.
    """
    return curve(training_curve(run), ax)


def animation(
    rolled: Trajectory,
    truth: Trajectory,
    path: Path | str | None = None,
    units: Mapping[str, str] | None = None,
    rows: Names | None = None,
) -> Animation:
    """The rollout beside the truth as a GIF, of at most 61 frames.

    Args:
        rolled: The rollout.
        truth: What it should be.
        path: Where to write the GIF as well.
        units: Units of "time" and "position".
        rows: Rows to draw, by number or name.

    Raises:
        DataError: Rollout and truth have no two times in common.
    """
    moving = Animation(gif(film(rolled, truth, units, rows)))
    if path is not None:
        Path(path).write_bytes(moving)
    return moving


def _stack(pictures: Mapping[str, Curve | Film]) -> Figure:
    if not pictures:
        raise DataError("There is no picture: no check that applies has drawn one.")
    heights = [5.9 if one.equal else 4.6 for one in pictures.values()]
    figure = _figure(sum(heights))
    parts = figure.subfigures(len(pictures), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (title, one) in zip(parts, pictures.items(), strict=True):
        part.suptitle(labelled(title))
        if isinstance(one, Film):
            poster(one, part.subplots())
        else:
            draw(one, part.subplots(), "above")
    return figure


def _figure(height: float) -> Figure:
    from simlearn.stability.draw.figure import Picture

    return Picture(height=height)


def _of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
