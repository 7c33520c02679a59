"""Parametrizations of a square matrix by its spectrum: skew, Hurwitz, Schur."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

Array = Any
INSIDE = 0.01  # how far inside the boundary a matrix begins, as a share of its spectral radius


class Skew(nn.Module):
    """A = W − Wᵀ − γ I, whose eigenvalues are −γ ± iω for any W (Chang et al. 2019)."""

    def __init__(self, damping: float):
        super().__init__()
        self.damping = damping

    def forward(self, weight: Tensor) -> Tensor:
        """The damped skew matrix."""
        return weight - weight.mT - self.damping * _eye(weight)

    def right_inverse(self, matrix: Tensor) -> Tensor:
        """The W whose W − Wᵀ is the skew part of the matrix, the nearest there is."""
        return (matrix - matrix.mT) / 4


class Hurwitz(nn.Module):
    """A = (J − R) Q with J skew and R, Q positive: every matrix with eigenvalues left of −margin.

    The free numbers are three matrices, J = X − Xᵀ, Q = M Mᵀ and R = L Lᵀ + margin Q⁻¹, so that
    A = (J − L Lᵀ) Q − margin I. V = xᵀQx/2 falls along dx/dt = A x, by AᵀQ + QA = −2 QRQ
    (Gillis and Sharma 2017).
    """

    def __init__(self, margin: float):
        super().__init__()
        self.margin = margin

    def parts(self, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """J, R and Q."""
        x, low, metric = free
        q = metric @ metric.mT
        return x - x.mT, low @ low.mT + self.margin * torch.linalg.inv(q), q

    def forward(self, free: Tensor) -> Tensor:
        """The Hurwitz matrix ``[n, n]`` of ``[3, n, n]`` free numbers."""
        x, low, metric = free
        # Q need not be inverted: a Q that becomes singular leaves the guarantee as it is
        product = (x - x.mT - low @ low.mT) @ (metric @ metric.mT)
        return product - self.margin * _eye(product)

    def right_inverse(self, matrix: Tensor) -> Tensor:
        """Free numbers of the matrix, its eigenvalues first moved left of the margin.

        With A + margin I = A₀, Q solves A₀ᵀQ + Q A₀ = −I, and A₀ Q⁻¹ = J − L Lᵀ.
        """
        whole = _array(matrix)
        inside = INSIDE * np.abs(np.linalg.eigvals(whole)).max() or INSIDE
        limit = self.margin + inside

        def moved(block: Array) -> Array:
            return block - max(0.0, block[0, 0] + limit) * np.eye(len(block))

        eye = np.eye(len(whole))
        stable = _respectrum(whole, moved) + self.margin * eye
        q = scipy.linalg.solve_continuous_lyapunov(stable.T, -eye)
        q = (q + q.T) / (2 * np.trace(q) / len(q))
        core = np.linalg.solve(q, stable.T).T
        free = [(core - core.T) / 4, _root(-(core + core.T) / 2), _root(q)]
        return torch.from_numpy(np.stack(free)).to(matrix)


class Schur(nn.Module):
    """A = S⁻¹ K S with ‖K‖₂ < 1 − margin: every matrix of spectral radius below 1 − margin.

    The free numbers are two matrices, S = I + L Lᵀ and K = (1 − margin) C⁻¹ X with C the Cholesky
    factor of I + X Xᵀ: C⁻¹ X runs through all matrices of norm below 1, once each. S² is a
    discrete Lyapunov function, V = |S x|².
    """

    def __init__(self, margin: float):
        super().__init__()
        self.margin = margin

    def parts(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """S and K."""
        low, x = free
        eye = _eye(x)
        factor = torch.linalg.cholesky_ex(eye + x @ x.mT).L
        inner = torch.linalg.solve_triangular(factor, x, upper=False)
        return eye + low @ low.mT, (1 - self.margin) * inner

    def forward(self, free: Tensor) -> Tensor:
        """The Schur matrix ``[n, n]`` of ``[2, n, n]`` free numbers."""
        s, k = self.parts(free)
        # solve answers by columns; an archive keeps rows, and must step the same to the last bit
        return torch.linalg.solve(s, k @ s).contiguous()

    def right_inverse(self, matrix: Tensor) -> Tensor:
        """Free numbers of the matrix, its eigenvalues first moved into the disc.

        With P = AᵀPA + I, S = P^½ gives ‖S A S⁻¹‖₂ = √(1 − 1/λmax(P)) < 1.
        """
        limit = (1 - self.margin) * (1 - INSIDE)

        def moved(block: Array) -> Array:
            size = np.sqrt(abs(np.linalg.det(block))) if len(block) == 2 else abs(block[0, 0])
            return block * min(1.0, limit / size) if size > 0 else block

        inner = _respectrum(_array(matrix), moved) / (1 - self.margin)
        eye = np.eye(len(inner))
        p = scipy.linalg.solve_discrete_lyapunov(inner.T, eye)
        s = _root((p + p.T) / 2)
        k = s @ np.linalg.solve(s.T, inner.T).T
        # I − K Kᵀ = C⁻¹ C⁻ᵀ, and X = C K
        x = np.linalg.solve(np.linalg.cholesky(eye - k @ k.T), k)
        return torch.from_numpy(np.stack([_root(s - eye), x])).to(matrix)


def _respectrum(matrix: Array, moved: Callable[[Array], Array]) -> Array:
    """The matrix with other eigenvalues, in the basis of its real Schur form.

    LAPACK gives the 2 × 2 blocks equal diagonals: an entry of the diagonal is a real part, and
    the determinant of a block is |λ|². Only blocks that must move do.
    """
    t, z = scipy.linalg.schur(matrix, output="real")
    k = 0
    while k < len(t):
        block = slice(k, k + 2 if k + 1 < len(t) and t[k + 1, k] != 0 else k + 1)
        t[block, block] = moved(t[block, block])
        k = block.stop
    return z @ t @ z.T


def _root(matrix: Array) -> Array:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T


def _array(matrix: Tensor) -> Array:
    return matrix.detach().cpu().double().numpy()


def _eye(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)
