"""Sums over the neighbours of a node: one sparse product, forward and backward."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from simlearn.state.keeping import settled
from simlearn.state.tracing import followed, recorded, transformed

LONG = 2**31  # rows or edges from which on int32 does not count them


@dataclass(frozen=True, eq=False)
class Csr:
    """Where the edges of each row stand, and at which column each of them is (int32).

    Attributes:
        start: ``[rows + 1]``: the edges of row i are entries start[i] to start[i + 1].
        column: ``[E]``: the row at the other end.
        edge: ``[E]`` int64: the number of the edge in ``edge_index``.
    """

    start: Tensor
    column: Tensor
    edge: Tensor

    @staticmethod
    def of(row: Tensor, column: Tensor, rows: int) -> Csr:
        """Sort edges by row, then by column; edges that occur twice stay two entries."""
        edge = torch.argsort(row * rows + column, stable=True)
        start = row.new_zeros(rows + 1)
        torch.cumsum(torch.bincount(row, minlength=rows), 0, out=start[1:])
        kind = torch.int32 if max(rows, len(row)) < LONG else torch.int64
        return Csr(start.to(kind), column[edge].to(kind), edge)

    @staticmethod
    def union(parts: Sequence[Csr]) -> Csr:
        """Side by side; nothing is sorted."""
        most = max(sum(len(part.start) - 1 for part in parts), sum(len(p.edge) for p in parts))
        kind = torch.int32 if most < LONG else torch.int64
        start, column, edge = [parts[0].start[:1].to(kind)], [], []
        rows = edges = 0
        for part in parts:
            start.append(part.start[1:].to(kind) + edges)
            column.append(part.column.to(kind) + rows)
            edge.append(part.edge + edges)
            rows, edges = rows + len(part.start) - 1, edges + len(part.edge)
        return Csr(torch.cat(start), torch.cat(column), torch.cat(edge))

    def to(self, device: torch.device) -> Csr:
        """On another device."""
        return Csr(self.start.to(device), self.column.to(device), self.edge.to(device))

    def rows(self) -> Tensor:
        """The row of each entry, ``[E]``."""
        counts = self.start.diff().long()
        every = torch.arange(len(counts), device=counts.device)
        return torch.repeat_interleave(every, counts, output_size=len(self.edge))

    def matrix(self, weight: Tensor) -> Tensor:
        """Sparse, with a weight ``[E]`` for each edge of ``edge_index``."""
        return self.filled(weight.index_select(0, self.edge))

    def filled(self, values: Tensor) -> Tensor:
        """Sparse, with values ``[E]`` in its own order."""
        rows = len(self.start) - 1
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(
                self.start, self.column, values, (rows, rows), check_invariants=False
            )


@dataclass(eq=False)  # frozen ones torch.compile takes for constants
class Adjacency:
    """A with a weight for every edge, its transpose, and the products by both.

    Derivatives by h, and by the weights where they are asked for.

    Args:
        forth: The edges by their target.
        back: The edges by their source.
        weight: ``[E]``, in the order of ``edge_index``.
    """

    forth: Csr
    back: Csr
    weight: Tensor
    _made: dict[Any, Tensor] = field(default_factory=dict)

    def __matmul__(self, h: Tensor) -> Tensor:
        """Σⱼ Aᵢⱼ hⱼ, ``[rows, k]`` to ``[rows, k]``."""
        if recorded():
            return self._gathered(h)
        if followed(self.weight):
            return weighted(self.forth, self.back, self.weight.to(h.dtype), h)
        return self.product(h, False)

    def product(self, h: Tensor, transposed: bool) -> Tensor:
        """A h or Aᵀ h, the weights fixed, by the least machinery for the derivatives asked for."""
        if not transformed() and not (h.requires_grad and torch.is_grad_enabled()):
            return self.matrix(h.dtype, transposed) @ h
        by = _Fixed if transformed() else _Eager
        found: Tensor = by.apply(h, self, transposed)
        return found

    def _gathered(self, h: Tensor) -> Tensor:
        """The same edge by edge: no compiler takes sparse tensors, but they fuse this."""
        weight = self.weight.index_select(0, self.forth.edge).to(h.dtype)
        felt = h.index_select(0, self.forth.column) * weight.reshape(-1, *[1] * (h.ndim - 1))
        return torch.zeros_like(h).index_add(0, self.forth.rows(), felt)

    @settled
    def matrix(self, dtype: torch.dtype, transposed: bool) -> Tensor:
        """A or its transpose, made once for each dtype."""
        key = (dtype, transposed)
        if key not in self._made:
            csr = self.back if transposed else self.forth
            self._made[key] = csr.matrix(self.weight.to(dtype))
        return self._made[key]

    def __getstate__(self) -> dict[str, Any]:
        """Without sparse tensors: they cannot be copied, and are made again when asked for."""
        return {**self.__dict__, "_made": {}}


class _Eager(torch.autograd.Function):
    """A h; backward is Aᵀ g by the transpose that is kept (PyTorch's own sorts anew)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, by: Adjacency, transposed: bool) -> Tensor:
        ctx.by, ctx.transposed = by, transposed
        return by.matrix(h.dtype, transposed) @ h

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.by.product(gradient, not ctx.transposed), None, None


class _Fixed(torch.autograd.Function):
    """The same with all that torch.func asks for; three times the overhead of `_Eager`."""

    @staticmethod
    def forward(h: Tensor, by: Adjacency, transposed: bool) -> Tensor:
        return by.matrix(h.dtype, transposed) @ h

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, ctx.by, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.by.product(gradient, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, by: Any, transposed: Any) -> Tensor:
        found: Tensor = _Fixed.apply(tangent, ctx.by, ctx.transposed)
        return found

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, h: Tensor, by: Adjacency, transposed: bool
    ) -> tuple[Tensor, int]:
        wide = h.movedim(in_dims[0], -1)
        found = _Fixed.apply(wide.flatten(1), by, transposed)
        return found.reshape(len(found), *wide.shape[1:]), wide.ndim - 1


def weighted(forth: Csr, back: Csr, weight: Tensor, h: Tensor) -> Tensor:
    """Σⱼ Aᵢⱼ hⱼ, ``[rows, k]``, with derivatives by the weights ``[E]`` and by h."""
    product: Tensor = _Weighted.apply(weight, h, forth, back)
    return product


class _Weighted(torch.autograd.Function):
    """The same with derivatives by the weights: dL/dw = gₜ · hₛ of every edge s → t."""

    @staticmethod
    def forward(weight: Tensor, h: Tensor, forth: Csr, back: Csr) -> Tensor:
        return forth.matrix(weight) @ h

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        weight, h, ctx.forth, ctx.back = inputs
        ctx.save_for_backward(weight, h)
        ctx.save_for_forward(weight, h)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weight, h = ctx.saved_tensors
        by_weight = by_h = None
        if ctx.needs_input_grad[0]:
            source, target = ctx.forth.column.long(), ctx.forth.rows()
            each = gradient.index_select(0, target) * h.index_select(0, source).conj()
            each = each.sum(-1) if each.ndim > 1 else each
            by_weight = torch.zeros_like(weight).index_copy(0, ctx.forth.edge, each)
        if ctx.needs_input_grad[1]:
            by_h = _Weighted.apply(weight.conj(), gradient, ctx.back, ctx.forth)
        return by_weight, by_h, None, None

    @staticmethod
    def jvp(ctx: Any, by_weight: Any, by_h: Any, forth: Any, back: Any) -> Tensor:
        weight, h = ctx.saved_tensors
        parts = []
        if by_weight is not None:
            parts.append(_Weighted.apply(by_weight, h, ctx.forth, ctx.back))
        if by_h is not None:
            parts.append(_Weighted.apply(weight, by_h, ctx.forth, ctx.back))
        found: Tensor = sum(parts[1:], parts[0])
        return found

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, weight: Tensor, h: Tensor, forth: Csr, back: Csr
    ) -> tuple[Tensor, int]:
        if in_dims[0] is None:
            wide = h.movedim(in_dims[1], -1)
            found = _Weighted.apply(weight, wide.flatten(1), forth, back)
            return found.reshape(len(found), *wide.shape[1:]), wide.ndim - 1
        each = weight.movedim(in_dims[0], 0)
        many = h.movedim(in_dims[1], 0) if in_dims[1] is not None else [h] * info.batch_size
        found = [_Weighted.apply(w, one, forth, back) for w, one in zip(each, many, strict=True)]
        return torch.stack(found), 0
