"""Structure of phase space: the symplectic form, pairing of growth and decay, volume."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.analysis.flat import Motion, scaled
from simlearn.analysis.jacobian import jacobian
from simlearn.dynamics.base import Time

TURN = ((0.0, 1.0), (-1.0, 0.0))


def form_matrix(weights: Tensor, dim: int) -> Tensor:
    """Ω of Σ w_i dq_i ∧ dp_i over the flattened state, ``[rows · dim, rows · dim]``.

    Args:
        weights: ``[rows]`` of the field's own form: ones for (q, p), masses for (q, v).
        dim: Columns of a row, q and p.
    """
    half = torch.eye(dim // 2, dtype=torch.float64)
    turn = torch.kron(torch.tensor(TURN, dtype=torch.float64), half)
    return torch.kron(torch.diag(weights.double()), turn)


def defect(product: Tensor, form: Tensor) -> Tensor:
    """Largest entry of Jᵀ Ω J − Ω, ``[anchors]``; zero for a symplectic map."""
    return (product.mT @ form @ product - form).abs().flatten(1).amax(1)


def canonical(motion: Motion, x: Tensor, weights: Tensor) -> tuple[Motion, Tensor, Tensor]:
    """The motion and its starts where the form is ±dq ∧ dp, and that form ``[n, n]``.

    Rows times √|w_i|: singular values of Jacobians pair there, and defects have no unit.
    """
    dim = x.shape[1] // len(weights)
    root = weights.abs().rsqrt().repeat_interleave(dim)
    return scaled(motion, root), x / root, form_matrix(weights.sign(), dim)


def mispairing(product: Tensor) -> Tensor:
    """max_i |ln σ_i σ_n+1−i|, ``[anchors]``, of a product of Jacobians in canonical coordinates.

    A symplectic map has it at zero at any time; exponents by QR pair only as 1 / time.
    """
    logs = torch.linalg.svdvals(product).clamp_min(1e-300).log()
    return (logs + logs.flip(-1)).abs().amax(-1)


@torch.no_grad()
def divergence(slope: Motion, x: Tensor, t: Time = 0.0) -> Tensor:
    """∇·f at anchors, ``[anchors]``: its mean along an orbit is the sum of all exponents."""
    flow = jacobian(lambda y: slope(y, t), x)
    return flow.diagonal(dim1=-2, dim2=-1).sum(-1)
