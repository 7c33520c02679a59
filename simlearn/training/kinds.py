"""Whether what a checkpoint holds is of the kind that a training writes in its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from simlearn.component import ArchiveError

LARGEST = 2**53  # of a count


def unusable(why: BaseException | str, path: Path | str | None = None) -> ArchiveError:
    """The error for a checkpoint that cannot be gone on from."""
    if isinstance(why, BaseException):
        lines = str(why).splitlines() or [""]
        why = f"{type(why).__name__}: {lines[0][:200]}"
    name = f"The checkpoint {path}" if path else "The checkpoint"
    text = f"{name} does not fit this training ({why})."
    if "state_dict" in why:
        text = f"{name} holds other weights than the config asks for."
    return ArchiveError(
        f"{text} Resume with the config, the stabilizers and the data the run began with, from a "
        "file that simlearn wrote."
    )


def alike(ours: Any, found: Any, name: str, closed: bool = False) -> None:
    """Refuse what is of another kind than that which this training would write in its place.

    What is missing is left to whoever needs it: an older simlearn may not have written it.

    Args:
        ours: What it would write.
        found: What the checkpoint holds.
        name: Where that stands.
        closed: Whether nothing may be there that this training would not write, unless it would
            write nothing.

    Raises:
        ArchiveError: They differ in kind; or a count is absurd.
    """
    if isinstance(ours, Mapping):
        if not isinstance(found, Mapping):
            raise unusable(f"{name} is {told(found)}")
        for key in found:
            if key in ours:
                alike(ours[key], found[key], f"{name}.{key}", closed)
            elif ours and closed:
                raise unusable(f"{name} holds {str(key)[:60]!r}")
    elif not _fits(ours, found):
        raise unusable(f"{name} is {told(found)}")


def _fits(ours: Any, found: Any) -> bool:
    if ours is None:
        return True
    if found is None:  # such as the state of a device that was not there
        return isinstance(ours, Tensor) and ours.ndim > 0
    if isinstance(ours, bool) or isinstance(found, bool):
        return type(ours) is type(found)
    single = isinstance(found, Tensor) and found.numel() == 1 and not found.is_complex()
    if isinstance(ours, Tensor):
        if ours.numel() == 0:  # filled when the training begins
            return isinstance(found, Tensor)
        whole = isinstance(found, Tensor) and (found.shape, found.dtype) == (ours.shape, ours.dtype)
        return whole if ours.ndim else single
    if isinstance(ours, float | int):
        return single or isinstance(found, float) or _count(found)
    if isinstance(ours, list | tuple):
        return isinstance(found, list | tuple)
    return type(found) is type(ours)


def _count(found: Any) -> bool:
    return isinstance(found, int) and abs(found) < LARGEST


def told(found: Any) -> str:
    """A value in few words."""
    if isinstance(found, Tensor):
        return f"a tensor {list(found.shape)} of {found.dtype}"
    text = repr(found)
    return f"a {type(found).__name__}, {text if len(text) <= 40 else f'{text[:37]}...'}"


def counts(loops: Any, name: str) -> None:
    """Refuse a counter that cannot be one.

    Raises:
        ArchiveError: It is negative, absurdly large, or no whole number.
    """
    if isinstance(loops, Mapping):
        for key, one in loops.items():
            counts(one, f"{name}.{key}")
    elif isinstance(loops, list | tuple):
        for number, one in enumerate(loops):
            counts(one, f"{name}[{number}]")
    elif not (loops is None or (_count(loops) and loops >= 0)):
        raise unusable(f"{name} is {told(loops)}")
