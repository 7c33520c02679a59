"""Pictures of a training that was watched, from the record that its archive keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from simlearn.stability.finding import Curve, Line

RECORD = "training_dynamics"  # its place in the provenance
ROLES = ("judged", "truth", "reference")
SCALES = ("linear", "log", "symlog")


def watched(provenance: Mapping[str, Any]) -> list[tuple[str, Curve]]:
    """Title and picture of each callback that watched; without lines, its caption alone.

    The record comes with the archive, so that anything may be missing in it, or wrong.
    """
    record = provenance.get(RECORD)
    if not isinstance(record, Mapping):
        return []
    told = [one for one in record.values() if isinstance(one, Mapping)]
    return [(str(one.get("title", "")), _curve(one)) for one in told]


def without(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance with the numbers of the record, and without what is drawn of it."""
    kept = dict(provenance)
    record = kept.get(RECORD)
    if isinstance(record, Mapping):
        kept[RECORD] = {
            name: one.get("numbers", {}) for name, one in record.items() if isinstance(one, Mapping)
        }
    return kept


def _curve(told: Mapping[str, Any]) -> Curve:
    found = [_line(one) for one in _listed(told.get("lines")) if isinstance(one, Mapping)]
    scale = told.get("y_scale")
    return Curve(
        [one for one in found if one is not None],
        str(told.get("x_label", "")),
        str(told.get("y_label", "")),
        str(told.get("caption", "")),
        y_scale=scale if scale in SCALES else "linear",
    )


def _line(told: Mapping[str, Any]) -> Line | None:
    x, y = _listed(told.get("x")), _listed(told.get("y"))
    if len(x) != len(y) or not x:
        return None
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in (*x, *y)):
        return None
    role = told.get("role")
    return Line(x, y, role if role in ROLES else "judged", label=str(told.get("label", "")))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
