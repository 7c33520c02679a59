"""Does a simulator forget where it began? Logarithmic norms, norms, and what follows from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simlearn.component import ConfigError


def log_norm(jacobian: Tensor, metric: Tensor | None = None) -> Tensor:
    """The logarithmic norm μ_P(J): the smallest c with P J + Jᵀ P ≤ 2 c P, ``[...]``.

    For a flow, neighbours part at most by the rate μ; μ ≤ −c along a set that is never left means
    contraction at rate c (Lohmiller and Slotine 1998). Its sign says nothing of asymptotics alone:
    a stable matrix may have a positive μ, and then grows first.

    Args:
        jacobian: ``[..., n, n]``.
        metric: P, symmetric and positive definite ``[n, n]``; the Euclidean one by default.

    Raises:
        ConfigError: The metric is not symmetric and positive definite.
    """
    seen = _seen(jacobian, metric)
    return torch.linalg.eigvalsh((seen + seen.mT) / 2)[..., -1]


def norm(jacobian: Tensor, metric: Tensor | None = None) -> Tensor:
    """The operator norm ‖J‖_P, ``[...]``: for a map, by how much neighbours part in a step.

    Raises:
        ConfigError: The metric is not symmetric and positive definite.
    """
    return torch.linalg.matrix_norm(_seen(jacobian, metric), 2)


def _seen(jacobian: Tensor, metric: Tensor | None) -> Tensor:
    """Lᵀ J L⁻ᵀ with P = L Lᵀ: the Jacobian where the metric is Euclidean."""
    if metric is None:
        return jacobian
    if metric.shape != jacobian.shape[-2:]:
        raise ConfigError(
            f"The metric must be {list(jacobian.shape[-2:])}, as the Jacobian is; got "
            f"{list(metric.shape)}."
        )
    factor, wrong = torch.linalg.cholesky_ex(metric.to(jacobian))
    if bool(wrong) or not torch.allclose(metric, metric.mT):
        raise ConfigError(
            "The metric must be a symmetric and positive definite matrix, got "
            f"{metric.tolist()}. Take its symmetric part, or add a multiple of the identity."
        )
    turned = factor.mT @ jacobian
    return torch.linalg.solve_triangular(factor.mT, turned, upper=True, left=False)


def transient_gain(generator: Tensor, times: Tensor) -> tuple[float, float]:
    """The largest ‖exp(A t)‖₂ over ``times`` and when: how much a stable flow may grow first."""
    gains = torch.linalg.matrix_norm(torch.linalg.matrix_exp(generator * times[:, None, None]), 2)
    most = int(gains.argmax())
    return float(gains[most]), float(times[most])


def error_bound(rate: float, first: float, disturbance: float, t: float) -> float:
    """Largest error of a flow at time t: e^{μt} e₀ + d (e^{μt} − 1) / μ.

    Args:
        rate: μ, the largest logarithmic norm met on the way.
        first: e₀, the error at the start.
        disturbance: d, the largest error of the field.
        t: The time.
    """
    grown = math.exp(rate * t)
    return grown * first + disturbance * (math.expm1(rate * t) / rate if rate else t)


def error_bound_map(factor: float, first: float, disturbance: float, steps: int) -> float:
    """Largest error of a map after k steps: qᵏ e₀ + d (1 − qᵏ) / (1 − q), q = sup ‖J‖."""
    grown = factor**steps
    share = steps if factor == 1 else (1 - grown) / (1 - factor)
    return grown * first + disturbance * share
