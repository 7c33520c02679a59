"""Linear in its coefficients: a capability of some dynamics, which a closed-form start can use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from simlearn.state import Topology


@runtime_checkable
class Multilinear(Protocol):
    """Dynamics whose derivative is linear in each of its blocks of coefficients, given the others.

    With blocks a and b, the fitted columns of dx/dt are Σ_kl a_k b_l ``columns[..., k, l]``: every
    product of coefficients has one column, so that one Gram matrix serves all turns of an
    alternating fit.
    """

    def blocks(self) -> Mapping[str, int]:
        """Name and size of each block (one or two)."""
        ...

    def columns(self, x: Tensor, topology: Topology) -> Tensor:
        """``[rows, components, *sizes]``, the design at unit coefficients."""
        ...

    def fitted(self, derivative: Tensor) -> Tensor:
        """The components of dx/dt that the columns explain.

        ``[..., dim]`` to ``[..., components]``.
        """
        ...

    def gauge(self, coefficients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fix what the product leaves free (with two blocks: a scale)."""
        ...

    def roughness(self) -> Mapping[str, Tensor]:
        """For each block that should be smooth, a positive semi-definite ``[K, K]``."""
        ...

    def unevenness(self) -> Tensor:
        """Σ over smooth blocks of wᵀRw / max|w₀|², w₀ the coefficients that `load` took over."""
        ...

    def load(self, coefficients: Mapping[str, Tensor]) -> None:
        """Take the coefficients over as parameters, clipped to what the model allows."""
        ...

    def estimates(
        self, coefficients: Mapping[str, Tensor], errors: Mapping[str, Tensor]
    ) -> dict[str, Estimate]:
        """The coefficients that mean something by themselves, named, with standard errors."""
        ...


@dataclass(frozen=True)
class Estimate:
    """A fitted quantity with its standard error.

    Attributes:
        value: The unclipped estimate.
        error: Its standard error.
        unit: Unit of both.
        positive: Whether a negative value is impossible.
    """

    value: float
    error: float
    unit: str = ""
    positive: bool = True

    @property
    def relative_error(self) -> float:
        """Error over absolute value; infinite at zero."""
        return self.error / abs(self.value) if self.value else float("inf")

    @property
    def determined(self) -> bool:
        """Whether the data say anything.

        They do where the relative error is at most one half and the sign is possible.
        """
        return self.relative_error <= 0.5 and (self.value > 0 or not self.positive)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "value": self.value,
            "error": self.error,
            "unit": self.unit,
            "positive": self.positive,
        }
