"""Ensembles of twenty nets, the laws they learn, and the graphs they are shown."""

import time

import torch

import simlearn
from simlearn import Ensemble, Simulator, Topology, Trajectory
from simlearn.dynamics import GraphCoupled, VectorField
from simlearn.dynamics.neural import TanhNet
from simlearn.integrators import RK4
from simlearn.training.ensembles import Bootstrap
from simlearn_networks import BarabasiAlbert, ErdosRenyi, MassAction

MEMBERS, STATES, EPOCHS, BATCH, RATE = 20, 1000, 8, 8, 0.01
TRAINING = ErdosRenyi(100, 0.1)


class Ricker(VectorField):
    """dxᵢ/dt = −xᵢ + S exp(−S/8), S = Σⱼ Aᵢⱼ xⱼ: not linear in what is summed."""

    dim = 1

    def forward(self, t, x, topology):
        """dx/dt."""
        felt = topology.adjacency() @ x
        return -x + felt * (-felt / 8).exp()


class Summed(VectorField):
    """dxᵢ/dt = MLP(xᵢ, Σⱼ Aᵢⱼ q(xⱼ)/10): a network looks at what is summed."""

    def __init__(self, width: int = 30, channels: int = 10):
        super().__init__()
        self.width, self.channels, self.dim = width, channels, 1
        self.send = TanhNet([1, width, channels])
        self.net = TanhNet([1 + channels, width, width, 1])
        self.register_buffer("rate", torch.ones(1))

    def watched(self, x, topology):
        """What the network sees of a node."""
        return torch.cat([x, topology.adjacency() @ self.send(2 * x - 1) / 10], dim=-1)

    def forward(self, t, x, topology):
        """dx/dt."""
        return self.rate * self.net(self.watched(x, topology))

    def standardize(self, x, slope, drive=None):
        """Answer in units of the slope."""
        self.rate.copy_(slope.square().mean().sqrt())


def graph(family, seed):
    """A graph of a family."""
    return family.draw(torch.Generator().manual_seed(seed))


def star(rows):
    """One node joined to all others."""
    leaves = torch.arange(1, rows)
    edges = torch.stack([torch.zeros_like(leaves), leaves])
    return Topology(simlearn.Graph(torch.cat([edges, edges.flip(0)], dim=1), rows))


def ring(rows):
    """Each node joined to the next."""
    here = torch.arange(rows)
    edges = torch.stack([here, here.roll(1)])
    return Topology(simlearn.Graph(torch.cat([edges, edges.flip(0)], dim=1), rows))


def targets(training, seed):
    """The graphs on which the size of the test is measured."""
    return {
        "training": training,
        "ER p=.2": graph(ErdosRenyi(100, 0.2), 1000 + seed),
        "ER p=.6": graph(ErdosRenyi(100, 0.6), 2000 + seed),
        "BA n=1000": graph(BarabasiAlbert(1000, 5), 3000 + seed),
        "star": star(100),
        "ring": ring(100),
        "complete": Topology.complete(100),
    }


def draw(rows, rng):
    """A state of the training distribution: every node uniform in [0, 1]."""
    return torch.rand(rows, 1, generator=rng)


def learn(member, law, seed):
    """An ensemble on 1000 random states of one graph: (field, graph, CPU-seconds)."""
    topology = graph(TRAINING, seed)
    rng, at = torch.Generator().manual_seed(10_000 + seed), torch.zeros(1, dtype=torch.float64)
    data = []
    for _ in range(STATES):
        x = draw(100, rng).double()
        data.append(Trajectory(at, x[None], topology, derivative=law(0.0, x, topology)[None]))
    simulator = Simulator(Ensemble(member, MEMBERS, seed), RK4(), 0.01)
    began = time.process_time()
    simulator.dynamics.standardize(
        torch.stack([one.x[0] for one in data]), torch.stack([one.derivative[0] for one in data])
    )
    simlearn.fit(
        simulator,
        data,
        objective=Bootstrap(seed=seed),
        optimizer=lambda weights: torch.optim.Adam(weights, lr=RATE),
        scheduler=lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, EPOCHS),
        batch_size=BATCH,
        dtype="float32",
        seed=seed,
        max_epochs=EPOCHS,
        progress=False,
    )
    return simulator.dynamics, topology, time.process_time() - began


def factorised(seed):
    """GNVF's field and its law of mass action."""
    return learn(GraphCoupled(), MassAction().truth(), seed)


def error(field, law, topology, seed, states=20, stretch=1.0):
    """Mean |error| of the mean of the members over mean |dx/dt|, at fresh states."""
    rng, off, size = torch.Generator().manual_seed(seed), 0.0, 0.0
    with torch.no_grad():
        for _ in range(states):
            x = stretch * draw(topology.rows, rng)
            slope = law(0.0, x.double(), topology)
            off += float((field(0.0, x, topology).double() - slope).abs().sum())
            size += float(slope.abs().sum())
    return off / size
