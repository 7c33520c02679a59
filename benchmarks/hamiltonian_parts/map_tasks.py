"""The pendulum of SympNets: forty one-step pairs of one orbit."""

from collections import defaultdict

import numpy as np
import torch

from simlearn import Simulator, Topology, Trajectory
from simlearn_mechanics import PendulumLaw

from . import metrics
from .ours import LOST, Absent, choice, keep, learn
from .rows import Task
from .solve import TIGHT, energy_of, field_of, solve
from .sympnet import train_la_sympnet

LAW = PendulumLaw()  # H = p²/2 + 1 − cos q
STEP, TRAINED, TESTED, FLOW = 0.1, 40, 100, 1000
ITERATIONS = 10_000


def orbit():
    """The orbit from (0, 1): 40 pairs train, the next 100 test, and a flow goes on from there."""
    times = STEP * np.arange(TRAINED + FLOW + 1)
    return solve(field_of(LAW), np.array([[0.0, 1.0]]), times, TIGHT)[:, 0]


def judge(simulator, x):
    """One-step error on the test pairs; 1000 steps from where the training ends."""
    test = torch.from_numpy(x[TRAINED : TRAINED + TESTED + 1])
    train = torch.from_numpy(x[: TRAINED + 1])
    with torch.no_grad():
        step = simulator.step(test[:-1], Topology.isolated(TESTED))
        seen = simulator.step(train[:-1], Topology.isolated(TRAINED))
        rolled = simulator.rollout(test[:1], FLOW, Topology.isolated(1), bound=1e3)
    truth, flow = x[TRAINED:], rolled.x[:, 0].numpy()
    if rolled.status != "ok":
        flow = np.full_like(truth, np.inf)
    energy = energy_of(LAW)
    return {
        "one step, train": metrics.mean_square(seen.numpy(), train[1:].numpy()),
        "one step, test": metrics.mean_square(step.numpy(), test[1:].numpy()),
        f"{FLOW}-step flow": metrics.mean_square(flow, truth),
        f"{FLOW}-step energy": metrics.mean_square(energy(flow), energy(truth)),
    }


def sympnets(settings):
    """LA-SympNet and the ladder on the same pairs; the seed is that of the weights and features."""
    task, found, x = Task("sympnets"), defaultdict(lambda: defaultdict(list)), orbit()
    limits = {"one step, test": 5e-8, f"{FLOW}-step energy": 1e-6, "CPU s": 1.0}
    states = torch.from_numpy(x)
    steps = 2000 if settings.quick else ITERATIONS
    for seed in range(settings.count(3, 5)):
        net, spent = train_la_sympnet(states[:TRAINED], states[1 : TRAINED + 1], seed, steps)
        keep(found["LA-SympNet"], {**judge(Simulator(net, None, STEP), x), "CPU s": spent})
        task.say("seed", seed, f"LA-SympNet {found['LA-SympNet']['one step, test'][-1]:.1e}")
        pairs = [
            Trajectory(
                torch.tensor([0.0, STEP], dtype=torch.float64),
                states[k : k + 2, None],
                Topology.isolated(1),
            )
            for k in range(TRAINED)
        ]
        try:
            simulator, spent = learn(task, pairs, derivatives=False, seed=seed)
        except Absent as missing:
            task.say("seed", seed, missing)
            continue
        if simulator is None:
            keep(found["ours"], dict.fromkeys(limits, LOST))
            continue
        keep(found["ours"], {**judge(at_step(simulator), x), "CPU s": spent})
        task.say("seed", seed, f"ours {found['ours']['one step, test'][-1]:.1e} {spent:.2f} s")
        task.notes.append(f"Ours, seed {seed}, chosen automatically: {choice(simulator)}.")
    for name, limit in limits.items():
        task.row(f"ours: {name}", found["ours"][name], worst=limit)
    for way, results in found.items():
        for name, values in results.items():
            if way != "ours" or name not in limits:
                task.row(f"{way}: {name}", values)
    task.notes.append(
        f"LA-SympNet: 3 linear modules of 2 shears, sigmoid, Adam 1e-3, {steps:,} iterations "
        "(published: 50,000). No noise; ours sees two states a trajectory and no derivatives."
    )
    return task


def at_step(simulator):
    """The simulator with the step of the pairs, whatever it was trained with."""
    same = abs(simulator.dt - STEP) < 1e-12
    return simulator if same else simulator.with_step(STEP)
