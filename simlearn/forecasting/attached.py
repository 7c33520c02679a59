"""What the nodes of a forecast carry: parameters by name, from the graph's file or the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError, DataError
from simlearn.forecasting.networks import Network
from simlearn.forecasting.starts import Start
from simlearn.state import Topology

ALL = "node_attr"  # how a dataset calls all parameters of its nodes together


def counted(dynamics: nn.Module, name: str) -> int | None:
    """How many columns of a kind dynamics were made for; None where they do not say."""
    found = [getattr(part, name, None) for part in dynamics.modules()]
    counts = [one for one in found if isinstance(one, int)]
    return max(counts, default=None)


def attached(network: Network, start: Start, dynamics: nn.Module, columns: Any) -> Topology:
    """The graph with the parameters that the simulator was trained with, matched by name.

    Args:
        network: The graph and what its file says of the nodes.
        start: What stands beside the states; it counts where both have a parameter.
        dynamics: What is asked how many it needs.
        columns: The column map of the training data, where their provenance has one.

    Raises:
        ConfigError: The simulator needs control inputs, which nobody has given.
        DataError: A parameter is missing, or not finite.
    """
    if counted(dynamics, "inputs"):
        raise ConfigError(
            "The simulator was trained with control inputs; a forecast with them needs --data with "
            "inputs, and --start first."
        )
    held = _held(network, start)
    known = list(columns.get("parameters") or []) if isinstance(columns, Mapping) else []
    own, shared = (counted(dynamics, name) for name in ("node_parameters", "attributes"))
    if own and shared:
        raise ConfigError(
            "The simulator was trained with parameters of nodes and of systems; a graph file does "
            "not tell them apart. Import a dataset and give it as --data."
        )
    if shared:
        values = _chosen(held, known, shared, network, start)
        return network.topology.replace(system_attr=_alike(values, known or list(held))[None])
    if own == 0 or (own is None and not all(name in held for name in known or [ALL])):
        return network.topology
    return network.topology.replace(node_attr=_chosen(held, known, own, network, start))


def _held(network: Network, start: Start) -> dict[str, Tensor]:
    """Values of every node by name, ``[rows]``; texts are left aside."""
    held: dict[str, Tensor] = {}
    for name, values in network.features.items():
        numbers = [float("nan") if v is None else v for v in values]
        if all(isinstance(v, int | float) for v in numbers):
            held[name] = torch.tensor(numbers, dtype=torch.float64)
    return held | dict(start.parameters)


def _chosen(
    held: Mapping[str, Tensor],
    known: Sequence[str],
    count: int | None,
    network: Network,
    start: Start,
) -> Tensor:
    """``[rows, count]``, in the order of the training.

    Raises:
        DataError: One is missing or not finite, or there are others than the training had.
    """
    names = [ALL] if ALL in held else list(known) or list(held)
    missing = [name for name in names if name not in held]
    if missing:
        raise DataError(
            f"The simulator was trained with {', '.join(known)} of every node, and neither the "
            f"graph's file nor {start.where} has {missing[0]}. Add a column of that name."
        )
    columns = [held[name].reshape(network.topology.rows, -1) for name in names]
    values = torch.cat(columns, dim=1) if columns else torch.zeros(network.topology.rows, 0)
    if count is not None and values.shape[1] != count:
        raise DataError(
            f"The simulator was trained with {count} parameters of every node; the graph's file "
            f"and {start.where} have {', '.join(names) or 'none'}. Leave others out, or add what "
            "is missing as columns of the start."
        )
    wrong = (~values.isfinite()).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        node = network.labels[row] if network.labels else row
        name = names[column] if len(names) == values.shape[1] else f"parameter {column}"
        raise DataError(
            f"{name} of node {node} is {float(values[row, column])}. Give every node a number."
        )
    return values


def _alike(values: Tensor, names: Sequence[str]) -> Tensor:
    """The one value that all nodes share, ``[s]``.

    Raises:
        DataError: They differ.
    """
    for column, name in zip(values.T, names, strict=False):
        if bool((column != column[0]).any()):
            raise DataError(
                f"{name} is a parameter of the whole system; here it goes from "
                f"{float(column.min()):g} to {float(column.max()):g}. Give all nodes one value."
            )
    return values[0]
