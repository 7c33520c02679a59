"""Randomness derived from what is being done, never from a running generator's state.

A number drawn at (seed, epoch, step, rank) is the same however often training was interrupted
before it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from simlearn.component import ConfigError

MERSENNE = 624  # words of state of the generator of numpy


def derived(seed: int, *keys: int) -> int:
    """A 63-bit seed that depends on all of ``seed`` and ``keys`` (numpy SeedSequence)."""
    if seed < 0 or any(key < 0 for key in keys):
        raise ConfigError(f"A seed is a whole number from 0 on, got {seed}.")
    state = np.random.SeedSequence(seed, spawn_key=keys).generate_state(1, np.uint64)[0]
    return int(state >> np.uint64(1))


def generator(seed: int, *keys: int) -> torch.Generator:
    """A CPU generator for the place ``keys``; draw on the CPU, then move."""
    return torch.Generator().manual_seed(derived(seed, *keys))


def global_state(device: torch.device) -> dict[str, Any]:
    """Where the global generators stand: simlearn draws from none, a stranger's part may.

    Tensors and plain types only, for a checkpoint.
    """
    name, keys, *rest = np.random.get_state()
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": [str(name), torch.from_numpy(np.asarray(keys, np.int64)), *map(float, rest)],
        "python": [version, torch.tensor(words), gauss],
    }


def set_global_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Put them back there.

    Raises:
        ValueError: That is no state of them.
    """
    torch.set_rng_state(state["torch"].cpu())
    if state["device"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"].cpu(), device)
    name, keys, place, has_gauss, cached = state["numpy"]
    if not 0 <= int(place) <= MERSENNE:  # numpy reads where it says, without a look
        raise ValueError(f"the numbers of numpy stand at {place}, outside of its {MERSENNE}")
    mersenne = keys.cpu().numpy().astype(np.uint32)
    np.random.set_state((name, mersenne, int(place), int(has_gauss), cached))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
