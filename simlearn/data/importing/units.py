"""Units of the columns: known, and consistent with one another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns

HEADER = re.compile(r"^\s*(.+?)\s*(?:\[([^\]]*)\]|\(([^)]*)\))\s*$")


@lru_cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def split_header(cell: str) -> tuple[str, str | None]:
    """Name and unit of a header such as ``q [m]`` or ``v (m/s)``; None where there is no unit."""
    found = HEADER.match(cell)
    if not found:
        return cell.strip(), None
    unit = (found[2] if found[2] is not None else found[3]).strip()
    return found[1], unit if unit in ("", "-", "1") or known(unit) else None


def _unit(text: str) -> Any:
    # to a physicist AU is the astronomical unit, to the library an absorbance
    return _registry().Unit("au" if text == "AU" else text)


def known(unit: str) -> bool:
    """Whether it is a unit at all."""
    try:
        _unit(unit)
    except Exception:  # the library leaks errors of its tokenizer
        return False
    return True


def checked(columns: Columns, where: str) -> None:
    """Refuse unknown units, and velocities that are not position over time.

    Raises:
        DataError: A unit is unknown, or does not fit the others.
    """
    for name, unit in columns.units.items():
        if unit and not known(unit):
            raise DataError(
                f"{where}: the unit {unit!r} of column {name!r} is unknown. Write it as in m, s, "
                "kg, m/s**2, rad, au or day; leave it out for plain numbers."
            )
    slopes = list(zip(columns.velocity, columns.state, strict=False))
    slopes += list(zip(columns.derivative, columns.components, strict=False))
    for rate, base in slopes:
        _rate(rate, base, columns, where)


def _rate(rate: str, base: str, columns: Columns, where: str) -> None:
    named = (columns.units.get(n, "") for n in (rate, base, columns.time or ""))
    given, of, time = named
    if not (given and of and time):
        return
    wanted = _unit(of) / _unit(time)
    have = _unit(given)
    if have == wanted:
        return
    if not have.is_compatible_with(wanted):
        raise DataError(
            f"{where}: {rate!r} is in {given}, but the rate of {base!r} ({of}) over time ({time}) "
            f"would be in {wanted:~}. Mend the units or the column map."
        )
    factor = (1 * have).to(wanted).magnitude
    if abs(factor - 1) > 1e-12:
        raise DataError(
            f"{where}: {rate!r} is in {given}, but {base!r} per time is in {wanted:~}; they differ "
            f"by a factor of {factor:.6g}. Convert one column, so that dx/dt means what it says."
        )


def roles(columns: Columns) -> dict[str, str]:
    """Units of "time", "position" and "velocity" or "momentum", as datasets keep them.

    A part whose columns differ in unit has none.
    """
    parts: dict[str, Sequence[str]] = {"position": columns.state}
    if columns.second:
        parts["velocity" if columns.velocity else "momentum"] = columns.second
    found = {"time": columns.units.get(columns.time or "", "")}
    for part, names in parts.items():
        seen = {columns.units.get(name, "") for name in names}
        found[part] = seen.pop() if len(seen) == 1 else ""
    return found


def merged(given: Mapping[str, str], header: Mapping[str, str]) -> dict[str, str]:
    """Units of the column map over those of the header."""
    return {**header, **given}
