"""A training step and a rollout step against the loops of HNN and SRNN, at equal net and batch.

python benchmarks/steps.py [--no-compile]
One thread, float32, process CPU time. A round of ours is an epoch of the whole training through
SimulatorModule (loader, perturbation, ledger, Lightning); a round of a rival follows each, and
ratios are medians over the pairs. Rivals come as published and lean (`step_rivals`); every one is
first shown to give our gradient. "Bare" is our loss in a plain loop, without the framework.
The file is long for it holds four cases and their table.
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
from step_rivals import LeanHnn, LeanSrnn, PublishedHnn, PublishedSrnn, rk4_of

from simlearn import Simulator, Topology, Trajectory
from simlearn.data.module import TrajectoryData
from simlearn.data.windows import Windows
from simlearn.dynamics import Energy, SeparableEnergy
from simlearn.integrators import Leapfrog
from simlearn.integrators.explicit import RK4
from simlearn.simulator import CompiledRollout
from simlearn.training.fit import DEFAULTS, versions
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching, MultiStep

RESULTS = pathlib.Path(__file__).parent / "results"
WIDTH, BATCHES, HORIZON = 200, 32, 10
PUBLISHED = ("HNN", "SRNN")
# name: (asked of eager mode, asked of the compiled step)
TARGETS = {
    "gradient step, 2-D, batch 750": (1.1, 1.5),
    "gradient step, 8-D, batch 200": (1.1, 1.5),
    "multi-step, batch 64, K = 10": (None, 2.0),
    "rollout step, batch 16": (None, 6.0),
}


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
    return {"compiled": bool(compile and not broken), **told(paired.spent, BATCHES)}


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
    objective = DerivativeMatching(scale="none")
    data = (simulator.dynamics.net.net, track.x[:, 0], track.derivative[:, 0], batch)
    rivals = {"HNN": PublishedHnn(*data), "lean": LeanHnn(*data)}
    window = next(iter(Windows([track], 1, None, batch, shuffle=False)))
    same_gradients(objective, simulator, simulator.dynamics.net.net, window, rivals)
    rivals["bare"] = Bare(other, DerivativeMatching("none"), track, batch)
    return trained(simulator, objective, track, batch, rivals, compile, rounds)


def multi_step(batch, compile, rounds):
    """Rollouts of leapfrog against SRNN's way."""
    track = random_track(batch * BATCHES * HORIZON + 1, 2)
    simulator, other = (
        Simulator(seeded(lambda: SeparableEnergy(2, WIDTH)), Leapfrog(), 0.1) for _ in range(2)
    )
    windows = list(Windows([track], HORIZON + 1, None, batch, shuffle=False))
    field, objective = simulator.dynamics, MultiStep(HORIZON, scale="none")
    data = (field.kinetic.net, field.potential.net, [window.x for window in windows])
    rivals = {"SRNN": PublishedSrnn(*data), "lean": LeanSrnn(*data)}
    same_gradients(objective, simulator, field, windows[0], rivals)
    rivals["bare"] = Bare(other, MultiStep(HORIZON, scale="none"), track, batch)
    return trained(simulator, objective, track, batch, rivals, compile, rounds)


def same_gradients(objective, simulator, net, window, rivals):
    """All loops minimise the same number with the same gradient."""
    objective.loss(simulator, window).backward()
    ours = torch.cat([weight.grad.flatten() for weight in net.parameters()])
    for rival in rivals.values():
        theirs = torch.cat([slope.flatten() for slope in rival.gradients()])
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)
    simulator.zero_grad()


def rollout_step(compile, rounds, batch=16, steps=300):
    """A step of leapfrog on a separable energy against RK4 on HNN's, which always makes a graph."""
    simulator = Simulator(seeded(lambda: SeparableEnergy(2, WIDTH)), Leapfrog(), 0.1)
    simulator.requires_grad_(False)
    x0 = torch.randn(batch, 2, generator=torch.Generator().manual_seed(1))
    net = seeded(lambda: Energy(2, WIDTH)).net.net

    def theirs(kind):
        step = rk4_of(kind(net, x0, x0, batch).field)

        def go():
            states = [x0]
            for _ in range(steps):
                states.append(step(states[-1]))
            return torch.stack(states)

        return go

    def ours():
        with torch.inference_mode():
            return simulator.rollout(x0, steps).x

    by_graph = CompiledRollout(simulator)
    if compile:
        torch.testing.assert_close(by_graph(x0, steps).x, ours(), rtol=1e-3, atol=1e-4)
        ours = lambda: by_graph(x0, steps).x  # noqa: E731

    ways = {"ours": ours, "HNN": theirs(PublishedHnn), "lean": theirs(LeanHnn)}
    spent = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            assert bool(way().isfinite().all())
            if number:
                spent[name].append(time.process_time() - began)
    return {"compiled": bool(compile and not by_graph.broken), **told(spent, steps)}


def told(spent, steps):
    """Milliseconds a step of each, and the medians of the ratios of paired rounds."""
    found = {}
    for name, seconds in spent.items():
        found[f"{name} ms"] = 1e3 * statistics.median(seconds) / steps
        if name != "ours":
            pairs = zip(seconds, spent["ours"], strict=True)
            found[f"ratio to {name}"] = statistics.median(their / own for their, own in pairs)
    return found


def speed(compile: bool, rounds: int = 15) -> dict:
    """All cases; with ``compile`` the trained ones by the compiled step."""
    cases = {
        "gradient step, 2-D, batch 750": lambda: gradient_step(2, 750, compile, rounds),
        "gradient step, 8-D, batch 200": lambda: gradient_step(8, 200, compile, rounds),
        "multi-step, batch 64, K = 10": lambda: multi_step(64, compile, rounds),
        "rollout step, batch 16": lambda: rollout_step(compile, rounds),
    }
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: one() for name, one in cases.items()}
    finally:
        torch.set_num_threads(before)


def table(found: dict) -> str:
    """Rows as Markdown, with what was asked."""
    heads = ("step", "ours", "ms", "published ms", "ratio", "asked", "lean ms", "ratio", "bare ms")
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for way, rows in found.items():
        for name, row in rows.items():
            rival = next(one for one in PUBLISHED if f"{one} ms" in row)
            asked = TARGETS[name][way == "compiled"]
            bare = f"{row['bare ms']:.3f}" if "bare ms" in row else ""
            how = way if row["compiled"] or way == "eager" else "fell back to eager"
            lines.append(
                f"| {name} | {how} | {row['ours ms']:.3f} | {rival} {row[f'{rival} ms']:.3f} | "
                f"{row[f'ratio to {rival}']:.2f} | {asked or ''} | {row['lean ms']:.3f} | "
                f"{row['ratio to lean']:.2f} | {bare} |"
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
        f"<!-- --8<-- [start:steps] -->\n{table(found)}\n<!-- --8<-- [end:steps] -->\n\n{told}\n"
    )


if __name__ == "__main__":
    main()
