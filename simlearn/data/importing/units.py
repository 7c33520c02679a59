"""Units of the columns: known, and consistent with one another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns

HEADER = re.compile(r"^\s*(.+?)(\s*)(?:\[([^\]]*)\]|\(([^)]*)\))\s*$")
NONE = ("", "-", "1")


@lru_cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def split_header(cell: str) -> tuple[str, str | None]:
    """Name and unit of a header such as ``q [m]`` or ``v (m/s)``; None where there is no unit.

    A number right behind the name is an index, as in ``x[0]``; what stands in round brackets and
    is no unit belongs to the name.
    """
    found = HEADER.match(cell)
    if not found:
        return cell.strip(), None
    square = found[3] is not None
    unit = (found[3] if square else found[4]).strip()
    if (not found[2] and unit.isdigit()) or (not square and unit not in NONE and not known(unit)):
        return cell.strip(), None
    return found[1], "" if unit in NONE else unit


def _unit(text: str) -> Any:
    # to a physicist AU is the astronomical unit, to the library an absorbance
    return _registry().Unit(re.sub(r"\bAU\b", "au", text))


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
    used = set(columns.used())
    for name, unit in columns.units.items():
        if name in used and unit not in NONE and not known(unit):
            raise DataError(
                f"{where}: the unit {unit!r} of column {name!r} is unknown. Write it as in m, s, "
                f"kg, m/s**2, rad, au or day, for example --units {name}=m."
            )
    slopes = list(zip(columns.velocity, columns.state, strict=False))
    slopes += list(zip(columns.derivative, columns.components, strict=False))
    for rate, base in slopes:
        _rate(rate, base, columns, where)


def _rate(rate: str, base: str, columns: Columns, where: str) -> None:
    named = [columns.units.get(n, "") for n in (rate, base, columns.time or "")]
    given, of, time = named
    if any(unit in NONE for unit in named):
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


def same(one: str, other: str) -> bool:
    """Whether two units are one, however they are written."""
    if one == other or one in NONE or other in NONE:
        return (one in NONE and other in NONE) or one == other
    return bool(_unit(one) == _unit(other))


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
