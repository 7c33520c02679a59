"""What archives and datasets keep of their making, for programs that train nothing themselves."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from simlearn.state import Trajectory


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("simlearn", "torch", "lightning", "numpy", "scipy", "h5py")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


@torch.no_grad()
def ranges(training: Sequence[Trajectory]) -> dict[str, Any]:
    """Where the training data lie: sizes, degrees, ranges and second moment of the columns.

    Parameters of nodes and attributes of edges, where there are some: ``[low, high]`` of each.
    """
    training = [one if one.x.device.type == "cpu" else one.to("cpu") for one in training]
    seen = [one.x.flatten(0, 1) if one.mask is None else one.x[one.mask] for one in training]
    low = torch.stack([x.amin(0) for x in seen if len(x)]).amin(0)
    high = torch.stack([x.amax(0) for x in seen if len(x)]).amax(0)
    rows = torch.cat([one.x.reshape(-1, one.dim) for one in training]).double()
    digest = hashlib.sha256(rows.numpy().tobytes())
    degrees = [
        torch.bincount(one.topology.graph.edge_index[1], minlength=one.topology.rows)
        for one in training
    ]
    return {
        "trajectories": len(training),
        "states": sum(one.steps for one in training),
        "time": [float(min(o.t.min() for o in training)), float(max(o.t.max() for o in training))],
        "rows": [min(o.topology.rows for o in training), max(o.topology.rows for o in training)],
        "degree": [int(min(d.min() for d in degrees)), int(max(d.max() for d in degrees))],
        "sha256": digest.hexdigest(),
        "second_moment": (rows.T @ rows / len(rows)).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        **_attributes("node_attr", [one.topology.node_attr for one in training]),
        **_attributes("edge_attr", [one.topology.edge_attr for one in training]),
    }


def _attributes(name: str, values: Sequence[Tensor | None]) -> dict[str, list[list[float]]]:
    """Their ranges by column; nothing where no graph has them, or they are not comparable."""
    known = [one.double().reshape(len(one), -1) for one in values if one is not None and len(one)]
    if not known or len({one.shape[1] for one in known}) > 1:
        return {}
    low = torch.stack([one.amin(0) for one in known]).amin(0)
    high = torch.stack([one.amax(0) for one in known]).amax(0)
    both = torch.stack([low, high]).T
    return {name: both.tolist()} if bool(both.isfinite().all()) else {}
