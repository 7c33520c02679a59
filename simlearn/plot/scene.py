"""Turns trajectories into a `Film`: which plane, which rows, which stretch of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.stability.finding import Film, Track
from simlearn.state import Trajectory

SAMPLES = 480  # a film keeps so many, to draw smooth trails between its frames
TURNS = 8.0  # a film of more turns would jump from frame to frame
SEEN = 9  # rows that can be told apart
WIDE, KEPT = 4.0, 2.0  # times the median distance: rows so far leave the others too small to see

Names = Sequence[int | str]


def row_names(trajectory: Trajectory) -> list[str]:
    """A name for every row: that of its node type, or its number."""
    topology = trajectory.topology
    if topology.node_type is not None and topology.node_names:
        return [topology.node_names[k] for k in topology.node_type.tolist()]
    return [f"row {k}" for k in range(topology.rows)]


def picked(trajectory: Trajectory, rows: Names | None, most: int = SEEN) -> list[int]:
    """Numbers of the rows asked for by number or name; evenly spaced ones where none are.

    Raises:
        DataError: There is no such row.
    """
    names = row_names(trajectory)
    if rows is None:
        last, count = len(names) - 1, min(most, len(names))
        return [round(k * last / max(1, count - 1)) for k in range(count)]
    found = [names.index(r) if isinstance(r, str) and r in names else r for r in rows]
    wrong = [r for r in found if isinstance(r, str) or not 0 <= r < len(names)]
    if wrong:
        raise DataError(f"There is no row {wrong[0]!r}; the rows are {', '.join(names)}.")
    return [int(r) for r in found]


def film(
    rolled: Trajectory,
    truth: Trajectory,
    units: Mapping[str, str] | None = None,
    rows: Names | None = None,
    origin: str | None = None,
) -> Film:
    """The rollout beside the truth, at the times both have.

    Positions of two or more dimensions move in the plane of the first two; positions of joined rows
    on a line are drawn against the row; a single degree of freedom moves in its phase plane; states
    without halves in the plane of their first two columns. A film of many turns shows the last
    eight.

    Args:
        rolled: The rollout.
        truth: The data; times that the rollout does not have are left out.
        units: Units of "time" and "position".
        rows: Rows to draw, by number or name; those that can be seen by default.
        origin: Name of the row that the others are seen from.

    Raises:
        DataError: The two have fewer than two times in common, or there is no such row.
    """
    plane = _plane(rolled, units or {})
    return _filmed(rolled, truth, units or {}, rows, origin if plane.equal else None, plane)


def _filmed(
    rolled: Trajectory,
    truth: Trajectory,
    units: Mapping[str, str],
    rows: Names | None,
    origin: str | None,
    plane: _Plane,
) -> Film:
    names = row_names(truth)
    t, mine, theirs = together(rolled, truth)
    if origin is not None:
        (center,) = picked(truth, [origin])
        mine, theirs = mine - mine[:, center, None], theirs - theirs[:, center, None]
    mine, theirs = plane.of(mine, t), plane.of(theirs, t)
    if plane.joined or rows is not None:
        chosen = picked(truth, rows, theirs.shape[1])
    else:
        chosen = _visible(theirs, names, origin)
    kept = _stretch(t, theirs[:, chosen], plane.joined)
    tracks = [_track(theirs[kept][:, chosen], "truth"), _track(mine[kept][:, chosen], "judged")]
    when = (t[kept] - t[0]).tolist()
    told = [plane.caption, f"Seen from {origin}." if origin else ""]
    if len(chosen) < len(names) - (origin is not None):
        told.append(f"{len(chosen)} of {len(names)} rows.")
    if when[0]:
        span = f"from {when[0]:.4g} to {when[-1]:.4g} {units.get('time', '')}".strip()
        told.append(f"The last part: {span}.")
    return plane.film(when, tracks, units, " ".join(filter(None, told)), [names[k] for k in chosen])


def per(unit: str) -> str:
    """A unit behind a label."""
    return f" / {unit}" if unit else ""


@dataclass(frozen=True)
class _Plane:
    """Where a state is drawn.

    Attributes:
        columns: Two columns of the state; −1 is the number of the row, −2 the time.
    """

    columns: tuple[int, int]
    x_label: str
    y_label: str
    caption: str
    equal: bool = False
    joined: bool = False

    def of(self, x: Tensor, t: Tensor) -> Tensor:
        """``[steps, rows, dim]`` to ``[steps, rows, 2]``."""
        number = torch.arange(x.shape[1], dtype=x.dtype).expand(x.shape[:2])
        since = (t - t[0]).to(x.dtype)[:, None].expand(x.shape[:2])
        own = {-1: number, -2: since}
        return torch.stack([own[c] if c < 0 else x[..., c] for c in self.columns], dim=-1)

    def film(
        self,
        t: list[float],
        tracks: list[Track],
        units: Mapping[str, str],
        caption: str,
        names: list[str],
    ) -> Film:
        """A film in this plane."""
        label = "time since the start" + per(units.get("time", ""))
        axes = self.x_label, self.y_label
        return Film(t, tracks, *axes, label, caption, names, self.equal, self.joined)


def _plane(rolled: Trajectory, units: Mapping[str, str]) -> _Plane:
    dim, edges = rolled.dim, rolled.topology.graph.edge_index.shape[1]
    unit = per(units.get("position", ""))
    told = "Each dot is this simulator's, the ring the held-out data's: they belong together."
    if dim % 2 and dim > 1:
        return _Plane((0, 1), "column 0", "column 1", told)
    if dim >= 4:
        return _Plane((0, 1), f"x{unit}", f"y{unit}", told, equal=True)
    if rolled.topology.rows > 1 and (edges or dim == 1):
        return _Plane((-1, 0), "row", f"position{unit}", told, joined=True)
    if dim == 1:
        return _Plane((-2, 0), "time since the start", f"position{unit}", told)
    second = next((name for name in ("momentum", "velocity") if name in units), "momentum")
    other = f"{second}{per(units.get(second, ''))}"
    return _Plane((0, 1), f"position{unit}", other, told)


def together(rolled: Trajectory, truth: Trajectory) -> tuple[Tensor, Tensor, Tensor]:
    """Times ``[steps]`` that both have, and the states of both, NaN where a sample is missing.

    Raises:
        DataError: There are fewer than two.
    """
    if rolled.t.ndim > 1 or truth.t.ndim > 1:
        raise DataError("A film needs one time axis; split the systems first.")
    if rolled.x.shape[1:] != truth.x.shape[1:]:
        shapes = list(rolled.x.shape[1:]), list(truth.x.shape[1:])
        raise DataError(f"The rollout has states {shapes[0]}, the truth {shapes[1]}.")
    spacing = float(truth.t.diff().min()) if truth.steps > 1 else 1.0
    index = torch.searchsorted(truth.t.contiguous(), rolled.t - spacing / 2).clamp_max(
        truth.steps - 1
    )
    hit = (truth.t[index] - rolled.t).abs() < 1e-3 * spacing
    if int(hit.sum()) < 2:
        raise DataError("Rollout and truth have no two times in common; check simulator.dt.")
    theirs = _seen(truth)[index[hit]].double()
    return rolled.t[hit].double(), _seen(rolled)[hit].double(), theirs


def _seen(one: Trajectory) -> Tensor:
    if one.mask is None:
        return one.x
    return torch.where(one.mask[..., None], one.x, torch.nan)


def _visible(points: Tensor, names: list[str], origin: str | None) -> list[int]:
    """The inner rows where the outer ones would leave them too small, evenly spaced, at most 9."""
    rows = [k for k, name in enumerate(names) if name != origin] or [0]
    seen = points[:, rows]
    center = 0.0 if origin is not None or len(rows) < 3 else seen.nanmedian(1, keepdim=True).values
    far = (seen - center).norm(dim=-1).nan_to_num(0.0).amax(0)
    middle = float(far.median())
    if len(rows) > 2 and float(far.max()) > WIDE * middle:
        rows = [k for k, one in zip(rows, far.tolist(), strict=True) if one <= KEPT * middle]
    last, count = len(rows) - 1, min(SEEN, len(rows))
    return [rows[round(k * last / max(1, count - 1))] for k in range(count)]


def _stretch(t: Tensor, truth: Tensor, joined: bool) -> Tensor:
    """Numbers of the samples of a film: its last turns, where there are many."""
    turns = float(_turns(truth[..., 1] if joined else truth[..., 0]).max())
    first = 0 if turns <= TURNS else int(len(t) * (1 - TURNS / turns))
    count = min(SAMPLES, len(t) - first)
    return torch.linspace(first, len(t) - 1, count).round().long()


def _turns(values: Tensor) -> Tensor:
    """Turns of each row, half its crossings of the mean: ``[steps, rows]`` to [rows]."""
    side = (values - values.nanmean(0)).nan_to_num(0.0) > 0
    return (side[1:] != side[:-1]).sum(0) / 2


def _track(points: Tensor, role: str) -> Track:
    x, y = points[..., 0].tolist(), points[..., 1].tolist()
    if role == "truth":
        return Track(x, y, "truth", "held-out data")
    return Track(x, y, "judged", "this simulator")
