"""Positions and velocities of the Sun and planets, measured, not simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

import simlearn

BODIES = (
    "sun",
    "mercury",
    "venus",
    "earth-moon-barycenter",
    "mars",
    "jupiter",
    "saturn",
    "uranus",
    "neptune",
)


class SolarSystem(simlearn.DatasetGenerator):
    """Barycentric positions and velocities of Sun and planets.

    The state is (q, v) in AU and AU/day, one row a body.

    From astropy's built-in ephemeris (ERFA: `epv00` for Sun and Earth, `plan94` for the planets),
    which needs no download. `plan94` follows Simon et al. 1994 and is good to some 1e-5 AU for the
    inner and 1e-3 AU for the outer planets between 1000 and 3000. Trajectory i begins where
    trajectory i − 1 ends; the seed changes nothing.

    Args:
        start: Date of the first sample, TDB, as in 1980-01-01. Good values: 1000 to 2990.

    Raises:
        EnvironmentFault: astropy is not installed.
        ConfigError: The date cannot be read.
    """

    def __init__(self, start: str = "1980-01-01"):
        self.start = start

    def draw(self, indices: range, times: Tensor, seed: int) -> Iterator[simlearn.Trajectory]:
        """Sample the ephemeris at ``times`` days after the start."""
        span = float(times[-1] - times[0])
        topology = simlearn.Topology.complete(len(BODIES), BODIES)
        for i in indices:
            yield simlearn.Trajectory(times.double(), self._states(times + i * span), topology)

    def _states(self, days: Tensor) -> Tensor:
        try:
            import astropy.units as units
            from astropy.coordinates import get_body_barycentric_posvel, solar_system_ephemeris
            from astropy.time import Time
            from astropy.utils import iers
        except ImportError as error:
            raise simlearn.EnvironmentFault(
                "SolarSystem needs astropy, which is not installed. Run: pip install "
                "'simlearn[ephemeris]'"
            ) from error
        iers.conf.auto_download = False
        try:
            first = Time(self.start, scale="tdb")
        except ValueError as error:
            raise simlearn.ConfigError(
                f"SolarSystem.start must be a date such as 1980-01-01, got {self.start!r}."
            ) from error
        when = first + days.double().numpy() * units.day
        states = torch.empty(len(days), len(BODIES), 6, dtype=torch.float64)
        with solar_system_ephemeris.set("builtin"):
            for row, body in enumerate(BODIES):
                position, velocity = get_body_barycentric_posvel(body, when)
                states[:, row, :3] = torch.from_numpy(position.xyz.to_value(units.au).T.copy())
                states[:, row, 3:] = torch.from_numpy(
                    velocity.xyz.to_value(units.au / units.day).T.copy()
                )
        return states

    def units(self) -> Mapping[str, str]:
        """Astronomical units and days (TDB)."""
        return {"time": "days", "position": "AU", "velocity": "AU/day"}
