"""Data are looked through before anybody learns from them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from simlearn.component import DataError
from simlearn.data.importing.columns import state_names
from simlearn.state import Trajectory


def column_names(provenance: Mapping[str, Any], trajectories: Sequence[Trajectory]) -> list[str]:
    """Names of the columns of the state, as imported; numbered where nobody named them."""
    dim = trajectories[0].dim if trajectories else 0
    return state_names(provenance.get("columns"), dim, "column ")


def checked(one: Trajectory, number: int, names: Sequence[str], missing: str) -> Trajectory:
    """The part of a trajectory before it was lost, with its missing samples masked.

    Raises:
        DataError: Times do not grow, or a number is none and ``missing`` is "error"; trajectory,
            step and column are named.
    """
    one = one.slice(0, one.finite_steps)
    back = (one.t.diff(dim=0) <= 0).flatten(1).any(1) if one.t.ndim > 1 else one.t.diff() <= 0
    if bool(back.any()) or not bool(one.t.isfinite().all()):
        step = int(back.int().argmax()) + 1 if bool(back.any()) else -1
        told = "is no number" if step < 0 else "does not come after the one before"
        raise DataError(
            f"Trajectory {number}, step {max(step, 0)}: the time {told}. Times must grow."
        )
    kept = one.mask if one.mask is not None else torch.ones(one.x.shape[:2], dtype=torch.bool)
    for name in ("x", "derivative", "inputs"):
        value = getattr(one, name)
        if value is None or bool(value.isfinite().all()):
            continue
        wrong = ~value.isfinite() & kept[..., None].to(value.device)
        if missing == "error" and bool(wrong.any()):
            step, row, column = wrong.nonzero()[0].tolist()
            told = names[column] if name == "x" else f"{name} {column}"
            raise DataError(
                f"Trajectory {number}, step {step}, row {row}, {told}: "
                f"{float(value[step, row, column])} ({int(wrong.sum())} such numbers in this "
                "trajectory). Mend the data, or cut them there with data.missing drop."
            )
        kept = kept & value.isfinite().all(-1)
    return one if bool(kept.all()) else replace(one, mask=kept)


def pieces(one: Trajectory) -> list[Trajectory]:
    """The stretches of at least two complete samples between the missing ones."""
    if one.mask is None:
        return [one]
    whole = one.mask.all(1).tolist()
    found, start = [], 0
    for k, complete in enumerate([*whole, False]):
        if not complete:
            if k - start >= 2:
                found.append(replace(one.slice(start, k), mask=None))
            start = k + 1
    return found


def common_interval(trajectories: Sequence[Trajectory]) -> float | None:
    """The one interval between all samples, None where they differ by more than 1e-4 of it."""
    gaps = [one.t.diff(dim=0).flatten() for one in trajectories if one.steps > 1]
    if not gaps:
        return None
    every = torch.cat(gaps)
    middle = float(every.median())
    return middle if bool(((every - middle).abs() <= 1e-4 * middle).all()) else None


def unused(**given: tuple[Any, Any]) -> None:
    """Warn of arguments that differ from their default although nobody reads them."""
    names = [f"data.{name}" for name, (value, default) in given.items() if value != default]
    if names:
        warnings.warn(
            f"{', '.join(names)}: not used, since data.file brings its own trajectories.",
            stacklevel=2,
        )
