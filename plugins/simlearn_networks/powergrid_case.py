"""The grids of the IEEE, as pandapower carries them: who is joined to whom, and how strongly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csgraph

from simlearn import ConfigError, DataError, EnvironmentFault

Case = Literal[14, 30, 39, 57, 118, 300]
Floats = npt.NDArray[np.float64]

STEPS = 50  # of Newton's method, which needs four on the cases as they are
FLAT = 1e-11  # power that may be missing at a bus, per unit


@dataclass(frozen=True, eq=False)
class Grid:
    """A transmission grid without losses.

    Attributes:
        buses: ``[n]`` numbers of the buses in the IEEE's own count.
        power: ``[n]`` generation minus load, per unit of ``base``; adds up to zero.
        ends: ``[2, lines]`` rows of the two buses of each line, the smaller first.
        susceptance: ``[lines]`` |Vᵢ| |Vⱼ| / xᵢⱼ, per unit; parallel circuits are one line.
        base: Power that counts as one, in MW.
        frequency: Of the grid, in rad/s.
    """

    buses: npt.NDArray[np.int64]
    power: Floats
    ends: npt.NDArray[np.int64]
    susceptance: Floats
    base: float
    frequency: float

    def whole(self) -> bool:
        """Whether every bus can be reached from every other."""
        return int(csgraph.connected_components(self._matrix(self.susceptance), False)[0]) == 1

    def without(self, lines: Iterable[int]) -> Grid:
        """The same grid with lines removed, by their place in ``ends``."""
        kept = np.delete(np.arange(self.ends.shape[1]), list(lines))
        return replace(self, ends=self.ends[:, kept], susceptance=self.susceptance[kept])

    def line(self, pair: Sequence[int]) -> int:
        """The place of a line between two buses, given by their numbers.

        Raises:
            ConfigError: There is no such bus or line.
        """
        if len(pair) != 2:
            raise ConfigError(f"A line is named by the numbers of its two buses, got {list(pair)}.")
        for bus in pair:
            if bus not in self.buses:
                raise ConfigError(f"The grid has no bus {bus}; its buses are {told(self.buses)}.")
        first, second = sorted(int(np.flatnonzero(self.buses == bus)[0]) for bus in pair)
        found = np.flatnonzero((self.ends[0] == first) & (self.ends[1] == second))
        if not len(found):
            at = (self.ends == first) | (self.ends == second)
            near = [sorted(self.buses[self.ends[:, k]].tolist()) for k in np.flatnonzero(at.any(0))]
            raise ConfigError(
                f"No line joins the buses {pair[0]} and {pair[1]}. Lines at these buses: {near}."
            )
        return int(found[0])

    def rest(self, begin: Floats | None = None) -> Floats:
        """Angles ``[n]`` at which power flows as it is fed in, the first bus at zero (Newton).

        Args:
            begin: Angles to begin from; all alike where not given.

        Raises:
            DataError: There are none nearby: the lines cannot carry the power.
        """
        angle = np.zeros(len(self.buses)) if begin is None else begin - begin[0]
        for _ in range(STEPS):
            turned = angle[self.ends[0]] - angle[self.ends[1]]
            flow = self.susceptance * np.sin(turned)
            out = np.bincount(self.ends[0], flow, len(angle))
            missing = self.power - out + np.bincount(self.ends[1], flow, len(angle))
            if np.abs(missing).max() < FLAT:
                return angle
            stiff = self._matrix(self.susceptance * np.cos(turned)).toarray()
            laplacian = np.diag(stiff.sum(0)) - stiff
            if not np.isfinite(laplacian).all() or np.linalg.cond(laplacian[1:, 1:]) > 1e12:
                break
            angle[1:] += np.linalg.solve(laplacian[1:, 1:], missing[1:])
        raise DataError(
            "The grid has no operating point near the one that was sought: its lines cannot carry "
            "the power. Put fewer of them out of service."
        )

    def _matrix(self, weight: Floats) -> coo_array:
        """Symmetric, with these weights on the lines."""
        n, (a, b) = len(self.buses), self.ends
        both = np.concatenate([a, b]), np.concatenate([b, a])
        return coo_array((np.concatenate([weight, weight]), both), shape=(n, n))


def told(buses: npt.NDArray[np.int64]) -> str:
    """Numbers of buses, shortened."""
    return f"{buses.min()} to {buses.max()}" if len(buses) > 8 else str(buses.tolist())


@cache
def grid(case: int) -> Grid:
    """A case of pandapower as a grid without losses.

    Raises:
        EnvironmentFault: pandapower is not installed.
    """
    try:
        from pandapower import networks
    except ImportError as error:
        raise EnvironmentFault(
            "PowerGrid needs pandapower, which is not installed. Run: pip install "
            "'simlearn[powergrid]'"
        ) from error
    net = getattr(networks, f"case{case}")()
    place = {bus: row for row, bus in enumerate(net.bus.index)}
    n, base = len(place), float(net.sn_mva)

    def rows(buses: object) -> npt.NDArray[np.int64]:
        return np.array([place[bus] for bus in buses], dtype=np.int64)  # type: ignore[attr-defined]

    power, voltage = np.zeros(n), np.ones(n)
    for table, sign in ((net.gen, 1), (net.sgen, 1), (net.load, -1)):
        np.add.at(power, rows(table.bus), sign * table.p_mw.to_numpy(float) / base)
    for table in (net.gen, net.ext_grid):
        voltage[rows(table.bus)] = table.vm_pu.to_numpy(float)
    power[rows(net.ext_grid.bus)[0]] -= power.sum()
    volts = net.bus.vn_kv.to_numpy(float)
    line, ends = net.line, np.stack([rows(net.line.from_bus), rows(net.line.to_bus)])
    x = line.x_ohm_per_km.to_numpy(float) * line.length_km.to_numpy(float) * base
    x = x / volts[ends[0]] ** 2 / line.parallel.to_numpy(float)
    far = np.stack([rows(net.trafo.hv_bus), rows(net.trafo.lv_bus)])
    ends, x = np.concatenate([ends, far], 1), np.concatenate([x, _transformers(net, far, volts)])
    ends, x, kept = _in_series(ends, x, power)
    numbers = np.array([int(name) for name in net.bus.name], dtype=np.int64)
    ends, susceptance = _joined(ends, voltage[ends[0]] * voltage[ends[1]] / x)
    back = np.cumsum(kept) - 1
    return Grid(
        numbers[kept], power[kept], back[ends], susceptance, base, 2 * np.pi * float(net.f_hz)
    )


def _transformers(net: object, ends: npt.NDArray[np.int64], volts: Floats) -> Floats:
    """Reactance per unit, times the turns ratio off nominal."""

    def column(name: str) -> Floats:
        found: Floats = net.trafo[name].to_numpy(float)  # type: ignore[attr-defined]
        return found

    base = float(net.sn_mva)  # type: ignore[attr-defined]
    high, low = column("vn_hv_kv"), column("vn_lv_kv")
    scale = (low / volts[ends[1]]) ** 2 * base / column("sn_mva") / column("parallel") / 100
    size, lost = column("vk_percent"), column("vkr_percent")
    x = np.sign(size) * np.sqrt(size**2 - lost**2) * scale
    moved = column("tap_pos") - column("tap_neutral")
    step = np.nan_to_num(moved * column("tap_step_percent") / 100)
    at_low = (net.trafo.tap_side == "lv").to_numpy(bool)  # type: ignore[attr-defined]
    ratio = np.where(at_low, 1 / (1 + step), 1 + step)
    turns: Floats = ratio * high / volts[ends[0]] * volts[ends[1]] / low
    return x * turns


def _in_series(
    ends: npt.NDArray[np.int64], x: Floats, power: Floats
) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.bool_]]:
    """Series capacitors, branches with x < 0, together with the line that they compensate.

    With an inertia of its own, the bus between them would run away. Which buses are kept, last.
    """
    kept = np.ones(len(power), dtype=bool)
    for branch in np.flatnonzero(x < 0):
        for end in range(2):
            middle = ends[end, branch]
            others = [k for k in np.flatnonzero((ends == middle).any(0)) if k != branch]
            if len(others) == 1 and power[middle] == 0 and kept[middle]:
                (other,) = others
                far = ends[:, other][ends[:, other] != middle][0]
                ends[:, other], x[other] = (ends[1 - end, branch], far), x[other] + x[branch]
                kept[middle] = False
                break
    stay = x > 0
    return ends[:, stay], x[stay], kept


def _joined(
    ends: npt.NDArray[np.int64], susceptance: Floats
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Parallel circuits as one line, whose susceptance is their sum; lines in order."""
    pairs, which = np.unique(np.sort(ends, axis=0), axis=1, return_inverse=True)
    total = np.bincount(which.ravel(), susceptance, pairs.shape[1])
    return pairs, total.astype(np.float64)
