"""What the analysis of stability costs, and what each stabilizer costs and buys.

python benchmarks/stability.py
One thread, process CPU time, medians. Writes benchmarks/results/stability.{json,md}.
"""

import json
import math
import pathlib
import resource
import statistics
import time

import torch
from torch import nn

import simlearn
from simlearn import Evidence, Graph, Simulator, Topology
from simlearn.analysis import flat, growth
from simlearn.dynamics import MLPField, ResidualMap, VectorField
from simlearn.integrators import RK4
from simlearn.training.fit import versions
from simlearn.training.objectives import MultiStep, OneStep
from simlearn_checks import UnlearnableDirections
from simlearn_mechanics import EmbeddedOscillator
from simlearn_stabilizers import (
    Bjorck,
    JacobianPenalty,
    NoiseInjection,
    Orthogonal,
    PushForward,
    SpectralNorm,
    StableInitialization,
    SubspaceProjection,
)

RESULTS = pathlib.Path(__file__).parent / "results"
DT, SEEDS = 0.1, 3
SYSTEM = EmbeddedOscillator(columns=8)
TRAINING = list(SYSTEM.draw(range(16), simlearn.sample_times(101, DT), 0))
HELD_OUT = list(SYSTEM.draw(range(8), simlearn.sample_times(401, DT), 1))


def spent(work, rounds=1):
    """Median CPU-seconds of some work, and its last answer."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        answer = work()
        times.append(time.process_time() - began)
    return statistics.median(times), answer


def drawn(build, seed=0):
    """Build under a seed; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().double()


def anchors():
    """A step of the full spectrum for one anchor and for 64."""
    simulator = Simulator(
        drawn(lambda: MLPField(dim=6, width=64)).requires_grad_(False), RK4(), 0.01
    )
    step, found = flat.stepper(simulator), {}
    for count in (1, 64):
        x = torch.randn(count, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        growth.spectrum(step, x, 5)
        seconds, _ = spent(lambda x=x: growth.spectrum(step, x, 100), rounds=7)
        found[count] = 1e3 * seconds / 100
    return {"one_anchor_ms": found[1], "64_anchors_ms": found[64], "ratio": found[64] / found[1]}


class Coupled(VectorField):
    """Three columns a node, an edge network, summed."""

    def __init__(self):
        super().__init__()
        self.dim = 3
        self.net = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 3))

    def forward(self, t, x, topology):
        """Sum of what comes over the edges."""
        source, target = topology.graph.edge_index
        pushed = self.net(torch.cat([x[source], x[target]], dim=-1))
        return torch.zeros_like(x).index_add(0, target, 0.1 * pushed)


def large_graph(nodes=1000, directions=10, steps=20):
    """Transverse exponents of a large graph: tangent vectors only, no Jacobian."""
    rng = torch.Generator().manual_seed(0)
    edges = torch.randint(nodes, (2, 10 * nodes), generator=rng)
    topology = Topology(Graph(edges, nodes))
    simulator = Simulator(drawn(Coupled).requires_grad_(False), RK4(), 0.01)
    step = flat.stepper(simulator, topology)
    n = 3 * nodes
    x = torch.randn(1, n, generator=rng, dtype=torch.float64)
    normal = torch.linalg.qr(torch.randn(n, directions, generator=rng, dtype=torch.float64))[0]
    plain, _ = spent(lambda: [step(x) for _ in range(20)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, found = spent(lambda: growth.spectrum(step, x, steps, normal=normal))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "nodes": nodes,
        "columns": n,
        "directions": directions,
        "ms_a_step": 1e3 * seconds / steps,
        "ms_a_plain_step": 1e3 * plain / 20,
        "memory_mb": (after - before) / 1024,
        "full_jacobian_mb": n * n * 8 / 2**20,
        "finite": bool(found.exponents.isfinite().all()),
    }


def descent(weights):
    """Plain gradient descent."""
    return torch.optim.SGD(weights, lr=0.01)


def train(make, seed, optimizer=None, epochs=150):
    """CPU-seconds of a training, and the simulator."""
    simulator = Simulator(drawn(lambda: ResidualMap(dim=8, width=64), seed), None, DT)
    made = make()
    return spent(
        lambda: simlearn.fit(
            simulator,
            TRAINING,
            objective=MultiStep(2) if any(isinstance(s, PushForward) for s in made) else OneStep(),
            stabilizers=made,
            optimizer=optimizer,
            batch_size=256,
            seed=seed,
            progress=False,
            max_epochs=epochs,
        )
    )


def judged(simulator, siblings=()):
    """CPU-seconds of the check, the exponent and the verdict."""
    evidence = Evidence(HELD_OUT, TRAINING, siblings=siblings)
    seconds, report = spent(lambda: simlearn.check(simulator, evidence, [UnlearnableDirections()]))
    finding = report.items[0].finding
    told = {m.name: m.value for m in finding.metrics}
    words = ("UNSTABLE", "NEUTRAL", "ok:")
    said = next(word for word in words if word in finding.summary)
    return seconds, told["largest transverse exponent L"], said.strip(":").lower()


def forecast(simulator):
    """Error after 100 steps, and size after 1000 over that of the data; medians over starts."""
    errors, sizes = [], []
    for one in HELD_OUT:
        rolled = simulator.rollout(one.x[0], 1000)
        errors.append(float((rolled.x[100] - one.x[100]).norm() / one.x[100].norm()))
        grown = float(rolled.x[-1].abs().max() / one.x.abs().max())
        sizes.append(grown if math.isfinite(grown) else math.inf)
    return statistics.median(errors), statistics.median(sizes)


WAYS = {
    "none": (lambda: [], None, 150),
    "NoiseInjection, uncorrected": (lambda: [NoiseInjection(0.1, "uncorrected")], None, 150),
    "NoiseInjection, corrected, everywhere": (
        lambda: [NoiseInjection(0.1, "corrected", where="everywhere")],
        None,
        150,
    ),
    "NoiseInjection, kappa = 2, everywhere": (
        lambda: [NoiseInjection(0.1, kappa=2.0, where="everywhere")],
        None,
        150,
    ),
    "NoiseInjection, kappa = 2 (complement)": (
        lambda: [NoiseInjection(0.1, kappa=2.0)],
        None,
        150,
    ),
    "SubspaceProjection": (lambda: [SubspaceProjection()], None, 150),
    "StableInitialization, SGD": (lambda: [StableInitialization()], descent, 300),
    "StableInitialization, Adam 1e-3": (lambda: [StableInitialization()], None, 150),
    "SpectralNorm": (lambda: [SpectralNorm()], None, 150),
    "Orthogonal": (lambda: [Orthogonal()], None, 150),
    "Bjorck": (lambda: [Bjorck()], None, 150),
    "JacobianPenalty 1e-3": (lambda: [JacobianPenalty(1e-3, 1)], None, 150),
    "PushForward (rollouts of 2 steps)": (lambda: [PushForward(1.0, 1)], None, 150),
}


def stabilizers():
    """Median over seeds of price and gain of each."""
    table, base, plain = {}, None, []
    for name, (make, optimizer, epochs) in WAYS.items():
        rows = []
        for seed in range(SEEDS):
            try:
                seconds, simulator = train(make, seed, optimizer, epochs)
            except simlearn.SimlearnError as refusal:
                table[name] = {"refused": str(refusal)}
                break
            if name == "none":
                plain.append(simulator)
            _, exponent, said = judged(simulator)
            error, size = forecast(simulator)
            rows.append(
                (seconds / epochs, simulator.provenance["loss"], error, size, exponent, said)
            )
        if len(rows) < SEEDS:
            continue
        middle = [statistics.median(row[k] for row in rows) for k in range(5)]
        base = base or middle[0]
        table[name] = {
            "cpu_an_epoch_over_none": middle[0] / base,
            "loss": middle[1],
            "error_after_100_steps": middle[2],
            "size_after_1000_steps": middle[3],
            "exponent": middle[4],
            "verdicts": ", ".join(row[5] for row in rows),
        }
        print(name, table[name], flush=True)
    seconds, _, _ = judged(plain[0], plain[1:])
    return table, seconds


def markdown(found):
    """The tables."""
    cost, graph = found["anchors"], found["large_graph"]
    lines = [
        "# What stability costs",
        "",
        "`python benchmarks/stability.py`, one thread, CPU time.",
        "",
        "| what | measured | asked |",
        "| --- | --- | --- |",
        f"| 64 anchors over one, full spectrum of six columns | {cost['ratio']:.2f} × "
        f"({cost['64_anchors_ms']:.1f} and {cost['one_anchor_ms']:.1f} ms a step) | < 2 × |",
        f"| UnlearnableDirections, 8 columns, with two siblings | "
        f"{found['check_cpu_s']:.1f} CPU-s | ≤ 10 |",
        f"| transverse exponents, {graph['nodes']} nodes ({graph['columns']} columns), "
        f"{graph['directions']} directions | {graph['ms_a_step']:.0f} ms a step (a plain step: "
        f"{graph['ms_a_plain_step']:.0f}), {graph['memory_mb']:.0f} MB more | no full Jacobian "
        f"({graph['full_jacobian_mb']:.0f} MB alone) |",
        "",
        f"## Stabilizers on the embedded oscillator, medians of {SEEDS} seeds",
        "",
        "Residual network 8-64-64-8 on 1600 pairs, Adam 1e-3, 150 epochs (SGD: 300). Size: largest "
        "component at the end over that of the data; the truth ends below 0.01.",
        "",
        "<!-- --8<-- [start:stabilizers] -->",
        "| stabilizer | CPU an epoch | loss | error, 100 steps | size, 1000 steps | L | verdicts |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in found["stabilizers"].items():
        if "refused" in row:
            lines.append(f"| {name} | refused: {row['refused']} | | | | | |")
            continue
        lines.append(
            f"| {name} | {row['cpu_an_epoch_over_none']:.2f} × | {row['loss']:.1e} | "
            f"{row['error_after_100_steps']:.3f} | {row['size_after_1000_steps']:.2g} | "
            f"{row['exponent']:.3f} | {row['verdicts']} |"
        )
    lines.append("<!-- --8<-- [end:stabilizers] -->")
    told = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join([*lines, "", f"Versions: {told}.", ""])


def main():
    """Measure, write, print."""
    torch.set_num_threads(1)
    table, seconds = stabilizers()
    found = {
        "anchors": anchors(),
        "large_graph": large_graph(),
        "check_cpu_s": seconds,
        "stabilizers": table,
        "versions": versions(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "stability.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "stability.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))


if __name__ == "__main__":
    main()
