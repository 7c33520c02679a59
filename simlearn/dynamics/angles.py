"""Coordinates that are angles, as a network sees them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError


class Angles(nn.Module):
    """Every angle as its cosine and sine: ``[..., dim]`` to (others, cosines, sines).

    What is computed from them is periodic in each angle (Zhong, Dey and Chakraborty 2020, arXiv
    1909.12077). The state keeps the angle itself, so that (q, p) stays canonical.

    Args:
        dim: Coordinates.
        index: Which of them are angles, from 0.

    Raises:
        ConfigError: There is no such coordinate, or one is named twice.
    """

    index: Tensor
    plain: Tensor
    order: Tensor

    def __init__(self, dim: int, index: Sequence[int] = ()):
        super().__init__()
        if any(not 0 <= k < dim for k in index) or len(set(index)) < len(index):
            raise ConfigError(
                f"angles names coordinates from 0 to {dim - 1}, each once; got {list(index)}."
            )
        plain = [k for k in range(dim) if k not in index]
        self.size = dim + len(index)
        for name, value in (("index", list(index)), ("plain", plain)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.int64), persistent=False)
        order = torch.argsort(torch.cat([self.plain, self.index]))
        self.register_buffer("order", order, persistent=False)

    def forward(self, q: Tensor) -> Tensor:
        """What the network sees, ``[..., size]``."""
        angle = q[..., self.index]
        return torch.cat([q[..., self.plain], angle.cos(), angle.sin()], dim=-1)

    def pull(self, q: Tensor, gradient: Tensor) -> Tensor:
        """The gradient in what the network sees as one in the coordinates, ``[..., dim]``."""
        angle, count = q[..., self.index], len(self.index)
        other, by_cos, by_sin = gradient.split([len(self.plain), count, count], dim=-1)
        turned = angle.cos() * by_sin - angle.sin() * by_cos
        return torch.cat([other, turned], dim=-1)[..., self.order]

    def push(self, q: Tensor, velocity: Tensor) -> Tensor:
        """How fast what the network sees changes when q does, ``[..., size]``."""
        angle, turn = q[..., self.index], velocity[..., self.index]
        parts = [velocity[..., self.plain], -angle.sin() * turn, angle.cos() * turn]
        return torch.cat(parts, dim=-1)

    def spread(self, spread: Tensor) -> Tensor:
        """Spreads ``[dim]`` with the radian in place of those of angles."""
        return spread.index_fill(0, self.index, 1.0)
