"""Memory, time and error of the reversible gradient beside full backpropagation.

python benchmarks/reversible.py
Leapfrog, T and V two tanh networks 64-64 and a quadratic, 32 systems of four degrees of freedom,
dt = 0.05, loss on the final state; weights twice the default, so that 10 000 steps forget their
start. Every case runs in a fresh process with one thread: growth of
the peak resident memory over that with everything built, a warm-up of ten steps included, and CPU
seconds of forward and backward pass. Writes benchmarks/results/reversible.{json,md}.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import torch

from simlearn import Simulator, SplitField
from simlearn.dynamics import SeparableEnergy
from simlearn.integrators import Leapfrog
from simlearn.simulator import RebuildWarning
from simlearn.training.fit import versions

RESULTS = pathlib.Path(__file__).parent / "results"
BATCH, DIM, DT, ROUNDS, LOUD = 32, 8, 0.05, 3, 2.0
LENGTHS = ((100, ("full", "reversible")), (1000, ("full", "reversible")), (10000, ("reversible",)))
TYPES = {"float64": torch.float64, "float32": torch.float32}


class Nets(SplitField):
    """H = |p|²/2 + |q|²/2 + T(p) + V(q) with networks T and V."""

    dim = DIM

    def __init__(self):
        super().__init__()
        self.nets = SeparableEnergy(dim=DIM, width=64)
        with torch.no_grad():
            for value in self.nets.parameters():
                value.mul_(LOUD)

    def drift(self, p, topology):
        """dH/dp."""
        return p + self.nets.drift(p, topology)

    def kick(self, t, q, topology):
        """−dH/dq."""
        return self.nets.kick(t, q, topology) - q

    def energy(self, x, topology):
        """H, ``[systems]``."""
        return self.nets.energy(x, topology) + topology.per_system((x * x).sum(-1) / 2)


def case(steps, gradient, dtype, out):
    """One measurement, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    simulator = Simulator(Nets().double(), Leapfrog(), DT)
    x0 = torch.randn(BATCH, DIM, dtype=torch.float64)
    simulator, x0 = simulator.to(dtype), x0.to(dtype).requires_grad_()

    def run(count):
        last = simulator.rollout(x0, count, every=count, gradient=gradient).x[-1]
        return torch.autograd.grad((last**2).mean(), [x0, *simulator.parameters()])

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(10)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RebuildWarning)
        began = time.process_time()
        found = run(steps)
        spent = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch.save(torch.cat([one.flatten() for one in found]).double(), out)
    warned = [str(one.message) for one in told if one.category is RebuildWarning]
    print(json.dumps({"megabytes": (after - before) / 1e3, "seconds": spent, "warned": warned}))


def measured(steps, gradient, name, out):
    """The same in a fresh process."""
    argv = [sys.executable, __file__, "--case", str(steps), gradient, name, str(out)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def rows():
    """All cases; rounds of the two ways in turn."""
    found, gradients = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in TYPES:
            for steps, ways in LENGTHS:
                kept = {way: [] for way in ways}
                for number in range(ROUNDS if len(ways) > 1 else 1):
                    for way in ways if number % 2 == 0 else ways[::-1]:
                        out = pathlib.Path(folder) / f"{name}-{steps}-{way}.pt"
                        kept[way].append(measured(steps, way, name, out))
                        gradients[name, steps, way] = torch.load(out)
                found += [row(name, steps, way, kept[way], gradients) for way in ways]
    return found


def row(name, steps, way, several, gradients):
    """Medians of a case, and its error against full backpropagation."""
    own = gradients[name, steps, way]

    def error(reference):
        other = gradients.get((reference, steps, "full"))
        return None if other is None else float((own - other).norm() / other.norm())

    return {
        "dtype": name,
        "steps": steps,
        "gradient": way,
        "megabytes": statistics.median(one["megabytes"] for one in several),
        "seconds": statistics.median(one["seconds"] for one in several),
        "against full": error(name),
        "against full in float64": error("float64"),
        "warned": several[0]["warned"],
    }


def summary(found):
    """The ratios that were asked for."""
    by = {(r["dtype"], r["steps"], r["gradient"]): r for r in found}
    for name in TYPES:
        long, short = by[name, 1000, "reversible"], by[name, 100, "reversible"]
        full = by[name, 1000, "full"]
        yield {
            "dtype": name,
            "memory at 1000 steps over 100 (asked: 1.1)": long["megabytes"] / short["megabytes"],
            "time at 1000 steps over full (asked: 1.2)": long["seconds"] / full["seconds"],
            "gradient error (asked: 1e-10, 1e-3)": long["against full"],
        }


def table(records):
    """Records as Markdown."""
    heads = [head for head in records[0] if head != "warned"]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for one in records:
        cells = (one[head] for head in heads)
        told = ("-" if c is None else f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells)
        lines.append("| " + " | ".join(told) + " |")
    return "\n".join(lines)


def main():
    """Measure, print, keep."""
    found = rows()
    ratios = list(summary(found))
    warned = [f"* {r['dtype']}, {r['steps']} steps: {w}" for r in found for w in r["warned"]]
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = "\n".join(
        [
            "# The reversible gradient",
            "",
            f"`python benchmarks/reversible.py`: leapfrog, networks 64-64, {BATCH} systems of "
            f"{DIM // 2} degrees of freedom, dt = {DT}, loss on the final state; a fresh process "
            f"each, one thread, medians of {ROUNDS}. Errors are relative.",
            "",
            table(ratios),
            "",
            table(found),
            "",
            "Warned:",
            "",
            *warned,
            "",
            f"Versions: {told}.",
            "",
        ]
    )
    RESULTS.mkdir(exist_ok=True)
    kept = {"cases": found, "ratios": ratios, "versions": versions()}
    (RESULTS / "reversible.json").write_text(json.dumps(kept, indent=2) + "\n")
    (RESULTS / "reversible.md").write_text(text)
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", nargs=4)
    given = parser.parse_args().case
    if given:
        case(int(given[0]), given[1], TYPES[given[2]], given[3])
    else:
        main()
