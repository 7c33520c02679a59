"""Do early exponents tell the final loss? Small trainings, all of a group at once."""

import math

import torch
from scipy.stats import spearmanr

import simlearn
from simlearn.analysis.training.final_loss import EARLY, LATE, Early, fitted, left_out
from simlearn_chaos import Lorenz63, Roessler
from simlearn_mechanics import DampedPendulum, HenonHeiles, Pendulum

STEPS, RUNS, TWINS = 2000, 24, 2
SYSTEMS = {
    "pendulum": (Pendulum(amplitude=2.8, gravity=2.0), 0.4),
    "damped pendulum": (DampedPendulum(), 0.5),
    "Hénon-Heiles": (HenonHeiles(), 0.5),
    "Lorenz-63": (Lorenz63(), 0.1),
    "Rössler": (Roessler(), 0.3),
}
# least and largest learning rate
OPTIMIZERS = {"GD": (0.02, 1.5), "Adam": (1e-3, 0.1), "minibatches of 8": (0.02, 0.8)}
WIDTHS = (8, 24)
F64 = torch.float64
BEGUN = len(SYSTEMS) * len(OPTIMIZERS) * len(WIDTHS) * RUNS  # trainings, of which some diverge


def samples(name):
    """Sixty-four states and slopes, each column in units of its spread."""
    system, dt = SYSTEMS[name]
    tracks = list(system.draw(range(8), simlearn.sample_times(8, dt), 0))
    x = torch.cat([one.x.flatten(0, 1) for one in tracks])
    slope = torch.cat([one.derivative.flatten(0, 1) for one in tracks])
    return (x - x.mean(0)) / x.std(0), slope / slope.square().mean(0).sqrt()


class Group:
    """Trainings of one network on one system by one optimizer; they differ in start and rate.

    Args:
        system: Name of the system.
        optimizer: Name of the optimizer.
        width: Neurons.
        alike: Whether all have one learning rate, so that only the start differs.
    """

    def __init__(self, system, optimizer, width, alike=False):
        self.name, self.optimizer = f"{system}, {optimizer}, {width}", optimizer
        self.x, self.y = samples(system)
        self.rng = torch.Generator().manual_seed(len(self.name) + width)
        d, o = self.x.shape[1], self.y.shape[1]
        self.sizes, self.shape = [d * width, width, width * o, o], (d, width, o)
        bounds = torch.cat(
            [
                torch.full((size,), 1 / math.sqrt(fan))
                for size, fan in zip(self.sizes, (d, d, width, width), strict=True)
            ]
        )
        self.first = bounds * (2 * self._uniform(RUNS, len(bounds)) - 1)
        low, high = OPTIMIZERS[optimizer]
        spread = torch.full((RUNS, 1), 0.5, dtype=F64) if alike else self._uniform(RUNS, 1)
        self.rates = low * (high / low) ** spread
        self.slope = torch.func.vmap(torch.func.grad_and_value(self.loss), in_dims=(0, None))
        self.hessian = torch.func.vmap(torch.func.hessian(self.loss), in_dims=(0, None))

    def _uniform(self, *shape):
        return torch.rand(*shape, generator=self.rng, dtype=F64)

    def loss(self, weights, chosen):
        """Mean squared error of a network with one hidden layer of tanh."""
        a, b, c, e = weights.split(self.sizes)
        d, width, o = self.shape
        hidden = torch.tanh(self.x[chosen] @ a.view(d, width) + b)
        return ((hidden @ c.view(width, o) + e - self.y[chosen]) ** 2).mean()

    def batch(self):
        """The rows of the next step."""
        if self.optimizer == "minibatches of 8":
            return torch.randint(len(self.x), (8,), generator=self.rng)
        return torch.arange(len(self.x))

    def step(self, states, number):
        """All copies ``[copies, 3, runs, n]`` one step on, with the losses of the first."""
        weights, first, second = states.unbind(1)
        n = weights.shape[-1]
        slope, loss = self.slope(weights.reshape(-1, n), self.batch())
        slope, moved = slope.view(weights.shape), None
        if self.optimizer == "Adam":
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
            root = (second / (1 - 0.999 ** (number + 1))).sqrt() + 1e-8
            moved = first / (1 - 0.9 ** (number + 1)) / root
        weights = weights - self.rates * (slope if moved is None else moved)
        return torch.stack([weights, first, second], 1), loss.view(weights.shape[:2])[0]

    def share(self, state, number):
        """Sharpness over its limit, from the dense Hessian."""
        dense = self.hessian(state[0], torch.arange(len(self.x))).nan_to_num(0.0, 0.0, 0.0)
        rates, limit = self.rates.expand_as(state[0]), 2.0
        if self.optimizer == "Adam":
            root = (state[2] / (1 - 0.999**number)).sqrt() + 1e-8
            rates, limit = self.rates / (1 - 0.9**number) / root, 38.0
        root = rates.sqrt().nan_to_num(0.0, 0.0, 0.0)
        return torch.linalg.eigvalsh(root[..., None] * dense * root[:, None])[:, -1] / limit

    def run(self):
        """(Early, ln (final / first), rate) of each training that stays finite."""
        early = round(EARLY * STEPS)
        size = 1e-6 * self.first.norm(dim=-1, keepdim=True)
        apart = torch.randn(TWINS, *self.first.shape, generator=self.rng, dtype=F64)
        copies = self.first + torch.cat(
            [0 * apart[:1], size * apart / apart.norm(dim=-1, keepdim=True)]
        )
        states = torch.stack([copies, 0 * copies, 0 * copies], 1)
        losses, grown = [], torch.zeros(TWINS, RUNS, dtype=F64)
        for number in range(STEPS):
            states, loss = self.step(states, number)
            losses.append(loss)
            if number < early:
                off = states[1:] - states[:1]
                far = off[:, 0].norm(dim=-1)
                grown += (far / size[:, 0]).log()
                back = (size[:, 0] / far)[:, None, :, None]
                states = torch.cat([states[:1], states[:1] + off * back])
            if number + 1 == early:
                share = self.share(states[0], early)
                states = states[:1]
        return self._told(torch.stack(losses), grown.mean(0) / early, share, early)

    def _told(self, losses, exponents, share, early):
        end = losses[-round(LATE * STEPS) :].log().mean(0) - losses[0].log()
        found = []
        for k in range(RUNS):
            numbers = torch.stack([exponents[k], share[k], end[k], losses[:early, k].sum()])
            if bool(numbers.isfinite().all()):
                steps = torch.arange(1, early + 1)
                seen = Early.of(steps, losses[:early, k], float(exponents[k]), float(share[k]))
                found.append((seen, float(end[k]), float(self.rates[k])))
        return found


def trainings(alike):
    """All trainings: system, group, Early, ln (final / first)."""
    rows = []
    for system in SYSTEMS:
        for optimizer in OPTIMIZERS:
            for width in WIDTHS:
                group = Group(system, optimizer, width, alike)
                rows += [(system, group.name, *one[:2]) for one in group.run()]
    return rows


def score(rows, found):
    """R², rank correlation within groups, and the factor by which half of them are off."""
    truth = torch.tensor([row[3] for row in rows], dtype=F64)
    guess = torch.tensor(found, dtype=F64)
    off = guess - truth
    ranks = []
    for name in dict.fromkeys(row[1] for row in rows):
        inside = [k for k, row in enumerate(rows) if row[1] == name]
        ranks.append(float(spearmanr(guess[inside], truth[inside]).statistic))
    explained = 1 - float(off.square().sum() / (truth - truth.mean()).square().sum())
    return {
        "r2": round(explained, 3),
        "rank_correlation": round(sum(ranks) / len(ranks), 3),
        "median_factor": round(math.exp(float(off.abs().median())), 2),
    }


def skills(rows):
    """Scores of the ways to forecast, each on systems that its fit had not seen."""
    seen, ends, systems = [r[2] for r in rows], [r[3] for r in rows], [r[0] for r in rows]
    ratio = math.log(1 / EARLY)
    found = {
        "the loss stays where it is": score(rows, [one.fall for one in seen]),
        "power law, extrapolated": score(rows, [o.fall + ratio * o.slope for o in seen]),
    }
    left = {use: left_out(use, seen, ends, systems) for use in ("loss", "exponents", "both")}
    return found | {f"fitted to {use}": score(rows, guess) for use, guess in left.items()}, left


def forecasters(rows, left, table):
    """What is shipped: fits to all systems, with errors and skill from those left out."""
    seen, ends = [r[2] for r in rows], [r[3] for r in rows]
    made = {}
    for use, guess in left.items():
        off = torch.tensor(ends, dtype=F64) - torch.tensor(guess, dtype=F64)
        low, high = off.quantile(0.1), off.quantile(0.9)
        fit = fitted(use, seen, ends).to_json()
        skill = {**table[f"fitted to {use}"], "trainings": len(rows), "systems": len(SYSTEMS)}
        made[use] = {**fit, "low": float(low), "high": float(high), "skill": skill}
    return made
