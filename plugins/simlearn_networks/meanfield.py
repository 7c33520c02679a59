"""Do dynamics on growing graphs approach their limit?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

import simlearn
from simlearn import (
    ConfigError,
    Curve,
    Dynamics,
    Evidence,
    Finding,
    Line,
    Metric,
    Simulator,
    Topology,
)
from simlearn.integrators import DormandPrince
from simlearn_networks.common import at_least, not_negative, positive
from simlearn_networks.graphon import Graphon, at, neighbours, places, profile, sampled, whole

FINE = 400  # nodes of the graph that stands for the limit
SETTLED = 0.1  # of dx/dt: by so much both may differ where there is a limit
LOST = 1e6
MEANING = (
    "a simulator that follows the limit treats a node's neighbours as a sum that is divided by the "
    "right number: what it learned on a small graph holds on a large one of the same kind. It says "
    "nothing of graphs that have no limit, as those with hubs."
)


class MeanField(simlearn.Check):
    """On growing random graphs a simulator approaches the graphon limit of the true dynamics.

    Nodes sit at u_i = (i − ½)/n in [0, 1] and are linked with probability α_n W(u_i, u_j), α_n =
    (n/n₀)^−``sparsity``, n₀ the smallest size. Start and node parameters are those of the first
    held-out trajectory as functions of u. The limit is dx(u)/dt = f(x(u)) + ∫ W(u, v) Q(x(u), x(v))
    dv, by the true dynamics on all pairs of a fine grid with weights W. The error, root mean square
    over the nodes at the end in parts of how far the limit moved, falls as (n α_n)^−½ (Medvedev
    2014, SIAM J. Math. Anal. 46, 2743; on sparse graphs Medvedev 2019, Commun. Math. Sci. 17, 883).
    Where α W is not small, n α_n counts as what it is worth to a sum over neighbours, the square of
    its mean over its variance.

    It asks for true dynamics that divide by the degree or the number of nodes: sums have no limit.

    Args:
        horizon: Steps of the rollouts.
        sizes: Numbers of nodes, ascending.
        repeats: Graphs of each size.
        graphon: W: constant, 1/2; ring, (1 + cos 2π(u − v))/2; slope, 1 − max(u, v).
        sparsity: How fast density falls with the number of nodes; 0 keeps it, below 1.
        exponent: Smallest allowed fall of the error, as power of n α_n; theory says 0.5.
        limit: Largest allowed error at the largest size.
    """

    def __init__(
        self,
        horizon: int = 50,
        sizes: Sequence[int] = (50, 100, 200, 400, 800),
        repeats: int = 3,
        graphon: Graphon = "ring",
        sparsity: float = 0.0,
        exponent: float = 0.35,
        limit: float = 0.1,
    ):
        at_least(1, horizon=horizon, repeats=repeats)
        positive(limit=limit)
        not_negative(sparsity=sparsity)
        if len(sizes) < 3 or sorted(set(sizes)) != list(sizes) or sizes[0] < 10:
            raise ConfigError(
                f"sizes are three or more numbers from 10 on, ascending; got {list(sizes)}."
            )
        if graphon not in ("constant", "ring", "slope"):
            raise ConfigError(f"graphon is constant, ring or slope, got {graphon!r}.")
        if sparsity >= 1:
            raise ConfigError(f"sparsity must be below 1, or degrees do not grow; got {sparsity}.")
        self.horizon, self.sizes, self.repeats = horizon, sizes, repeats
        self.graphon, self.sparsity = graphon, sparsity
        self.exponent, self.limit = exponent, limit

    @classmethod
    def examples(cls) -> list[MeanField]:
        """Small graphs."""
        return [cls(horizon=5, sizes=(20, 40, 80), repeats=1)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out on each graph and hold the end against the limit."""
        if evidence.truth is None or not isinstance(evidence.truth, simlearn.VectorField):
            return Finding.not_applicable("The limit is that of true dynamics in continuous time.")
        begin = evidence.start()
        if not begin.topology.graph.edge_index.shape[1]:
            return Finding.not_applicable("The held-out systems have no edges, so nothing grows.")
        start, nodes = profile(begin)
        time = self.horizon * simulator.dt
        apart = self._apart(evidence.truth, start, nodes)
        if not apart < SETTLED:
            return Finding.not_applicable(
                f"The true dynamics have no limit on growing graphs: twice as many nodes change "
                f"them by {apart:.0%}. Divide the sum over neighbours (aggregation: mean_degree, "
                "mean or graphon)."
            )
        limit, moved = self._limit(evidence.truth, start, nodes, time)
        errors = {
            name: self._errors(model, start, nodes, limit, moved, evidence.seed)
            for name, model in {"": simulator, **evidence.references}.items()
        }
        return self._told(errors)

    def _limit(
        self, truth: Dynamics, start: Tensor, nodes: Tensor | None, time: float
    ) -> tuple[Tensor, float]:
        """The end on a fine grid, and how far it moved."""
        topology, x = _placed(whole(self.graphon, FINE), start, nodes)
        exact = Simulator(truth, DormandPrince(rtol=1e-8, atol=1e-8), time)
        with torch.no_grad():
            end = exact.rollout(x, 1, topology).x[-1]
        return end, max(_rms(end - x), 1e-300)

    def _apart(self, truth: Dynamics, start: Tensor, nodes: Tensor | None) -> float:
        """How much dx/dt on a fine grid differs from that on one of half as many nodes."""
        slopes = []
        for count in (FINE // 2, FINE):
            topology, x = _placed(whole(self.graphon, count), start, nodes)
            with torch.no_grad():
                slopes.append(at(truth(0.0, x, topology), places(FINE)))
        return _rms(slopes[1] - slopes[0]) / max(_rms(slopes[1]), 1e-300)

    def _errors(
        self,
        model: Simulator,
        start: Tensor,
        nodes: Tensor | None,
        limit: Tensor,
        moved: float,
        seed: int,
    ) -> Tensor:
        """Of every size and repeat, ``[sizes, repeats]``; infinite where a rollout is lost."""
        rng = torch.Generator().manual_seed(seed)
        found = torch.full((len(self.sizes), self.repeats), math.inf, dtype=torch.float64)
        for k, count in enumerate(self.sizes):
            for r in range(self.repeats):
                graph = sampled(self.graphon, count, self._thinned(count), rng)
                topology, x = _placed(graph, start, nodes)
                bound = LOST * (1 + float(limit.abs().max()))
                with torch.no_grad():
                    end = model.rollout(x, self.horizon, topology, every=self.horizon, bound=bound)
                if end.status == "ok":
                    found[k, r] = _rms(end.x[-1] - at(limit, places(count))) / moved
        return found

    def _thinned(self, count: int) -> float:
        return float((count / self.sizes[0]) ** -self.sparsity)

    def _told(self, errors: dict[str, Tensor]) -> Finding:
        grown = [neighbours(self.graphon, n, self._thinned(n)) for n in self.sizes]
        falls = {name: _falls(grown, error) for name, error in errors.items()}
        last = {name: error[-1] for name, error in errors.items()}
        (fall, noise), end = falls[""], last[""]
        metrics = (
            Metric(
                "fall of the error, power of n α",
                fall,
                self.exponent,
                "min",
                noise=noise,
                beside={name: one for name, (one, _) in falls.items() if name},
            ),
            Metric(
                f"error at {self.sizes[-1]} nodes",
                float(end.mean()),
                self.limit,
                "max",
                noise=float(end.std()) / self.repeats**0.5 if self.repeats > 1 else 0.0,
                beside={name: float(one.mean()) for name, one in last.items() if name},
            ),
        )
        return Finding.of(
            metrics,
            f"From {self.sizes[0]} to {self.sizes[-1]} nodes the distance to the limit goes from "
            f"{float(errors[''][0].mean()):.2g} to {float(end.mean()):.2g} of what moves, as the "
            f"power {-fall:.2f} of n α; random graphs allow {-0.5:g}.",
            {"Distance to the limit": _picture(self.sizes, grown, errors)},
            (
                "Divide the sum over neighbours as the true dynamics do (aggregation).",
                "Where the error stops falling at large sizes, what is left is the error of the "
                "learned law: train on more or larger graphs.",
            ),
            meaning=MEANING,
        )


def _placed(graph: Topology, start: Tensor, nodes: Tensor | None) -> tuple[Topology, Tensor]:
    """A graph with the node parameters at its places, and the start there."""
    u = places(graph.rows)
    return graph.replace(node_attr=None if nodes is None else at(nodes, u)), at(start, u)


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def _falls(grown: Sequence[float], errors: Tensor) -> tuple[float, float]:
    """Minus the slope of log error over log n α, and its standard error over the repeats."""
    if not bool((errors.isfinite() & (errors > 0)).all()):
        return math.nan, 0.0
    along, each = np.log(np.array(grown)), errors.log().numpy()
    slopes = -np.polyfit(along, each, 1)[0]
    noise = slopes.std(ddof=1) / math.sqrt(len(slopes)) if len(slopes) > 1 else 0.0
    return float(-np.polyfit(along, errors.mean(1).log().numpy(), 1)[0]), float(noise)


def _picture(sizes: Sequence[int], grown: Sequence[float], errors: dict[str, Tensor]) -> Curve:
    first = float(errors[""][0].mean())
    lines = [
        Line(
            list(map(float, sizes)),
            error.mean(1).tolist(),
            role="reference" if name else "judged",
            label=name or "this simulator",
        )
        for name, error in errors.items()
    ]
    rate = [first * (one / grown[0]) ** -0.5 for one in grown]
    lines.append(Line(list(map(float, sizes)), rate, role="truth", label="(n α)^−½"))
    return Curve(
        lines,
        "nodes n",
        "distance to the limit, in parts of what moves",
        "Mean over graphs of each size. Dotted: how fast random graphs approach their graphon.",
        x_scale="log",
        y_scale="log",
    )
