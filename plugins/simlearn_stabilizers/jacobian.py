"""Penalties on the Jacobian of a field."""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Map
from simlearn_stabilizers.windows import Field, probes, slope_of


class JacobianPenalty(simlearn.Stabilizer):
    """Penalises weight · E‖J‖²_F, J the Jacobian of the field at the starts of the windows.

    For a map J is that of its increment, (F(x) − x) / dt. The norm is that of a whole system, its
    rows together, and the mean runs over systems. It is E‖Jᵀv‖² over random signs v (Hutchinson
    1989; Hoffman, Roberts and Yaida 2019), one backward product for each sample; with as
    many samples as a system has columns, unit vectors take their place and the norm is exact. The
    signs depend on the window alone: unbiased over windows, smooth in the weights.

    Args:
        weight: Weight of the penalty against the loss, in time². Good values: 1e-6 to 1e-2.
        samples: Backward products for each window.
    """

    bias = (
        "Flattens the field at the data: forces come out weaker and growth rates smaller, by more "
        "the larger the weight, and nothing is promised away from the data."
    )

    def __init__(self, weight: float = 1e-4, samples: int = 2):
        if not weight >= 0 or samples < 1:
            raise ConfigError(
                f"JacobianPenalty needs weight >= 0 and samples >= 1, got {weight} and {samples}."
            )
        self.weight, self.samples = weight, samples

    def penalty(self, simulator: simlearn.Simulator, window: simlearn.Trajectory) -> Tensor:
        """The penalty at the first state of the window."""
        field, systems = slope_of(simulator, window), window.topology.num_systems
        columns = _columns(window)
        if columns is not None and columns <= self.samples:
            total = squared_norm(field, window.x[0], unit_vectors(window, columns))
        else:
            signs = probes(window, self.samples)
            total = squared_norm(field, window.x[0], signs) / self.samples
        return self.weight * total / systems


class LogNormBound(simlearn.Stabilizer):
    """Penalises weight · mean(max(0, μ₂(J) + rate)²) at the starts of the windows.

    μ₂ is the logarithmic norm, the largest eigenvalue of (J + Jᵀ)/2, of a whole system with its
    rows together, from exact forward products. Where μ₂ ≤ −rate on a convex set that solutions do
    not leave, any two of them approach each other like e^(−rate · t) (Lohmiller and Slotine 1998);
    a negative rate bounds growth instead.

    Args:
        rate: Contraction rate asked for, per unit of time.
        weight: Weight of the penalty against the loss, in time².
    """

    def __init__(self, rate: float = 0.0, weight: float = 1.0):
        if not weight >= 0 or not abs(rate) < torch.inf:
            raise ConfigError(
                f"LogNormBound needs a finite rate and weight >= 0, got {rate} and {weight}."
            )
        self.rate, self.weight = rate, weight

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            f"Pulls the growth of small errors at the data below the rate {-self.rate:g}: evidence "
            "at samples and no proof, and for a positive rate no chaos and no second attractor."
        )

    def penalty(self, simulator: simlearn.Simulator, window: simlearn.Trajectory) -> Tensor:
        """The penalty at the first state of the window.

        Raises:
            ConfigError: The dynamics are a map, conserve an energy, or systems differ in size.
        """
        self._refuse(simulator.dynamics)
        columns = _columns(window)
        if columns is None:
            raise ConfigError(
                "LogNormBound needs systems of one size in a batch, got several. Train them apart, "
                "or take JacobianPenalty."
            )
        j = jacobians(slope_of(simulator, window), window.x[0], unit_vectors(window, columns))
        excess = torch.relu(log_norm(j) + self.rate)
        return self.weight * excess.square().mean()

    def _refuse(self, dynamics: simlearn.Dynamics) -> None:
        kind = type(dynamics).__name__
        if isinstance(dynamics, Map):
            raise ConfigError(
                f"LogNormBound is about vector fields, got {kind}, a map. Take SpectralNorm, or "
                "LipschitzMap."
            )
        conserves = isinstance(dynamics, simlearn.HamiltonianField | simlearn.SplitField)
        if conserves and self.rate > 0:
            raise ConfigError(
                f"LogNormBound asks {kind} to contract at the rate {self.rate:g}, but it keeps the "
                "volume of phase space, so its μ₂ is never below 0. Give a rate <= 0."
            )


def squared_norm(field: Field, x: Tensor, vectors: Tensor) -> Tensor:
    """Σ ‖Jᵀv‖² over ``vectors`` ``[count, rows, dim]``, J the Jacobian at x."""
    pull = torch.func.vjp(field, x)[1]
    return torch.stack([pull(v)[0].square().sum() for v in vectors]).sum()


def jacobians(field: Field, x: Tensor, vectors: Tensor) -> Tensor:
    """The Jacobian of every system, ``[systems, columns, columns]``, by forward products.

    ``vectors`` are the `unit_vectors` of the systems, one at a time in all of them.
    """

    def push(v: Tensor) -> Tensor:
        tangent: Tensor = torch.func.jvp(field, (x,), (v,))[1]
        return tangent

    pushed: Tensor = torch.func.vmap(push)(vectors)
    return pushed.reshape(len(vectors), -1, len(vectors)).permute(1, 2, 0)


def log_norm(jacobian: Tensor) -> Tensor:
    """μ₂, the largest eigenvalue of the symmetric part of each matrix."""
    return torch.linalg.eigvalsh((jacobian + jacobian.mT) / 2)[..., -1]


def unit_vectors(window: simlearn.Trajectory, columns: int) -> Tensor:
    """Unit vectors ``[columns, rows, dim]``: vector i is 1 at column i of every system."""
    eye = torch.eye(columns, dtype=window.x.dtype, device=window.x.device)
    return eye.repeat(1, window.topology.num_systems).reshape(columns, *window.x.shape[1:])


def _columns(window: simlearn.Trajectory) -> int | None:
    """Columns of one system, its rows together; None where systems differ in size."""
    rows = window.topology.rows_each
    return None if rows is None else rows * window.dim
