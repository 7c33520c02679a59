"""What the callbacks cost, in gradients of the training and in CPU time."""

import statistics
import time

import torch

import simlearn
from simlearn import Simulator
from simlearn.dynamics import MLPField, SeparableEnergy
from simlearn.integrators import RK4, Leapfrog
from simlearn.training.objectives import DerivativeMatching, MultiStep
from simlearn_mechanics import Pendulum
from simlearn_training_dynamics.callbacks import (
    OrbitalStability,
    Sharpness,
    TrainingExponent,
    TrainingSpectrum,
)
from simlearn_training_dynamics.callbacks.watch import Watch

CASES = {
    "slopes, 2-64-64-2": (lambda: MLPField(2, 64, 2), RK4, DerivativeMatching),
    "8 steps of RK4, 2-64-64-2": (lambda: MLPField(2, 64, 2), RK4, lambda: MultiStep(8)),
    "20 steps of leapfrog, energy": (
        lambda: SeparableEnergy(dim=2, width=32),
        Leapfrog,
        lambda: MultiStep(20),
    ),
}
UPDATES, VECTORS, TWINS = 12, 4, 2


class Gradient(Watch):
    """Times one gradient of the training's own batch, as the training takes it."""

    def __init__(self):
        super().__init__(1)
        self.spent = []

    def behind(self, windows):
        """Once a step."""
        module = self.copy.module
        began = time.process_time()
        loss = module.lesson.loss(windows[0].to(module.device, module.number))
        torch.autograd.grad(loss, list(module.simulator.parameters()))
        self.spent.append(time.process_time() - began)

    def look(self):
        """Nothing."""
        return {}

    def told(self):
        """Nothing."""
        return None


def clocked(callback):
    """The callback with the CPU seconds of each call and each look."""
    times = {"ahead": [], "behind": [], "look": []}
    for name, spent in times.items():
        done = getattr(callback, name)

        def timed(*given, done=done, spent=spent):
            began = time.process_time()
            found = done(*given)
            spent.append(time.process_time() - began)
            return found

        setattr(callback, name, timed)
    return times


def costs():
    """Rows: what, gradients by count, and CPU time over that of a gradient."""
    return [row for name in CASES for row in case(name)]


def watched(name, gradient, watches):
    """Weights of a small training that all of them watch."""
    field, scheme, objective = CASES[name]
    tracks = list(Pendulum(amplitude=2.8).draw(range(16), simlearn.sample_times(201, 0.1), 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        simulator = Simulator(field(), scheme(), 0.1)
    simlearn.fit(
        simulator,
        tracks,
        objective=objective(),
        optimizer=lambda w: torch.optim.SGD(w, lr=0.01),
        callbacks=[gradient, *watches],
        progress=False,
        max_epochs=UPDATES,
    )
    return sum(p.numel() for p in simulator.parameters())


def case(name):
    """One kind of training."""
    watches = {
        "Sharpness": Sharpness(every=1, tolerance=1e-2),
        "TrainingExponent": TrainingExponent(every=1, twins=TWINS),
        "OrbitalStability": OrbitalStability(every=10**9),
        "TrainingSpectrum": TrainingSpectrum(every=10**9, count=VECTORS),
    }
    clocks = {key: clocked(one) for key, one in watches.items()}
    gradient = Gradient()
    weights = watched(name, gradient, watches.values())
    one = statistics.median(gradient.spent[2:])
    step = {
        k: [a + b for a, b in zip(v["ahead"], v["behind"], strict=True)] for k, v in clocks.items()
    }
    products = [row["hessian_products"] for row in watches["Sharpness"].rows]
    look = statistics.median(clocks["Sharpness"]["look"][2:]) / one

    def row(what, count, ratio, unit=1):
        told = {"training": name, "weights": weights, "what": what, "counted": count}
        return {**told, "CPU time in gradients": round(ratio / unit, 1)}

    def each(key):
        return statistics.median(step[key][2:]) / one

    return [
        row("Sharpness, a look", f"{statistics.median(products):.0f} products", look),
        row("a product with the Hessian", "1", look / statistics.median(products)),
        row("TrainingExponent, a twin and step", "1 gradient", each("TrainingExponent"), TWINS),
        row("OrbitalStability, a step", "1 gradient", each("OrbitalStability")),
        row("TrainingSpectrum, a vector and step", "1 product", each("TrainingSpectrum"), VECTORS),
    ]
