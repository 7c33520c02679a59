"""A noisy pendulum, its energy learned in closed form and by a network, in the plane (q, p).

Both see the same states with noise of 0.1 and exact derivatives, and the network matches these in
as many steps as Hamiltonian Neural Networks (Greydanus et al. 2019). All are then rolled out alike.

    python examples/energy.py [FOLDER]

prints the numbers and writes phase-portraits.png into FOLDER (runs/energy by default); less than a
minute of CPU on one core.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

import simlearn
from simlearn.dynamics import Energy
from simlearn.integrators import DormandPrince
from simlearn.training.objectives import DerivativeMatching
from simlearn_mechanics import Pendulum

NOISE, DT, T = 0.1, 1 / 15, 20
SYSTEM = Pendulum(mass=0.5, gravity=6.0)  # H = p² + 3 (1 − cos q)
LAW = SYSTEM.truth()
STARTS = torch.tensor([[0.5, 0.0], [1.1, 0.0], [1.6, 0.0], [1.95, 0.0]], dtype=torch.float64)
EACH = simlearn.Topology.isolated(len(STARTS))


def drawn(noise, seed):
    """Twenty-five trajectories; their derivatives are exact, whatever the noise."""
    rng = torch.Generator().manual_seed(seed)
    clean = SYSTEM.draw(range(25), simlearn.sample_times(46, DT), seed)
    white = [torch.randn(46, 1, 2, generator=rng, dtype=torch.float64) for _ in range(25)]
    return [replace(one, x=one.x + noise * w) for one, w in zip(clean, white, strict=True)]


def network(training, steps=2000):
    """A network for H, trained on derivatives by Adam, all samples at each step."""
    torch.manual_seed(0)
    return simlearn.fit(
        simlearn.Simulator(Energy(dim=2, width=200), DormandPrince(), DT),
        training,
        objective=DerivativeMatching(),
        optimizer=lambda weights: torch.optim.Adam(weights, lr=1e-3, weight_decay=1e-4),
        progress=False,
        max_epochs=steps,
    ).dynamics


@torch.no_grad()
def told(name, field, seconds):
    """Print what a field is worth on clean states it never saw, and roll it out, close to exact."""
    exact = DormandPrince(rtol=1e-8, atol=1e-10)
    orbits, true = (
        simlearn.Simulator(f, exact, DT).rollout(STARTS, round(3 * T / DT), EACH).x
        for f in (field, LAW)
    )
    x = torch.cat([one.x for one in drawn(0.0, seed=1)]).flatten(0, 1)
    alone = simlearn.Topology.isolated(len(x))
    wrong = (field(0.0, x, alone) - LAW(0.0, x, alone)).square().mean()
    energy = torch.stack([LAW.energy(state, EACH) for state in orbits])
    apart = (orbits - true)[: round(T / DT)].square().mean()
    most = (energy / energy[0] - 1).abs().max()
    print(f"{name:<24} {wrong:11.1e} {apart:17.1e} {most:17.1e} {seconds:6.1f}", flush=True)
    return orbits


@torch.no_grad()
def picture(fields, orbits, path):
    """Level lines of each energy with the orbits, over the orbits of the truth."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    axes = torch.linspace(-2.4, 2.4, 161).double(), torch.linspace(-2.9, 2.9, 161).double()
    q, p = torch.meshgrid(*axes, indexing="xy")
    grid = torch.stack([q, p], dim=-1).flatten(0, 1)
    level = {"levels": [k / 2 for k in range(1, 16)], "colors": "0.8", "linewidths": 0.7}
    true = {"levels": LAW.energy(STARTS, EACH).tolist(), "colors": "k", "linestyles": "dashed"}
    at = round(T / DT)
    figure, panels = plt.subplots(1, 3, figsize=(12, 4.9), layout="constrained", sharey=True)
    for panel, (name, field) in zip(panels, fields.items(), strict=True):
        for one, style in ((field, level), (LAW, {**true, "linewidths": 0.8})):
            high = one.energy(grid, simlearn.Topology.isolated(len(grid)))
            panel.contour(q, p, (high - high.min()).reshape(q.shape), **style)
        panel.plot(*orbits[name].flatten(0, 1).T, ".", color="C0", markersize=1)
        panel.plot(*STARTS.T, "k|", markersize=10, label="start")
        panel.plot(*orbits["truth"][at].T, "ko", fillstyle="none", ms=9, label=f"truth at t = {T}")
        panel.plot(*orbits[name][at].T, "o", color="C3", ms=5, label=f"this field at t = {T}")
        panel.set(title=name, xlabel="angle q / rad")
    panels[0].set_ylabel("momentum p")
    panels[0].plot([], [], color="C0", label=f"orbit until t = {3 * T}")
    panels[0].plot([], [], "k--", linewidth=0.8, label="true orbit")
    panels[0].plot([], [], color="0.8", label="level line of H")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(path, dpi=110)


def main(folder):
    """Train both, measure, draw."""
    folder.mkdir(parents=True, exist_ok=True)
    training, fields, orbits = drawn(NOISE, seed=0), {}, {}
    print(f"{'':<24} clean field rollout to t = {T} energy to t = {3 * T}  CPU-s")
    ways = {
        "truth": lambda: LAW,
        "Ladder, closed form": lambda: simlearn.ladder(training).dynamics,
        "network on derivatives": lambda: network(training),
    }
    for name, way in ways.items():
        began = time.process_time()
        fields[name] = way()
        orbits[name] = told(name, fields[name], time.process_time() - began)
    picture(fields, orbits, folder / "phase-portraits.png")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/energy"))
