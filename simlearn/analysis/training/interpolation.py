"""Stability of a minimum that fits the data exactly, under full and under stochastic gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.analysis.flat import random_frame
from simlearn.analysis.growth import BLOCKS, DEAD, standard_error
from simlearn.analysis.training.curvature import hessian_products
from simlearn.analysis.training.maps import Batches
from simlearn.component import ConfigError, DataError


def normal_space(hessian: Tensor, flat: float = 1e-4) -> tuple[Tensor, Tensor]:
    """Directions across the set of minima, ``[n, m]``, and their curvatures ``[m]``.

    Along the set the loss does not bend; what bends by less than ``flat`` times the largest
    curvature counts as along.

    Raises:
        DataError: Nothing bends.
    """
    values, vectors = torch.linalg.eigh(hessian)
    bent = values.abs() > flat * values.abs().max()
    if not bool(bent.any()):
        raise DataError("The loss bends in no direction, so that nothing lies across its minima.")
    return vectors[:, bent], values[bent]


def descent_exponent(curvatures: Tensor, rate: float, decay: float = 0.0) -> float:
    """Max ln |1 − η (h + decay)|, per step: below zero, gradient descent comes back.

    Args:
        curvatures: h across the minima.
        rate: η.
        decay: Weight decay that is added to the gradient.
    """
    return float((1 - rate * (curvatures + decay)).abs().log().max())


def scalar_exponents(curvatures: Tensor, rate: float) -> tuple[float, float, float]:
    """(E ln |1 − η h_b|, ½ ln E (1 − η h_b)², ln |1 − η E h_b|) of one direction.

    Of stochastic gradient descent along almost every path, of its mean square, and of full
    gradients: three answers to whether a minimum is stable, and they differ (Chemnitz and Engel
    2024).

    Args:
        curvatures: h_b of batches that are drawn alike, ``[batches]``.
        rate: η.
    """
    factor = (1 - rate * curvatures).abs()
    mean_square = factor.square().mean().log() / 2
    full = (1 - rate * curvatures.mean()).abs().log()
    return float(factor.log().mean()), float(mean_square), float(full)


def sgd_exponent(
    loss: Batches,
    weights: Tensor,
    rate: float,
    normal: Tensor,
    steps: int,
    seed: int = 0,
    decay: float = 0.0,
) -> tuple[float, float]:
    """Lim (1/k) ln ‖Π (I − η (H_b + decay))‖ across the minima, at weights that stay there.

    Its sign decides whether stochastic gradient descent can settle at an interpolating minimum.
    Each step costs one product with the Hessian of a batch.

    Args:
        loss: Of weights ``[n]`` on the batch of a step, as for `maps.training_map`.
        weights: The minimum ``[n]``.
        rate: η.
        normal: Orthonormal directions across the minima, ``[n, m]``.
        steps: Batches.
        seed: Seed of the first vector.
        decay: Weight decay that is added to the gradient.

    Returns:
        The exponent per step and its standard error, from means over blocks.

    Raises:
        ConfigError: The shapes do not fit, or there is no step.
    """
    _refuse(weights, normal, steps)
    vector = random_frame(1, normal.shape[1], 1, seed).to(weights)[0, :, 0]
    logs = []
    for number in range(steps):
        pushed = normal @ vector
        product = hessian_products(lambda w, k=number: loss(w, k), weights)[1]  # type: ignore[misc]
        vector = normal.T @ (pushed - rate * (product(pushed) + decay * pushed))
        size = vector.norm()
        logs.append(size.clamp_min(DEAD).log())
        vector = vector / size.clamp_min(DEAD)
    return _mean(torch.stack(logs))


def _refuse(weights: Tensor, normal: Tensor, steps: int) -> None:
    if normal.shape[0] != len(weights) or steps < 1:
        raise ConfigError(
            f"Directions across the minima are [{len(weights)}, m] and steps at least 1, got "
            f"{list(normal.shape)} and {steps}."
        )


def _mean(logs: Tensor) -> tuple[float, float]:
    """The mean and its standard error, from means over blocks."""
    blocks = [part.mean() for part in logs.tensor_split(min(BLOCKS, len(logs)))]
    return float(logs.mean()), float(standard_error(torch.stack(blocks)[:, None, None]))
