"""Graphs and states to ask laws about."""

import numpy as np
import pytest
import torch

from simlearn import Graph, Topology


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def directed():
    """A directed weighted graph of seven nodes, and its A with edge s → t at A[t, s]."""
    numbers = np.random.default_rng(11)
    a = numbers.uniform(0.2, 1.5, (7, 7)) * (numbers.random((7, 7)) < 0.45)
    np.fill_diagonal(a, 0)
    a[5] = 0  # nobody reaches node 5
    target, source = np.nonzero(a)
    order = numbers.permutation(len(source))
    edges = torch.from_numpy(np.stack([source, target])[:, order])
    weights = torch.from_numpy(a[target, source][order])[:, None]
    return Topology(Graph(edges, 7), edge_attr=weights), a


@pytest.fixture
def rng():
    return lambda seed=0: torch.Generator().manual_seed(seed)
