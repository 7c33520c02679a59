"""The HTML page of a report: one file, readable offline, every name in it escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from simlearn.stability.draw import gif, picture, place, still, thinned
from simlearn.stability.finding import Curve, Film
from simlearn.stability.report import Report
from simlearn.stability.tables import limit, marginal, measured, number, titles, verdict
from simlearn.stability.watched import watched, without

TABLE_ROWS = 24
MOMENTS = 8
POINTS = 12

Table = dict[str, Any]


def to_html(report: Report) -> str:
    """The report as one self-contained page."""
    environment = Environment(
        loader=PackageLoader("simlearn.stability", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = [
        [
            *(_film(title, film) for title, film in item.finding.films.items()),
            *(_curve(title, curve) for title, curve in item.finding.curves.items()),
        ]
        for item in report.items
    ]
    template = environment.get_template("report.html")
    return template.render(
        report=report,
        pictures=pictures,
        ladder=_ladder(report.provenance.get("ladder")),
        training=[_curve(title, curve) for title, curve in watched(report.provenance)],
        provenance=without(report.provenance),
        titles=titles(report),
        verdict=verdict(report),
        marginal=marginal(report),
        arguments=[_arguments(item.arguments) for item in report.items],
        limit=limit,
        measured=measured,
        number=number,
    )


def _arguments(given: Mapping[str, Any]) -> str:
    """What a check was asked, in words; what was left out is left out."""
    return ", ".join(f"{name} {_said(one)}" for name, one in given.items() if one is not None)


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(one) for one in value)
    return number(value) if isinstance(value, float) else str(value)


def _ladder(record: Any) -> dict[str, Any] | None:
    """Stages and choice of a training in closed form, ready to be shown; None where there is none.

    The record comes with the archive, so that anything may be missing in it.
    """
    try:
        return _told_of(record) if isinstance(record, Mapping) and record.get("rungs") else None
    except (TypeError, ValueError, LookupError, AttributeError):  # a record of other kinds
        return None


def _told_of(record: Mapping[str, Any]) -> dict[str, Any]:
    network = any("stages" in rung for rung in record["rungs"])
    return {
        **(NETWORK if network else ENERGY),
        "rows": [(_size_of_basis if network else _rung)(rung) for rung in record["rungs"]],
        "choice": str(record.get("choice", "")),
        "words": list(_words(record)),
    }


ENERGY = {
    "title": "How the energy was found",
    "lead": "In closed form, from the most structured energy to the most general, as far as the "
    "data ask.",
    "head": (
        "stage",
        "error on trajectories left out",
        "beyond noise",
        "coefficients",
        "length scales",
    ),
}
NETWORK = {
    "title": "How the network was found",
    "lead": "In closed form, from the smallest basis to the largest, as far as whole rollouts from "
    "the first states come closer to the training data.",
    "head": ("basis", "error of whole rollouts", "stages", "coefficients", "what each stage left"),
}


def _rung(rung: Mapping[str, Any]) -> list[str]:
    return [
        str(rung.get("rung", "")),
        _share(rung.get("cross_validated_error")),
        _share(rung.get("beyond_noise")),
        str(rung.get("coefficients", "")),
        ", ".join(map(str, rung.get("scales", ()))),
    ]


def _size_of_basis(rung: Mapping[str, Any]) -> list[str]:
    stages = rung.get("stages", ())
    told: dict[str, str] = {}  # of stages that follow one another under one name, the last
    for one in stages:
        told[str(one.get("stage", ""))] = _share(one.get("error"))
    return [
        str(rung.get("rung", "")),
        _share(rung.get("error")),
        str(len(stages)),
        str(rung.get("coefficients", "")),
        ", ".join(f"{name}: {error}" for name, error in told.items()),
    ]


def _share(value: Any) -> str:
    return f"{value:.2%}" if isinstance(value, float) and value > 1e-4 else _size(value)


def _size(value: Any) -> str:
    return f"{100 * value:.1e}%" if isinstance(value, float) else ""


def _words(record: Mapping[str, Any]) -> Iterator[str]:
    """What was done, a sentence each."""
    if "states" in record:
        yield f"States: {record['states']}, {record.get('samples', 'some')} of them in the fit."
    if record.get("why"):
        yield f"No closed form would do: {record['why']}."
    joint = record.get("joint")
    if joint:
        noise = ", ".join(number(value) for value in joint.get("state_noise", ()))
        yield (
            "Coefficients and initial states were then fitted together through rollouts: "
            f"{joint.get('iterations')} iterations, noise of the states {noise}."
        )
    for one in record.get("guard", ()):
        yield f"{one.get('blown_up')} rollouts blew up, so the ridge was raised by a decade."
    if record.get("blown_up"):
        lost = record["blown_up"]
        yield f"{lost} rollouts that go on beyond the data still blow up, whatever the ridge."


def _curve(title: str, curve: Curve) -> dict[str, Any]:
    labels = list(dict.fromkeys(line.label for line in curve.lines if line.label))
    x_label = curve.x_label or "name"
    return {
        "title": title,
        "caption": curve.caption,
        "alt": f"{curve.y_label} against {x_label}; lines: {', '.join(labels) or 'one'}.",
        "still": _data("png", picture(curve)) if curve.lines else "",
        "tables": _curve_tables(curve, x_label),
    }


def _film(title: str, film: Film) -> dict[str, Any]:
    who = " and ".join(track.label for track in film.tracks)
    about = f"{film.y_label} against {film.x_label}, moving: {who}"
    return {
        "title": title,
        "caption": film.caption,
        "alt": f"{about}, from t = {film.t[0]:.4g} to {film.t[-1]:.4g}.",
        "moving": _data("gif", gif(film)),
        "still": _data("png", still(film)),
        "tables": [_film_table(film)],
    }


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _curve_tables(curve: Curve, x_label: str) -> list[Table]:
    """The numbers behind a picture, at most 24 of each line."""
    tables = []
    for line in curve.lines:
        rows = [
            [curve.categories[int(x)] if curve.categories else _told(x), _told(y)]
            for x, y in zip(*thinned(line, TABLE_ROWS), strict=True)
        ]
        label = " · ".join(part for part in (line.group, line.label) if part)
        tables.append({"label": label, "head": [x_label, curve.y_label], "rows": rows})
    return tables


def _film_table(film: Film) -> Table:
    """Where the points are at eight moments, at most twelve of them."""
    frames, count = place(film), len(film.tracks[0].x[0])
    most = min(MOMENTS, len(frames))
    moments = [frames[round(k * (len(frames) - 1) / max(1, most - 1))] for k in range(most)]
    points = range(0, count, -(-count // POINTS))
    axes = ["y"] if film.joined else ["x", "y"]
    labels = {"x": film.x_label, "y": film.y_label}
    head = [f"{labels[axis]}, {track.label}" for axis in axes for track in film.tracks]
    rows = [
        [
            _told(film.t[k]),
            film.names[point] if film.names else str(point),
            *(_told(getattr(track, axis)[k][point]) for axis in axes for track in film.tracks),
        ]
        for k in moments
        for point in points
    ]
    return {"label": "", "head": [film.t_label, "row", *head], "rows": rows}


def _told(value: float) -> str:
    return number(value) if math.isfinite(value) else "none"
