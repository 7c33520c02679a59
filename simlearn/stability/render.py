"""The HTML page of a report: one file, readable offline, every name in it escaped."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from simlearn.stability.draw import picture, thinned
from simlearn.stability.finding import Curve
from simlearn.stability.report import Report, measured, number

TABLE_ROWS = 24


def _table(curve: Curve) -> list[dict[str, Any]]:
    """The numbers behind a picture, at most 24 of each line."""
    tables = []
    for line in curve.lines:
        label = " · ".join(part for part in (line.group, line.label) if part)
        rows = [
            (curve.categories[int(x)] if curve.categories else number(x), number(y))
            for x, y in zip(*thinned(line, TABLE_ROWS), strict=True)
        ]
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
