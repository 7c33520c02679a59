"""What training does to linear dynamics, in closed form: the price of each stabilizer.

Derived from the normal equations of a linear layer under a mean squared error: with states of
second moment C, a true one-step matrix M and the loss |W X − Y|² / 2N, gradient flow is
dW/dt = −(W − M) C.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from simlearn.component import ConfigError

Convention = Literal["measured", "corrected", "uncorrected", "restoring", "resimulated"]


def descended(first: Tensor, target: Tensor, moment: Tensor, rate: float, steps: int) -> Tensor:
    """W_K = A + (W₀ − A)(I − η C)^K, the weights after K steps of gradient descent.

    In a direction without data, W stays exactly what it was. Momentum keeps it, too; Adam does not.

    Args:
        first: W₀ ``[m, n]``.
        target: A ``[m, n]``.
        moment: C ``[n, n]``.
        rate: η. For a loss averaged over m outputs, as torch's ``mse_loss``, give 2 η / m.
        steps: K.
    """
    shrink = torch.eye(len(moment), dtype=moment.dtype) - rate * moment
    return target + (first - target) @ torch.linalg.matrix_power(shrink, steps)


def flowed(first: Tensor, target: Tensor, moment: Tensor, time: float) -> Tensor:
    """W(t) = A + (W₀ − A) exp(−C t), the weights under gradient flow."""
    return target + (first - target) @ torch.linalg.matrix_exp(-moment * time)


def loss_after(first: Tensor, target: Tensor, moment: Tensor, rate: float, steps: int) -> float:
    """½ Σ_i |(W₀ − A) u_i|² λ_i (1 − η λ_i)^{2K}: a direction of little energy hardly shows."""
    values, vectors = torch.linalg.eigh(moment)
    off = ((first - target) @ vectors).square().sum(0)
    return float((off * values * (1 - rate * values) ** (2 * steps)).sum() / 2)


def noisy(
    truth: Tensor,
    moment: Tensor,
    noise: Tensor | float,
    convention: Convention,
    *,
    kappa: float = 0.0,
) -> Tensor:
    """The one-step matrix that training on noisy inputs x + ξ tends to, E ξξᵀ = Q.

    ======================  ===============================================  ===================
    convention              learned                                          without data
    ======================  ===============================================  ===================
    corrected               M C (C + Q)⁻¹                                    0: dead
    measured                M C (C + Q)⁻¹ (fresh noise on the target, too)   0: dead
    uncorrected             I + (M − I) C (C + Q)⁻¹                          I: neutral
    restoring               I + ((M − I) C − κ Q) (C + Q)⁻¹                  (1 − κ) I
    resimulated             M                                                M, learned
    ======================  ===============================================  ===================

    κ is what a step takes back here: 1 − exp(−rate · dt), 1 for corrected targets.

    Args:
        truth: M ``[n, n]``.
        moment: C ``[n, n]``.
        noise: Q ``[n, n]``, or s for Q = s² I.
        convention: What the targets are.
        kappa: Share of the noise that a step should take back.

    Raises:
        ConfigError: No such convention.
    """
    one = torch.eye(len(moment), dtype=moment.dtype)
    q = noise if isinstance(noise, Tensor) else noise**2 * one
    gain = _over(moment, moment + q)
    if convention in ("corrected", "measured"):
        return truth @ gain
    if convention == "uncorrected":
        return one + (truth - one) @ gain
    if convention == "restoring":
        return one + _over((truth - one) @ moment - kappa * q, moment + q)
    if convention == "resimulated":
        return truth
    raise ConfigError(f"There is no target convention {convention!r}.")


def noisy_generator(
    generator: Tensor, moment: Tensor, noise: Tensor | float, kappa: float = 0.0
) -> Tensor:
    """The field that training on noisy states with clean derivatives tends to.

    (A C − κ Q)(C + Q)⁻¹, with the target A x − κ ξ; without κ directions without data stay neutral,
    whatever the noise.
    """
    one = torch.eye(len(moment), dtype=moment.dtype)
    q = noise if isinstance(noise, Tensor) else noise**2 * one
    return _over(generator @ moment - kappa * q, moment + q)


def spurious_rate(energy: float, rate: float, noise: float, kappa: float) -> float:
    """−s² (κ + a) / (λ + s²): what noise adds to the rate a of a direction of energy λ."""
    return -(noise**2) * (kappa + rate) / (energy + noise**2)


def annealed(
    energy: float, rate: float, noise: float, first: float, noisy_time: float, clean_time: float
) -> float:
    """Generator of one direction after noise for T₁ and none for T₂ (clean derivatives).

    a − a s²/(λ + s²) exp(−λ T₂) + (a₀ − a λ/(λ + s²)) exp(−(λ + s²) T₁ − λ T₂): annealing repairs
    only what is still learned in T₂.

    Args:
        energy: λ.
        rate: a, the true generator.
        noise: s.
        first: a₀, that of the untrained model.
        noisy_time: T₁, the sum of learning rates under noise.
        clean_time: T₂, that without.
    """
    total = energy + noise**2
    share = noise**2 / total
    late = math.exp(-energy * clean_time)
    early = math.exp(-total * noisy_time - energy * clean_time)
    return rate - rate * share * late + (first - rate * (1 - share)) * early


def certifying_noise(before: Tensor, after: Tensor) -> float:
    """Least s² for which a map trained on clean targets is sure to have no multiplier above 1.

    λ_max(S₁₁ − S₀₀), at least 0, with S₀₀ the second moment of the states and S₁₁ that of the next
    ones: stationary data are certified by any noise.
    """
    return max(0.0, float(torch.linalg.eigvalsh(after - before)[-1]))


def _over(left: Tensor, right: Tensor) -> Tensor:
    """Left · right⁻¹, with the pseudoinverse where nothing gives right any energy."""
    return left @ torch.linalg.pinv(right, hermitian=True)
