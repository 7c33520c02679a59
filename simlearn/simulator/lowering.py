"""From recorded tensor operations to a compiled function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import GraphModule


def flatten(graph: GraphModule) -> None:
    """Let a graph take and give its tensors one after the other."""
    graph.graph.set_codegen(torch.fx.graph.CodeGen())
    graph.recompile()


def lowered(
    step: Callable[..., Any], given: Sequence[Any], backend: str | Callable[..., Any] | None
) -> Callable[..., Any]:
    """A step as a compiled function of what it is given; its answer is one flat list.

    The graph is recorded already and its kind is looked up by the caller: inductor takes it as it
    is, without the guards that `torch.compile` would check at every call.

    Args:
        step: A plain function (no method) that returns a list of tensors.
        given: Tensors, and lists and mappings of tensors, to record with.
        backend: "inductor", or whatever `torch.compile` takes; None runs the graph as it is.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # slow to import, rarely needed

    graph = make_fx(step)(*given)
    flatten(graph)
    run: Callable[..., Any] = graph
    if backend == "inductor":
        _keep_fast(graph)
        run = torch._inductor.compile(graph, _flat(given))
    elif backend is not None:
        run = torch.compile(graph, backend=backend, fullgraph=True, dynamic=False)
    return lambda given: run(*_flat(given))


def _flat(given: Sequence[Any]) -> list[Any]:
    """All tensors one after the other."""
    flat: list[Any] = []
    for one in given:
        if isinstance(one, Mapping):
            flat.extend(one.values())
        else:
            flat.extend(one) if isinstance(one, list) else flat.append(one)
    return flat


def _keep_fast(graph: GraphModule) -> None:
    """Leave tanh on a CPU to torch: inductor's own takes four times as long (torch 2.13)."""
    slow = (torch.ops.aten.tanh.default, torch.ops.aten.tanh_.default)
    for node in graph.graph.nodes:
        if node.target in slow and node.meta["val"].device.type == "cpu":
            node.meta["custom"] = {"fallback_to_eager": True}
