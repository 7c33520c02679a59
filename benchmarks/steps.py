"""A training step and a rollout step against the loops of HNN and SRNN, at equal net and batch.

python benchmarks/steps.py [--no-compile]
One thread, float32, process CPU time. A round of ours is an epoch of the whole training through
SimulatorModule (loader, perturbation, ledger, Lightning); a round of a rival follows each, and
ratios are medians over the pairs. Every pair is first shown to give the same gradients or states.
Writes benchmarks/results/steps.{json,md}.
"""

import argparse
import json
import logging
import pathlib
import statistics
import time
import warnings

import lightning.pytorch as pl
import torch
from torch import nn

from simlearn import Simulator, Topology, Trajectory
from simlearn.data.module import TrajectoryData
from simlearn.data.windows import Windows
from simlearn.dynamics import Energy, SeparableEnergy
from simlearn.integrators import Leapfrog
from simlearn.integrators.explicit import RK4
from simlearn.training.fit import DEFAULTS, versions
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching, MultiStep

RESULTS = pathlib.Path(__file__).parent / "results"
WIDTH, BATCHES, HORIZON = 200, 32, 10
# name: (asked of eager mode, asked of the compiled step)
TARGETS = {
    "gradient step, 2-D, batch 750": (1.1, 1.5),
    "gradient step, 8-D, batch 200": (1.1, 1.5),
    "multi-step, batch 64, K = 10": (None, 2.0),
    "rollout step, batch 16": (6.0, None),
}


class Scalar(nn.Module):
    """A tanh network of two hidden layers to one number a row."""

    def __init__(self, dim: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, WIDTH),
            nn.Tanh(),
            nn.Linear(WIDTH, WIDTH),
            nn.Tanh(),
            nn.Linear(WIDTH, 1, bias=False),
        )

    def forward(self, x):
        """[rows, 1]."""
        return self.net(x)

    def slope(self, x):
        """Its gradient as HNN and SRNN take it: autograd, always with a graph."""
        x = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(self(x).sum(), x, create_graph=True)[0]


def of_ours(own) -> Scalar:
    """The same network with the same weights."""
    net = Scalar(own.net.layers[0].in_features)
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), own.net.parameters(), strict=True):
            mine.copy_(theirs)
    return net


class Hnn:
    """HNN's training loop (Greydanus et al. 2019): autograd.grad, J by a product, Adam."""

    def __init__(self, field: Energy, track: Trajectory, batch: int):
        self.net, half = of_ours(field.net), field.dim // 2
        eye, none = torch.eye(half), torch.zeros(half, half)
        self.form = torch.cat([torch.cat([none, eye]), torch.cat([-eye, none])], dim=1)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-3)
        x, slope = track.x[:, 0], track.derivative[:, 0]
        self.batches = list(zip(x.split(batch), slope.split(batch), strict=True))

    def loss(self, x, slope):
        """Mean squared error of the field."""
        found = self.net.slope(x) @ self.form
        return (found - slope).square().mean()

    def round(self):
        """As many steps as an epoch of ours has."""
        for x, slope in self.batches:
            self.optimizer.zero_grad()
            self.loss(x, slope).backward()
            self.optimizer.step()


class Srnn:
    """SRNN-style training (Chen et al. 2020): leapfrog, autograd.grad with a graph at each stage.

    The force is carried from step to step, which is kinder to the rival than to evaluate it anew.
    """

    def __init__(self, field: SeparableEnergy, track: Trajectory, batch: int):
        self.kinetic, self.potential = of_ours(field.kinetic), of_ours(field.potential)
        weights = [*self.kinetic.parameters(), *self.potential.parameters()]
        self.optimizer = torch.optim.Adam(weights, 1e-3)
        windows = Windows([track], HORIZON + 1, None, batch, shuffle=False)
        self.batches = [window.x for window in windows]

    def loss(self, x):
        """Mean squared error of a rollout."""
        q, p = x[0].chunk(2, dim=-1)
        force, states = -self.potential.slope(q), []
        for _ in range(HORIZON):
            p = p + 0.05 * force
            q = q + 0.1 * self.kinetic.slope(p)
            force = -self.potential.slope(q)
            p = p + 0.05 * force
            states.append(torch.cat([q, p], dim=-1))
        return (torch.stack(states) - x[1:]).square().mean()

    def round(self):
        """As many steps as an epoch of ours has."""
        for x in self.batches:
            self.optimizer.zero_grad()
            self.loss(x).backward()
            self.optimizer.step()


class Bare:
    """Our field and objective in a plain loop: what remains of the framework's step by itself."""

    def __init__(self, simulator, objective, track, batch):
        objective.prepare([track])
        self.simulator, self.objective = simulator, objective
        self.optimizer = torch.optim.Adam(simulator.parameters(), 1e-3, fused=True)
        length = objective.length([track])
        self.batches = list(Windows([track], length, None, batch, shuffle=False))

    def round(self):
        """As many steps as an epoch of ours has."""
        for window in self.batches:
            self.optimizer.zero_grad()
            self.objective.loss(self.simulator, window).backward()
            self.optimizer.step()


class Paired(pl.Callback):
    """A round of each rival after each epoch of ours; the first epochs are not counted."""

    def __init__(self, rivals, rounds):
        self.rivals, self.rounds = rivals, rounds
        self.spent = {name: [] for name in ("ours", *rivals)}

    def on_train_start(self, trainer, pl_module):
        """Begin."""
        self.began = time.process_time()

    def on_train_epoch_end(self, trainer, pl_module):
        """Ours has had its turn."""
        spent = {"ours": time.process_time() - self.began}
        for name, rival in self.rivals.items():
            began = time.process_time()
            rival.round()
            spent[name] = time.process_time() - began
        if trainer.current_epoch >= 2:
            for name, seconds in spent.items():
                self.spent[name].append(seconds)
        self.began = time.process_time()


def trained(simulator, objective, track, batch, rivals, compile, rounds):
    """CPU milliseconds a step and the medians of the ratios."""
    module = SimulatorModule(simulator, objective, dtype="float32", compile=compile)
    paired = Paired(rivals, rounds)
    settings = {**DEFAULTS, "max_epochs": rounds + 2, "accelerator": "cpu", "callbacks": [paired]}
    pl.Trainer(**settings).fit(module, datamodule=TrajectoryData.of([track], batch_size=batch))
    assert module.ledger.updates == BATCHES * (rounds + 2)
    broken = module.compiled.broken if compile else ""
    found = {
        "ours ms": 1e3 * statistics.median(paired.spent["ours"]) / BATCHES,
        "compiled": bool(compile and not broken),
    }
    for name in rivals:
        pairs = zip(paired.spent[name], paired.spent["ours"], strict=True)
        found[f"{name} ms"] = 1e3 * statistics.median(paired.spent[name]) / BATCHES
        found[f"ratio to {name}"] = statistics.median(theirs / ours for theirs, ours in pairs)
    return found


def random_track(steps, dim):
    """States and slopes drawn from a normal distribution; what is learned does not matter here."""
    rng = torch.Generator().manual_seed(0)
    x, slope = torch.randn(2, steps, 1, dim, generator=rng)
    t = 0.1 * torch.arange(steps, dtype=torch.float64)
    return Trajectory(t, x, Topology.isolated(1), derivative=slope)


def seeded(make):
    """Weights of seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def gradient_step(dim, batch, compile, rounds):
    """Derivative matching against HNN's loop."""
    track = random_track(batch * BATCHES, dim)
    simulator, other = (Simulator(seeded(lambda: Energy(dim, WIDTH)), RK4(), 0.1) for _ in range(2))
    rival = Hnn(simulator.dynamics, track, batch)
    objective = DerivativeMatching(scale="none")
    window = next(iter(Windows([track], 1, None, batch, shuffle=False)))
    ours = objective.loss(simulator, window)
    same_gradients(ours, simulator.dynamics.net, rival.loss(*rival.batches[0]), [rival.net])
    rivals = {"HNN": rival, "bare": Bare(other, DerivativeMatching("none"), track, batch)}
    return trained(simulator, objective, track, batch, rivals, compile, rounds)


def multi_step(batch, compile, rounds):
    """Rollouts of leapfrog against SRNN's way."""
    track = random_track(batch * BATCHES * HORIZON + 1, 2)
    simulator, other = (
        Simulator(seeded(lambda: SeparableEnergy(2, WIDTH)), Leapfrog(), 0.1) for _ in range(2)
    )
    rival = Srnn(simulator.dynamics, track, batch)
    objective = MultiStep(HORIZON, scale="none")
    window = next(iter(Windows([track], HORIZON + 1, None, batch, shuffle=False)))
    theirs = rival.loss(rival.batches[0])
    ours = objective.loss(simulator, window)
    same_gradients(ours, simulator.dynamics, theirs, [rival.kinetic, rival.potential])
    rivals = {
        "SRNN": rival,
        "bare": Bare(other, MultiStep(HORIZON, scale="none"), track, batch),
    }
    return trained(simulator, objective, track, batch, rivals, compile, rounds)


def same_gradients(ours, field, theirs, nets):
    """Both loops minimise the same number with the same gradient."""
    ours.backward()
    theirs.backward()
    a = torch.cat([w.grad.flatten() for w in field.parameters()])
    b = torch.cat([w.grad.flatten() for net in nets for w in net.parameters()])
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    for part in (field, *nets):
        part.zero_grad()


def rollout_step(rounds, batch=16, steps=300):
    """A step of leapfrog on a separable energy against RK4 on HNN's, which always makes a graph."""
    simulator = Simulator(seeded(lambda: SeparableEnergy(2, WIDTH)), Leapfrog(), 0.1)
    simulator.requires_grad_(False)
    net = seeded(lambda: Scalar(2))
    form = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    x0 = torch.randn(batch, 2, generator=torch.Generator().manual_seed(1))

    def hnn():
        x, states = x0, [x0]
        for _ in range(steps):
            k1 = net.slope(x) @ form
            k2 = net.slope((x + 0.05 * k1).detach()) @ form
            k3 = net.slope((x + 0.05 * k2).detach()) @ form
            k4 = net.slope((x + 0.1 * k3).detach()) @ form
            x = (x + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)).detach()
            states.append(x)
        return torch.stack(states)

    def ours():
        with torch.inference_mode():
            return simulator.rollout(x0, steps).x

    spent = {"ours": [], "HNN": []}
    for number in range(rounds + 1):
        for name, way in {"ours": ours, "HNN": hnn}.items():
            began = time.process_time()
            assert bool(way().isfinite().all())
            if number:
                spent[name].append(time.process_time() - began)
    pairs = zip(spent["HNN"], spent["ours"], strict=True)
    return {
        "ours ms": 1e3 * statistics.median(spent["ours"]) / steps,
        "compiled": False,
        "HNN ms": 1e3 * statistics.median(spent["HNN"]) / steps,
        "ratio to HNN": statistics.median(theirs / ours for theirs, ours in pairs),
    }


def speed(compile: bool, rounds: int = 15) -> dict:
    """All cases; with ``compile`` the trained ones by the compiled step."""
    cases = {
        "gradient step, 2-D, batch 750": lambda: gradient_step(2, 750, compile, rounds),
        "gradient step, 8-D, batch 200": lambda: gradient_step(8, 200, compile, rounds),
        "multi-step, batch 64, K = 10": lambda: multi_step(64, compile, rounds),
    }
    if not compile:
        cases["rollout step, batch 16"] = lambda: rollout_step(rounds)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: one() for name, one in cases.items()}
    finally:
        torch.set_num_threads(before)


def table(found: dict) -> str:
    """Rows as Markdown, with what was asked."""
    lines = ["| step | ours | ms | rival ms | ratio | asked | our bare kernel ms |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for way, rows in found.items():
        for name, row in rows.items():
            rival = "SRNN" if "SRNN ms" in row else "HNN"
            asked = TARGETS[name][way == "compiled"]
            bare = f"{row['bare ms']:.2f}" if "bare ms" in row else ""
            told = f"{way}" if row["compiled"] or way == "eager" else "fell back to eager"
            lines.append(
                f"| {name} | {told} | {row['ours ms']:.3f} | {rival} {row[f'{rival} ms']:.3f} | "
                f"{row[f'ratio to {rival}']:.2f} | {asked or ''} | {bare} |"
            )
    return "\n".join(lines)


def main():
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-compile", action="store_true", help="eager mode only")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    found = {"eager": speed(False, asked.rounds)}
    if not asked.no_compile:
        found["compiled"] = speed(True, asked.rounds)
    print(table(found))
    RESULTS.mkdir(exist_ok=True)
    kept = {**found, "rounds": asked.rounds, "versions": versions()}
    (RESULTS / "steps.json").write_text(json.dumps(kept, indent=2) + "\n")
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    (RESULTS / "steps.md").write_text(
        "# A step against HNN's and SRNN's loops\n\n`python benchmarks/steps.py`, one thread, "
        f"float32, CPU time, medians of {asked.rounds} paired rounds of {BATCHES} steps.\n\n"
        f"{table(found)}\n\n{told}\n"
    )


if __name__ == "__main__":
    main()
