"""Guesses from common names: the part a column plays, and which columns belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simlearn.data.importing.columns import Columns

SEVERAL = ("state", "velocity", "momentum", "derivative", "inputs", "parameters")
GUESSES = {
    "time": r"t|time|times|timestamp",
    "system": r"system|trajectory|traj|run|run_?id|trajectory_?id|system_?id|episode|sim(ulation)?",
    "node": r"node|node_?id|body|particle|particle_?id|vertex|agent",
    "velocity": r"v\d*|v_\w+|v[xyz]|vel\w*|omega\d*|\w+_dot|\w+_velocity",
    "momentum": r"p\d*|p_\w+|p[xyz]|mom\w*|\w+_momentum",
    "derivative": r"d\w+_?dt|d\w+/dt",
    "inputs": r"u\d*|u_\w+|input\w*|control\w*|force\w*|torque\w*",
}
AFTER = r"(\w+?)_?(?:dot|velocity|vel|momentum|mom)"  # q1_dot, x_velocity
BEFORE = r"(?:velocity|vel|momentum|mom|omega|v|p)_?(\w+)"  # vx, v_x, p1
SLOPE = r"d(\w+?)(?:_dt|/dt|dt)"
Fits = Callable[[str, str], bool]


def guessed(given: Columns, available: Sequence[str]) -> dict[str, Any]:
    """The parts that were not given, from common names; columns left over are the state."""
    found: dict[str, Any] = {}
    used = set(given.used())
    free = [name for name in available if name not in used]
    for part, pattern in GUESSES.items():
        if getattr(given, part) or (part == "time" and given.dt is not None):
            continue
        if part in ("node", "velocity", "momentum") and given.wide:
            continue
        if part in ("velocity", "momentum", "derivative", "inputs") and given.state:
            continue  # whoever names the state, names what belongs to it
        hits = [name for name in free if re.fullmatch(pattern, name, re.IGNORECASE)]
        if part in ("velocity", "momentum") and not _half(hits, free, found):
            continue
        if hits:
            found[part] = tuple(hits) if part in SEVERAL else hits[0]
            taken = set(hits if part in SEVERAL else hits[:1])
            free = [name for name in free if name not in taken]
    if not given.state:
        found["state"] = tuple(free)
    _order(given, found)
    return found


def is_time(name: str) -> bool:
    """Whether a column is called as times are."""
    return re.fullmatch(GUESSES["time"], name, re.IGNORECASE) is not None


def _half(hits: Sequence[str], free: Sequence[str], found: Mapping[str, object]) -> bool:
    """Whether as many columns are left for positions as look like velocities or momenta."""
    others = [
        name
        for name in free
        if name not in hits
        and not any(
            re.fullmatch(GUESSES[part], name, re.IGNORECASE) for part in ("derivative", "inputs")
        )
    ]
    return len(others) == len(hits) and "velocity" not in found


def _order(given: Columns, found: dict[str, Any]) -> None:
    """Put what was guessed into the order of what it belongs to."""
    for part in ("velocity", "momentum"):
        if part in found:
            found[part] = along(found[part], found["state"], _same, _alike)
        elif getattr(given, part) and "state" in found:
            rates = getattr(given, part)
            found["state"] = along(
                found["state"], rates, lambda q, v: _same(v, q), lambda q, v: _alike(v, q)
            )
    if "derivative" in found:
        parts = ("state", "velocity", "momentum")
        bases = [name for part in parts for name in found.get(part) or getattr(given, part)]
        found["derivative"] = along(found["derivative"], bases, _slope)


def along(names: Sequence[str], bases: Sequence[str], *readings: Fits) -> tuple[str, ...]:
    """Names in the order of what they belong to; in their own where they do not tell.

    Args:
        names: To be ordered.
        bases: What they belong to.
        readings: Whether a name belongs to a base; the first reading that pairs all of them (the
            last pair may be left over) counts.
    """
    for fits in readings if len(names) == len(bases) else ():
        hits = {base: [name for name in names if fits(name, base)] for base in bases}
        paired = {base: each[0] for base, each in hits.items() if len(each) == 1}
        rest = [name for name in names if name not in paired.values()]
        if len(rest) == 1 and len(paired) == len(bases) - 1:
            paired |= {base: rest[0] for base, each in hits.items() if not each}
        if len(paired) == len(set(paired.values())) == len(names):
            return tuple(paired[base] for base in bases)
    return tuple(names)


def _same(rate: str, base: str) -> bool:
    """vx, v_x, px, x_dot belong to x."""
    return base.casefold() in _stems(rate)


def _alike(rate: str, base: str) -> bool:
    """v1 and p1 belong to q1, vel_x to pos_x."""
    base = base.casefold()
    last = re.search(r"\d+$", base)
    tails = {base[1:].lstrip("_"), base.rpartition("_")[2], last[0] if last else ""}
    return bool(_stems(rate) & (tails - {""}))


def _stems(rate: str) -> set[str]:
    found = [re.fullmatch(pattern, rate.casefold()) for pattern in (AFTER, BEFORE)]
    return {one[1] for one in found if one}


def _slope(rate: str, base: str) -> bool:
    found = re.fullmatch(SLOPE, rate.casefold())
    return found is not None and found[1] == base.casefold()
