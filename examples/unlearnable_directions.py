"""Floryan's effect from end to end: what a network does where its data teach it nothing.

An oscillator is watched by eight sensors, so its data live in a plane of eight dimensions. A
residual network learns them to a small loss from four seeds; the check of unlearnable directions
says what the loss cannot. Then the remedies are tried, each gated by the same check.

    python examples/unlearnable_directions.py [FOLDER]

writes reports and a picture into FOLDER (runs/unlearnable by default); about a minute on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import simlearn
from simlearn.dynamics import ResidualMap
from simlearn.stability import gate
from simlearn.training.objectives import OneStep
from simlearn_checks import UnlearnableDirections
from simlearn_mechanics import EmbeddedOscillator
from simlearn_stabilizers import NoiseInjection, StableInitialization, SubspaceProjection

DT, STEPS = 0.1, 600
SYSTEM = EmbeddedOscillator(columns=8)
TRAINING = list(SYSTEM.draw(range(16), simlearn.sample_times(101, DT), 0))
HELD_OUT = list(SYSTEM.draw(range(4), simlearn.sample_times(601, DT), 1))


def descent(weights):
    """Plain gradient descent."""
    return torch.optim.SGD(weights, lr=0.01)


def hasty(weights):
    """Adam with a large step."""
    return torch.optim.Adam(weights, lr=1e-2)


def train(stabilizers=(), optimizer=None, seed=0, epochs=150):
    """A residual network on increments, as anybody would train it."""
    torch.manual_seed(seed)
    simulator = simlearn.Simulator(ResidualMap(dim=8, width=64), dt=DT)
    return simlearn.fit(
        simulator,
        TRAINING,
        objective=OneStep(),
        stabilizers=stabilizers,
        optimizer=optimizer,
        batch_size=256,
        seed=seed,
        progress=False,
        max_epochs=epochs,
    )


def judge(simulator, folder, siblings=()):
    """The finding, and the report in a folder."""
    evidence = simlearn.Evidence(HELD_OUT, TRAINING, siblings=siblings)
    report = simlearn.check(simulator, evidence, [UnlearnableDirections()])
    gate.write(report, folder)
    return report.items[0].finding


def off_the_plane(simulator):
    """Distance from the plane along a rollout from a held-out start, ``[steps + 1]``."""
    rolled = simulator.rollout(HELD_OUT[0].x[0], STEPS)
    s = SYSTEM.truth().directions()
    return rolled.t, (rolled.x[:, 0] - rolled.x[:, 0] @ s @ s.T).norm(dim=-1)


def picture(simulators, exponents, path):
    """Rollouts and exponents side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, simulator in simulators.items():
        t, off = off_the_plane(simulator)
        left.semilogy(t[1:], off[1:].clamp_min(1e-17), label=name)
    left.set(xlabel="time", ylabel="distance from the plane of the data", ylim=(1e-7, 30))
    left.set_title("Rollouts from held-out starts")
    places = range(len(exponents))
    right.axhline(0, color="0.5", linestyle=":")
    for k, (value, error) in enumerate(exponents.values()):
        right.errorbar(k, value, error, fmt="o", color=f"C{k}", capsize=4)
    right.set_xticks(places, list(exponents), rotation=20, ha="right")
    right.set(ylabel="largest transverse exponent / time⁻¹")
    right.set_yscale("symlog", linthresh=0.05)
    right.set_title("Errors off the data: above zero they grow")
    left.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)


def main(folder):
    """Train, judge, heal, draw."""
    print("training four models as usual ...", flush=True)
    plain = [train(seed=seed) for seed in range(4)]
    ways = {
        "as usual": lambda: plain[0],
        "noise, uncorrected": lambda: train([NoiseInjection(0.1, "uncorrected")]),
        "noise, kappa = 2": lambda: train([NoiseInjection(0.1, kappa=2.0)]),
        "projection": lambda: train([SubspaceProjection()]),
        "stable start, SGD": lambda: train([StableInitialization()], descent, epochs=300),
        "stable start, Adam": lambda: train([StableInitialization()], hasty),
    }
    print(f"{'trained':<20} {'loss':>9} {'L':>8}  verdict")
    simulators, exponents = {}, {}
    for name, way in ways.items():
        simulator = simulators[name] = way()
        finding = judge(
            simulator,
            folder / name.replace(" ", "-").replace(",", "").replace("=-", ""),
            plain[1:] if name == "as usual" else (),
        )
        found = next(m for m in finding.metrics if m.name.startswith("largest transverse"))
        exponents[name] = (found.value, found.noise)
        loss = simulator.provenance["loss"]
        print(f"{name:<20} {loss:9.2e} {found.value:8.3f}  {finding.verdict}", flush=True)
        if name == "as usual":
            told = finding.summary
    picture(simulators, exponents, folder / "unlearnable-directions.png")
    print(f"\nof the first: {told}\n\nreports and picture: {folder}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/unlearnable"))
