"""The closed-form start: least squares on the derivative, before any gradient step."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from simlearn.component import Component, ConfigError, DataError, optional
from simlearn.dynamics.linear import Estimate, Multilinear
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.objective import central_differences, node_types

AT_ONCE = 256  # states whose design is in memory at one time


@dataclass(frozen=True)
class Normal:
    """Normal equations over products of coefficients.

    Gram ``[sizes, sizes]``, right side ``[sizes]``.
    """

    gram: Tensor
    right: Tensor

    def __add__(self, other: Normal) -> Normal:
        return Normal(self.gram + other.gram, self.right + other.right)

    def __sub__(self, other: Normal) -> Normal:
        return Normal(self.gram - other.gram, self.right - other.right)


@dataclass(frozen=True)
class Solution:
    """What a start found, besides the weights.

    Attributes:
        estimates: Named quantities with standard errors, not clipped to what the field allows.
        record: Stages, scores and choices, in plain JSON types.
    """

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


class Start(Component):
    """What is solved before the first gradient step, and never when a training is resumed.

    Attributes:
        replaces: Whether it puts other dynamics in the place of those that the config names.
    """

    replaces: ClassVar[bool] = False

    @abstractmethod
    def solve(self, simulator: Simulator, training: Sequence[Trajectory]) -> Solution:
        """Set the weights of the simulator, or its dynamics, in place."""

    @optional
    def restore(self, simulator: Simulator, record: Mapping[str, Any]) -> None:
        """The structure that `solve` once found, before a checkpoint brings its weights."""
        return None


class ClosedForm(Start):
    """Solves a field that is linear in each block of its coefficients, block by block in turn.

    Minimises Σ |(dx/dt − Σ_kl a_k b_l column_kl) / size of the row's type|² + roughness ·
    mean(diag G) · bᵀRb, where R is the field's own roughness matrix (second differences for a pair
    force). Standard errors come from a delete-one jackknife over blocks of time, since the
    residuals are no white noise: se² = (n − 1)/n Σ (θ₍ᵢ₎ − mean θ)² (Efron and Stein 1981, eq.
    1.3).

    Args:
        roughness: Weight of the penalty, relative to the mean diagonal of the Gram matrix. Zero
            lets coefficients that no data reach take any value.
        time_blocks: Blocks of the jackknife.
        max_turns: Most turns through the blocks of coefficients.
    """

    def __init__(self, roughness: float = 1e-4, time_blocks: int = 5, max_turns: int = 200):
        if roughness < 0 or time_blocks < 2 or max_turns < 1:
            raise ConfigError(
                "ClosedForm needs roughness >= 0, time_blocks >= 2 and max_turns >= 1, got "
                f"{roughness}, {time_blocks}, {max_turns}."
            )
        self.roughness, self.time_blocks, self.max_turns = roughness, time_blocks, max_turns

    @torch.no_grad()
    def solve(self, simulator: Simulator, training: Sequence[Trajectory]) -> Solution:
        """Set the coefficients of the simulator's dynamics in place.

        Raises:
            ConfigError: The dynamics are not linear in their coefficients.
            DataError: Too few samples for the time blocks.
        """
        dynamics = simulator.dynamics
        if not isinstance(dynamics, Multilinear):
            raise ConfigError(
                "ClosedForm needs dynamics that are linear in their coefficients, got "
                f"{type(dynamics).__name__}. "
                "Leave `start` out and train by gradients."
            )
        model: Multilinear = copy.deepcopy(dynamics).double().cpu()
        normals = accumulate(model, training, self.time_blocks)
        total = normals[0]
        for normal in normals[1:]:
            total = total + normal
        best = self._turns(model, total)
        left_out = [self._turns(model, total - normal) for normal in normals]
        errors = {name: jackknife([one[name] for one in left_out]) for name in best}
        dynamics.load(best)
        return Solution(dynamics.estimates(best, errors))

    def _turns(self, field: Multilinear, normal: Normal) -> dict[str, Tensor]:
        sizes = field.blocks()
        first = torch.zeros(next(iter(sizes.values())), dtype=torch.float64)
        first[0] = 1.0
        if len(sizes) == 1:
            name = next(iter(sizes))
            return field.gauge({name: self._one(field, name, normal.gram, normal.right)})
        left, right = sizes
        found = {left: first}
        for _ in range(self.max_turns):
            before = found[left]
            gram = torch.einsum("jkml,j,m->kl", normal.gram, before, before)
            found[right] = self._one(field, right, gram, before @ normal.right)
            gram = torch.einsum("jkml,k,l->jm", normal.gram, found[right], found[right])
            found[left] = self._one(field, left, gram, normal.right @ found[right])
            found = field.gauge(found)
            if (found[left] - before).abs().max() <= 1e-13 * found[left].abs().max():
                break
        return found

    def _one(self, field: Multilinear, name: str, gram: Tensor, right: Tensor) -> Tensor:
        """One block given the other.

        A least-squares solution, also where the Gram matrix is singular.
        """
        roughness = field.roughness().get(name)
        if roughness is not None:
            gram = gram + self.roughness * gram.diagonal().mean() * roughness.to(gram)
        scale = gram.diagonal().clamp_min(torch.finfo(gram.dtype).tiny).rsqrt()
        scaled = scale[:, None] * gram * scale
        return (
            scale
            * torch.linalg.lstsq(scaled, (scale * right)[:, None], driver="gelsd").solution[:, 0]
        )


def accumulate(
    field: Multilinear, training: Sequence[Trajectory], time_blocks: int
) -> list[Normal]:
    """Normal equations of each block of time.

    Rows divided by the mean size of the derivative of their type.
    """
    samples = [central_differences(one) for one in training]
    sizes = _mean_sizes(field, samples)
    total = sum(one.steps for one, _ in samples)
    if total < 2 * time_blocks:
        raise DataError(
            f"{total} samples are too few for a jackknife over {time_blocks} blocks of time."
        )
    edges = [round(k * total / time_blocks) for k in range(time_blocks + 1)]
    normals: list[Normal | None] = [None] * time_blocks
    seen = 0
    for one, slope in samples:
        for block in range(time_blocks):
            start, stop = (min(max(e - seen, 0), one.steps) for e in edges[block : block + 2])
            for k in range(start, stop, AT_ONCE):
                part = _normal(field, one, slope, range(k, min(k + AT_ONCE, stop)), sizes)
                before = normals[block]
                normals[block] = part if before is None else before + part
        seen += one.steps
    return [normal for normal in normals if normal is not None]


def _normal(field: Multilinear, one: Trajectory, slope: Tensor, at: range, sizes: Tensor) -> Normal:
    topology = one.topology.repeat(len(at))
    x = one.x[at.start : at.stop].double().flatten(0, 1)
    size = sizes[node_types(topology)][:, None]
    target = field.fitted(slope[at.start : at.stop].double().flatten(0, 1)) / size
    columns = field.columns(x, topology)
    shape = columns.shape[2:]
    flat = (columns / size.reshape(-1, *[1] * (columns.ndim - 1))).reshape(target.numel(), -1)
    return Normal(
        (flat.T @ flat).reshape(*shape, *shape), (flat.T @ target.reshape(-1)).reshape(shape)
    )


def _mean_sizes(field: Multilinear, samples: Sequence[tuple[Trajectory, Tensor]]) -> Tensor:
    sums: dict[int, list[float]] = {}
    for one, slope in samples:
        norms = field.fitted(slope.double()).norm(dim=-1).mean(0)
        for kind, norm in zip(node_types(one.topology).tolist(), norms.tolist(), strict=True):
            sums.setdefault(kind, []).append(norm)
    sizes = torch.ones(max(sums) + 1, dtype=torch.float64)
    for kind, norms in sums.items():
        sizes[kind] = sum(norms) / len(norms) or 1.0
    return sizes


def jackknife(left_out: Sequence[Tensor]) -> Tensor:
    """Standard error from delete-one estimates."""
    values = torch.stack(list(left_out))
    n = len(values)
    return ((values - values.mean(0)).square().sum(0) * (n - 1) / n).sqrt()


def printed(estimates: Mapping[str, Estimate]) -> str:
    """A table of the estimates, one a line, with what the data say of each."""
    width = max((len(name) for name in estimates), default=0)
    lines = []
    for name, one in estimates.items():
        verdict = "" if one.determined else "   not determined by these data"
        lines.append(
            f"  {name:<{width}}  {one.value: .6e} ± {one.error:.1e}  "
            f"({100 * one.relative_error:.3g} %){verdict}"
        )
    return "\n".join(lines)
