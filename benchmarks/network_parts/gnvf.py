"""The neural vector field of GNVF as its program evaluates it, against the factorised product.

Vasiliauskaite and Antulov-Fantulin 2024 (Commun. Phys. 7, arXiv:2301.04900), eq. 3: the program
forms q₁(xᵢ) ∘ q₂(xⱼ) for all pairs, ``[n, n, h]``, state by state. Parameters are shared with
`GraphCoupled`, so both give the same numbers.
"""

import statistics
import time

import torch
from hamiltonian_parts.rows import Task

from simlearn.dynamics.coupled import GraphCoupled
from simlearn.dynamics.pairterms import Factorised
from simlearn_networks import ErdosRenyi

CHANNELS, BATCH, SPREAD, RATE, DECAY = 30, 100, 1.0, 0.01, 1e-3
SMALL, LARGE, LINK = 100, 400, 0.1


def field():
    """The published sizes: 30 channels, two hidden layers of 30 for a node, one for a pair."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GraphCoupled(1, Factorised(1, 1, CHANNELS, CHANNELS), CHANNELS, 2)


def all_pairs(net, x, dense):
    """dx/dt of one state ``[n, 1]`` with the ``[n, n, h]`` product formed, once in memory."""
    receive, send = net.pair.receive(x), net.pair.send(x)
    product = (receive[:, None, :] * send[None, :, :]).mul_(dense[:, :, None])
    return net.own(x) + net.pair.out(product.sum(1))


def setting(nodes, batch):
    """A graph, its dense adjacency, and states uniform in [0, 1) with made-up slopes."""
    rng = torch.Generator().manual_seed(nodes)
    topology = ErdosRenyi(nodes, LINK).draw(rng)
    dense = torch.zeros(nodes, nodes)
    source, target = topology.graph.edge_index
    dense[target, source] = 1.0
    x, slope = torch.rand(2, batch, nodes, 1, generator=rng)
    return topology, dense, x, slope


def loss_of(error):
    """Mean |e| + λ · mean over states of the variance over nodes of |e|, ``[batch, n, 1]``."""
    size = error.abs().squeeze(-1)
    return size.mean() + SPREAD * size.var(1).mean()


def evaluations(nodes=LARGE):
    """Both ways of one evaluation without gradients, and how far apart they are."""
    net, (topology, dense, x, _) = field(), setting(nodes, 1)

    def released():
        with torch.no_grad():
            return all_pairs(net, x[0], dense)

    def ours():
        with torch.no_grad():
            return net(0.0, x[0], topology)

    return released, ours, apart(released(), ours())


def iterations(nodes=SMALL, batch=BATCH):
    """Both ways of a training iteration on a batch of states, and how far apart the slopes are."""
    topology, dense, x, slope = setting(nodes, batch)
    union, flat = topology.repeat(batch), x.reshape(-1, 1)

    def released(net):
        return torch.stack([all_pairs(net, one, dense) for one in x])

    def ours(net):
        return net(0.0, flat, union).reshape(x.shape)

    with torch.no_grad():
        off = apart(released(field()), ours(field()))
    return _step(released, slope), _step(ours, slope), off


def _step(predict, slope):
    net = field()
    adam = torch.optim.Adam(net.parameters(), lr=RATE, weight_decay=DECAY)

    def go():
        adam.zero_grad()
        loss_of(predict(net) - slope).backward()
        adam.step()

    return go


def apart(one, other):
    """Largest difference over the largest number."""
    return float((one - other).abs().max() / other.abs().max())


def in_turns(first, second, rounds, calls):
    """CPU milliseconds of a call of each, round by round in turn, the first round left out."""
    spent = ([], [])
    for number in range(rounds + 1):
        for work, times, count in zip((first, second), spent, calls, strict=True):
            began = time.process_time()
            for _ in range(count):
                work()
            if number:
                times.append(1e3 * (time.process_time() - began) / count)
    return spent


def compared(task, what, first, second, rounds, calls, limit):
    """A row: the ratio of each round."""
    released, ours = in_turns(first, second, rounds, calls)
    ratios = [a / b for a, b in zip(released, ours, strict=True)]
    note = f"{statistics.median(released):.3g} and {statistics.median(ours):.3g} ms"
    task.row(what, ratios, median=limit, least=True, unit=" ×", note=note)
    task.say(what, note)


def gnvf(settings):
    """Evaluation at 400 nodes, training iteration at 100 nodes and 100 states."""
    task, rounds = Task("gnvf"), 9
    first, second, off = evaluations()
    task.row("evaluation: largest difference, relative", [off], worst=1e-6)
    what = f"evaluation, n = {LARGE}, h = {CHANNELS}: all pairs / factorised"
    compared(task, what, first, second, rounds, (10, 200), 15.0)
    first, second, off = iterations()
    task.row("training iteration: largest difference of slopes, relative", [off], worst=1e-6)
    what = f"training iteration, n = {SMALL}, {BATCH} states: all pairs / factorised"
    compared(task, what, first, second, rounds, (1, 10), 10.0)
    task.notes.append(
        "Identical parameters, float32. All pairs state by state, as released; the factorised "
        "field takes the batch as one disjoint union. Values: one ratio a round, in turns."
    )
    return task
