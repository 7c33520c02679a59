"""Triangles, singular values and solutions of least squares, wide ones by their Gram matrix."""

from __future__ import annotations

import torch
from torch import Tensor

WIDE = 420  # columns above which the Gram matrix is several times as fast as a triangle
GRAM_RIDGE = 1e-12  # what its rounding leaves of a ridge
SURE = 1e-3  # pivots of a matrix of unit diagonal above which Cholesky's method loses little


def by_gram(rows: Tensor) -> bool:
    """Whether the triangle comes from the Gram matrix, which loses ridges below `GRAM_RIDGE`."""
    return WIDE < rows.shape[1] < rows.shape[0]


def triangle_of(rows: Tensor) -> Tensor:
    """R with RᵀR = AᵀA; for many columns by Cholesky's method."""
    if not by_gram(rows):
        return torch.linalg.qr(rows, mode="r").R
    gram = rows.T @ rows
    scale = gram.diagonal().clamp_min(1e-300).rsqrt()
    root = _root(scale[:, None] * gram * scale)
    return torch.linalg.qr(rows, mode="r").R if root is None else root.T / scale


def _root(scaled: Tensor) -> Tensor | None:
    """Lower Cholesky factor of a matrix of unit diagonal, raised as little as it takes; or None."""
    for jitter in (0.0, *(10.0 ** torch.arange(-15, -8)).cumsum(0).tolist()):
        root, failed = torch.linalg.cholesky_ex(scaled + jitter * torch.eye(len(scaled)).to(scaled))
        if not int(failed):
            return root
    return None


def along(matrix: Tensor, right: Tensor) -> Tensor:
    """Solution of a symmetric system, along the directions in which it is not singular."""
    if not len(matrix):
        return right
    size = matrix.diagonal()
    scale = size.clamp_min(1e-15 * float(size.max().clamp_min(1e-200))).rsqrt()
    scaled = scale[:, None] * matrix * scale
    root = _root(scaled)
    if root is not None and (len(matrix) > WIDE or float(root.diagonal().min()) > SURE):
        return scale * torch.cholesky_solve((scale * right)[:, None], root)[:, 0]
    values, vectors = torch.linalg.eigh(scaled)
    kept = values > 1e-14 * values[-1]
    return scale * (vectors[:, kept] @ ((vectors.T @ (scale * right))[kept] / values[kept]))


def svd(inner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values and vectors; of wide matrices by the eigenvectors of the Gram matrix."""
    if inner.shape[1] <= WIDE:
        found = torch.linalg.svd(inner, full_matrices=False)
        return found.U, found.S, found.Vh
    values, vectors = torch.linalg.eigh(inner.T @ inner)
    s = values.flip(0).clamp_min(GRAM_RIDGE * float(values[-1])).sqrt()
    return inner @ vectors.flip(1) / s, s, vectors.flip(1).T
