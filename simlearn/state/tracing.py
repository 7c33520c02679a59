"""Who looks on while tensors are computed: torch.func, forward mode, the compiler."""

import torch
from torch import Tensor


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


def batched(value: Tensor) -> bool:
    """Whether torch.func.vmap maps over a tensor, so that no number of it can be read."""
    inner = torch._C._functorch
    while inner.is_functorch_wrapped_tensor(value):
        if inner.is_batchedtensor(value):
            return True
        value = inner.get_unwrapped(value)
    return False


def followed(value: Tensor | None) -> bool:
    """Whether autograd, forward mode or torch.func follows what a tensor is used for."""
    if value is None or value.requires_grad:
        return value is not None
    if not transformed() or recorded():
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(value):
        return True
    return torch.autograd.forward_ad.unpack_dual(value).tangent is not None
