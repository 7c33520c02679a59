"""Energies that are linear in their coefficients, which a closed-form fit can solve for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from simlearn.dynamics.base import HamiltonianField
from simlearn.dynamics.energy import even
from simlearn.dynamics.features import RandomFeatures, Scale
from simlearn.dynamics.frozen import slope_with
from simlearn.dynamics.neural import positive
from simlearn.state import Topology

F = TypeVar("F", bound=nn.Module)


@runtime_checkable
class Series(Protocol):
    """Dynamics that are linear in one vector of coefficients, once their scales are chosen.

    Attributes:
        coefficients: ``[K]``.
    """

    coefficients: nn.Parameter

    @abstractmethod
    def blocks(self) -> Mapping[str, slice]:
        """The coefficients of each function, for one scale and one prior precision each."""
        ...

    @abstractmethod
    def penalised(self) -> Tensor:
        """``[K]``: 1 where a prior holds a coefficient near zero, 0 for constants and powers."""
        ...

    @abstractmethod
    def equations(self) -> Sequence[tuple[slice, slice]]:
        """Which columns of dx/dt ask for which coefficients: regressions that share nothing."""
        ...

    @abstractmethod
    def scales(self) -> Sequence[Sequence[Scale]]:
        """The scales to choose from, for each equation."""
        ...

    @abstractmethod
    def measure(self, x: Tensor, scales: Sequence[Scale], equation: int | None = None) -> None:
        """Take boxes and units from samples ``[samples, dim]``, and one scale an equation.

        Of one equation alone, only what it needs is taken.
        """
        ...

    @abstractmethod
    def columns(self, x: Tensor, equation: int | None = None) -> Tensor:
        """The derivative at unit coefficients, ``[rows, dim, K]``, or the part in one equation."""
        ...

    @abstractmethod
    def rates(self) -> Callable[[Tensor], Tensor]:
        """dx/dt of ``[rows, dim]`` at the present coefficients; what is fixed is done once."""
        ...

    @abstractmethod
    def tangent(self, x: Tensor) -> Tensor:
        """∂(dx/dt)/∂x, ``[rows, dim, dim]``."""
        ...


WIDE = tuple(Scale(length) for length in (0.5, 1.0, 2.0, 4.0))
TURNS = tuple(Scale(length, periodic=True) for length in (0.5, 1.0, 2.0))


def canonical(slope: Tensor) -> Tensor:
    """J times a gradient, along dimension 1: (g_q, g_p) to (g_p, −g_q)."""
    dq, dp = slope.chunk(2, dim=1)
    return torch.cat([dp, -dq], dim=1)


class GenericSeries(HamiltonianField):
    """H(q, p) as one sum of random Fourier features of the whole state, and powers up to two.

    Args:
        dim: Columns of the state, positions and momenta together.
        features: Number of cosines.
        seed: Seed of the features.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    dim: int

    def __init__(self, dim: int, features: int = 500, seed: int = 0):
        super().__init__()
        even(dim)
        positive(features=features)
        self.dim, self.features, self.seed = dim, features, seed
        self.functions = RandomFeatures(dim, features, seed=seed)
        self.coefficients = nn.Parameter(torch.zeros(self.functions.count).double())

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom."""
        return [shaken(cls(dim=2, features=12))]

    def blocks(self) -> Mapping[str, slice]:
        """One."""
        return {"energy": slice(0, len(self.coefficients))}

    def penalised(self) -> Tensor:
        """The cosines."""
        return cosines(self.functions)

    def equations(self) -> Sequence[tuple[slice, slice]]:
        """One."""
        return [(slice(0, self.dim), slice(0, len(self.coefficients)))]

    def scales(self) -> Sequence[Sequence[Scale]]:
        """Momenta have no period, so neither has the energy."""
        return [WIDE]

    def measure(self, x: Tensor, scales: Sequence[Scale], equation: int | None = None) -> None:
        """One scale for the whole state."""
        self.functions.measure(x, scales[0])

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        return topology.per_system(self.functions.values(x) @ self.coefficients)

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """∂H/∂x, ``[rows, dim]``."""
        return self.functions.slope_of(x, self.coefficients[:, None])[..., 0]

    def columns(self, x: Tensor, equation: int | None = None) -> Tensor:
        """``[rows, dim, K]``."""
        return canonical(self.functions.slopes(x))

    def rates(self) -> Callable[[Tensor], Tensor]:
        """J ∇H."""
        slope = slope_with(self.functions, self.coefficients)
        return lambda x: canonical(slope(x))

    def tangent(self, x: Tensor) -> Tensor:
        """``[rows, dim, dim]``."""
        return canonical(self.functions.bend_of(x, self.coefficients[:, None])[..., 0])


def cosines(functions: RandomFeatures) -> Tensor:
    """1 for the cosines, 0 before them."""
    flags = torch.zeros(functions.count, dtype=torch.float64)
    flags[-functions.features :] = 1.0
    return flags


def shaken(field: F, seed: int = 0) -> F:
    """A field with random coefficients, for examples and tests."""
    rng = torch.Generator().manual_seed(seed)
    coefficients: Tensor = field.coefficients  # type: ignore[assignment]
    with torch.no_grad():
        coefficients.copy_(0.3 * torch.randn(len(coefficients), generator=rng))
    return field
