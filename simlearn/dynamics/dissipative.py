"""Learned fields that lose energy, by construction and never the other way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal, Self, get_args

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import HamiltonianField, SplitField, Time, VectorField
from simlearn.dynamics.energy import Energy, ScaledNet, SeparableEnergy, even
from simlearn.dynamics.neural import Standardizable, drive_of, positive, size_of, spread_of
from simlearn.dynamics.statematrix import StateMatrix, applied
from simlearn.state import Topology

Varies = Literal["constant", "state"]
Friction = Literal["constant", "position", "state"]


def _one_of(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise ConfigError(f"{name} must be one of {list(get_args(choices))}, got {value!r}.")


class PortHamiltonian(VectorField):
    """A port-Hamiltonian system with learned energy, dissipation and control.

    dx/dt = (J − R(x)) ∇H(x) + G(x) u and the output y = G(x)ᵀ ∇H(x), where x = (q, p), J is the
    canonical matrix, R = L Lᵀ and u the control input of the topology (van der Schaft and Jeltsema
    2014, chapter 4). For any weights dH/dt = yᵀu − |Lᵀ∇H|²: the system is passive, and without
    input H never grows.

    Only the sum of R∇H and J∇H is seen in data: where H and R are both free, energy and dissipation
    of what is learned need not be those of the truth. `RayleighField` asks for friction on
    momenta alone.

    Args:
        dim: Columns of the state, positions and momenta together.
        inputs: Columns of the control input; where there are any, data and rollouts must carry
            them (zeros for a free motion).
        width: Neurons in each hidden layer.
        depth: Hidden layers.
        dissipation: Whether L is one matrix or a network of the state.
        control: Whether G is one matrix or a network of the state.

    Raises:
        ConfigError: ``dim`` is odd, or a size or a choice is none.
    """

    autonomous: ClassVar[bool] = False  # H falls: checks of its conservation do not apply

    def __init__(
        self,
        dim: int,
        inputs: int = 0,
        width: int = 64,
        depth: int = 2,
        dissipation: Varies = "state",
        control: Varies = "constant",
    ):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        if inputs < 0:
            raise ConfigError(f"inputs counts columns of the control input, got {inputs}.")
        _one_of("dissipation", dissipation, Varies)
        _one_of("control", control, Varies)
        self.dim, self.inputs, self.width, self.depth = dim, inputs, width, depth
        self.dissipation, self.control = dissipation, control
        self.net = ScaledNet(dim, width, depth)
        self.root = StateMatrix(dim, (dim, dim), width, depth, dissipation == "state")
        if inputs:
            self.port = StateMatrix(dim, (dim, inputs), width, depth, control == "state")

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Without control, which no ordinary topology carries; R from a network, and constant."""
        return [cls(dim=2, width=8), cls(dim=4, width=8, dissipation="constant")]

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        return topology.per_system(self.net(x))

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """dH/dx, ``[rows, dim]``."""
        return self.net.gradient(x)

    def output(self, x: Tensor, topology: Topology) -> Tensor:
        """The output Gᵀ ∇H, ``[rows, inputs]``: times u it is the power that the input supplies.

        Raises:
            ConfigError: It was made without inputs.
        """
        if not self.inputs:
            raise ConfigError("A PortHamiltonian with inputs 0 has no output; give it inputs.")
        return applied(self.port(x).mT, self.net.gradient(x))

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """(J − R) ∇H + G u.

        Raises:
            ConfigError: The inputs are not those it was made for.
        """
        gradient, root = self.net.gradient(x), self.root(x)
        dq, dp = gradient.chunk(2, dim=-1)
        slope = torch.cat([dp, -dq], dim=-1) - applied(root, applied(root.mT, gradient))
        if not self.inputs:
            return slope
        return slope + applied(self.port(x), drive_of(topology, self.inputs, 0))

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure state and input by column, and energy and dissipation by what they drive.

        The input is scaled, not centred: no input must stay no push.
        """
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        spread, size = spread_of(x), size_of(slope)
        # |∂H/∂p| ~ |dq/dt| asks for |H| ~ |dq/dt| · |p|, and the other way round
        unit = (size * spread.roll(len(spread) // 2)).mean()
        self.net.standardize(x, unit)
        # R ∇H ~ rate · x, with rate a mean inverse time and ∇H ~ unit / spread
        rate = (size / spread).mean()
        self.root.standardize(x, (spread * (rate / unit).sqrt())[:, None])
        if self.inputs and drive is not None:
            self.port.standardize(x, size[:, None] / size_of(drive.reshape(-1, self.inputs)))


class RayleighField(VectorField):
    """A conservative field and learned friction on its momenta.

    dq/dt = ∂H/∂p, dp/dt = −∂H/∂q − ∂D/∂q̇ with Rayleigh's function D = ½ q̇ᵀ C q̇,
    C = L Lᵀ + least · 1 (Rayleigh 1873). For any weights dH/dt = −q̇ᵀ C q̇ ≤ 0, and the friction
    does nothing to dq/dt. It is narrower than the D of Sosanya and Greydanus (2022), whose whole
    gradient is added to J∇H and may feed energy in. With C a network of the state, drag that grows
    with the speed is within reach, and C q̇ is then a friction, not the gradient of a D.

    Args:
        conservative: The field of H, learned or known; in the (q, v) chart the friction is divided
            by the weights of its form.
        width: Neurons in each hidden layer of the network of the friction.
        depth: Hidden layers of it.
        friction: What C depends on: nothing, the positions of its row, or the whole row.
        least: Friction that is there whatever is learned, in momentum/length.

    Raises:
        ConfigError: ``conservative`` has no energy or no ``dim``, ``least`` is negative, or a size
            or a choice is none.
    """

    autonomous: ClassVar[bool] = False  # H falls: checks of its conservation do not apply

    def __init__(
        self,
        conservative: VectorField,
        width: int = 64,
        depth: int = 2,
        friction: Friction = "position",
        least: float = 0.0,
    ):
        super().__init__()
        kind = type(conservative).__name__
        if not isinstance(conservative, HamiltonianField | SplitField) or conservative.dim is None:
            raise ConfigError(
                "RayleighField needs a HamiltonianField or a SplitField with a dim of its own, "
                f"such as SeparableEnergy(dim=2), got {kind}."
            )
        even(conservative.dim)
        positive(width=width, depth=depth)
        _one_of("friction", friction, Friction)
        if not 0 <= least < math.inf:
            raise ConfigError(
                f"least must be a friction, zero or positive, got {least}: a negative one would "
                "feed energy in."
            )
        self.conservative, self.width, self.depth = conservative, width, depth
        self.friction, self.least, self.dim = friction, least, conservative.dim
        half = self.dim // 2
        seen = self.dim if friction == "state" else half
        self.root = StateMatrix(seen, (half, half), width, depth, friction != "constant")

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """On a separable energy, and on a general one with everything the friction can see."""
        split = cls(SeparableEnergy(dim=2, width=8), width=8)
        plain = cls(SeparableEnergy(dim=2, width=8), friction="constant", least=0.1)
        return [split, plain, cls(Energy(dim=4, width=8), width=8, friction="state")]

    def _seen(self, x: Tensor) -> Tensor:
        return x if self.friction == "state" else x.chunk(2, dim=-1)[0]

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        return self.conservative.energy(x, topology)

    def form(self, topology: Topology) -> Tensor:
        """Weight of each row in the symplectic form of the conservative part, ``[rows]``."""
        return self.conservative.form(topology)

    def resistance(self, x: Tensor) -> Tensor:
        """C, ``[rows, dim/2, dim/2]``, symmetric and at least ``least``."""
        root = self.root(self._seen(x))
        floor = self.least * torch.eye(root.shape[-1], dtype=x.dtype, device=x.device)
        return (root @ root.mT + floor).expand(x.shape[0], -1, -1)

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """(∂H/∂p, −∂H/∂q − C q̇)."""
        dq, dp = self.conservative(t, x, topology).chunk(2, dim=-1)
        root = self.root(self._seen(x))
        drag = applied(root, applied(root.mT, dq)) + self.least * dq
        weight = self.form(topology).to(dtype=x.dtype, device=x.device)
        return torch.cat([dq, dp - drag / weight[:, None]], dim=-1)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the friction by what it slows down, and the conservative part by itself."""
        if isinstance(self.conservative, Standardizable):
            self.conservative.standardize(x, slope, drive)
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        dq, dp = size_of(slope).chunk(2)
        self.root.standardize(self._seen(x), (dp / dq).sqrt()[:, None])
