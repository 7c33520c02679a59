"""Normal equations in which many small blocks share few unknowns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normal:
    """Normal equations in starts z and coefficients c, z by trajectory.

    Attributes:
        zz: ``[blocks, n, dim, dim]``.
        zc: ``[blocks, n, dim, r]``.
        cc: ``[blocks, r, r]``.
        right_z: ``[n, dim]``.
        right_c: ``[r]``.
        prior: ``[r]``, its precision.
        c: ``[r]``, where the equations were taken.
    """

    zz: Tensor
    zc: Tensor
    cc: Tensor
    right_z: Tensor
    right_c: Tensor
    prior: Tensor
    c: Tensor

    @staticmethod
    def of(blocks: list[tuple[Tensor, Tensor]], c: Tensor, prior: Tensor) -> Normal:
        """From the derivatives and residuals of each kind of observation."""
        zz, zc, cc, rz, rc = [], [], [], [], []
        for derivative, residual in blocks:
            a, r = derivative.flatten(1, 2), residual.flatten(1)
            dim = residual.shape[-1]
            az, ac = a[..., :dim], a[..., dim:]
            zz.append(az.mT @ az)
            zc.append(az.mT @ ac)
            flat = ac.reshape(-1, ac.shape[-1])
            cc.append(flat.T @ flat)
            rz.append((az.mT @ r[..., None])[..., 0])
            rc.append(flat.T @ r.reshape(-1))
        right_z, right_c = torch.stack(rz).sum(0), torch.stack(rc).sum(0)
        stacked = torch.stack(zz), torch.stack(zc), torch.stack(cc)
        return Normal(*stacked, right_z, right_c, prior, c)

    def solve(self, damping: float) -> tuple[Tensor, Tensor, float]:
        """Steps of z and c, and the decrease of the cost that they promise."""
        zz, cc = self.zz.sum(0), self.cc.sum(0) + self.prior.diag()
        zc = self.zc.sum(0)
        zz = zz + damping * torch.diag_embed(zz.diagonal(dim1=1, dim2=2))
        cc = cc + damping * cc.diagonal().diag()
        alone = torch.linalg.inv(zz)
        through = zc.mT @ alone
        reduced = cc - (through @ zc).sum(0)
        right_c = self.right_c - self.prior * self.c
        right = right_c - (through @ self.right_z[..., None]).sum(0)[:, 0]
        dc = inverse(reduced) @ right
        dz = (alone @ (self.right_z - zc @ dc)[..., None])[..., 0]
        promised = float((dz * self.right_z).sum() + dc @ right_c)
        return dz, dc, promised

    def reduced(self) -> tuple[Tensor, Tensor]:
        """Matrix and right side for c alone, without the prior."""
        zz, zc = self.zz.sum(0), self.zc.sum(0)
        through = zc.mT @ torch.linalg.inv(zz)
        matrix = self.cc.sum(0) - (through @ zc).sum(0)
        return matrix, self.right_c - (through @ self.right_z[..., None]).sum(0)[:, 0]

    def used(self, covariance: Tensor) -> list[float]:
        """How many parameters each kind of observation determines."""
        zz, zc = self.zz.sum(0), self.zc.sum(0)
        alone = torch.linalg.inv(zz)
        gain = alone @ zc
        found = []
        for zz_b, zc_b, cc_b in zip(self.zz, self.zc, self.cc, strict=True):
            mixed = cc_b - 2 * (gain.mT @ zc_b).sum(0) + (gain.mT @ zz_b @ gain).sum(0)
            found.append(float((alone * zz_b.mT).sum() + (covariance * mixed.T).sum()))
        return found


def inverse(matrix: Tensor) -> Tensor:
    """Of a symmetric positive semi-definite matrix, in units of its own diagonal."""
    size = matrix.diagonal().abs()
    scale = size.clamp_min(1e-15 * float(size.max().clamp_min(1e-200))).rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, None] * matrix * scale)
    inverted = torch.where(values > 1e-14 * values[-1], 1 / values, 0.0)
    return scale[:, None] * ((vectors * inverted) @ vectors.T) * scale
