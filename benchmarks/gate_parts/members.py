"""The members of the panel: what is drawn for each, and its training."""

import hashlib
import math
import random
import time
from dataclasses import asdict, dataclass

import torch

import simlearn
from simlearn import Simulator
from simlearn.dynamics import (
    Energy,
    Flattened,
    GraphCoupled,
    Map,
    MLPField,
    ResidualMap,
    SeparableEnergy,
)
from simlearn.dynamics.neural import TanhNet
from simlearn.integrators import RK4, Leapfrog
from simlearn.training.objectives import MultiStep, OneStep
from simlearn_stabilizers import (
    JacobianPenalty,
    NoiseInjection,
    SpectralNorm,
    Standardize,
    SubspaceProjection,
)

from .systems import SYSTEMS, Watched, measured

SAMPLES, BATCH, HELD_OUT = 101, 128, 16
STABILIZERS = {
    "none": lambda: [],
    "restoring noise": lambda: [NoiseInjection(kappa=1.0)],
    "uncorrected noise": lambda: [NoiseInjection(scale=0.05, target="uncorrected")],
    "corrected noise": lambda: [NoiseInjection(scale=0.05, target="corrected")],
    "projection": lambda: [SubspaceProjection()],
    "spectral norm": lambda: [SpectralNorm(2.0)],
    "Jacobian penalty": lambda: [JacobianPenalty(1e-3)],
}
OFTEN = ["none"] * 4 + list(STABILIZERS)[1:]


class DirectMap(Map):
    """A one-step network: x ↦ MLP(x).

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2):
        super().__init__()
        self.dim, self.width, self.depth = dim, width, depth
        self.net = TanhNet([dim] + [width] * depth + [dim])

    @classmethod
    def examples(cls):
        """Two columns."""
        return [cls(dim=2, width=8)]

    def forward(self, t, x, dt, topology):
        """The next state; one step whatever ``dt``."""
        return self.net(x)


@dataclass(frozen=True)
class Member:
    """One simulator of the panel: everything that was drawn for it.

    Args:
        panel: Seed of the panel.
        index: In the panel.
        system: Its name.
        columns: Of a row of the state, as it is seen.
        watched: Whether through more columns than there are coordinates.
        dynamics: field, residual, direct, energy, separable or graph.
        width: Neurons of each hidden layer.
        depth: Hidden layers.
        trajectories: Of the training data.
        noise: Of measurement, a share of the spread.
        objective: Steps of the rollouts in the loss.
        updates: Of the weights, about.
        rate: Learning rate of Adam.
        stabilizer: Its name.
        standardized: Whether the networks see units of the spread.
    """

    panel: int
    index: int
    system: str
    columns: int
    watched: bool
    dynamics: str
    width: int
    depth: int
    trajectories: int
    noise: float
    objective: int
    updates: int
    rate: float
    stabilizer: str
    standardized: bool

    @property
    def key(self):
        """Its place in the split: nothing but seed and index are looked at."""
        return hashlib.sha256(f"{self.panel}/{self.index}".encode()).hexdigest()

    @property
    def title(self):
        """In words."""
        seen = f" ({self.columns} sensors)" if self.watched else ""
        return f"{self.index} {self.system}{seen}, {self.dynamics}, {self.stabilizer}"

    def seed(self, what):
        """A seed of its own for the data of training (1), held out (2), of the fate (3)."""
        return (self.panel * 10_000 + self.index) * 10 + what

    def generator(self):
        """What draws its data."""
        return drawn(self.panel, self.index)[1]


def drawn(panel, index):
    """A member and the generator of its data; every choice from (panel, index)."""
    rng = random.Random(f"{panel}/{index}")
    name = rng.choice(list(SYSTEMS))
    kind = SYSTEMS[name]
    system = kind.make(rng)
    columns = system.truth().dim
    watched = bool(kind.more) and rng.random() < 0.5
    if watched:
        columns += rng.choice(kind.more)
        system = Watched(system, columns, rng.randrange(1000))
    dynamics = ["field"] * 3 + ["residual"] * 3 + ["direct"]
    if kind.energy and not watched:
        dynamics += ["energy", "separable"]
    if kind.rows > 1:
        dynamics = ["graph", "field", "field"] + ["energy"] * kind.energy
    chosen = rng.choice(dynamics)
    stabilizer = rng.choice(OFTEN)
    if stabilizer == "projection" and (kind.rows > 1 or chosen in ("energy", "separable")):
        stabilizer = "none"
    scales = chosen in ("field", "energy", "separable", "graph")
    member = Member(
        panel,
        index,
        name,
        columns,
        watched,
        chosen,
        width=rng.choice([16, 32]),
        depth=rng.choice([1, 2]),
        trajectories=rng.choice([2, 4, 8, 16]),
        noise=rng.choice([0.0, 0.0, 1e-3, 1e-2]),
        objective=rng.choice([1, 4, 8]),
        updates=round(math.exp(rng.uniform(math.log(100), math.log(1500)))),
        rate=rng.choice([1e-3, 3e-3, 1e-2]),
        stabilizer=stabilizer,
        standardized=scales and rng.random() < 0.5,
    )
    return member, system


def panel(seed, count):
    """All members."""
    return [drawn(seed, index)[0] for index in range(count)]


def built(member):
    """The simulator before its training."""
    kind = SYSTEMS[member.system]
    dim, sizes = member.columns, (member.width, member.depth)
    make = {
        "field": lambda: _wide(MLPField, dim, kind.rows, sizes),
        "energy": lambda: _wide(Energy, dim, kind.rows, sizes),
        "separable": lambda: SeparableEnergy(dim, *sizes),
        "residual": lambda: ResidualMap(dim, *sizes),
        "direct": lambda: DirectMap(dim, *sizes),
        "graph": lambda: GraphCoupled(dim, width=member.width, depth=member.depth),
    }[member.dynamics]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.seed(0))
        dynamics = make().double()
    scheme = {"residual": None, "direct": None, "separable": Leapfrog()}
    return Simulator(dynamics, scheme.get(member.dynamics, RK4()), kind.dt)


def _wide(field, dim, rows, sizes):
    return field(dim, *sizes) if rows == 1 else Flattened(field(dim * rows, *sizes), rows)


@dataclass(frozen=True)
class Trained:
    """A member with its data.

    Args:
        simulator: Trained.
        objective: What was minimised, prepared by the training data.
        training: Trajectories.
        held_out: Trajectories of the gate.
        fresh: The starts that decide its fate, one state each.
        seconds: CPU time of the training.
    """

    simulator: Simulator
    objective: object
    training: list
    held_out: list
    fresh: list
    seconds: float


def trained(member, rollouts):
    """Train a member; its data for the gate and for its fate are drawn from other seeds."""
    kind, source = SYSTEMS[member.system], member.generator()
    training, spread = measured(
        source, member.trajectories, SAMPLES, kind.dt, member.seed(1), member.noise
    )
    others = member.noise, spread
    held_out = measured(source, HELD_OUT, SAMPLES, kind.dt, member.seed(2), *others)[0]
    fresh = measured(source, rollouts, 2, kind.dt, member.seed(3), *others)[0]
    objective = OneStep() if member.objective == 1 else MultiStep(member.objective)
    made = STABILIZERS[member.stabilizer]()
    windows = member.trajectories * (SAMPLES - member.objective)
    began = time.process_time()
    simulator = simlearn.fit(
        built(member),
        training,
        objective=objective,
        stabilizers=[Standardize(), *made] if member.standardized else made,
        optimizer=lambda weights: torch.optim.Adam(weights, lr=member.rate),
        batch_size=BATCH,
        seed=member.index,
        progress=False,
        max_epochs=max(1, round(member.updates / math.ceil(windows / BATCH))),
    )
    spent = time.process_time() - began
    return Trained(simulator, objective, training, held_out, fresh, spent)


def plain(member):
    """As JSON."""
    return asdict(member)
