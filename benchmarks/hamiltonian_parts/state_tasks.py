"""Double pendulum and Hénon-Heiles from noisy states alone, beside an MLP-HNN at 5 × the CPU."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch

from simlearn import Topology, Trajectory, sample_times
from simlearn_mechanics import DoublePendulum, HenonHeiles

from . import metrics
from .baselines import HNN, rollout_loss, seeded, time_derivative, train_for
from .ours import LOST, Absent, choice, keep, learn
from .rows import Task
from .smooth import smoothed
from .solve import field_of, solve

NOISE, TRAJECTORIES, SAMPLES, STARTS, HORIZON = 0.01, 50, 30, 20, 3
GATE = "ours / the better MLP-HNN: rollout"
WINDOW = 6  # samples of the baseline's rollouts
# name, generator, time between samples: about one period of the faster mode in a trajectory.
# Angles up to 1 rad swing without turning over; energies stay below 1/8 (escape: 1/6)
CASES = {
    "double pendulum": (DoublePendulum(amplitude=1.0), 0.1),
    "Hénon-Heiles": (HenonHeiles(energy=0.125), 0.2),
}


def drawn(system, dt, seed):
    """Noisy training states ``[trajectories, samples, dim]``, and the starts that are judged."""
    times = sample_times(SAMPLES, dt)
    clean = torch.stack([one.x[:, 0] for one in system.draw(range(TRAJECTORIES), times, seed)])
    rng = torch.Generator().manual_seed(seed)
    noisy = clean + NOISE * torch.randn(clean.shape, generator=rng, dtype=clean.dtype)
    held = system.draw(range(STARTS), sample_times(2, dt), 10_000 + seed)
    return (
        times.numpy(),
        noisy.numpy(),
        clean.numpy(),
        torch.cat([one.x[0] for one in held]).numpy(),
    )


def rollout_error(law, dynamics, starts, horizon):
    """Median over starts of the relative error of a rollout, and how many were lost."""
    times = np.linspace(0, horizon, 100)
    truth = solve(field_of(law), starts, times, 1e-12)
    rolled = solve(field_of(dynamics), starts, times, metrics.ROLLOUT, most=2000)
    each = relative(truth, rolled)
    return float(np.median(each)), int((each > 1e3).sum())


def relative(truth, rolled):
    """Root mean square error over that of the truth, of each start."""
    with np.errstate(all="ignore"):
        off = np.sqrt(np.square(truth - rolled).mean((0, 2)) / np.square(truth).mean((0, 2)))
    return np.where(np.isfinite(off), off, np.inf)


def derivative_loss(times, noisy, seed):
    """Matching of the derivative of smoothed states, a random batch of 200 a step."""
    states, slopes = smoothed(times, noisy)
    x, slope = (torch.from_numpy(a.reshape(-1, noisy.shape[-1])).float() for a in (states, slopes))
    rng = torch.Generator().manual_seed(seed)

    def loss(model):
        at = torch.randint(len(x), (200,), generator=rng)
        start = x[at].requires_grad_()
        return (slope[at] - time_derivative(model.net, start)).square().mean()

    return loss


def window_loss(times, noisy, seed):
    """Rollouts of five samples from smoothed states to the noisy ones, 50 windows a step."""
    states, _ = smoothed(times, noisy)
    cut = torch.from_numpy(noisy).float().unfold(1, WINDOW, 1).movedim(-1, 2)
    begin = torch.from_numpy(states).float()[:, : cut.shape[1]]
    windows = torch.cat([begin[:, :, None], cut[:, :, 1:]], dim=2).flatten(0, 1)
    rng, dt = torch.Generator().manual_seed(seed), float(times[1] - times[0])

    def loss(model):
        at = torch.randint(len(windows), (50,), generator=rng)
        return rollout_loss(model, windows[at], dt)

    return loss


def baselines(times, noisy, seed, budget):
    """The MLP-HNN by derivatives, and by rollouts after a fifth of the budget on derivatives."""
    dim = noisy.shape[-1]
    by_slope = derivative_loss(times, noisy, seed)
    first = seeded(seed, lambda: HNN(dim))
    train_for(first, lambda step: by_slope(first), budget)
    second = seeded(seed, lambda: HNN(dim))
    by_rollout = window_loss(times, noisy, seed)
    train_for(second, lambda step: by_slope(second), budget / 5)
    train_for(second, lambda step: by_rollout(second), 4 * budget / 5)
    return {
        "derivative loss": first.double().requires_grad_(False),
        "rollout loss": second.double().requires_grad_(False),
    }


@dataclass(frozen=True)
class Drawn:
    """One seed of one system: data, starts and what is compared with."""

    law: torch.nn.Module
    times: np.ndarray
    noisy: np.ndarray
    clean: np.ndarray
    starts: np.ndarray

    @property
    def horizon(self):
        """Of the rollouts that judge."""
        return HORIZON * float(self.times[-1])

    def judge(self, dynamics):
        """Rollout error, relative field error and rollouts lost."""
        error, lost = rollout_error(self.law, dynamics, self.starts, self.horizon)
        flat = self.clean.reshape(-1, self.clean.shape[-1])
        slope = field_of(self.law)(flat)
        off = metrics.field_error(field_of(dynamics), flat, slope) / np.square(slope).mean()
        return {"rollout": error, "relative field error": off**0.5, "rollouts lost, of 20": lost}


def one_seed(task, name, found, seed, times_cpu):
    """Ours, then the baseline at so many times its CPU (of one second where ours is missing)."""
    system, dt = CASES[name]
    given = Drawn(system.truth(), *drawn(system, dt, seed))
    spent, own = 1.0, None
    try:
        own, spent = _ours(task, name, found, given, seed)
    except Absent as missing:
        task.say(name, "seed", seed, missing)
    errors = []
    for way, net in baselines(given.times, given.noisy, seed, times_cpu * spent).items():
        result = given.judge(net)
        errors.append(result["rollout"])
        keep(found, {f"MLP-HNN, {way}: {k}": v for k, v in result.items()})
        task.say(name, "seed", seed, f"MLP-HNN, {way}", f"{errors[-1]:.2e}")
    if own is not None:
        found[GATE].append(own / min(errors))
    times = np.linspace(0, given.horizon, 100)
    moved = metrics.perturbed_truth(field_of(given.law), given.starts, times, seed)
    found["truth from starts moved by 1e-4: rollout"].append(float(np.median(relative(*moved))))


def _ours(task, name, found, given, seed):
    """Rollout error and CPU seconds of the ladder."""
    t, topology = torch.from_numpy(given.times), Topology.isolated(1)
    data = [Trajectory(t, torch.from_numpy(x)[:, None], topology) for x in given.noisy]
    simulator, spent = learn(task, data, derivatives=False, seed=seed)
    result = {"rollout": LOST} if simulator is None else given.judge(simulator.dynamics)
    keep(found, {f"ours: {k}": v for k, v in {**result, "CPU s": spent}.items()})
    told = f"{name}, seed {seed}, chosen automatically: {choice(simulator)}."
    task.say(told, f"{result['rollout']:.2e} {spent:.1f} s")
    task.notes.append(told)
    return result["rollout"], spent


def states_alone(settings):
    """Both systems."""
    task = Task("states-alone")
    seeds, times_cpu = settings.count(5), 2 if settings.quick else 5
    for name in CASES:
        found = defaultdict(list)
        for seed in range(seeds):
            one_seed(task, name, found, seed, times_cpu)
        limit = None if settings.quick else 0.5  # asked at five times the CPU
        task.row(f"{name}: {GATE}", found[GATE], median=limit)
        for what, values in found.items():
            if what != GATE:
                task.row(f"{name}: {what}", values)
    task.notes += [
        f"{TRAJECTORIES} trajectories of {SAMPLES} states, noise {NOISE}, no derivatives; double "
        "pendulum every 0.1 from rest at up to 1 rad, Hénon-Heiles every 0.2 at energies 0.025 to "
        f"0.125. Rollout: {HORIZON} × the training horizon from {STARTS} other starts, median "
        "relative error.",
        f"{seeds} seeds (the default run takes 3 to stay within its time, --full 5).",
        "MLP-HNN: 2 × 200 tanh, Adam with a cosine rate from 1e-3, float32, each of the two losses "
        f"at {times_cpu} times the CPU of ours; the better one is picked on the test rollouts, in "
        "its favour. Smoothing: Gaussian process by marginal likelihood, not counted as its CPU.",
    ]
    return task
