"""Do phases fall into step at the coupling that the mean field says?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import ndtri
from torch import Tensor

import simlearn
from simlearn import ConfigError, Curve, Evidence, Finding, Line, Metric, Simulator, Topology
from simlearn_networks.common import at_least, positive, uniform
from simlearn_networks.kuramoto import KuramotoLaw
from simlearn_networks.random_graphs import ErdosRenyi

Frequencies = Literal["normal", "lorentz"]

LATE = 0.5  # part of a rollout over which the order is averaged
TOP = 3.5  # order is drawn up to so many times the critical coupling
MEANING = (
    "whether many oscillators fall into step is decided by the field as a whole: a small error of "
    "the coupling moves the critical point. It was asked on one large random graph with phases and "
    "frequencies of its own; single oscillators may still be off."
)


class OrderParameter(simlearn.Check):
    """A simulator of phases falls into step at the critical coupling of the mean field.

    On a large random graph with K/(mean degree) Σ_j sin(θ_j − θ_i) the order r = |⟨exp iθ⟩| is zero
    below K_c = 2/(π g(0)), g the density of frequencies, and above it solves r = K r ∫ cos²φ
    g(K r sin φ) dφ over |φ| < π/2 (Kuramoto 1975; Strogatz 2000, Physica D 143, 1); of Lorentz's g,
    r = √(1 − K_c/K). K is what the simulator has learned, so K/K_c is set by the spread of the
    frequencies: ω_i are the quantiles of g at (i − ½)/n, in random order. r is averaged over the
    second half of the rollout.

    Args:
        ratios: Couplings to look at, in parts of K_c. Near 1 a rollout takes long.
        nodes: Oscillators; below K_c the order is about their number to the power −½.
        degree: Mean degree of the random graph.
        horizon: Steps of each rollout; several tens of 1/K.
        frequencies: normal, or lorentz, whose far ends may leave the range of the training.
        limit: Largest allowed difference of r to that of the mean field.
        coupling: K; that of the true dynamics where not given.
    """

    def __init__(
        self,
        ratios: Sequence[float] = (0.5, 1.5, 2.0, 3.0),
        nodes: int = 1000,
        degree: float = 100.0,
        horizon: int = 500,
        frequencies: Frequencies = "normal",
        limit: float = 0.07,
        coupling: float | None = None,
    ):
        at_least(2, nodes=nodes, horizon=horizon)
        positive(degree=degree, limit=limit, **{f"ratios[{k}]": r for k, r in enumerate(ratios)})
        if coupling is not None:
            positive(coupling=coupling)
        if not ratios:
            raise ConfigError("ratios names at least one coupling, in parts of the critical one.")
        if degree > nodes - 1:
            raise ConfigError(f"{nodes} nodes have at most {nodes - 1} neighbours, not {degree}.")
        if frequencies not in ("normal", "lorentz"):
            raise ConfigError(f"frequencies is normal or lorentz, got {frequencies!r}.")
        self.ratios, self.nodes, self.degree, self.horizon = ratios, nodes, degree, horizon
        self.frequencies, self.limit, self.coupling = frequencies, limit, coupling

    @classmethod
    def examples(cls) -> list[OrderParameter]:
        """Few oscillators."""
        return [cls(ratios=(2.0,), nodes=50, degree=20, horizon=20, limit=0.5, coupling=2.0)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll phases out at each coupling and hold their order against the mean field."""
        coupling = self.coupling
        if coupling is None and isinstance(evidence.truth, KuramotoLaw):
            coupling = evidence.truth.coupling
        if not coupling:
            return Finding.not_applicable(
                "The critical coupling is that of Kuramoto's law, and the true dynamics are not. "
                "Give `coupling`, or data of the system Kuramoto."
            )
        if (refused := _unlike(evidence)) is not None:
            return Finding.not_applicable(refused)
        models = {"": simulator, **evidence.references}
        found = {name: self._orders(model, coupling, evidence) for name, model in models.items()}
        theory = [order(ratio, self.frequencies) for ratio in self.ratios]
        metrics = [
            Metric(
                f"error of r at {ratio:g} K_c",
                abs(found[""][k] - theory[k]),
                self.limit,
                "max",
                noise=self.nodes**-0.5,
                beside={name: abs(r[k] - theory[k]) for name, r in found.items() if name},
            )
            for k, ratio in enumerate(self.ratios)
        ]
        told = [f"{found[''][k]:.2f} at {ratio:g} K_c" for k, ratio in enumerate(self.ratios)]
        said = ", ".join(f"{r:.2f}" for r in theory)
        return Finding.of(
            metrics,
            f"The order of {self.nodes} oscillators is {', '.join(told)}; the mean field says "
            f"{said}.",
            {"Order and coupling": self._picture(found)},
            (
                "Train on frequencies as spread as those asked for here, or ask for larger ratios.",
                "Divide the sum over neighbours as the true dynamics do (aggregation).",
            ),
            meaning=MEANING,
        )

    def _orders(self, model: Simulator, coupling: float, evidence: Evidence) -> list[float]:
        """R at each ratio; NaN where a rollout is lost."""
        rng = torch.Generator().manual_seed(evidence.seed)
        graph = ErdosRenyi(self.nodes, self.degree / (self.nodes - 1)).draw(rng)
        graph = graph.replace(
            edge_attr=torch.ones(graph.graph.edge_index.shape[1], 1, dtype=torch.float64)
        )
        mixed = torch.randperm(self.nodes, generator=rng)
        quantiles = _quantiles(self.nodes, self.frequencies)[mixed]
        phase = uniform(rng, 0, torch.pi, self.nodes, 1)
        found = []
        for ratio in self.ratios:
            spread = coupling / (ratio * critical(self.frequencies))
            found.append(self._order(model, phase, graph.replace(node_attr=spread * quantiles)))
        return found

    def _order(self, model: Simulator, phase: Tensor, topology: Topology) -> float:
        every = max(1, self.horizon // 100)
        with torch.no_grad():
            rolled = model.rollout(phase, self.horizon, topology, every=every)
        if rolled.status != "ok":
            return math.nan
        late = rolled.x[int(LATE * rolled.steps) :, :, 0]
        r = (late.cos().mean(1).square() + late.sin().mean(1).square()).sqrt()
        return float(r.mean())

    def _picture(self, found: dict[str, list[float]]) -> Curve:
        along = np.linspace(0.05, max(TOP, *self.ratios), 80).tolist()
        lines = [
            Line(
                list(self.ratios),
                r,
                role="reference" if name else "judged",
                label=name or "this simulator",
                error=[self.nodes**-0.5] * len(r),
            )
            for name, r in found.items()
        ]
        theory = [order(ratio, self.frequencies) for ratio in along]
        lines.append(Line(along, theory, role="truth", label="mean field"))
        return Curve(
            lines,
            "coupling K, in parts of the critical one",
            "order r",
            "Points: the simulator on a random graph, with the size of its fluctuations.",
        )


def critical(frequencies: Frequencies) -> float:
    """K_c = 2/(π g(0)) of frequencies whose spread (of a normal g its σ, of Lorentz's γ) is one."""
    return math.sqrt(8 / math.pi) if frequencies == "normal" else 2.0


def order(ratio: float, frequencies: Frequencies) -> float:
    """R of infinitely many oscillators at K = ``ratio`` K_c, all joined."""
    if ratio <= 1:
        return 0.0
    if frequencies == "lorentz":
        return math.sqrt(1 - 1 / ratio)
    coupling, angle = ratio * critical(frequencies), np.linspace(-np.pi / 2, np.pi / 2, 2001)

    def missing(r: float) -> float:
        g = np.exp(-((coupling * r * np.sin(angle)) ** 2) / 2) / math.sqrt(2 * math.pi)
        return float(coupling * np.trapezoid(np.cos(angle) ** 2 * g, angle)) - 1

    return float(brentq(missing, 1e-9, 1.0))


def _quantiles(nodes: int, frequencies: Frequencies) -> Tensor:
    """Frequencies of spread one, as even as can be, ``[nodes, 1]``."""
    p = (np.arange(nodes) + 0.5) / nodes
    found = ndtri(p) if frequencies == "normal" else np.tan(np.pi * (p - 0.5))
    return torch.from_numpy(found).unsqueeze(1)


def _unlike(evidence: Evidence) -> str | None:
    """Why the data are none of phases with a frequency each."""
    begin = evidence.start()
    nodes = begin.topology.node_attr
    if begin.dim != 1 or nodes is None or nodes.reshape(begin.topology.rows, -1).shape[1] != 1:
        return (
            "Order is asked of one phase a node with its frequency in node_attr; the held-out data "
            f"have {begin.dim} columns and "
            f"{0 if nodes is None else nodes.reshape(begin.topology.rows, -1).shape[1]} parameters."
        )
    return None
