"""Dynamics that live on the subspace of their data, and decay off it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Simulator, Topology, Trajectory
from simlearn.analysis.subspace import Subspace, subspace
from simlearn.dynamics import (
    Dynamics,
    Flattened,
    HamiltonianField,
    Map,
    MLPField,
    ResidualMap,
    SplitField,
    Standardizable,
    VectorField,
)

Time = float | Tensor


class ProjectedField(VectorField):
    """dx/dt = P f(m + P (x − m)) − κ (1 − P)(x − m): a field on a subspace, decay off it.

    Whatever f does off the subspace of the data, nobody sees it (Floryan 2024, section on
    mitigation; the restoring rate κ makes the rest contract, which a projection alone leaves
    neutral).

    Args:
        field: The field inside; its ``dim`` is the dimension of the space.
        rank: Dimensions of the subspace, at most ``dim``.
        rate: κ, 1/time.

    Raises:
        ConfigError: The rank does not fit, the rate is negative, or the field has no ``dim``.
    """

    basis: Tensor
    dual: Tensor
    middle: Tensor

    def __init__(self, field: VectorField, rank: int, rate: float = 1.0):
        super().__init__()
        dim = _sizes(field, rank)
        if not rate >= 0:
            raise ConfigError(f"The restoring rate must not be negative, got {rate}.")
        self.field, self.rank, self.rate, self.dim = field, rank, rate, dim
        _frame(self, dim, rank)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A plane in three dimensions."""
        return [cls(MLPField(dim=3, width=8), rank=2)]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        middle = self.middle.to(x)
        off = x - middle
        inside = _projected(self, off)
        slope = _projected(self, self.field(t, middle + inside, topology))
        return slope - self.rate * (off - inside)

    @property
    def inside(self) -> VectorField:
        """The field before it was projected."""
        return self.field

    @property
    def inputs(self) -> int:
        """Control inputs of each row."""
        return getattr(self.field, "inputs", 0)

    @property
    def attributes(self) -> int:
        """Parameters of each system."""
        return getattr(self.field, "attributes", 0)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Hand the scales on to the field inside.

        Raises:
            ConfigError: It has none.
        """
        if not isinstance(self.field, Standardizable):
            raise ConfigError(f"{type(self.field).__name__} has no scales to be measured.")
        self.field.standardize(x, slope, drive)


class ProjectedMap(Map):
    """x ↦ m + P (F(m + P (x − m)) − m) + q (1 − P)(x − m): a map on a subspace, decay off it.

    Args:
        map: The map inside.
        rank: Dimensions of the subspace, at most ``dim``.
        factor: q, what is left after a step of a state off the subspace; 0 is dead.

    Raises:
        ConfigError: The rank does not fit, or q is not in [0, 1].
    """

    basis: Tensor
    dual: Tensor
    middle: Tensor

    def __init__(self, map: Map, rank: int, factor: float = 0.0):
        super().__init__()
        dim = _sizes(map, rank)
        if not 0 <= factor <= 1:
            raise ConfigError(f"The factor of a step lies in [0, 1], got {factor}.")
        self.map, self.rank, self.factor, self.dim = map, rank, factor, dim
        _frame(self, dim, rank)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A plane in three dimensions."""
        return [cls(ResidualMap(dim=3, width=8), rank=2)]

    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The next state."""
        middle = self.middle.to(x)
        off = x - middle
        inside = _projected(self, off)
        ahead = self.map(t, middle + inside, dt, topology) - middle
        return middle + _projected(self, ahead) + self.factor * (off - inside)

    @property
    def inside(self) -> Map:
        """The map before it was projected."""
        return self.map


class SubspaceProjection(simlearn.Stabilizer):
    """Restricts the dynamics to the subspace of the training data, with decay off it.

    The subspace is that of the centred data, each row by itself (all rows of a system for
    Flattened): one singular value decomposition, no bias on what the data teach. Data on a curved
    set fill their linear span, so this helps only where that is smaller than the space.

    Args:
        rate: Restoring rate κ off the subspace, 1/time; by default the fastest rate of the data,
            at most 0.5/dt. Zero leaves those directions neutral.
        noise: Noise of the data as a share of each column's spread; directions below it are cut.
    """

    def __init__(self, rate: float | None = None, noise: float = 1e-5):
        if (rate is not None and not rate >= 0) or not noise >= 0:
            raise ConfigError(
                f"SubspaceProjection needs a rate and a noise of at least 0, got {rate}, {noise}."
            )
        self.rate, self.noise = rate, noise
        self._found: Subspace | None = None
        self._dt = 1.0

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            "None on the subspace of the data; off it states decay at the restoring rate, also "
            "where the true system has slow modes that the data do not show."
        )

    def observe(self, simulator: Simulator, training: Sequence[Trajectory]) -> None:
        """Find the subspace."""
        whole = isinstance(simulator.dynamics, Flattened)
        self._found, self._dt = subspace(training, whole, noise=self.noise), simulator.dt

    def wrap(self, dynamics: Dynamics) -> Dynamics:
        """The projected dynamics; the same where the data fill the space.

        Raises:
            ConfigError: The dynamics have a structure that a projection would break.
        """
        found = self._found
        if isinstance(dynamics, HamiltonianField | SplitField):
            raise ConfigError(
                f"A projection would break the structure of {type(dynamics).__name__}. Leave "
                "SubspaceProjection out; NoiseInjection keeps the structure."
            )
        if found is None or not found.normal.shape[1]:
            return dynamics
        if isinstance(dynamics, Flattened):
            inner = self.wrap(dynamics.field)
            assert isinstance(inner, VectorField)
            return Flattened(inner, dynamics.rows)
        rate = min(found.rate or 0.1 / self._dt, 0.5 / self._dt)
        rate = rate if self.rate is None else self.rate
        if rate * self._dt > 1 and not isinstance(dynamics, Map):
            raise ConfigError(
                f"A restoring rate of {rate:g} takes back {rate * self._dt:g} of a state in a step "
                f"of {self._dt:g}, more than there is. Take a rate of at most {1 / self._dt:g}."
            )
        rank = found.data.shape[1]
        wrapped: ProjectedField | ProjectedMap
        if isinstance(dynamics, Map):
            wrapped = ProjectedMap(dynamics, rank, max(0.0, 1 - rate * self._dt))
        elif isinstance(dynamics, VectorField):
            wrapped = ProjectedField(dynamics, rank, rate)
        else:
            raise ConfigError(f"{type(dynamics).__name__} can not be projected.")
        scale = found.energy.scale[:, None]
        with torch.no_grad():
            wrapped.basis.copy_(scale * found.data)
            wrapped.dual.copy_(found.data / scale)
            wrapped.middle.copy_(found.energy.mean)
        return wrapped


def _sizes(dynamics: Dynamics, rank: int) -> int:
    if dynamics.dim is None or not 1 <= rank <= dynamics.dim:
        raise ConfigError(
            f"A projection needs dynamics of a fixed dim and 1 <= rank <= dim; "
            f"{type(dynamics).__name__} has dim {dynamics.dim}, the rank is {rank}."
        )
    return dynamics.dim


def _frame(module: ProjectedField | ProjectedMap, dim: int, rank: int) -> None:
    """Buffers of P = basis dualᵀ; the first coordinates until data say more."""
    module.register_buffer("basis", torch.eye(dim, dtype=torch.float64)[:, :rank].clone())
    module.register_buffer("dual", torch.eye(dim, dtype=torch.float64)[:, :rank].clone())
    module.register_buffer("middle", torch.zeros(dim, dtype=torch.float64))


def _projected(module: ProjectedField | ProjectedMap, x: Tensor) -> Tensor:
    return (x @ module.dual.to(x)) @ module.basis.to(x).mT
