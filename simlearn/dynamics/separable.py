"""An energy T(p) + V(q) that is linear in its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from simlearn.dynamics.base import SplitField, Time
from simlearn.dynamics.energy import even
from simlearn.dynamics.features import RandomFeatures, Scale
from simlearn.dynamics.frozen import slope_with
from simlearn.dynamics.neural import positive
from simlearn.dynamics.series import TURNS, WIDE, cosines, shaken
from simlearn.state import Topology

Halves = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


class SeparableSeries(SplitField):
    """H(q, p) = T(p) + V(q), each a sum of random Fourier features and powers up to two.

    Linear in its coefficients: `Ladder` fits it in closed form. Outside the training data its
    forces go on along their tangents.

    Args:
        dim: Columns of the state, positions and momenta together.
        features: Cosines in each of T and V.
        seed: Seed of the features.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    dim: int

    def __init__(self, dim: int, features: int = 80, seed: int = 0):
        super().__init__()
        even(dim)
        positive(features=features)
        self.dim, self.features, self.seed = dim, features, seed
        self.kinetic = RandomFeatures(dim // 2, features, seed=2 * seed)
        self.potential = RandomFeatures(dim // 2, features, seed=2 * seed + 1)
        self.coefficients = nn.Parameter(torch.zeros(2 * self.kinetic.count).double())
        self._kept: tuple[tuple[int, ...], Halves] | None = None

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom."""
        return [shaken(cls(dim=2, features=8))]

    def blocks(self) -> Mapping[str, slice]:
        """T and V."""
        count = self.kinetic.count
        return {"kinetic": slice(0, count), "potential": slice(count, 2 * count)}

    def penalised(self) -> Tensor:
        """The cosines."""
        return torch.cat([cosines(self.kinetic), cosines(self.potential)])

    def equations(self) -> Sequence[tuple[slice, slice]]:
        """dq/dt asks for T, dp/dt for V."""
        blocks, half = self.blocks(), self.dim // 2
        upper, lower = slice(0, half), slice(half, self.dim)
        return [(upper, blocks["kinetic"]), (lower, blocks["potential"])]

    def scales(self) -> Sequence[Sequence[Scale]]:
        """Only positions may be periodic."""
        return [WIDE, WIDE + TURNS]

    def measure(self, x: Tensor, scales: Sequence[Scale], equation: int | None = None) -> None:
        """Each half of the state has its own units and its own scale."""
        q, p = x.chunk(2, dim=-1)
        if equation != 1:
            self.kinetic.measure(p, scales[0])
        if equation != 0:
            self.potential.measure(q, scales[1])

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """dT/dp."""
        return self._functions()[0](p)

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−dV/dq."""
        return self._functions()[1](q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """T + V, ``[systems]``."""
        (q, p), blocks = x.chunk(2, dim=-1), self.blocks()
        kinetic = self.kinetic.values(p) @ self.coefficients[blocks["kinetic"]]
        potential = self.potential.values(q) @ self.coefficients[blocks["potential"]]
        return topology.per_system(kinetic + potential)

    def columns(self, x: Tensor, equation: int | None = None) -> Tensor:
        """``[rows, dim, K]``, or half of both."""
        q, p = x.chunk(2, dim=-1)
        if equation is not None:
            return -self.potential.slopes(q) if equation else self.kinetic.slopes(p)
        dq, dp = self.kinetic.slopes(p), -self.potential.slopes(q)
        none = torch.zeros_like(dq)
        return torch.cat([torch.cat([dq, none], -1), torch.cat([none, dp], -1)], dim=1)

    def rates(self) -> Callable[[Tensor], Tensor]:
        """(dT/dp, −dV/dq)."""
        drift, kick = self._made()
        half = self.dim // 2
        return lambda x: torch.cat([drift(x[:, half:]), kick(x[:, :half])], dim=1)

    def _made(self) -> Halves:
        """dT/dp and −dV/dq, with what depends on the coefficients alone done once."""
        blocks = self.blocks()
        return (
            slope_with(self.kinetic, self.coefficients[blocks["kinetic"]]),
            slope_with(self.potential, -self.coefficients[blocks["potential"]]),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept from call to call, which cannot be pickled."""
        return {**self.__dict__, "_kept": None}

    def _functions(self) -> Halves:
        """The same, kept from call to call while the coefficients are frozen and unchanged."""
        own = self._parameters.get("coefficients")  # asked twice a step: modules look up slowly
        if type(own) is not nn.Parameter or own.requires_grad or own.is_inference():
            self._kept = None  # fused optimizers change weights and do not count it as a version
            return self._made()
        # whatever measures the functions sets their frequencies
        parts: Any = self._modules
        drift, kick = (parts[one]._buffers["frequency"] for one in ("kinetic", "potential"))
        key = (
            torch.is_inference_mode_enabled(),
            own.data_ptr(),
            own._version,
            drift.data_ptr(),
            drift._version,
            kick.data_ptr(),
            kick._version,
        )
        if self._kept is None or self._kept[0] != key:
            self._kept = key, self._made()
        return self._kept[1]

    def tangent(self, x: Tensor) -> Tensor:
        """``[rows, dim, dim]``."""
        (q, p), blocks = x.chunk(2, dim=-1), self.blocks()
        upper = self.kinetic.bend_of(p, self.coefficients[blocks["kinetic"], None])[..., 0]
        lower = -self.potential.bend_of(q, self.coefficients[blocks["potential"], None])[..., 0]
        none = torch.zeros_like(upper)
        return torch.cat([torch.cat([none, upper], -1), torch.cat([lower, none], -1)], dim=1)
