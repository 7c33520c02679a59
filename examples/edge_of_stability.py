"""The edge of stability: what a learning rate does to the curvature of the loss.

The acceleration of a pendulum is learned from 40 states by plain gradient descent on all of them,
with two learning rates. The smaller one is far from any limit: the loss falls at every step. With
the larger one the sharpness, the largest curvature of the loss, rises to 2/η and stays there, while
the loss goes up and down and falls nevertheless (Cohen et al. 2021).

    python examples/edge_of_stability.py [FOLDER]

prints the numbers and writes edge-of-stability.png into FOLDER (runs/edge-of-stability by default);
less than a minute on one core.
"""

import itertools
import sys
from pathlib import Path

import lightning.pytorch as pl
import torch

import simlearn
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.objectives import DerivativeMatching
from simlearn_mechanics import Pendulum
from simlearn_training_dynamics.callbacks import OrbitalStability, Sharpness, TrainingExponent

RATES, STEPS, DT = (0.4, 0.1), 3000, 0.4
SYSTEM = Pendulum(amplitude=3.0, gravity=2.0)
TRAINING = list(SYSTEM.draw(range(8), simlearn.sample_times(5, DT), 0))


class Losses(pl.Callback):
    """The loss at every step."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_end(self, trainer, pl_module):
        """Take note."""
        self.seen.append(float(pl_module.ledger.loss))


def train(rate):
    """A network 2-16-1, the same start for every rate, watched from four sides."""
    torch.manual_seed(0)
    field = MLPField(dim=2, width=16, depth=1, second_order=True)
    watches = Losses(), Sharpness(every=25), TrainingExponent(every=25), OrbitalStability(every=25)
    simlearn.fit(
        simlearn.Simulator(field, RK4(), DT),
        TRAINING,
        objective=DerivativeMatching(scale="none"),
        optimizer=lambda weights: torch.optim.SGD(weights, lr=rate),
        callbacks=list(watches),
        progress=False,
        max_epochs=STEPS,
    )
    return watches


def told(rate, losses, sharpness, exponent, orbit):
    """One row of the table."""
    late = [row["sharpness"] for row in sharpness.rows[-len(sharpness.rows) // 3 :]]
    rises = sum(b > a for a, b in itertools.pairwise(losses.seen))
    last, apart = exponent.rows[-1], orbit.rows[-1]
    print(
        f"{rate:4.1f} {2 / rate:6.1f}   {min(late):6.2f} to {max(late):6.2f} {rises:10d}"
        f" {losses.seen[-1]:10.1e} {last['training_exponent']:10.4f}"
        f" {apart['twin_distance']:8.2f} {apart['orbit_distance']:8.2f}"
    )


def picture(found, path):
    """Sharpness, loss and growth over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    for k, (rate, (losses, sharpness, exponent, _)) in enumerate(found.items()):
        steps = [row["updates"] for row in sharpness.rows]
        name, colour = f"η = {rate}", f"C{k}"
        left.plot(steps, [row["sharpness"] for row in sharpness.rows], colour, label=name)
        left.axhline(2 / rate, color=colour, linestyle=":", label=f"2/η = {2 / rate:g}")
        middle.semilogy(losses.seen, colour, linewidth=0.8, label=name)
        growth = [row["training_growth"] for row in exponent.rows]
        right.plot(steps, growth, colour, linewidth=1.0, label=name)
    left.set(title="Sharpness", ylabel="largest curvature of the loss", ylim=(0, 21.5))
    middle.set(title="Loss", ylabel="mean squared error")
    right.axhline(0, color="0.5", linestyle=":")
    right.set(title="Growth of a small difference", ylabel="per step, means over 25 steps")
    for panel in (left, middle, right):
        panel.set_xlabel("step")
        panel.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)


def main(folder):
    """Train with each rate, tell, draw."""
    folder.mkdir(parents=True, exist_ok=True)
    print("   η    2/η   late sharpness   loss rose  last loss  exponent  twin/ε  orbit/ε")
    found = {}
    for rate in RATES:
        found[rate] = train(rate)
        told(rate, *found[rate])
    picture(found, folder / "edge-of-stability.png")
    print(f"picture: {folder / 'edge-of-stability.png'}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/edge-of-stability"))
