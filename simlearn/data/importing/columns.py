"""Which column of a table, or which array of a file, plays which part."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from simlearn.component import ConfigError
from simlearn.data.importing.guessing import SEVERAL, guessed, is_time


@dataclass(frozen=True)
class Columns:
    """The column map: the part that each column (of a table) or array (of a file) plays.

    Args:
        time: Time of each sample. Without it, ``dt`` is needed.
        state: Positions, or all there is of a state without velocities.
        velocity: Velocities, in the order of the positions; the state is then (q, v).
        momentum: Momenta, in the order of the positions; the state is then (q, p).
        derivative: Measured dx/dt, one for each column of the state.
        inputs: Control inputs; the value of a sample acts until the next one.
        node: Which node (body, particle) a row of the table belongs to.
        system: Which trajectory a row of the table belongs to.
        parameters: Constants of a trajectory, or of its nodes.
        units: Unit of each column by name, such as ``{t: s, q: m, v: m/s}``.
        wide: Whether every column of the state is a node with one component.
        dt: Time between two samples where there is no time column.
    """

    time: str | None = None
    state: Sequence[str] = ()
    velocity: Sequence[str] = ()
    momentum: Sequence[str] = ()
    derivative: Sequence[str] = ()
    inputs: Sequence[str] = ()
    node: str | None = None
    system: str | None = None
    parameters: Sequence[str] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    wide: bool = False
    dt: float | None = None

    def __post_init__(self) -> None:
        for name in SEVERAL:
            object.__setattr__(self, name, listed(getattr(self, name)))
        plain = {n: "" if u in (None, "-", "1") else str(u) for n, u in (self.units or {}).items()}
        object.__setattr__(self, "units", plain)
        twice = sorted(name for name, count in Counter(self.used()).items() if count > 1)
        if twice:
            raise ConfigError(f"The column map uses {', '.join(twice)} twice; each has one part.")
        if self.velocity and self.momentum:
            raise ConfigError("A state has velocities or momenta, not both; leave one out.")
        if self.wide and (self.node or self.second):
            raise ConfigError(
                "wide: every column of the state is a node of one component, so there is neither "
                "a node column nor velocities."
            )
        if self.dt is not None and (self.time or not self.dt > 0):
            raise ConfigError("dt is positive, and given only where there is no time column.")

    @property
    def second(self) -> Sequence[str]:
        """Velocities or momenta: the second half of the state."""
        return self.velocity or self.momentum

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the columns of the state, in order."""
        return (*self.state, *self.second)

    def used(self) -> Iterator[str]:
        """Every name that the map uses."""
        yield from (n for n in (self.time, self.node, self.system) if n is not None)
        for part in SEVERAL:
            yield from getattr(self, part)

    def against(self, available: Sequence[str], where: str) -> Columns:
        """The map completed by guesses, every name of it there.

        A part that was not given is guessed from common names; columns left over are the state.

        Raises:
            ConfigError: A name is not there, or no state or time is left.
        """
        there = set(available)
        for name in [*self.used(), *self.units]:
            if name not in there:
                raise ConfigError(f"{where} has no column {name!r}{_nearest(name, available)}")
        full = replace(self, **guessed(self, available))
        if not full.state:
            raise ConfigError(f"{where}: no column is left for the state; name it with --state.")
        if self.dt is not None and not self.state:
            _no_time(full.state, where)
        if full.time is None and full.dt is None:
            raise ConfigError(
                f"{where} has no time column; name it with --time, or give --dt. "
                f"It has: {', '.join(available)}."
            )
        return full

    def counted(self) -> Columns:
        """The map itself, where every count is right.

        Raises:
            ConfigError: Velocities, momenta or derivatives are not as many as they have to be.
        """
        if self.second and len(self.second) != len(self.state):
            raise ConfigError(
                f"{len(self.state)} positions ({', '.join(self.state)}) need as many velocities "
                f"or momenta, got {len(self.second)} ({', '.join(self.second)}). Name them with "
                "--state and --velocity or --momentum."
            )
        if self.derivative and len(self.derivative) != len(self.components):
            raise ConfigError(
                f"The derivative needs one column for each of {', '.join(self.components)}, got "
                f"{', '.join(self.derivative)}."
            )
        return self


def state_names(columns: Any, dim: int, numbered: str = "x") -> list[str]:
    """Names of the columns of the state; numbered where nobody named them.

    Args:
        columns: The column map as the provenance of a dataset keeps it; None where it keeps none.
        dim: Columns of the state. Of a wide table, whose columns are nodes, it is one: x.
        numbered: What stands before the number where there are no names.
    """
    columns = columns if isinstance(columns, Mapping) else {}
    if columns.get("wide"):
        names = ["x"]
    else:
        second = columns.get("velocity") or columns.get("momentum") or []
        names = [*columns.get("state", []), *second]
    return names if len(names) == dim else [f"{numbered}{k}" for k in range(dim)]


def _no_time(state: Sequence[str], where: str) -> None:
    """Refuse a time that would pass as a state because dt was given."""
    times = [name for name in state if is_time(name)]
    if times:
        raise ConfigError(
            f"{where}: dt is given, and there is a column {times[0]!r}. Leave dt out, or name the "
            "state with --state."
        )


def listed(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names from a list or from a text with commas."""
    if isinstance(value, str):
        value = value.split(",")
    return tuple(name.strip() for name in value or () if name.strip())


def _nearest(name: str, available: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, available, 1)
    hint = f"; did you mean {near[0]!r}?" if near else f". It has: {', '.join(available)}."
    alone = available[0] if len(available) == 1 else ""
    for mark, called in ((",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")):
        if mark in alone:
            return f": its header is one column {alone!r}. Is the delimiter a {called}?"
    return hint
