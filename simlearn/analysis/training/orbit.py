"""Orbital stability: how far is a training from the path of another, whatever the time?"""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.component import ConfigError


def to_orbit(points: Tensor, orbit: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of each point to a path, min over s of |w' − w(s)|, and where on it that is.

    The path runs straight between its points. A twin that only lags behind is at a distance of
    zero, while its distance at equal times grows.

    Args:
        points: ``[m, n]``.
        orbit: ``[k, n]``, at least one point.

    Returns:
        Distances ``[m]`` and places ``[m]``, from 0 at the first point of the path to k − 1.

    Raises:
        ConfigError: The path has no point, or the dimensions differ.
    """
    if orbit.ndim != 2 or not len(orbit) or points.shape[-1] != orbit.shape[-1]:
        raise ConfigError(
            f"Distances to an orbit need points [m, n] and a path [k, n], k at least 1; got "
            f"{list(points.shape)} and {list(orbit.shape)}."
        )
    if len(orbit) == 1:
        return (points - orbit).norm(dim=-1), points.new_zeros(len(points))
    begin, along = orbit[:-1], orbit.diff(dim=0)
    length = along.square().sum(-1)
    safe = torch.where(length > 0, length, 1.0)
    found, places = [], []
    for point in points:  # one by one: differences, for squares would lose what is small
        off = point - begin
        share = ((off * along).sum(-1) / safe).clamp(0.0, 1.0)
        apart = (off - share[:, None] * along).norm(dim=-1)
        nearest = apart.argmin()
        found.append(apart[nearest])
        places.append(nearest + share[nearest])
    return torch.stack(found), torch.stack(places)


class Path:
    """Points of a training at even intervals; of too many every second one is forgotten.

    Args:
        capacity: Points that are kept at most, an even number.
    """

    def __init__(self, capacity: int = 256):
        if capacity < 4 or capacity % 2:
            raise ConfigError(f"A path keeps an even number of points from 4 on, got {capacity}.")
        self.capacity, self.interval = capacity, 1
        self.points: list[Tensor] = []
        self.steps: list[int] = []

    def add(self, step: int, *point: Tensor) -> None:
        """Take note of where several trainings are, if it is time; ``[n]`` each."""
        if self.steps and step < self.steps[-1] + self.interval:
            return
        self.steps.append(step)
        self.points.append(torch.stack(point))
        if len(self.points) > self.capacity:
            self.points, self.steps = self.points[::2], self.steps[::2]
            self.interval = max(self.interval * 2, self.steps[1] - self.steps[0])

    def stacked(self) -> Tensor:
        """``[trainings, points, n]``."""
        return torch.stack(self.points, 1)
