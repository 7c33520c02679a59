"""What follows from tensors and is made once: until one of them is written to, or followed."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from simlearn.state.tracing import followed, recorded

T = TypeVar("T")
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


def settled(make: F) -> F:
    """The same for what no derivative is asked by: torch.func, too, must not stay in what is kept.

    What is made under it refers to a level that is gone afterwards.
    """

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        if not torch._C._are_functorch_transforms_active():
            return make(*args, **kwargs)
        with temporarily_clear_interpreter_stack():
            return make(*args, **kwargs)

    return lasting(made)  # type: ignore[return-value]


def kept(
    store: dict[Any, Any], key: Any, sources: Sequence[Tensor | None], make: Callable[[], T]
) -> T:
    """What a store holds, or what is made now.

    It is made anew where a source is another tensor than before or was written to since (which
    inference tensors and writes to ``.data`` do not tell), and every time, to be kept nowhere,
    where a source is `followed`, as it would carry weights and derivatives into another step or
    lose them, or where operations are recorded.

    Args:
        store: What is kept, by key.
        key: What is asked for.
        sources: Tensors that it follows from.
        make: Makes it.
    """
    if recorded() or any(followed(one) for one in sources):
        return make()
    versions = [_version(one) for one in sources]
    held = store.get(key)
    if held is None or held[1] != versions or any(map(operator.is_not, held[0], sources)):
        store[key] = held = (sources, versions, settled(make)())
    found: T = held[2]
    return found


def _version(value: Tensor | None) -> int:
    """How often it was written to."""
    return 0 if value is None or value.is_inference() else value._version
