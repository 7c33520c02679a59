"""What happens to missing and infinite numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.samples import Sample
from simlearn.state import Topology, Trajectory


@dataclass
class Policy:
    """What happens to missing and infinite numbers, and how many there were.

    Args:
        missing: "error" refuses them, "drop" leaves the samples out, "mask" keeps the samples and
            marks the rows.

    Attributes:
        nan: Missing numbers found.
        infinite: Infinite numbers found.
        samples: Samples left out or marked.
    """

    missing: str = "error"
    nan: int = 0
    infinite: int = 0
    samples: int = 0


def trajectory(sample: Sample, columns: Columns, policy: Policy, topology: Topology) -> Trajectory:
    """A checked trajectory on a topology.

    Raises:
        DataError: Numbers are missing or infinite and the policy is "error"; too few are left.
    """
    good = _complete(sample, columns, policy)
    t, parts, mask = sample.t, dict(sample.parts), None
    if not good.all():
        whole = good.all(1)
        if policy.missing == "drop":
            policy.samples += int((~whole).sum())
            t = t[whole]
            parts = {name: value[whole] for name, value in parts.items()}
        else:
            policy.samples += int((~good).sum())
            mask = torch.from_numpy(good)
            parts = {
                name: np.where(np.isfinite(value), value, 0.0) for name, value in parts.items()
            }
    if len(t) < 2:
        raise DataError(
            f"{sample.place(0, 0, '')}: a trajectory needs two complete samples, this one has "
            f"{len(t)}."
        )
    tensors: dict[str, Any] = {
        name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in parts.items()
    }
    return Trajectory(torch.from_numpy(np.array(t)), topology=topology, mask=mask, **tensors)


def _complete(sample: Sample, columns: Columns, policy: Policy) -> np.ndarray:
    """Which rows of which samples are complete ``[steps, rows]``; counts what is not."""
    names: Mapping[str, Sequence[str]] = {
        "x": columns.components,
        "derivative": columns.derivative,
        "inputs": columns.inputs,
    }
    good = np.ones(sample.parts["x"].shape[:2], bool)
    for part, value in sample.parts.items():
        finite = np.isfinite(value)
        if finite.all():
            continue
        policy.nan += int(np.isnan(value).sum())
        policy.infinite += int(np.isinf(value).sum())
        if policy.missing == "error":
            k, row, column = map(int, np.argwhere(~finite)[0])
            told = "missing" if np.isnan(value[k, row, column]) else "infinite"
            name = names[part][row if columns.wide and part != "inputs" else column]
            raise DataError(
                f"{sample.place(k, row, name)}: the number is {told} (this "
                f"trajectory misses {int((~finite).sum())} of its {part}). Mend it, or leave such "
                "samples out with --missing drop, or keep the rest of them with --missing mask."
            )
        good &= finite.all(2)
    return good
