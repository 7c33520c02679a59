"""Loss, gradients and update of one training step, recorded as a graph of tensor operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from simlearn.simulator.lowering import flatten
from simlearn.state import Topology, Trajectory

MOVING = ("t", "x", "derivative", "inputs", "mask")
STILL = ("edge_attr", "node_attr", "system_attr", "inputs")
KNOWN = ("one_row_each", "rows_each")  # read from values, but only from those that are constant


class Untraceable(Exception):
    """A training step that cannot be recorded; the message says why."""


def tensors_of(window: Trajectory) -> dict[str, Tensor]:
    """Everything of a window that changes from batch to batch."""
    found = {name: getattr(window, name) for name in MOVING}
    found |= {f"topology.{name}": getattr(window.topology, name) for name in STILL}
    return {name: value.detach() for name, value in found.items() if value is not None}


def window_of(tensors: Mapping[str, Tensor], topology: Topology) -> Trajectory:
    """The window again, on a topology whose graph is a constant."""
    still = {n: tensors[f"topology.{n}"] for n in STILL if f"topology.{n}" in tensors}
    known = {name: getattr(topology, name) for name in KNOWN}
    if still:
        topology = topology.replace(**still)
        topology.__dict__.update(known)
    moving: dict[str, Any] = {n: tensors[n] for n in MOVING if n in tensors}
    return Trajectory(topology=topology, **moving)


class Loss(nn.Module):
    """What is differentiated, as a function of all weights that are trained."""

    def __init__(self, parts: Mapping[str, nn.Module], loss: Callable[[Trajectory], Tensor]):
        super().__init__()
        self.parts, self.loss = nn.ModuleDict(parts), loss

    def forward(self, window: Trajectory) -> Tensor:
        """A scalar."""
        return self.loss(window)

    def names(self, weights: Sequence[nn.Parameter]) -> list[str]:
        """What each weight is called in here.

        Raises:
            Untraceable: The optimizer trains something that is no weight of the simulator.
        """
        names = {id(weight): name for name, weight in self.named_parameters()}
        if any(id(weight) not in names for weight in weights):
            raise Untraceable("the optimizer trains weights that the simulator does not have")
        return [names[id(weight)] for weight in weights]


def gradients(loss: Loss, names: Sequence[str], topology: Topology) -> Callable[..., Any]:
    """(weights, tensors of a window) to (loss, gradients)."""

    def found(weights: list[Tensor], tensors: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        leaves = [weight.detach().requires_grad_() for weight in weights]
        given = dict(zip(names, leaves, strict=True))
        with torch.enable_grad():
            value = torch.func.functional_call(loss, given, (window_of(tensors, topology),))
            slopes = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
        return value.detach(), list(slopes)

    return found


def record(found: Callable[..., Any], weights: list[Tensor], tensors: dict[str, Tensor]) -> Any:
    """The graph of loss and gradients with all numbers that Python code looked at.

    Where Python reads a value (whether states are finite, whether a Newton iteration has converged)
    the graph goes the way that value led. So the values are handed out beside the gradients: a step
    in which one differs from when the graph was recorded is not taken.

    Returns:
        (weights, tensors) to (loss, gradients, values read ``[reads]``).
    """
    graph = make_fx(found, _error_on_data_dependent_ops=False)(weights, tensors)
    aten, reads = torch.ops.aten, []
    for node in list(graph.graph.nodes):
        if node.target is aten.equal.default:
            raise Untraceable("something in the step compares tensors as a whole (torch.equal)")
        if node.target is aten._local_scalar_dense.default:
            reads.append(node.args[0])
            graph.graph.erase_node(node)
    (end,) = [node for node in graph.graph.nodes if node.op == "output"]
    flat = list(end.args[0])
    end.args = ([*flat, *reads],)
    flatten(graph)
    return _called(graph, len(flat) - 1)


def _called(graph: GraphModule, count: int) -> Callable[..., Any]:
    def flat(weights: list[Tensor], tensors: dict[str, Tensor]) -> Any:
        value, *rest = graph(*weights, *tensors.values())
        seen = [one.reshape(()).double() for one in rest[count:]]
        return value, rest[:count], torch.stack(seen) if seen else value.new_zeros(0)

    return flat
