"""Who looks on while tensors are computed: autograd, torch.func, forward mode, the compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def lasting(make: F) -> F:
    """What is kept must serve training, too, where inference mode asked for it first."""

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_inference_mode_enabled():
            return make(*args, **kwargs)
        with torch.inference_mode(False), torch.no_grad():
            return make(*args, **kwargs)

    return made  # type: ignore[return-value]


def recorded() -> bool:
    """Whether operations are recorded, to be compiled."""
    proxy = torch._C._TorchDispatchModeKey.PROXY
    return torch.compiler.is_dynamo_compiling() or torch._C._get_dispatch_mode(proxy) is not None


def transformed() -> bool:
    """Whether torch.func or forward-mode differentiation looks on."""
    return (
        torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
    )


def differentiated() -> bool:
    """Whether torch.func or forward-mode differentiation takes derivatives, not batches alone."""
    levels = torch._C._functorch.get_interpreter_stack() or ()
    ways = torch._C._functorch.TransformType
    return (
        any(level.key() in (ways.Grad, ways.Jvp) for level in levels)
        or torch.autograd.forward_ad._current_level >= 0
    )


def followed(value: Tensor | None) -> bool:
    """Whether derivatives by a tensor are asked for, so that nothing made from it may be kept."""
    if value is None or value.requires_grad:
        return value is not None
    if recorded() or not transformed():
        return False
    return wrapped(value) or torch.autograd.forward_ad.unpack_dual(value).tangent is not None


def wrapped(value: Tensor) -> bool:
    """Whether torch.func looks on through a tensor."""
    found: bool = torch._C._functorch.is_functorch_wrapped_tensor(value)
    return found
