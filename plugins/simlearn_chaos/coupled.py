"""Logistic maps on a graph, coupled by diffusion, after Kaneko."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Graph, Topology
from simlearn_chaos.common import UNITS, Time, at_least, iterated, uniform
from simlearn_chaos.maps import logistic, logistic_rate


def _share(coupling: float) -> None:
    if not 0 <= coupling <= 1:
        raise ConfigError(
            f"coupling is the share that comes from the neighbours, 0 to 1; got {coupling}."
        )


class CoupledLogisticMap(simlearn.Map):
    """x_i' = (1 − ε) f(x_i) + ε ⟨f(x_j)⟩, the mean over the edges j → i; f(x) = r x (1 − x).

    Kaneko 1984 (Prog. Theor. Phys. 72, 480). A row without neighbours moves by f alone. One step
    whatever ``dt``.

    Args:
        rate: r.
        coupling: ε, 0 to 1.
    """

    def __init__(self, rate: float = 4.0, coupling: float = 0.1):
        super().__init__()
        logistic_rate(rate)
        _share(coupling)
        self.rate, self.coupling = rate, coupling
        self.dim = 1

    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The next state."""
        source, target = topology.graph.edge_index
        alone = logistic(self.rate, x)
        degree = torch.bincount(target, minlength=topology.rows)[:, None]
        around = torch.zeros_like(x).index_add(0, target, alone.index_select(0, source))
        around = torch.where(degree > 0, around / degree.clamp(min=1), alone)
        return (1 - self.coupling) * alone + self.coupling * around


class CoupledMaps(simlearn.System):
    """A ring of logistic maps coupled by diffusion, on its attractor; one row a site, x in [0, 1].

    x_i' = (1 − ε) f(x_i) + ε/2 (f(x_{i−1}) + f(x_{i+1})), f(x) = r x (1 − x) (Kaneko 1984, Prog.
    Theor. Phys. 72, 480); one step a sample whatever the interval. The N exponents add up to
    Σ_k ln |1 − ε + ε cos(2π k/N)| + Σ_i ⟨ln |f'(x_i)|⟩. Where all sites are equal and r = 4, they
    are ln 2 + ln |1 − ε + ε cos(2π k/N)|, k = 0 to N − 1.

    Args:
        sites: Sites on the ring N. Good values: 8 to 100.
        rate: r, above 1 and at most 4. Good values: 3.57 to 4.
        coupling: ε, the share that comes from the neighbours, 0 to 1. Good values: 0.05 to 0.4.
        transient: Steps in which random sites come onto the attractor. Good values: 100 to 1000.
    """

    def __init__(
        self, sites: int = 16, rate: float = 4.0, coupling: float = 0.1, transient: int = 100
    ):
        at_least(3, sites=sites)
        logistic_rate(rate)
        _share(coupling)
        at_least(1, transient=transient)
        self.sites, self.rate, self.coupling, self.transient = sites, rate, coupling, transient

    def truth(self) -> CoupledLogisticMap:
        """The map of Kaneko."""
        return CoupledLogisticMap(self.rate, self.coupling)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """Random sites, relaxed."""
        site = torch.arange(self.sites)
        right = torch.stack([site, (site + 1) % self.sites])
        topology = Topology(Graph(torch.cat([right, right.flip(0)], dim=1), self.sites))
        x0 = uniform(rng, 0, 1, self.sites, 1)
        return iterated(self.truth(), x0, topology, self.transient), topology

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
