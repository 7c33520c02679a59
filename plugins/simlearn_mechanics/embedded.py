"""An oscillator that more sensors watch than it has degrees of freedom."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_mechanics.common import Time, at_least, not_negative, positive, uniform


class EmbeddedOscillatorLaw(simlearn.VectorField):
    """dx/dt = S a Sᵀ x − κ (1 − S Sᵀ) x, a = [[−γ, ω], [−ω, −γ]]: a plane in many columns.

    S ``[columns, 2]`` is an orthonormal pair of directions drawn from ``plane``. Nobody sees what
    happens off the plane, where true states would decay at the rate κ.

    Args:
        columns: Columns of the state.
        decay: γ, 1/time.
        frequency: ω, 1/time.
        healing: κ, 1/time.
        plane: Seed of the plane.
    """

    def __init__(
        self,
        columns: int = 8,
        decay: float = 0.05,
        frequency: float = 1.0,
        healing: float = 1.0,
        plane: int = 0,
    ):
        super().__init__()
        at_least(3, columns=columns)
        not_negative(decay=decay, healing=healing)
        positive(frequency=frequency)
        self.columns, self.decay, self.frequency = columns, decay, frequency
        self.healing, self.plane, self.dim = healing, plane, columns
        inside = frequency * torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
        inside -= decay * torch.eye(2, dtype=torch.float64)
        s = self.directions()
        off = torch.eye(columns, dtype=torch.float64) - s @ s.T
        self.matrix: Tensor
        self.register_buffer("matrix", s @ inside @ s.T - healing * off)

    def directions(self) -> Tensor:
        """S ``[columns, 2]``, float64."""
        rng = torch.Generator().manual_seed(self.plane)
        drawn = torch.randn(self.columns, self.columns, generator=rng, dtype=torch.float64)
        return torch.linalg.qr(drawn)[0][:, :2]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        return x @ self.matrix.T


class EmbeddedOscillator(simlearn.System):
    """A damped rotation in a plane, seen by many sensors: the data never leave the plane.

    The simplest case of unlearnable directions: of ``columns`` directions the data show two, and a
    trained network does in the others whatever its weights were drawn to do (Floryan 2024, arXiv
    2406.13101).

    Args:
        columns: Columns of the state. Good values: 3 to 64.
        decay: γ, 1/time. Good values: 0 to 0.2.
        frequency: ω, 1/time. Good values: 0.5 to 2.
        healing: κ, the true rate of decay off the plane, 1/time. Good values: 0 to 2.
        plane: Seed of the plane.
    """

    def __init__(
        self,
        columns: int = 8,
        decay: float = 0.05,
        frequency: float = 1.0,
        healing: float = 1.0,
        plane: int = 0,
    ):
        EmbeddedOscillatorLaw(columns, decay, frequency, healing, plane)
        self.columns, self.decay, self.frequency = columns, decay, frequency
        self.healing, self.plane = healing, plane

    def truth(self) -> EmbeddedOscillatorLaw:
        """The law, also off the plane."""
        return EmbeddedOscillatorLaw(
            self.columns, self.decay, self.frequency, self.healing, self.plane
        )

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A point of the plane, 0.5 to 2 from its middle."""
        radius, angle = uniform(rng, 0.5, 2.0, 1), uniform(rng, 0, 2 * torch.pi, 1)
        place = radius * torch.cat([angle.cos(), angle.sin()])
        return (self.truth().directions() @ place)[None], Topology.isolated(1)

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return {"time": "", "position": ""}
