"""Drawing on several processes: the same trajectories in the same order, whoever draws them."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

import torch
from torch import Tensor

from simlearn.component import EnvironmentFault, PluginError, SimlearnError, class_path
from simlearn.data.generate import SHARD, DatasetGenerator
from simlearn.data.kept import Kept
from simlearn.hooks import origin
from simlearn.state import Trajectory

AHEAD = 2  # pieces in the making for each worker, so that memory does not grow with the dataset


def pieces_of(generator: DatasetGenerator, count: int) -> list[range]:
    """Which trajectories are drawn together, however many processes draw them."""
    size = together(generator, count)
    return [range(a, min(a + size, count)) for a in range(0, count, size)]


def together(generator: DatasetGenerator, count: int) -> int:
    """How many trajectories are drawn together."""
    stacked = getattr(generator, "stack", True)
    return SHARD if stacked else min(SHARD, max(1, count // SHARD))


def draw(
    generator: DatasetGenerator,
    count: int,
    times: Tensor,
    seed: int,
    workers: int = 1,
    kept: Kept | None = None,
) -> Iterator[Trajectory]:
    """Trajectories 0 to ``count`` - 1 in order, drawn by so many processes.

    Trajectory i depends on (seed, i) only, so their number changes no bit.

    Args:
        generator: What draws them.
        count: How many.
        times: ``[steps]``.
        seed: Seed of the draw.
        workers: Processes.
        kept: Where pieces are kept, and found again by a second run; None keeps none.

    Raises:
        PluginError: The generator raises, or what it draws are no such trajectories.
        EnvironmentFault: A process was killed.
    """
    pieces = pieces_of(generator, count)
    wanted = [piece for piece in pieces if kept is None or not kept.has(piece)]
    fresh: Iterator[list[Trajectory]]
    if workers < 2 or len(wanted) < 2:
        fresh = (list(sound(generator, piece, times, seed)) for piece in wanted)
    else:
        fresh = _shared(generator, wanted, times, seed, workers)
    for piece in pieces:
        if kept is not None and piece not in wanted:
            yield from kept.taken(piece)
            continue
        drawn = next(fresh)
        if kept is not None:
            kept.keep(piece, drawn)
        yield from drawn


def _shared(
    generator: DatasetGenerator, pieces: list[range], times: Tensor, seed: int, workers: int
) -> Iterator[list[Trajectory]]:
    """The pieces in order, drawn by so many processes.

    Raises:
        EnvironmentFault: One of them was killed.
    """
    context, left, missing = multiprocessing.get_context("spawn"), iter(pieces), 0
    several = min(workers, len(pieces))
    with ProcessPoolExecutor(several, mp_context=context, initializer=die_with_parent) as pool:
        try:
            jobs = [
                pool.submit(_piece, generator, piece, times.numpy(), seed)
                for piece in islice(left, AHEAD * workers)
            ]
            for done in pieces:
                missing = done.start
                drawn = pickle.loads(jobs.pop(0).result())
                following = next(left, None)
                if following is not None:
                    jobs.append(pool.submit(_piece, generator, following, times.numpy(), seed))
                yield drawn
        except BrokenProcessPool as error:
            raise EnvironmentFault(
                f"One of {workers} processes that draw was killed, most likely because the memory "
                f"was full; trajectory {missing} and those after it are missing. Take fewer "
                "--workers."
            ) from error


def die_with_parent() -> None:
    """Let this process end when the one that began it does, even by a signal that nobody hears."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()


def _piece(generator: DatasetGenerator, indices: range, times: object, seed: int) -> bytes:
    """The trajectories as bytes: tensors that travel by themselves each take an open file."""
    torch.set_num_threads(1)
    return pickle.dumps(list(sound(generator, indices, torch.as_tensor(times), seed)))


def sound(
    generator: DatasetGenerator, indices: range, times: Tensor, seed: int
) -> Iterator[Trajectory]:
    """What a generator draws, looked at: a fault is told with the generator and the trajectory.

    Raises:
        PluginError: It raises, or draws what was not asked for.
        SimlearnError: It says itself what is wrong.
    """
    kind, number = type(generator), indices.start
    name = f"{origin(kind.__module__)}: {class_path(kind)}.draw"
    try:
        for one in generator.draw(indices, times, seed):
            if wrong := _fault(one, len(times)):
                raise PluginError(wrong)
            yield one
            number += 1
    except SimlearnError as error:
        raise type(error)(f"{name}, trajectory {number}: {error}") from error
    except (OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{name}, trajectory {number}: it raised {type(error).__name__}: {error}"
        ) from error
    if number != indices.stop:
        raise PluginError(
            f"{name} drew {number - indices.start} trajectories, wanted {len(indices)} (from "
            f"{indices.start} to {indices.stop - 1})."
        )


def _fault(one: object, steps: int) -> str:
    """What keeps it from being a trajectory of so many states; empty where nothing does."""
    if not isinstance(one, Trajectory):
        return f"wanted a Trajectory, got a {type(one).__name__}."
    if one.x.dtype != torch.float64 or one.t.dtype != torch.float64:
        return f"wanted states and times in torch.float64, got {one.x.dtype} and {one.t.dtype}."
    if one.steps != steps:
        return f"wanted {steps} states, one for each time, got {one.steps}."
    lost = ~one.x[: one.finite_steps].isfinite()
    if one.mask is not None:
        lost &= one.mask[: one.finite_steps, :, None]
    if bool(lost.any()):
        step, row, column = (int(k) for k in lost.nonzero()[0])
        value = float(one.x[step, row, column])
        return f"wanted finite states, got {value} at step {step}, row {row}, column {column}."
    return ""
