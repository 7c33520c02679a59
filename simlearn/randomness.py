"""Randomness derived from what is being done, never from a running generator's state.

A number drawn at (seed, epoch, step, rank) is the same however often training was interrupted
before it.
"""

from __future__ import annotations

import numpy as np
import torch

from simlearn.component import ConfigError


def derived(seed: int, *keys: int) -> int:
    """A 63-bit seed that depends on all of ``seed`` and ``keys`` (numpy SeedSequence)."""
    if seed < 0 or any(key < 0 for key in keys):
        raise ConfigError(f"A seed is a whole number from 0 on, got {seed}.")
    state = np.random.SeedSequence(seed, spawn_key=keys).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))


def generator(seed: int, *keys: int) -> torch.Generator:
    """A CPU generator for the place ``keys``; draw on the CPU, then move."""
    return torch.Generator().manual_seed(derived(seed, *keys))
