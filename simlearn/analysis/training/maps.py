"""A training as a map of weights and memory, for everything that analyses maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from simlearn.analysis.flat import Motion
from simlearn.analysis.training.curvature import Loss, hessian_products
from simlearn.analysis.training.rules import Rule
from simlearn.dynamics.base import Time

Batches = Callable[[Tensor, int], Tensor]


def training_map(rule: Rule, loss: Batches) -> Motion:
    """One step of a training, ``[anchors, parts · n]`` to the same; its time counts the steps.

    `growth.spectrum` gives its exponents per step, `covariant.covariant` its covariant vectors.

    Args:
        rule: The optimizer.
        loss: Of weights ``[n]`` in the step of a number: its batch, the same for all weights.
    """
    slope = torch.func.grad(loss)

    def step(state: Tensor, t: Time = 0.0) -> Tensor:
        number = round(float(t))
        parts = state.unflatten(-1, (rule.parts, -1))
        if len(parts) == 1:
            slopes = slope(parts[0, 0], number)[None]
        else:
            slopes = torch.func.vmap(lambda weights: slope(weights, number))(parts[:, 0])
        return rule.step(parts, slopes, number).flatten(-2)

    return step


def pushed(
    rule: Rule, loss: Loss, state: Tensor, frame: Tensor, number: int
) -> tuple[Tensor, Tensor]:
    """One step of a training with tangent vectors: the same as pushing them through the map.

    For GD the tangent is (I − η H) v. One product with the Hessian each, by reverse mode, which is
    several times cheaper here than forward mode over it.

    Args:
        rule: The optimizer.
        loss: Of the batch of this step, ``[n]`` to a scalar.
        state: ``[parts, n]``.
        frame: Tangent vectors ``[parts · n, k]``.
        number: Steps taken before.

    Returns:
        The next state and the pushed vectors.
    """
    slope, product = hessian_products(loss, state[0])
    tangents = frame.T.unflatten(-1, state.shape)
    bent = torch.stack([product(one) for one in tangents[:, 0]])

    def along(tangent: Tensor, curved: Tensor) -> tuple[Tensor, Tensor]:
        image, moved, *_ = torch.func.jvp(
            lambda s, g: rule.step(s, g, number), (state, slope), (tangent, curved)
        )
        return moved, image

    found = torch.func.vmap(along)(tangents, bent)
    return found[1][0], found[0].flatten(1).T
