"""Sums of random features with fixed weights: what depends on the weights alone is done once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from simlearn.dynamics.features import RandomFeatures


def slope_with(features: RandomFeatures, weights: Tensor) -> Callable[[Tensor], Tensor]:
    """`RandomFeatures.slope_of` of one function, weights ``[K]``: ``[rows, dim]`` to the same."""
    powers, waves = features.split(weights[:, None])
    units, phase, low, high = 1 / features.spread, features.phase, features.low, features.high
    shift, frequency = features.centre * units, features.frequency
    steep = (-features.size * frequency * waves[:, 0]).T * units
    straight, curved = torch.zeros_like(units), torch.zeros_like(units).diag()
    if features.degree:
        straight = features.powers * powers[: features.dim, 0] * units
        curved = features.powers_bend(powers)[..., 0] * units
    several, empty, filled = features.dim > 1, features.empty(), features.filled
    times = torch.addmm if several else torch.addcmul
    seen = filled / units[:, None] * units  # across, in the units of x
    if not empty:  # every column by itself, so that all may be said in the units of x
        low, high = (features.centre + features.spread * edge for edge in (low, high))
        phase, straight = phase - shift @ frequency, straight - shift @ curved
        frequency, curved = units[:, None] * frequency, units[:, None] * curved

    def slope(x: Tensor) -> Tensor:
        z = (x * units - shift) @ filled if empty else x
        near = z.maximum(low).minimum(high)  # a clamp between tensors takes longer
        angle, line = times(phase, near, frequency), times(straight, z, curved)
        found = torch.addmm(line, angle.sin(), steep)
        if several:
            beyond = ((z - near) @ frequency) * angle.cos()
            found = torch.addcmul(found, (z == near).to(z), beyond @ steep)
        return found @ seen if empty else found

    return slope


def both_with(
    features: RandomFeatures, weights: Tensor
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """`RandomFeatures.value_of` and `slope_of` for weights ``[K, m]``, the cosines taken once."""
    (powers, waves), units, m = features.split(weights), 1 / features.spread, weights.shape[1]
    centre, low, high, filled = features.centre, features.low, features.high, features.filled
    frequency, phase, dim = features.frequency, features.phase, features.dim
    tall, level = features.size * waves, weights[: int(features.constant)].sum(0)
    steep = (-features.size * frequency[:, :, None] * waves).movedim(0, 1).flatten(1)
    empty, several = features.empty(), dim > 1

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        z = (x - centre) * units
        z = z @ filled if empty else z
        near = z.maximum(low).minimum(high)
        angle, beyond = torch.addmm(phase, near, frequency), (z - near) @ frequency
        sine, cosine = angle.sin(), angle.cos()
        value = level + (cosine - beyond * sine) @ tall
        slope = (sine @ steep).reshape(len(x), dim, m)
        if several:
            out = ((beyond * cosine) @ steep).reshape(len(x), dim, m)
            slope = slope + (z == near).to(z)[:, :, None] * out
        if features.degree:
            squares = z[:, features.first] * z[:, features.second]
            value = value + features.powers * torch.cat([z, squares], dim=-1) @ powers
            slope = slope + features.powers_slope(z) @ powers
        slope = (slope.mT @ filled).mT if empty else slope
        return value, slope * units[:, None]

    return both
