"""Sharpness: the largest curvature of a loss, by Lanczos on products with the Hessian."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.analysis.training.rules import Rule, largest
from simlearn.component import ConfigError

Loss = Callable[[Tensor], Tensor]
Operator = Callable[[Tensor], Tensor]
LEAST = 6  # products before a residual is believed: a warm start may sit on another eigenvector
STRAY = 0.1  # share of a random vector in a warm start, for the same reason


@dataclass(frozen=True)
class Ritz:
    """The largest eigenvalue that Lanczos found.

    Attributes:
        value: The Ritz value; at most the eigenvalue. NaN where a product is not finite.
        residual: |A v − value v|; an eigenvalue lies within that of the value.
        vector: The unit Ritz vector ``[n]``.
        products: Products with the operator.
    """

    value: float
    residual: float
    vector: Tensor
    products: int


@dataclass(frozen=True)
class Edge:
    """How near a training is to the edge of stability.

    Attributes:
        sharpness: Largest eigenvalue of P^-½ H P^-½, with the weight decay; P = 1 without a
            preconditioner, so that it is that of the Hessian.
        limit: The sharpness up to which a quadratic loss is stable: 2/η, 2 (1 + β)/η, 38/η ...
        residual: Error bound of the sharpness.
        vector: Unit eigenvector ``[n]`` of the preconditioned Hessian, for a warm start.
        products: Products with the Hessian.
    """

    sharpness: float
    limit: float
    residual: float
    vector: Tensor
    products: int

    @property
    def share(self) -> float:
        """Sharpness over its limit: beyond 1 the sharpest direction grows."""
        return self.sharpness / self.limit


def hessian_products(loss: Loss, weights: Tensor) -> tuple[Tensor, Operator]:
    """The gradient ``[n]``, and v ↦ H v by a backward pass through it, whose graph is built once.

    Args:
        loss: ``[n]`` to a scalar, twice differentiable.
        weights: Where, ``[n]``.
    """
    at = weights.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(loss(at), at, create_graph=True)
    if not slope.requires_grad:  # a loss that is linear, or constant
        return slope.detach(), torch.zeros_like

    def product(v: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(slope, at, v, retain_graph=True, materialize_grads=True)
        return found

    return slope.detach(), product


def lanczos(
    operator: Operator, start: Tensor, most: int = 40, tolerance: float = 1e-2, least: int = LEAST
) -> Ritz:
    """The largest eigenvalue of a symmetric operator (Lanczos 1950), fully reorthogonalised.

    Args:
        operator: v ↦ A v on ``[n]``.
        start: First vector, of any length but zero.
        most: Products at most.
        tolerance: Residual, relative to the value, at which it stops.
        least: Products at least, where the space is not exhausted before.

    Raises:
        ConfigError: No product is allowed, or the start is zero or not finite.
    """
    basis, alphas = [_unit(start, most)], list[float]()
    betas, most = list[float](), min(most, len(start))
    while True:
        image = operator(basis[-1])
        if not bool(image.isfinite().all()):
            return Ritz(math.nan, math.nan, basis[0], len(alphas) + 1)
        alphas.append(float(image @ basis[-1]))
        image = _across(image, basis)
        beta = float(image.norm())
        values, vectors = _tridiagonal(alphas, betas)
        residual = beta * abs(float(vectors[-1, -1]))
        value = float(values[-1])
        spent = beta <= 1e-14 * float(values.abs().max()) or len(alphas) >= most
        if spent or (len(alphas) >= least and residual <= tolerance * abs(value)):
            break
        basis.append(image / beta)
        betas.append(beta)
    found = torch.stack(basis, -1) @ vectors[:, -1].to(start)
    return Ritz(value, residual, found / found.norm(), len(alphas))


def _unit(start: Tensor, most: int) -> Tensor:
    size = start.norm()
    if most < 1 or not bool(size.isfinite()) or float(size) == 0:
        raise ConfigError(
            f"Lanczos needs a finite start that is not zero and at least one product; got a start "
            f"of size {float(size):g} and {most} products."
        )
    return start / size


def _across(image: Tensor, basis: Sequence[Tensor]) -> Tensor:
    """The part of a vector that is orthogonal to a basis."""
    for _ in range(2):  # once leaves rounding of the first order
        for one in basis:
            image = image - (one @ image) * one
    return image


def _tridiagonal(alphas: list[float], betas: list[float]) -> tuple[Tensor, Tensor]:
    side = torch.tensor(betas, dtype=torch.float64)
    whole = torch.diag(torch.tensor(alphas, dtype=torch.float64))
    return torch.linalg.eigh(whole + torch.diag(side, 1) + torch.diag(side, -1))


def edge(
    loss: Loss,
    state: Tensor,
    rule: Rule,
    number: int = 1,
    *,
    start: Tensor | None = None,
    most: int = 40,
    tolerance: float = 1e-2,
    seed: int = 0,
) -> Edge:
    """Sharpness and its limit under an optimizer.

    The Hessian is preconditioned as the optimizer does it just now, √D (H + decay) √D with
    D = ``rule.rates``. Each product costs two to four gradients.

    Args:
        loss: Of weights ``[n]``.
        state: Of the optimizer, ``[parts, n]``.
        rule: The optimizer.
        number: Steps taken before; Adam has no preconditioner before the first.
        start: An eigenvector found before.
        most: Products at most.
        tolerance: Relative residual at which it stops.
        seed: Seed of the random part of the first vector.

    Raises:
        ConfigError: The learning rate, or every rate of the weights, is zero.
    """
    weights, rate = state[0], largest(rule.rate)
    root = _root(state, rule, number)
    product = hessian_products(loss, weights)[1]

    def scaled(v: Tensor) -> Tensor:
        v = root * v
        return root * (product(v) + rule.decay * v)

    found = lanczos(scaled, _first(weights, start, seed), most, tolerance)
    return Edge(found.value, rule.limit / rate, found.residual, found.vector, found.products)


def _first(weights: Tensor, start: Tensor | None, seed: int) -> Tensor:
    """A random vector, or one found before with a little of that."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(weights), generator=rng, dtype=torch.float64).to(weights)
    return drawn if start is None else start / start.norm() + STRAY * drawn / drawn.norm()


def _root(state: Tensor, rule: Rule, number: int) -> Tensor:
    """√(D / η), what preconditions the Hessian from both sides."""
    rates, rate = rule.rates(state, number), largest(rule.rate)
    if rate <= 0 or not bool((rates > 0).any()):
        raise ConfigError(
            f"There is no edge of stability without a step: the learning rate is {rate:g}, "
            f"{number} steps were taken. Look after the first step, where the rate is positive."
        )
    return (rates / rate).sqrt()
