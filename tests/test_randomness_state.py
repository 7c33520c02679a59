"""The global generators can be put back where they stood."""

import io
import random

import numpy as np
import torch

from simlearn.randomness import global_state, set_global_state


def test_three_generators_go_on_where_they_stood():
    """Also through a file that holds tensors and plain types only."""
    device, before = torch.device("cpu"), global_state(torch.device("cpu"))

    def drawn():
        return torch.rand(3).tolist(), np.random.normal(size=3).tolist(), random.gauss(0, 1)

    try:
        drawn()
        buffer = io.BytesIO()
        torch.save(global_state(device), buffer)
        first = drawn()
        assert drawn() != first
        set_global_state(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True), device)
        assert drawn() == first
    finally:
        set_global_state(before, device)
