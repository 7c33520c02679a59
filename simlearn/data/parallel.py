"""Drawing on several processes: the same trajectories in the same order, whoever draws them."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import torch
from torch import Tensor

from simlearn.data.generate import SHARD, DatasetGenerator
from simlearn.state import Trajectory

AHEAD = 2  # pieces in the making for each worker, so that memory does not grow with the dataset


def draw(
    generator: DatasetGenerator, count: int, times: Tensor, seed: int, workers: int = 1
) -> Iterator[Trajectory]:
    """Trajectories 0 to ``count`` - 1 in order, drawn by so many processes.

    Trajectory i depends on (seed, i) only, so their number changes no bit.
    """
    size = SHARD if getattr(generator, "stack", True) else max(1, count // (8 * workers))
    pieces = [range(a, min(a + size, count)) for a in range(0, count, size)]
    if workers < 2 or len(pieces) < 2:
        yield from generator.draw(range(count), times, seed)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(pieces)), mp_context=context) as pool:
        left = iter(pieces)
        jobs = [
            pool.submit(_piece, generator, piece, times.numpy(), seed)
            for piece in islice(left, AHEAD * workers)
        ]
        while jobs:
            drawn = pickle.loads(jobs.pop(0).result())
            following = next(left, None)
            if following is not None:
                jobs.append(pool.submit(_piece, generator, following, times.numpy(), seed))
            yield from drawn


def _piece(generator: DatasetGenerator, indices: range, times: object, seed: int) -> bytes:
    """The trajectories as bytes: tensors that travel by themselves each take an open file."""
    torch.set_num_threads(1)
    return pickle.dumps(list(generator.draw(indices, torch.as_tensor(times), seed)))
