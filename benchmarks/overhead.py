"""What the framework costs: training against a raw loop, the loader, and rollouts.

python benchmarks/overhead.py
One thread, process CPU time, variants in turn (A B C, C B A), medians of the rounds. Every pair of
variants is first shown to give the same numbers. Writes benchmarks/results/overhead.{json,md}.
"""

import json
import logging
import math
import pathlib
import statistics
import time
import warnings

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from simlearn import Simulator, Topology, Trajectory
from simlearn.data.module import TrajectoryData
from simlearn.data.windows import Windows
from simlearn.dynamics import MLPField, SeparableEnergy
from simlearn.integrators import RK4, Leapfrog
from simlearn.training.fit import DEFAULTS, versions
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching

RESULTS = pathlib.Path(__file__).parent / "results"
BATCH, BATCHES, EPOCHS, ROUNDS = 256, 200, 5, 7
STEPS = BATCHES * EPOCHS


def data(dtype=torch.float32):
    """One trajectory of 51200 states of eight columns with recorded slopes."""
    rng = torch.Generator().manual_seed(0)
    count = BATCH * BATCHES
    x, slope = torch.randn(2, count, 1, 8, generator=rng, dtype=dtype)
    t = torch.arange(count, dtype=torch.float64)
    return Trajectory(t, x, Topology.isolated(1), derivative=slope)


def simulator():
    """The network 8-64-64-8 of the table in float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Simulator(MLPField(dim=8, width=64), RK4(), 1.0)


def raw_network(track, model):
    """Nobody's framework: tensors, a permutation, the network, fused Adam, an accumulated loss."""
    x, slope = track.x[:, 0], track.derivative[:, 0]
    net, size = model.dynamics.net, slope.double().square().mean(0).sqrt().float()
    optimizer, total = torch.optim.Adam(model.parameters(), fused=True), torch.zeros(())
    for epoch in range(EPOCHS):
        rng = torch.Generator().manual_seed(epoch)
        for chosen in torch.randperm(len(x), generator=rng).split(BATCH):
            optimizer.zero_grad()
            loss = ((net(x[chosen]) - slope[chosen]) / size).square().mean()
            loss.backward()
            optimizer.step()
            total = total + loss.detach()
    return float(total)


def raw_loop(track, model):
    """The same parts as the framework's training, in a plain loop: what Lightning adds to."""
    objective = DerivativeMatching()
    objective.prepare([track])
    windows = Windows([track], 1, None, BATCH, seed=0)
    optimizer, total = torch.optim.Adam(model.parameters(), fused=True), torch.zeros(())
    for epoch in range(EPOCHS):
        windows.set_epoch(epoch)
        for window in windows:
            optimizer.zero_grad()
            loss = objective.loss(model, window)
            loss.backward()
            optimizer.step()
            total = total + loss.detach()
    return float(total)


def framework(calls):
    """`simlearn.fit` with its defaults, so many optimizer steps a call."""

    def train(track, model):
        module = SimulatorModule(model, DerivativeMatching(), dtype="float32", steps_per_call=calls)
        given = TrajectoryData.of([track], batch_size=BATCH)
        pl.Trainer(**{**DEFAULTS, "max_epochs": EPOCHS, "accelerator": "cpu"}).fit(
            module, datamodule=given
        )
        return module.ledger.updates

    return train


def usual(track, model):
    """What people write: automatic optimisation, self.log each step, the stock DataLoader."""

    class Usual(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), fused=True)

        def training_step(self, batch, index):
            loss = (self.model.dynamics.net(batch[0]) - batch[1]).square().mean()
            self.log("loss", loss)
            return loss

    loader = DataLoader(
        TensorDataset(track.x[:, 0], track.derivative[:, 0]), batch_size=BATCH, shuffle=True
    )
    pl.Trainer(**{**DEFAULTS, "max_epochs": EPOCHS, "accelerator": "cpu"}).fit(Usual(), loader)


def turns(variants, rounds=ROUNDS):
    """Median CPU seconds of each variant; every round runs them forth or back."""
    spent = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants)
        for name in names if number % 2 == 0 else reversed(names):
            began = time.process_time()
            variants[name]()
            spent[name].append(time.process_time() - began)
    return {name: statistics.median(times) for name, times in spent.items()}


def training():
    """CPU microseconds an optimizer step and ratios to the raw loops."""
    track = data()
    one, other = simulator(), simulator()
    raw_loop(track, one)
    framework(16)(track, other)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    ways = {"raw network": raw_network, "raw loop, our objective and loader": raw_loop}
    ways |= {f"simlearn, {k} steps a call": framework(k) for k in (1, 4, 16, 64)}
    ways |= {"Lightning as usual": usual}
    found = turns({name: lambda way=way: way(track, simulator()) for name, way in ways.items()})
    loop, network = (found[name] for name in list(ways)[:2][::-1])
    return [
        {
            "variant": name,
            "us a step": round(1e6 * seconds / STEPS),
            "x raw loop": round(seconds / loop, 3),
            "x raw network": round(seconds / network, 3),
        }
        for name, seconds in found.items()
    ]


def loader():
    """CPU microseconds a batch of 256 of ours and of the stock DataLoader."""
    track = data()
    windows = Windows([track], 1, None, BATCH, seed=0)
    stock = DataLoader(
        TensorDataset(track.x[:, 0], track.derivative[:, 0]), batch_size=BATCH, shuffle=True
    )
    first = next(iter(windows))
    assert first.x.shape == (1, BATCH, 8)
    assert next(iter(stock))[0].shape == (BATCH, 8)
    found = turns({"ours": lambda: list(windows), "stock DataLoader": lambda: list(stock)})
    return [
        {
            "variant": name,
            "us a batch": round(1e6 * seconds / BATCHES, 1),
            "ours is faster by": round(seconds / found["ours"], 1),
        }
        for name, seconds in found.items()
    ]


def by_hand_leapfrog(field, x, dt, steps, topology):
    """Leapfrog with the force carried, as one would write it."""
    q, p = x.chunk(2, dim=-1)
    force, states = field.kick(0.0, q, topology), [x]
    for k in range(steps):
        p = p + 0.5 * dt * force
        q = q + dt * field.drift(p, topology)
        force = field.kick((k + 1) * dt, q, topology)
        p = p + 0.5 * dt * force
        states.append(torch.cat([q, p], dim=-1))
    return torch.stack(states)


def by_hand_rk4(field, x, dt, steps, topology):
    """The classical scheme, as one would write it."""
    states = [x]
    for k in range(steps):
        t = k * dt
        k1 = field(t, x, topology)
        k2 = field(t + dt / 2, x + dt / 2 * k1, topology)
        k3 = field(t + dt / 2, x + dt / 2 * k2, topology)
        k4 = field(t + dt, x + dt * k3, topology)
        x = x + dt / 6 * (k1 + 2 * (k2 + k3) + k4)
        states.append(x)
    return torch.stack(states)


CASES = (
    ("leapfrog, separable energy", SeparableEnergy, Leapfrog, by_hand_leapfrog),
    ("RK4, MLP 4-64-64-4", MLPField, RK4, by_hand_rk4),
)


def rollouts():
    """Ratio of the framework's rollout to the loop by hand, on the same field."""
    return [ratio(case, batch, steps) for case in CASES for batch, steps in ((1, 3000), (256, 800))]


def ratio(case, batch, steps):
    """One row of that table."""
    title, field, scheme, by_hand = case
    model = Simulator(field(dim=4), scheme(), 0.01).requires_grad_(False)
    topology = Topology.isolated(batch)
    x = torch.randn(batch, 4, generator=torch.Generator().manual_seed(1))

    def hand():
        return by_hand(model.dynamics, x, 0.01, steps, topology)

    def ours():
        return model.rollout(x, steps, topology).x

    torch.testing.assert_close(ours(), hand())
    spent = turns({"hand": hand, "ours": ours}, 21)
    return {
        "rollout": f"{title}, batch {batch}",
        "us a step by hand": round(1e6 * spent["hand"] / steps, 1),
        "ours over by hand": round(spent["ours"] / spent["hand"], 3),
    }


def table(rows):
    """Rows as Markdown."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(str(r[h]) for h in heads) + " |" for r in rows)])


def main():
    """Measure, print, keep."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    parts = {"training": training(), "loader": loader(), "rollouts": rollouts()}
    print("\n\n".join(table(rows) for rows in parts.values()))
    RESULTS.mkdir(exist_ok=True)
    kept = {**parts, "rounds": ROUNDS, "versions": versions()}
    (RESULTS / "overhead.json").write_text(json.dumps(kept, indent=2) + "\n")
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = "\n\n".join(f"## {name}\n\n{table(rows)}" for name, rows in parts.items())
    (RESULTS / "overhead.md").write_text(
        f"# What the framework costs\n\n`python benchmarks/overhead.py`, one thread, CPU time, "
        f"medians of {ROUNDS} rounds (rollouts: 21).\n\n{text}\n\n{told}\n"
    )
    assert all(math.isfinite(r["ours over by hand"]) for r in parts["rollouts"])


if __name__ == "__main__":
    main()
