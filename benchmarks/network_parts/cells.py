"""The cells of NDCN's protocol: five graphs, three dynamics, one trajectory at irregular times.

Zang and Wang 2020 (KDD, arXiv:1908.06491): 400 nodes, T = 5, 120 of 1000 ticks kept. The last 20
stamps are extrapolation, 20 of the 99 before them after the first are interpolation, 80 train.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

import networkx as nx
import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.sparse import csr_array

from simlearn import Graph, Topology, Trajectory

DYNAMICS = ("heat", "gene", "mutualistic")
GRAPHS = ("grid", "ER", "BA", "SW", "community")
SIDE, GRAPH_SEED = 20, 0
NODES = SIDE**2
UNTIL, TICKS, STAMPS, KNOWN, HIDDEN = 5.0, 1000, 120, 100, 20
RTOL, ATOL = 1e-9, 1e-10
GROUPS = (133, 133, 100, 34)


def blocks():
    """The start: squares of 25, 20 and 17 on a square of nodes, zero elsewhere."""
    x = np.zeros((SIDE, SIDE))
    x[1:5, 1:5], x[9:15, 9:15], x[1:5, 7:13] = 25, 20, 17
    return x.ravel()


@cache
def matrix(name):
    """The adjacency, nodes of random graphs in the order of their communities."""
    if name == "grid":
        return csr_array(nx.to_numpy_array(grid()))
    made = {
        "ER": lambda: nx.erdos_renyi_graph(NODES, 0.1, seed=GRAPH_SEED),
        "BA": lambda: nx.barabasi_albert_graph(NODES, 5, seed=GRAPH_SEED),
        "SW": lambda: nx.newman_watts_strogatz_graph(NODES, 5, 0.5, seed=GRAPH_SEED),
        "community": lambda: nx.random_partition_graph(GROUPS, 0.25, 0.01, seed=GRAPH_SEED),
    }[name]()
    return csr_array(nx.to_numpy_array(made, nodelist=by_community(made)))


def grid():
    """Each node joined to the up to eight around it, row by row."""
    made = nx.grid_2d_graph(SIDE, SIDE)
    for a, b in list(made.nodes):
        below = ((a + 1, c) for c in (b - 1, b + 1))
        made.add_edges_from(((a, b), node) for node in below if node in made)
    return nx.convert_node_labels_to_integers(made, ordering="sorted")


def by_community(made):
    """Nodes, largest community first, found by greedy modularity; sorted inside each."""
    found = nx.community.greedy_modularity_communities(made)
    return [node for group in found for node in sorted(group)]


def law(name, a):
    """dx/dt as NumPy has it: the truth shares no code with what is judged."""
    degree, links = a.sum(axis=1), a.tocoo()
    if name == "heat":
        return lambda t, x: a @ x - degree * x
    if name == "gene":
        return lambda t, x: a @ (x * x / (x * x + 1)) - x

    def mutualistic(t, x):
        own, partner = x[links.row], x[links.col]
        helped = own * partner / (5 + 0.9 * own + 0.1 * partner)
        return 0.1 + x * (1 - x / 5) * (x - 1) + np.bincount(links.row, helped, len(x))

    return mutualistic


@dataclass(frozen=True)
class Cell:
    """The arrays that both sides get.

    Attributes:
        a: ``[400, 400]``, sparse.
        t: ``[120]``.
        true: ``[120, 400]``.
        seen: ``[120, 400]``, true with noise where there is some; only training stamps are shown.
        start: ``[400]``, from which both sides roll out.
        train: The 80 stamps that train.
        interp: 20 stamps between these.
        extrap: The last 20 stamps.
    """

    a: csr_array
    t: np.ndarray
    true: np.ndarray
    seen: np.ndarray
    train: np.ndarray
    interp: np.ndarray
    extrap: np.ndarray

    @property
    def start(self):
        """What is known of the first state."""
        return self.seen[0]

    @property
    def digest(self):
        """Of everything that is shown; other arrays have another one.

        Of the states, sums with fixed weights to six digits: a solver's last bits differ from
        processor to processor.
        """
        links = self.a.tocoo()
        parts = (links.row, links.col, self.t, self.train, self.interp)
        weights = np.random.default_rng(0).random(self.true.shape)
        both = (self.seen, self.true)
        sizes = " ".join(f"{(weights * states).sum():.5e} {states[0].sum():.5e}" for states in both)
        whole = b"".join(np.ascontiguousarray(part).tobytes() for part in parts) + sizes.encode()
        return hashlib.sha256(whole).hexdigest()[:16]

    def topology(self):
        """As the framework takes it."""
        return topology(self.a)

    def trajectory(self):
        """The training stamps as the framework takes them."""
        x = torch.from_numpy(self.seen[self.train])[..., None]
        return Trajectory(torch.from_numpy(self.t[self.train]), x, self.topology())

    def errors(self, found):
        """Mean |found − true| / mean true in % on both sets of stamps, of ``[120, 400]``."""
        return {
            name: percent(found[stamps], self.true[stamps])
            for name, stamps in (("interp", self.interp), ("extrap", self.extrap))
        }


def percent(found, true):
    """NDCN's normalised L1 in %."""
    return float(100 * np.abs(found - true).mean() / true.mean())


def topology(a):
    """Edges of an adjacency, sorted by source."""
    links = a.tocoo()
    ends = np.stack([links.col, links.row]).astype(np.int64)
    return Topology(Graph(torch.from_numpy(ends[:, np.lexsort(ends[::-1])]), a.shape[0]))


def drawn(dynamics, graph, seed, noise=0.0, clean_start=True):
    """A cell; the seed draws the stamps, which of them are hidden, and the noise.

    Args:
        dynamics: Of DYNAMICS.
        graph: Of GRAPHS.
        seed: Of stamps and noise.
        noise: Standard deviation over the mean size of the states; noisy states stop at zero.
        clean_start: Whether the first state is known without noise.
    """
    a, rng = matrix(graph), np.random.default_rng(seed)
    kept = np.sort(rng.permutation(np.arange(1, TICKS))[: STAMPS - 1])
    t = np.linspace(0, UNTIL, TICKS)[np.concatenate([[0], kept])]
    interp = np.sort(rng.permutation(np.arange(1, KNOWN))[:HIDDEN])
    true = solved(law(dynamics, a), blocks(), t)
    seen = true
    if noise:
        added = np.random.default_rng([seed, 1]).standard_normal(true.shape)
        seen = np.maximum(true + noise * np.abs(true).mean() * added, 0)
        if clean_start:
            seen[0] = true[0]
    train = np.setdiff1d(np.arange(KNOWN), interp)
    return Cell(a, t, true, seen, train, interp, np.arange(KNOWN, STAMPS))


def solved(field, x, t):
    """The states ``[stamps, nodes]`` at all times."""
    found = solve_ivp(field, (t[0], t[-1]), x, method="DOP853", t_eval=t, rtol=RTOL, atol=ATOL)
    return np.ascontiguousarray(found.y.T)
