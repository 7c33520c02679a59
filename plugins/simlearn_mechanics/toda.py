"""The lattice of Toda; one row a mass."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_mechanics.common import at_least, positive, total
from simlearn_mechanics.lattices import UNITS, LatticeField, line, stretch


class TodaLaw(LatticeField):
    """Toda's bonds, φ(r) = (e^{−b r} + b r − 1) / b²; x = (q, p). Toda 1967.

    Args:
        nonlinearity: b, in 1/length; the bonds are linear as b goes to 0.
    """

    def __init__(self, nonlinearity: float = 1.0):
        super().__init__()
        positive(nonlinearity=nonlinearity)
        self.nonlinearity = nonlinearity
        self.dim = 2

    def bond(self, r: Tensor) -> Tensor:
        """(e^{−b r} + b r − 1) / b²."""
        b = self.nonlinearity
        return (torch.expm1(-b * r) + b * r) / b**2

    def tension(self, r: Tensor) -> Tensor:
        """(1 − e^{−b r}) / b."""
        return -torch.expm1(-self.nonlinearity * r) / self.nonlinearity

    def lax(self, x: Tensor, topology: Topology) -> Tensor:
        """Flaschka's matrix, ``[rows, rows]``: b p_i / 2 on the diagonal, ½ e^{−b r/2} at bonds.

        Its eigenvalues stay constant (Flaschka 1974, Phys. Rev. B 9, 1924).
        """
        q, p = (self.nonlinearity * x).chunk(2, dim=-1)
        source, target = topology.graph.edge_index
        bonds = 0.5 * torch.exp(-stretch(q, topology) / 2).squeeze(-1)
        none = torch.zeros(topology.rows**2, dtype=x.dtype, device=x.device)
        matrix = none.index_add(0, source * topology.rows + target, bonds)
        return matrix.reshape(topology.rows, -1) + torch.diag(p.squeeze(-1) / 2)

    def lax_trace(self, power: int, x: Tensor, topology: Topology) -> Tensor:
        """The trace of a power of the Lax matrix, ``[systems]``."""
        matrix = torch.linalg.matrix_power(self.lax(x, topology), power)
        return topology.per_system(matrix.diagonal())


class Toda(simlearn.System):
    """Toda's lattice on a ring, completely integrable, one row a mass; x = (q, p).

    q_i'' = [e^{−b (q_i − q_{i−1})} − e^{−b (q_{i+1} − q_i)}] / b. It has as many invariants as
    masses: the traces of the powers of its Lax matrix (Toda 1967; Flaschka 1974).

    Args:
        masses: Number of masses, at least 3. Good values: 3 to 32.
        nonlinearity: b, in 1/length. Good values: 0.1 to 2.
        amplitude: Standard deviation of displacements and momenta at the start, in length. Good
            values: 0.1 to 1 over b.
    """

    def __init__(self, masses: int = 8, nonlinearity: float = 1.0, amplitude: float = 0.5):
        at_least(3, masses=masses)
        positive(nonlinearity=nonlinearity, amplitude=amplitude)
        self.masses, self.nonlinearity, self.amplitude = masses, nonlinearity, amplitude

    def truth(self) -> TodaLaw:
        """The law of the bonds."""
        return TodaLaw(self.nonlinearity)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """Random displacements and momenta, the whole at rest at the origin."""
        x = self.amplitude * torch.randn(self.masses, 2, generator=rng)
        return x - x.mean(0), line(self.masses, periodic=True)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """Energy, momentum, and traces of the powers of the Lax matrix from the third on."""
        law = self.truth()
        traces = {f"lax_trace_{n}": partial(law.lax_trace, n) for n in range(3, self.masses + 1)}
        return {"energy": law.energy, "momentum": total(1), **traces}

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
