"""Independent edges in time that grows with their number, not with the number of pairs."""

from __future__ import annotations

import numpy as np


def chosen(rng: np.random.Generator, total: int, p: float) -> np.ndarray:
    """Which of ``total`` are taken, each by itself with probability ``p``; ascending, int64.

    The gaps between those taken are geometric (Batagelj and Brandes 2005, Phys. Rev. E 71, 036113,
    alg. 1), so only those taken are drawn.
    """
    if p <= 0 or total <= 0:
        return np.zeros(0, np.int64)
    if p >= 1:
        return np.arange(total, dtype=np.int64)
    parts, last = [], -1
    while last < total:
        expected = (total - last) * p
        size = int(expected + 4 * np.sqrt(expected)) + 16
        # a gap beyond the end is cut, so that no sum overflows
        gaps = np.minimum(rng.geometric(p, size), total + 1)
        parts.append(last + np.cumsum(gaps))
        last = int(parts[-1][-1])
    found = np.concatenate(parts)
    return found[: np.searchsorted(found, total)]


def pair_of(number: np.ndarray) -> np.ndarray:
    """The pair that a number counts, in the order (0, 1), (0, 2), (1, 2), (0, 3), ``[2, k]``.

    Pair (i, j) has the number j (j − 1)/2 + i.
    """
    larger = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) / 2).astype(np.int64)
    larger -= larger * (larger - 1) // 2 > number  # the root may be rounded to the wrong side
    larger += larger * (larger + 1) // 2 <= number
    return np.stack([number - larger * (larger - 1) // 2, larger])


def within(rng: np.random.Generator, nodes: int, p: float) -> np.ndarray:
    """Undirected links among nodes, ``[2, links]``."""
    return pair_of(chosen(rng, nodes * (nodes - 1) // 2, p))


def ordered(rng: np.random.Generator, nodes: int, p: float) -> np.ndarray:
    """Directed links among nodes, none to itself, ``[2, links]``."""
    source, step = np.divmod(chosen(rng, nodes * (nodes - 1), p), max(nodes - 1, 1))
    return np.stack([source, step + (step >= source)])


def between(rng: np.random.Generator, first: int, second: int, p: float) -> np.ndarray:
    """Links from each of the first to each of the second, both counted from 0, ``[2, links]``."""
    return np.stack(np.divmod(chosen(rng, first * second, p), max(second, 1)))
