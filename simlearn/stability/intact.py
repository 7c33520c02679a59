"""What the record of a suite in a baseline looks like: looked at once, when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NUMBERS = ("value", "noise", "spread")


def well_formed(kept: Any) -> None:
    """Look at everything that a comparison will read.

    Raises:
        LookupError: Something is missing.
        ValueError: Something is not what simlearn writes.
    """
    kept = _mapping("a suite", kept)
    told = [kept[name] for name in ("data", "dt", "seed", "truth", "siblings")]
    if not all(isinstance(one, str | int | float) for one in told):
        raise ValueError(f"data, dt, seed, truth and siblings are text or numbers, got {told!r}")
    about = _mapping("about", kept.get("about", {}))
    if not all(one is None or isinstance(one, str | int) for one in about.values()):
        raise ValueError(f"about holds text and whole numbers, got {about!r}")
    if not isinstance(kept["checks"], list) or not kept["checks"]:
        raise ValueError(f"checks is a list with something in it, got {kept['checks']!r}")
    for one in kept["checks"]:
        _check(_mapping("a check", one))


def _check(check: Mapping[str, Any]) -> None:
    name = check["check"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"the name of a check is text, got {name!r}")
    _one_of(f"severity of {name}", check["severity"], ("error", "warning"))
    _mapping(f"arguments of {name}", check["arguments"])
    for metric, one in _mapping(f"metrics of {name}", check["metrics"]).items():
        told = f"{name}, {metric}"
        value = _metric(told, _mapping(told, one))
        judged = one["limit"] is not None and check["severity"] == "error"
        if judged and not math.isfinite(value):  # it would not have passed
            raise ValueError(f"{told}: value is finite, got {one['value']!r}")


def _metric(name: str, one: Mapping[str, Any]) -> float:
    value, noise, spread = (_number(f"{name}: {key}", one[key]) for key in NUMBERS)
    if noise < 0 or not 0 <= spread < math.inf:
        raise ValueError(
            f"{name}: noise and spread are sizes, got {one['noise']!r} and {one['spread']!r}"
        )
    if one["limit"] is not None:
        _number(f"{name}: limit", one["limit"])
    _one_of(f"{name}: sense", one["sense"], ("max", "min"))
    if not isinstance(one["unit"], str):
        raise ValueError(f"{name}: unit is text, got {one['unit']!r}")
    return value


def _number(name: str, given: Any) -> float:
    """A number as it stands in JSON: one that is not finite is text."""
    if isinstance(given, str):
        _one_of(name, given, ("nan", "inf", "-inf"))
    elif isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"{name} is a number, got {given!r}")
    return float(given)


def _one_of(name: str, given: Any, wanted: Sequence[str]) -> None:
    if given not in wanted:
        raise ValueError(f"{name} is one of {', '.join(wanted)}, got {given!r}")


def _mapping(name: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} is a mapping, got {given!r}")
    return given
