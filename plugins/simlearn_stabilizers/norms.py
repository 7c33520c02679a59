"""Parametrizations that bound the norm of a matrix, or make it orthogonal."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import simlearn


def spectral_norm(weight: Tensor) -> Tensor:
    """‖W‖₂ by SVD, also of a matrix with entries that are not finite (they count as 0)."""
    # LAPACK refuses NaN with an error of its own, and hides that a training diverged
    return torch.linalg.matrix_norm(weight.nan_to_num(0.0, 0.0, 0.0), 2)


def layer_norms(dynamics: simlearn.Dynamics) -> dict[str, float]:
    """Exact ‖W‖₂ of every nn.Linear by its name, folded or parametrized, by SVD in float64."""
    return {
        name: float(spectral_norm(layer.weight.detach().double()))
        for name, layer in dynamics.named_modules()
        if isinstance(layer, nn.Linear)
    }


def norm_product(dynamics: simlearn.Dynamics) -> float:
    """The product of all layers' norms.

    It bounds the Lipschitz constant of a network whose layers follow one another with activations
    of slope at most 1 (tanh). Where the dynamics scale their input and output (`Standardize`), that
    of the field is larger by up to the largest rate over the smallest spread.
    """
    return math.prod(layer_norms(dynamics).values())


def polar(weight: Tensor) -> Tensor:
    """The orthogonal matrix nearest to W, U Vᵀ of its SVD; semi-orthogonal where it is not square.

    Fan and Hoffman 1955: nearest in every unitarily invariant norm.
    """
    u, _, v = torch.linalg.svd(weight, full_matrices=False)
    return u @ v


def newton_schulz(weight: Tensor, iterations: int) -> Tensor:
    """Iterates W ← 1.5 W − 0.5 W WᵀW, which takes every singular value s to 1.5 s − 0.5 s³."""
    wide = weight.shape[0] < weight.shape[1]
    for _ in range(iterations):
        if wide:
            weight = 1.5 * weight - 0.5 * (weight @ weight.mT) @ weight
        else:
            weight = 1.5 * weight - 0.5 * weight @ (weight.mT @ weight)
    return weight


class NormBound(nn.Module):
    """W · min(1, bound / ‖W‖₂), the norm by SVD.

    A matrix inside the bound stays as it is. torch's ``spectral_norm`` divides by a power
    iteration instead, which lies below the norm and advances at every evaluation: the steps of one
    rollout would each see another matrix.
    """

    def __init__(self, bound: float):
        super().__init__()
        self.bound = bound

    def forward(self, weight: Tensor) -> Tensor:
        """The bounded matrix."""
        return weight * (self.bound / spectral_norm(weight).clamp_min(self.bound))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The matrix itself."""
        return weight


class NewtonSchulz(nn.Module):
    """The polar factor of W by Newton-Schulz iterations of W / √(‖W‖₁ ‖W‖∞).

    That quotient bounds ‖W‖₂ from above (Schur's test), so that all singular values begin in
    (0, 1] and rise to 1 without ever passing it: the norm is at most 1 after any number of them.
    """

    def __init__(self, iterations: int):
        super().__init__()
        self.iterations = iterations

    def forward(self, weight: Tensor) -> Tensor:
        """The matrix after the iterations."""
        size = weight.abs()
        above = (size.sum(0).amax() * size.sum(1).amax()).sqrt()
        # the smallest normal number: a matrix of zeros stays one
        return newton_schulz(weight / above.clamp_min(_tiny(weight)), self.iterations)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The matrix itself: its polar factor is the orthogonal matrix nearest to it."""
        return weight


class Polished(nn.Module):
    """Two Newton-Schulz steps: they take an orthogonality defect d to order d⁴.

    A parametrization is set up before the simulator is cast. What was orthogonal in float32 is
    orthogonal in float64 to 1e-7 only, without this.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Orthogonal to the rounding of its own precision."""
        # torch hands a wide matrix on by columns; an archive keeps rows, and must step the same
        return newton_schulz(weight.contiguous(), 2)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The matrix itself."""
        return weight


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny
