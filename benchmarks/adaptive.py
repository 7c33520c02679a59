"""Our adaptive Dormand-Prince beside torchdiffeq's dopri5, at equal error.

python benchmarks/adaptive.py
Two problems, 16 systems each, float64, one thread, process CPU time, both in turn in one process.
Each is run at several tolerances; the time at a given error is read off by interpolating log time
over log error. torchdiffeq is optional (pip install torchdiffeq); where it is absent the table says
so. Writes benchmarks/results/adaptive.{json,md}.
"""

import json
import math
import pathlib
import statistics
import time

import numpy as np
import torch
from scipy.integrate import solve_ivp

from simlearn import Simulator, Topology
from simlearn.dynamics import VectorField
from simlearn.integrators import DormandPrince
from simlearn.training.fit import versions

try:
    from torchdiffeq import __version__ as OTHER
    from torchdiffeq import odeint
except ImportError:
    odeint, OTHER = None, "absent"

RESULTS = pathlib.Path(__file__).parent / "results"
SYSTEMS, ROUNDS = 16, 3
TOLERANCES = [10.0**-k for k in range(4, 13)]
ERRORS = (1e-3, 1e-4, 1e-5, 1e-6)


class TwoBody(VectorField):
    """A planet about a fixed star, q'' = −q/|q|³."""

    dim = 4

    def forward(self, t, x, topology):
        """Slopes of (q, v)."""
        q, v = x.chunk(2, dim=-1)
        return torch.cat([v, -q * (q * q).sum(-1, keepdim=True) ** -1.5], dim=-1)


class Pendulum(VectorField):
    """A pendulum of high frequency, q'' = −100 sin q − q'/10."""

    dim = 2

    def forward(self, t, x, topology):
        """Slopes of (q, v)."""
        q, v = x.chunk(2, dim=-1)
        return torch.cat([v, -100 * q.sin() - 0.1 * v], dim=-1)


def planets():
    """Perihelion of orbits of eccentricity 0 to 0.9."""
    e = torch.linspace(0, 0.9, SYSTEMS, dtype=torch.float64)
    none = torch.zeros_like(e)
    return torch.stack([1 - e, none, none, ((1 + e) / (1 - e)).sqrt()], 1)


def pendula():
    """Amplitudes from 0.1 to nearly upright."""
    q = torch.linspace(0.1, 3.1, SYSTEMS, dtype=torch.float64)
    return torch.stack([q, torch.zeros_like(q)], 1)


CASES = {
    "two bodies, e = 0 to 0.9, 21 times": (TwoBody(), planets(), 4 * math.pi, 21),
    "the same, 201 times": (TwoBody(), planets(), 4 * math.pi, 201),
    "stiff pendulum, 21 times": (Pendulum(), pendula(), 5.0, 21),
    "the same, 201 times ": (Pendulum(), pendula(), 5.0, 201),
}


def exact(field, x0, times):
    """Each system by itself to 1e-13."""
    one, found = Topology.isolated(1), []

    def slope(t, y):
        return field(t, torch.from_numpy(y)[None], one)[0].numpy()

    for x in x0.numpy():
        done = solve_ivp(
            slope, (0, float(times[-1])), x, "DOP853", times.numpy(), rtol=1e-13, atol=1e-14
        )
        found.append(done.y.T)
    return torch.from_numpy(np.stack(found, 1))


def ways(field, x0, times, tolerance):
    """Both, as functions without arguments, with the number of field calls."""
    topology, calls = Topology.isolated(len(x0)), [0]

    def slope(t, x):
        calls[0] += 1
        return field(t, x, topology)

    class Told(VectorField):
        def forward(self, t, x, topology):
            return slope(t, x)

    scheme = DormandPrince(tolerance, tolerance, max_steps=100000)
    simulator = Simulator(Told(), scheme, float(times[1]))
    found = {"simlearn": lambda: simulator.rollout(x0, len(times) - 1, topology).x}
    if odeint is not None:
        found["torchdiffeq"] = lambda: odeint(
            slope, x0, times, rtol=tolerance, atol=tolerance, method="dopri5"
        )
    return found, calls


@torch.no_grad()
def curves(case):
    """Error, CPU seconds and calls of each way at each tolerance."""
    field, x0, span, count = case
    times = torch.linspace(0, span, count, dtype=torch.float64)
    truth, points = exact(field, x0, times), []
    for tolerance in TOLERANCES:
        both, calls = ways(field, x0, times, tolerance)
        spent = {name: [] for name in both}
        errors, asked = {}, {}
        for number in range(ROUNDS):
            for name in list(both) if number % 2 == 0 else list(both)[::-1]:
                calls[0], began = 0, time.process_time()
                x = both[name]()
                spent[name].append(time.process_time() - began)
                asked[name], errors[name] = calls[0], float((x - truth).abs().max())
        for name in both:
            points.append(
                {
                    "way": name,
                    "tolerance": tolerance,
                    "error": errors[name],
                    "seconds": statistics.median(spent[name]),
                    "calls": asked[name],
                }
            )
    return points


def at(points, way, error):
    """CPU seconds of a way at an error, None where it was not reached on both sides."""
    mine = sorted((p["error"], p["seconds"]) for p in points if p["way"] == way)
    logs = np.log([m[0] for m in mine])
    if not mine or not logs[0] <= math.log(error) <= logs[-1]:
        return None
    return float(np.exp(np.interp(math.log(error), logs, np.log([m[1] for m in mine]))))


def main():
    """Measure, print, keep."""
    torch.set_num_threads(1)
    kept = {name: curves(case) for name, case in CASES.items()}
    rows = []
    for name, points in kept.items():
        for error in ERRORS:
            ours, other = (at(points, way, error) for way in ("simlearn", "torchdiffeq"))
            rows.append(
                (name.strip(), error, ours, other, other / ours if ours and other else None)
            )
    told = ", ".join(f"{n} {v}" for n, v in {**versions(), "torchdiffeq": OTHER}.items())
    lines = [
        "# Adaptive Dormand-Prince at equal error",
        "",
        f"`python benchmarks/adaptive.py`: {SYSTEMS} systems, float64, one thread, CPU time, "
        f"medians of {ROUNDS} rounds; the largest error over all systems and times.",
        "",
        "| problem | error | simlearn / s | torchdiffeq / s | simlearn is faster by |",
        "| --- | --- | --- | --- | --- |",
        *(
            "| "
            + " | ".join("-" if v is None else v if isinstance(v, str) else f"{v:.3g}" for v in r)
            + " |"
            for r in rows
        ),
    ]
    text = "\n".join([*lines, "", f"Versions: {told}.", ""])
    RESULTS.mkdir(exist_ok=True)
    found = {"points": kept, "versions": {**versions(), "torchdiffeq": OTHER}}
    (RESULTS / "adaptive.json").write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / "adaptive.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
