"""The maps of Hénon and May."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn.dynamics import HenonMap
from simlearn_chaos.common import UNITS, Time, at_least, iterated, positive, uniform


class Henon(simlearn.System):
    """Hénon's map on its attractor; x = (q, p), one step a sample whatever the interval.

    q' = p + 1 − a q², p' = b q (Hénon 1976, Commun. Math. Phys. 50, 69). The two exponents add up
    to ln |b|; at the default arguments they are 0.4192 and −1.6232 a step, and the Kaplan-Yorke
    dimension is 1.258.

    Args:
        a: Strength of the fold; well above 1.4 orbits escape. Good values: 1 to 1.4.
        b: Contraction of area per step, between −1 and 1 and not 0. Good values: 0.3.
        transient: Steps in which a random start comes onto the attractor. Good values: 100 to
            1000.
    """

    def __init__(self, a: float = 1.4, b: float = 0.3, transient: int = 100):
        positive(a=a)
        at_least(1, transient=transient)
        if not 0 < abs(b) < 1:
            raise ConfigError(
                f"b must lie between -1 and 1 and not be 0, or there is no attractor; got {b}."
            )
        self.a, self.b, self.transient = a, b, transient

    def truth(self) -> HenonMap:
        """The map of Hénon."""
        return HenonMap(self.a, self.b)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point near the origin, inside the basin, relaxed."""
        topology = Topology.isolated(1)
        x0 = uniform(rng, -0.1, 0.1, 1, 2)
        return iterated(self.truth(), x0, topology, self.transient), topology

    def exponents(self) -> tuple[float, ...]:
        """Lyapunov exponents in 1/step, largest first; none where no reference is known."""
        return (0.4192, -1.6232) if (self.a, self.b) == (1.4, 0.3) else ()

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS


def logistic(rate: float, x: Tensor) -> Tensor:
    """May's parabola, r x (1 − x); in this order of factors rounding never takes it above 1."""
    return rate * (x * (1 - x))


def logistic_rate(rate: float) -> None:
    """Refuse a rate at which no orbit stays inside (0, 1).

    Raises:
        ConfigError: The rate is not above 1 and at most 4.
    """
    if not 1 < rate <= 4:
        raise ConfigError(
            f"rate must be above 1, or every orbit dies out, and at most 4, or it leaves [0, 1]; "
            f"got {rate}."
        )


class LogisticMap(simlearn.Map):
    """x' = r x (1 − x), each column by itself; one step whatever ``dt``. May 1976.

    Args:
        rate: r.
    """

    def __init__(self, rate: float = 4.0):
        super().__init__()
        logistic_rate(rate)
        self.rate = rate
        self.dim = 1

    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The next state."""
        return logistic(self.rate, x)


class Logistic(simlearn.System):
    """The logistic map on its attractor; x in [0, 1], one step a sample whatever the interval.

    x' = r x (1 − x) (May 1976, Nature 261, 459). At r = 4 the exponent is ln 2 a step and the
    density of x is 1 / (π √(x (1 − x))). At r = 4 a state closer to 1/2 than rounding can tell
    steps to 1, then to 0, and stays: about once in 10⁸ steps in float64, in 10⁴ in float32.

    Args:
        rate: r, above 1 and at most 4. Good values: 3.57 to 4.
        transient: Steps in which a random start comes onto the attractor. Good values: 100 to
            1000.
    """

    def __init__(self, rate: float = 4.0, transient: int = 100):
        logistic_rate(rate)
        at_least(1, transient=transient)
        self.rate, self.transient = rate, transient

    def truth(self) -> LogisticMap:
        """The map of May."""
        return LogisticMap(self.rate)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point, relaxed; again, where rounding took it to 0."""
        law, topology = self.truth(), Topology.isolated(1)
        while True:
            x = iterated(law, uniform(rng, 0, 1, 1, 1), topology, self.transient)
            if bool(x > 0):
                return x, topology

    def exponents(self) -> tuple[float, ...]:
        """The Lyapunov exponent in 1/step at r = 4, exact; none at other rates."""
        return (math.log(2),) if self.rate == 4 else ()

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
