"""The edge of stability of a small network under several optimizers, and twins against tangents."""

import itertools
import statistics

import lightning.pytorch as pl
import torch

import simlearn
from simlearn import Simulator
from simlearn.analysis.training import Adam, Descent, directions, pushed, twin_exponents
from simlearn.analysis.training.maps import training_map
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.objectives import DerivativeMatching
from simlearn_mechanics import Pendulum
from simlearn_training_dynamics.callbacks import Sharpness

# 2-16-1 tanh, 40 states; the objective averages over two columns, of which one is exact, so that
# a rate of 0.4 here is one of 0.2 for the mean squared error of the acceleration
RUNS = {
    "GD, η = 0.4": (lambda w: torch.optim.SGD(w, lr=0.4), 3000),
    "GD, η = 0.1": (lambda w: torch.optim.SGD(w, lr=0.1), 3000),
    "heavy ball 0.9, η = 0.4": (lambda w: torch.optim.SGD(w, lr=0.4, momentum=0.9), 3000),
    "Nesterov 0.9, η = 0.15": (
        lambda w: torch.optim.SGD(w, lr=0.15, momentum=0.9, nesterov=True),
        3000,
    ),
    "Adam, η = 0.05": (lambda w: torch.optim.Adam(w, lr=0.05, betas=(0.9, 0.99)), 3000),
    "RMSprop, η = 0.005": (lambda w: torch.optim.RMSprop(w, lr=0.005), 3000),
}


class Losses(pl.Callback):
    """The loss of every epoch."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_end(self, trainer, pl_module):
        """Take note."""
        self.seen.append(float(pl_module.ledger.loss))


def states():
    """Forty states of a pendulum that nearly turns over."""
    times = simlearn.sample_times(5, 0.4)
    return list(Pendulum(amplitude=3.0, gravity=2.0).draw(range(8), times, 0))


def network(seed=0):
    """An acceleration 2-16-1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Simulator(MLPField(2, 16, 1, second_order=True), RK4(), 0.4)


def watched(optimizer, steps, *more):
    """Rows of Sharpness and the losses of a full-batch training."""
    watch, losses = Sharpness(every=25, tolerance=1e-3), Losses()
    simlearn.fit(
        network(),
        states(),
        objective=DerivativeMatching(scale="none"),
        optimizer=optimizer,
        callbacks=[watch, losses, *more],
        progress=False,
        max_epochs=steps,
    )
    return watch.rows, losses.seen


def edges():
    """A row for each optimizer: sharpness over its limit, early and late."""
    found = []
    for name, (optimizer, steps) in RUNS.items():
        rows, losses = watched(optimizer, steps)
        late = [row["edge_of_stability"] for row in rows[-len(rows) // 3 :]]
        rises = sum(b > a for a, b in itertools.pairwise(losses))
        found.append(
            {
                "training": name,
                "limit": round(rows[-1]["sharpness_limit"], 1),
                "first": round(rows[0]["sharpness"], 2),
                "last third, median": round(
                    statistics.median(r["sharpness"] for r in rows[-len(rows) // 3 :]), 2
                ),
                "over the limit": f"{min(late):.3f} to {max(late):.3f}",
                "loss rose": f"{rises} of {steps} steps",
                "last loss": f"{losses[-1]:.1e}",
            }
        )
    return found


def twins():
    """Largest difference of exponents from twins and from tangents, a row for each optimizer."""
    found = []
    rules = {"GD": Descent(0.3), "heavy ball": Descent(0.1, 0.9), "Adam": Adam(0.01)}
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(20, 2, generator=rng, dtype=torch.float64)
    y = torch.sin(2 * x[:, :1]) * x[:, 1:]
    sizes = [12, 6, 6, 1]
    weights = 0.7 * torch.randn(sum(sizes), generator=rng, dtype=torch.float64)

    def loss(w, number):
        a, b, c, d = w.split(sizes)
        at, to = x.roll(number, 0)[:8], y.roll(number, 0)[:8]
        return ((torch.tanh(at @ a.view(2, 6) + b) @ c.view(6, 1) + d - to) ** 2).mean()

    for name, rule in rules.items():
        state = torch.zeros(rule.parts, len(weights), dtype=torch.float64)
        state[0] = weights
        motion = training_map(rule, loss)
        by_twins = twin_exponents(motion, state.flatten(), 400, rule.parts, size=1e-8, count=3)
        tangents = torch.zeros(state.numel(), 3, dtype=torch.float64)
        tangents[: len(weights)] = directions(len(weights), 3, 0).T
        for number in range(400):
            state, tangents = pushed(rule, lambda w, n=number: loss(w, n), state, tangents, number)
        by_tangents = tangents[: len(weights)].norm(dim=0).log() / 400
        found.append(
            {
                "map": name,
                "exponent by twins": round(float(by_twins[0]), 8),
                "by tangents": round(float(by_tangents[0]), 8),
                "largest difference of three": f"{float((by_twins - by_tangents).abs().max()):.0e}",
            }
        )
    return found
