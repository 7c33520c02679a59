"""Weather on a circle of latitude, after Lorenz."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_chaos.common import UNITS, Array, Time, at_least, positive, relaxed, uniform

# references at forcing 8, the largest first, as many as are known
KNOWN = {5: (0.47, 0.0, -0.514, -1.31, -3.64), 8: (1.605, 0.378, 0.0), 40: (1.72,)}


class Lorenz96Law(simlearn.VectorField):
    """dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F on a ring; one row, a column a site.

    Lorenz 1996 (Proc. Seminar on Predictability, ECMWF, vol. 1, p. 1). Volumes shrink at the rate
    of one a site.

    Args:
        sites: Sites on the ring N.
        forcing: F.
    """

    def __init__(self, sites: int = 8, forcing: float = 8.0):
        super().__init__()
        at_least(4, sites=sites)
        positive(forcing=forcing)
        self.sites, self.forcing = sites, forcing
        self.dim = sites

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        return self.slopes(x.roll(-1, -1), x.roll(1, -1), x.roll(2, -1), x)

    def slopes(self, after: Array, before: Array, twice: Array, x: Array) -> Array:
        """dx/dt of each site from its neighbours: the next, the last, and the one before that."""
        return (after - twice) * before - x + self.forcing


class Lorenz96(simlearn.System):
    """Lorenz's model of weather on its attractor, one row with a column a site; dimensionless.

    dx_i/dt = (x_{i+1} − x_{i−2}) x_{i−1} − x_i + F (Lorenz 1996; a time of 1 is about 5 days of
    weather). The N exponents add up to −N. At F = 8 they begin with 1.605 and 0.378 for N = 8, with
    0.47 for N = 5 and 1.72 for N = 40; the Kaplan-Yorke dimensions are 5.38, 2.91 and 27.

    Args:
        sites: Sites on the ring N. Good values: 5 to 40.
        forcing: F; below 8/9 the fixed point x = F attracts. Good values: 8.
        transient: Time in which a random start comes onto the attractor. Good values: 10 to 50.
    """

    def __init__(self, sites: int = 8, forcing: float = 8.0, transient: float = 20.0):
        at_least(4, sites=sites)
        positive(forcing=forcing, transient=transient)
        self.sites, self.forcing, self.transient = sites, forcing, transient

    def truth(self) -> Lorenz96Law:
        """The law of Lorenz."""
        return Lorenz96Law(self.sites, self.forcing)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point near the fixed point x = F, relaxed."""
        law, site = self.truth(), np.arange(self.sites)
        after, before, twice = ((site + k) % self.sites for k in (1, -1, -2))
        x0 = self.forcing + uniform(rng, -1, 1, 1, self.sites)
        x = relaxed(lambda x: law.slopes(x[after], x[before], x[twice], x), x0, self.transient)
        return x, Topology.isolated(1)

    def exponents(self) -> tuple[float, ...]:
        """The leading Lyapunov exponents in 1/time; none where no reference is known."""
        return KNOWN.get(self.sites, ()) if self.forcing == 8 else ()

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
