"""Data on a curved set: tangents and normals from the nearest samples."""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from simlearn.component import ConfigError, DataError

THIN = 0.05  # share of the local energy below which a direction counts as normal


class LocalNormals:
    """Normal directions of a curved set of data at any state, by PCA of its nearest samples.

    Within a radius r of a set of curvature κ the variance along a normal is (κ r)² / 15 of that
    along a tangent, so neighbourhoods must be small: κ r well below one.

    Args:
        samples: ``[N, n]`` in units in which the columns compare.
        neighbours: Samples of a neighbourhood.
        dimension: Of the set; by default the median number of local directions that carry more
            than a twentieth of the local energy's largest.

    Attributes:
        dimension: Of the set.
        thickness: Median share of local energy outside the tangent: noise, or curvature.

    Raises:
        ConfigError: Too few neighbours for the dimension.
        DataError: Fewer samples than neighbours.
    """

    def __init__(self, samples: Tensor, neighbours: int, dimension: int | None = None):
        if neighbours < 3 or (dimension is not None and neighbours <= dimension):
            raise ConfigError(
                f"A local tangent needs more neighbours than dimensions, at least 3; got "
                f"{neighbours} neighbours and dimension {dimension}."
            )
        if len(samples) < neighbours:
            raise DataError(f"There are {len(samples)} samples for {neighbours} neighbours.")
        self.samples, self.neighbours = samples, neighbours
        self._tree = cKDTree(samples.numpy())
        seen = samples[:: max(1, len(samples) // 200)]
        s = self._local(seen)[0].square()
        if dimension is None:
            dimension = int((s > THIN * s[:, :1]).sum(-1).median())
        self.dimension = dimension
        self.thickness = float((s[:, dimension:].sum(-1) / s.sum(-1).clamp_min(1e-300)).median())

    def _local(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Singular values and right vectors of the neighbourhood of each state."""
        _, near = self._tree.query(x.detach().numpy(), k=self.neighbours)
        cloud = self.samples[torch.from_numpy(near)]
        _, s, v = torch.linalg.svd(cloud - cloud.mean(1, keepdim=True), full_matrices=True)
        return s, v.mT

    def __call__(self, x: Tensor) -> Tensor:
        """N(x), ``[anchors, n]`` to ``[anchors, n, n − dimension]``."""
        return self._local(x)[1][..., self.dimension :]

    def tangents(self, x: Tensor) -> Tensor:
        """T(x), ``[anchors, n, dimension]``."""
        return self._local(x)[1][..., : self.dimension]

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest sample ``[anchors]`` and that sample ``[anchors, n]``."""
        distance, near = self._tree.query(x.detach().numpy())
        return torch.from_numpy(distance), self.samples[torch.from_numpy(near)]


def arc(half_angle: Tensor) -> tuple[Tensor, Tensor]:
    """Variance along and across a circular arc of radius 1 and half angle a, uniformly sampled.

    Along 1/2 − sin 2a / 4a, across 1/2 + sin 2a / 4a − (sin a / a)²: what local PCA must expect.
    """
    a = half_angle.double()
    wave = (2 * a).sin() / (4 * a)
    return 0.5 - wave, 0.5 + wave - (a.sin() / a).square()
