"""Linear springs against normal modes and matrix exponentials."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from simlearn import ConfigError, Topology, sample_times
from simlearn_mechanics import SpringChain, SpringGraph, SpringLaw

TIMES = sample_times(100, 0.2)


def modes(x0, t, shapes, frequencies, mass):
    """Motion from orthonormal mode shapes ``[modes, masses]``; a frequency of 0 glides."""
    q, v = shapes @ x0[:, 0], shapes @ x0[:, 1] / mass
    w, phase = frequencies, np.outer(t, frequencies)
    slow = np.where(w > 1e-12, np.sin(phase) / np.maximum(w, 1e-12), t[:, None])
    position, velocity = q * np.cos(phase) + v * slow, v * np.cos(phase) - q * w * np.sin(phase)
    return np.stack([position @ shapes, mass * velocity @ shapes], axis=-1)


def normed(shapes):
    return shapes / np.linalg.norm(shapes, axis=1, keepdims=True)


def fixed(n):
    j, i = np.meshgrid(np.arange(1, n + 1), np.arange(1, n + 1), indexing="ij")
    return normed(np.sin(np.pi * j * i / (n + 1))), np.pi * np.arange(1, n + 1) / (2 * (n + 1))


def free(n):
    j, i = np.meshgrid(np.arange(n), np.arange(n) + 0.5, indexing="ij")
    return normed(np.cos(np.pi * j * i / n)), np.pi * np.arange(n) / (2 * n)


@pytest.mark.parametrize(("ends", "known"), [("fixed", fixed), ("free", free)])
@pytest.mark.parametrize("masses", [2, 9])
def test_equal_masses_on_a_chain_move_by_their_normal_modes(ends, known, masses, alone, within):
    track = alone(SpringChain(masses, ends, mass=0.5, stiffness=2.0), TIMES)
    shapes, angles = known(masses)
    frequencies = 2 * np.sqrt(2.0 / 0.5) * np.sin(angles)
    exact = modes(track.x[0].numpy(), TIMES.numpy(), shapes, frequencies, 0.5)
    within(track.x, exact, 1e-7)


def test_a_wave_runs_around_a_ring(alone, within):
    """The discrete Fourier transform diagonalises a ring: ω_j = 2 √(k/m) |sin(π j / N)|."""
    track = alone(SpringChain(8, "periodic", mass=0.5, stiffness=2.0), TIMES)
    x, t = track.x[0].numpy(), TIMES.numpy()
    q, v = np.fft.fft(x[:, 0]), np.fft.fft(x[:, 1] / 0.5)
    w = 2 * np.sqrt(2.0 / 0.5) * np.abs(np.sin(np.pi * np.arange(8) / 8))
    phase = np.outer(t, w)
    slow = np.where(w > 0, np.sin(phase) / np.where(w > 0, w, 1), t[:, None])
    within(track.x[..., 0], np.fft.ifft(q * np.cos(phase) + v * slow, axis=1).real, 1e-7)


def dense(x0, t, pairs, stiffness, mass, anchor):
    """Motion by the exponential of the dense matrix, one column of displacements at a time."""
    n = len(mass)
    k = np.diag(np.asarray(anchor, dtype=float))
    for (i, j), s in zip(pairs, stiffness, strict=True):
        k[[i, j], [i, j]] += s
        k[[i, j], [j, i]] -= s
    block = np.block([[np.zeros((n, n)), np.diag(1 / mass)], [-k, np.zeros((n, n))]])
    q, p = np.split(x0, 2, axis=1)
    states = [expm(block * s) @ np.concatenate([q, p]) for s in t]
    return np.stack([np.concatenate(np.split(y, 2), axis=1) for y in states])


def told(track):
    """Undirected springs, their stiffness, and masses and anchors, out of a topology."""
    half = track.topology.graph.edge_index.shape[1] // 2
    pairs = track.topology.graph.edge_index[:, :half].T.tolist()
    mass, anchor = track.topology.node_attr.T.numpy()
    return pairs, track.topology.edge_attr[:half, 0].numpy(), mass, anchor


@pytest.mark.parametrize("ends", ["fixed", "free", "periodic"])
def test_chains_of_varied_masses_follow_the_matrix_exponential(ends, alone, within):
    track = alone(SpringChain(7, ends, 2.0, 3.0, spread=0.5), TIMES)
    pairs, stiffness, mass, anchor = told(track)
    assert len({*stiffness}) == len(pairs)
    assert (mass >= 1.0).all()
    assert (mass <= 3.0).all()
    wanted = [[i, (i + 1) % 7] for i in range(7 if ends == "periodic" else 6)]
    assert pairs == wanted
    assert (anchor > 0).tolist() == [ends == "fixed" and i in (0, 6) for i in range(7)]
    within(track.x, dense(track.x[0].numpy(), TIMES.numpy(), pairs, stiffness, mass, anchor), 1e-7)


@pytest.mark.parametrize("anchor", [0.0, 0.7])
@pytest.mark.parametrize("dimension", [1, 2])
def test_random_graphs_follow_the_matrix_exponential(anchor, dimension, alone, within):
    track = alone(SpringGraph(8, anchor=anchor, dimension=dimension, spread=0.3), TIMES, i=2)
    pairs, stiffness, mass, tied = told(track)
    assert tied.tolist() == [anchor] * 8
    within(track.x, dense(track.x[0].numpy(), TIMES.numpy(), pairs, stiffness, mass, tied), 1e-7)


def test_given_edges_are_used(alone, within):
    edges = [[0, 1], [1, 2], [3, 1], [0, 3]]
    track = alone(SpringGraph(4, edges=edges, dimension=1, stiffness=2.0), TIMES)
    pairs, _, mass, anchor = told(track)
    assert pairs == edges
    assert track.topology.graph.pairs is not None
    within(track.x, dense(track.x[0].numpy(), TIMES.numpy(), edges, [2.0] * 4, mass, anchor), 1e-7)


@pytest.mark.parametrize("radius", [1e-6, 0.4])
def test_random_graphs_are_connected_and_each_is_another(radius):
    keys = set()
    for track in SpringGraph(12, radius).draw(range(5), sample_times(2, 0.1), seed=0):
        reach = torch.eye(12)
        source, target = track.topology.graph.edge_index
        reach[source, target] = 1.0
        assert (torch.linalg.matrix_power(reach, 12) > 0).all()
        assert track.topology.graph.pairs is not None
        keys.add(track.topology.graph.key)
    assert len(keys) == 5


def test_without_attributes_the_laws_own_numbers_hold():
    x = torch.tensor([[0.0, 1.0], [2.0, 0.0], [5.0, 0.0]])
    slope = SpringLaw(mass=0.5, stiffness=2.0)(0.0, x, Topology.complete(3))
    assert slope.tolist() == [[2.0, 14.0], [0.0, 2.0], [0.0, -16.0]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SpringChain(ends="loose"), "ends must be fixed, free or periodic, got 'loose'"),
        (lambda: SpringChain(2, "periodic"), "masses must be at least 3"),
        (lambda: SpringChain(spread=1.0), "spread must stay below 1"),
        (lambda: SpringGraph(3, edges=[[0, 0]]), r"got \[0, 0\]"),
        (lambda: SpringGraph(3, edges=[[0, 1], [1, 0]]), r"each pair once; got \[1, 0\]"),
        (lambda: SpringGraph(3, edges=[[0, 3]]), r"0 to 2, .*got \[0, 3\]"),
    ],
)
def test_arguments_without_a_sense_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
