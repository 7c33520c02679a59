"""Optimizers as maps: one step of weights and memory, and the curvature that a step can bear."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class Rule(ABC):
    """What an optimizer does with a gradient, as torch does it.

    A state is ``[..., parts, n]``: the weights, then what the optimizer remembers of each.

    Attributes:
        parts: Vectors of a state.
        rate: Learning rate η, or one for each weight ``[n]``.
        decay: Weight decay that is added to the gradient, so to the curvature, too.
        clip: Largest norm of the gradient; a larger one is scaled down. None takes it as it is.
    """

    parts: int
    rate: float | Tensor
    decay: float
    clip: float | None

    @property
    @abstractmethod
    def limit(self) -> float:
        """The eigenvalue of √D (H + decay) √D, D = `rates`, up to which a quadratic loss is stable.

        2 of gradient descent, so that the curvature may be 2/η.
        """

    @abstractmethod
    def step(self, state: Tensor, slope: Tensor, number: int) -> Tensor:
        """The state after a step with the gradient ``slope`` ``[..., n]``.

        Args:
            state: ``[..., parts, n]``.
            slope: Gradient at the weights.
            number: Steps taken before.
        """

    def rates(self, state: Tensor, number: int) -> Tensor:
        """D ``[..., n]``: how far a unit of gradient moves each weight, frozen as it stands now."""
        return self.rate * torch.ones_like(state[..., 0, :])

    def companion(self, curvature: Tensor) -> Tensor:
        """The step of (weight, memory) along eigenvectors of √D H √D, ``[..., 2, 2]``.

        Its eigenvalues z give the exponents ln |z| of a quadratic loss.

        Args:
            curvature: Eigenvalues, of any shape.
        """
        s, one = curvature, torch.ones_like(curvature)
        gain, kept, shrunk, push, weight = self._recurrence()
        # memory m' = kept m + gain s w; weight w' = shrunk w − push s w − weight m'
        rows = [shrunk - (push + weight * gain) * s, -weight * kept * one]
        return torch.stack([*rows, gain * s, kept * one], -1).unflatten(-1, (2, 2))

    def taken(self, slope: Tensor, weights: Tensor) -> Tensor:
        """The gradient as the step takes it: clipped, with the weight decay."""
        if self.clip is not None:
            size = slope.norm(dim=-1, keepdim=True)
            slope = slope * (self.clip / (size + 1e-6)).clamp(max=1.0)
        return slope + self.decay * weights

    def exponents(self, curvature: Tensor) -> Tensor:
        """Ln |z| of both eigenvalues of `companion`, ``[..., 2]``, the larger first; per step."""
        return torch.linalg.eigvals(self.companion(curvature)).abs().log().sort(-1, True).values

    @abstractmethod
    def _recurrence(self) -> tuple[float, float, float, float, float]:
        """(Gain of memory, share kept of it, share kept of a weight, push, what memory weighs)."""


@dataclass(frozen=True)
class Descent(Rule):
    """Gradient descent with heavy-ball or Nesterov momentum, as `torch.optim.SGD`.

    b' = β b + (1 − dampening) g, w' = w − η b'; with Nesterov w' = w − η (g + β b').
    Stable up to 2 (1 + β) / (1 − dampening), with Nesterov up to 2 (1 + β) / (1 + 2 β)
    (Cohen et al. 2021, appendix B).

    Attributes:
        rate: η.
        momentum: β.
        dampening: Share of a gradient that the memory does not take.
        nesterov: Whether the step looks ahead.
        decay: Weight decay.
        clip: Largest norm of the gradient.
    """

    rate: float | Tensor
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    decay: float = 0.0
    clip: float | None = None

    @property
    def parts(self) -> int:  # type: ignore[override]
        """One, or two with momentum."""
        return 2 if self.momentum else 1

    @property
    def limit(self) -> float:
        """2 (1 + β) without anything else."""
        ahead = 1 + 2 * self.momentum if self.nesterov else 1 - self.dampening
        return 2 * (1 + self.momentum) / (ahead if self.momentum else 1.0)

    def step(self, state: Tensor, slope: Tensor, number: int) -> Tensor:
        """One step."""
        weights = state[..., 0, :]
        slope = self.taken(slope, weights)
        if not self.momentum:
            return (weights - self.rate * slope)[..., None, :]
        taken = 1.0 if number == 0 else 1 - self.dampening  # torch begins with the whole gradient
        memory = self.momentum * state[..., 1, :] + taken * slope
        moved = slope + self.momentum * memory if self.nesterov else memory
        return torch.stack([weights - self.rate * moved, memory], -2)

    def _recurrence(self) -> tuple[float, float, float, float, float]:
        if not self.momentum:
            return 1.0, 0.0, 1.0, 0.0, 1.0
        weight = self.momentum if self.nesterov else 1.0
        return 1 - self.dampening, self.momentum, 1.0, float(self.nesterov), weight


@dataclass(frozen=True)
class Adam(Rule):
    """Adam and AdamW, as torch's (Kingma and Ba 2015, algorithm 1).

    With the second moment frozen it is momentum of preconditioned gradients, stable up to
    (2 + 2 β₁) / (1 − β₁), 38 at β₁ = 0.9 (Cohen et al. 2022).

    Attributes:
        rate: η.
        betas: β₁ and β₂.
        eps: Added to the root of the second moment.
        decay: Weight decay that is added to the gradient.
        shrink: Weight decay of AdamW, w' = (1 − η shrink) w − ...
        clip: Largest norm of the gradient.
    """

    rate: float | Tensor
    betas: Sequence[float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: float = 0.0
    shrink: float = 0.0
    clip: float | None = None

    parts = 3

    @property
    def limit(self) -> float:
        """(1 + β₁) (2 − η shrink) / (1 − β₁)."""
        return (1 + self.betas[0]) * (2 - self._shrunk()) / (1 - self.betas[0])

    def step(self, state: Tensor, slope: Tensor, number: int) -> Tensor:
        """One step."""
        weights, first, second = state.unbind(-2)
        slope = self.taken(slope, weights)
        first = first + (1 - self.betas[0]) * (slope - first)
        second = self.betas[1] * second + (1 - self.betas[1]) * slope * slope
        moved = self._rates(second, number + 1) * first
        return torch.stack([weights * (1 - self.rate * self.shrink) - moved, first, second], -2)

    def rates(self, state: Tensor, number: int) -> Tensor:
        """η / (1 − β₁ⁿ) / (√(v / (1 − β₂ⁿ)) + eps), n the steps taken; zero before the first."""
        if number == 0:
            return torch.zeros_like(state[..., 0, :])
        return self._rates(state[..., 2, :], number)

    def _rates(self, second: Tensor, steps: int) -> Tensor:
        root = _root(second) / (1 - self.betas[1] ** steps) ** 0.5
        return self.rate / (1 - self.betas[0] ** steps) / (root + self.eps)

    def _shrunk(self) -> float:
        return largest(self.rate) * self.shrink

    def _recurrence(self) -> tuple[float, float, float, float, float]:
        return 1 - self.betas[0], self.betas[0], 1 - self._shrunk(), 0.0, 1.0


@dataclass(frozen=True)
class RMSprop(Rule):
    """RMSprop, as torch's, not centred: gradients over the root of their mean square.

    Stable up to 2 (1 + β), β its momentum.

    Attributes:
        rate: η.
        alpha: Share of the mean square that is kept.
        eps: Added to its root.
        momentum: β.
        decay: Weight decay.
        clip: Largest norm of the gradient.
    """

    rate: float | Tensor
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    decay: float = 0.0
    clip: float | None = None

    parts = 3

    @property
    def limit(self) -> float:
        """2 (1 + β)."""
        return 2 * (1 + self.momentum)

    def step(self, state: Tensor, slope: Tensor, number: int) -> Tensor:
        """One step."""
        weights, memory, square = state.unbind(-2)
        slope = self.taken(slope, weights)
        square = self.alpha * square + (1 - self.alpha) * slope * slope
        memory = self.momentum * memory + slope / (_root(square) + self.eps)
        return torch.stack([weights - self.rate * memory, memory, square], -2)

    def rates(self, state: Tensor, number: int) -> Tensor:
        """η / (√v + eps); zero before the first step."""
        if number == 0:
            return torch.zeros_like(state[..., 0, :])
        return self.rate / (_root(state[..., 2, :]) + self.eps)

    def _recurrence(self) -> tuple[float, float, float, float, float]:
        return 1.0, self.momentum, 1.0, 0.0, 1.0


def largest(rate: float | Tensor) -> float:
    """The learning rate, or the largest of them."""
    return float(rate.max()) if isinstance(rate, Tensor) else rate


def _root(square: Tensor) -> Tensor:
    """√v whose derivative at v = 0 is 0: a weight that never had a gradient has no tangent."""
    some = square > 0
    return torch.where(some, torch.where(some, square, 1.0).sqrt(), 0.0)
