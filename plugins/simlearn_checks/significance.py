"""Are held-out states, and their graphs, like those of the training in the eyes of an ensemble?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

import simlearn
from simlearn import (
    ConfigError,
    Curve,
    Evidence,
    Finding,
    Line,
    Metric,
    Place,
    Remedy,
    Simulator,
    Trajectory,
)
from simlearn.analysis.significance import members_of
from simlearn_checks.common import positive
from simlearn_checks.significance_graph import Asked, OnGraph, attached, examine

REMEDIES = {
    "rejected": Remedy(
        "Train on states like the held-out ones: more starts, a wider range, longer trajectories.",
        "data",
    ),
    "rel": "Train on graphs like the held-out ones: other degrees, hubs, leaves. A pair term whose "
    "networks see one node at a time (GraphCoupled with Factorised) carries over to other degrees "
    "more often than networks that see sums over neighbours.",
}
MEANING = (
    "members that were trained on different samples of the data agree where the data taught them. "
    "A pass says that held-out states are as usual as the training's, and their graphs too. It "
    "does not say that predictions are right: an error that all members share, such as a law that "
    "changed, is seen by neither test."
)


class Significance(simlearn.Check):
    """Held-out states are as usual for their graph, and the graph for the training, as asked.

    Members of an `Ensemble`, or the simulator and its siblings, are compared: where they part more
    than at training-like states on the same graph, a state is unusual (p); where they part more
    relative to dx/dt than on graphs like those of the training, the graph is (REL). The null is
    drawn on each held-out graph, so p is exact in finite samples. After Vasiliauskaite and
    Antulov-Fantulin (2024), whose null is drawn on the training graph and rejects denser ones.

    Args:
        level: α of each test, and of false discoveries over nodes.
        rejected: Largest share of held-out states that may be unusual; of states like the
            training's, ``level`` are.
        rel: Largest REL of any held-out graph. It was found to tell errors of three times the
            usual from usual ones at 2.
        states: Held-out states tested, spread evenly over trajectories and times.
        draws: Null draws; half as many measure each node.
        null: "states": nodes are drawn one by one from all training states; right for data
            without an order in time. "rollouts": rollouts on the held-out graph from starts whose
            nodes are drawn from the training's starts, compared at equal times; right for
            trajectories. "auto": by what the training data are.
        horizon: Longest time since the start that is tested, in steps, with rollouts.
        graphs: Held-out graphs that are looked at. With other weights of the edges or parameters
            of the nodes, a graph is another.
    """

    asks_training: ClassVar[bool] = True

    def __init__(
        self,
        level: float = 0.05,
        rejected: float = 0.2,
        rel: float = 2.0,
        states: int = 32,
        draws: int = 199,
        null: Literal["auto", "states", "rollouts"] = "auto",
        horizon: int = 100,
        graphs: int = 3,
    ):
        positive(level=level, rejected=rejected, rel=rel, states=states, graphs=graphs)
        if level >= 1 or draws < 4 or horizon < 1 or null not in ("auto", "states", "rollouts"):
            raise ConfigError(
                "Significance needs level below 1, draws of at least 4, horizon of at least 1 and "
                f"null auto, states or rollouts; got {level}, {draws}, {horizon} and {null}."
            )
        self.level, self.rejected, self.rel = level, rejected, rel
        self.states, self.draws, self.null = states, draws, null
        self.horizon, self.graphs = horizon, graphs

    @classmethod
    def examples(cls) -> list[Significance]:
        """With few draws."""
        return [cls(states=4, draws=19, graphs=1), cls(draws=19, null="rollouts", horizon=4)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Test states graph by graph."""
        members = members_of(simulator, evidence.siblings)
        if members is None:
            return Finding.not_applicable(
                "Significance compares the members of an ensemble, and this is one simulator. "
                "Train an Ensemble, or sister seeds (simlearn fit --seeds 5) and give them with "
                "--sibling."
            )
        if not evidence.training:
            return Finding.not_applicable(
                "Significance compares with the training data, and there are none. Give "
                "--training-data FILE.h5."
            )
        if any(one.inputs is not None for one in (*evidence.training, *evidence.held_out)):
            return Finding.not_applicable(
                "Significance does not know which control inputs to draw."
            )
        evidence.start()
        graphs: dict[tuple[object, ...], list[Trajectory]] = {}
        for one in evidence.held_out:
            graphs.setdefault(attached(one.topology), []).append(one)
        null = self.null
        if null == "auto":
            null = "states" if all(one.steps < 3 for one in evidence.training) else "rollouts"
        each = -(-self.states // min(len(graphs), self.graphs))
        asked = Asked(null == "rollouts", each, self.draws, self.level, self.rel, self.horizon)
        chosen = list(graphs.values())[: self.graphs]
        found = [examine(asked, simulator, members, own, evidence) for own in chosen]
        return self._told(found, len(graphs))

    def _told(self, found: Sequence[OnGraph], graphs: int) -> Finding:
        p = torch.cat([one.p for one in found])
        share, count = float((p <= self.level).double().mean()), len(p)
        odd = max(found, key=lambda one: one.rel)
        noise = math.sqrt(max(share * (1 - share), 0.25 / count) / count)
        metrics = [
            Metric("held-out states rejected", share, self.rejected, "max", noise=noise),
            Metric("REL of the worst graph", odd.rel, self.rel, "max", noise=_uncertain(odd)),
            Metric("nodes rejected", max(one.nodes for one in found)),
            Metric("inputs out of the training range", max(one.exit for one in found)),
        ]
        told = " ".join(dict.fromkeys(sentence for one in found for sentence in one.said))
        left = (
            f" {graphs - len(found)} more graphs were not looked at." if graphs > len(found) else ""
        )
        summary = f"{count} states on {len(found)} of {graphs} held-out graphs. {told}{left}"
        failed = dict(zip(REMEDIES, (m.passed for m in metrics), strict=False))
        remedies = [REMEDIES[name] for name, passed in failed.items() if not passed]
        details = {"p": p.tolist(), "rel": [one.rel for one in found]}
        curves = self._curves(found)
        low = min(found, key=lambda one: float(one.p.min()))
        return Finding.of(
            metrics,
            summary,
            curves,
            remedies,
            meaning=MEANING,
            details=details,
            worst=Place(time=float(low.t[int(low.p.argmin())])),
            causes=_causes(found) if remedies else (),
        )

    def _curves(self, found: Sequence[OnGraph]) -> dict[str, Curve]:
        def line(k: int, one: OnGraph, y: Tensor) -> Line:
            return Line(one.t.tolist(), y.tolist(), "judged", str(k), f"graph {k}", [0.0] * len(y))

        timed = any(len(one.t.unique()) > 1 for one in found)
        label = "time since the start" if timed else "states"
        for one in found if not timed else ():
            one.t = torch.arange(len(one.p), dtype=torch.float64)
        p = [line(k, one, one.p) for k, one in enumerate(found)]
        ends = (min(float(one.t.min()) for one in found), max(float(one.t.max()) for one in found))
        limit = Line(list(ends), [self.level] * 2, "reference", label=f"level {self.level:g}")
        spread = [
            Line([0.0, 1.0], [float(one.family.min()), float(one.family.max())], "truth", str(k))
            for k, one in enumerate(found)
        ]
        spread += [
            Line([0.5], [one.spread], "judged", str(k), f"graph {k}", [0.0])
            for k, one in enumerate(found)
        ]
        told = "Dots below the line are states at which members part more than chance lets them."
        here = "Dots: held-out graphs. Lines: least and most on graphs like those of the training."
        return {
            "p of held-out states": Curve([*p, limit], label, "p", told, y_scale="log"),
            "Spread of members over dx/dt": Curve(spread, "", "spread / |dx/dt|", here),
        }


def _causes(found: Sequence[OnGraph]) -> tuple[str, ...]:
    worst = max(one.exit for one in found)
    if not worst:
        return ("All inputs of the networks lie in the range of the training.",)
    return (f"On the worst graph {worst:.0%} of the nodes have inputs out of the training range.",)


def _uncertain(one: OnGraph) -> float:
    """Standard error of REL by that of the family's median, half the gap of its neighbours."""
    count = len(one.family)
    wide = min(0.5, 0.5 / math.sqrt(count))
    ends = torch.quantile(one.family, torch.tensor([0.5 - wide, 0.5 + wide], dtype=torch.float64))
    middle = float(one.family.median())
    return one.rel * float(ends[1] - ends[0]) / 2 / middle if middle > 0 else 0.0
