"""Are the quantities that the truth conserves conserved?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch

import simlearn
from simlearn import (
    ConfigError,
    Curve,
    DataError,
    Evidence,
    Finding,
    Invariant,
    Map,
    Metric,
    Place,
    Remedy,
    Simulator,
)
from simlearn_checks import causes, remedies
from simlearn_checks.batch import Flock, models, steps_of, together
from simlearn_checks.common import kept_every, line, positive, since
from simlearn_checks.starts import Begin, begins, placed, starts
from simlearn_checks.times import period, refuse, steps_in
from simlearn_checks.trends import BLOCKS, Course, course_of

LEAST = 2 * BLOCKS  # steps
STRUCTURE = Remedy(
    "Use a field that conserves it by construction (Energy, PairForce).", "dynamics", "Energy"
)
SAMPLES = 200  # states that tell the scale of a quantity
MEANING = (
    "what physics conserves is the memory of a simulator: a bounded oscillation is the price of a "
    "finite step, a drift adds up until orbits belong to another system. Quantities that are kept "
    "do not show that the orbits on their surface are right."
)


class InvariantDrift(simlearn.Check):
    """Quantities that the truth conserves do not drift along rollouts.

    Every invariant I of the system (else the energy of a known truth) is followed along rollouts
    from held-out states. Its drift is the slope of a straight line through I(t) − I(0), in parts of
    its own scale per unit of time, per step for maps; the oscillation is what is left, half of its
    range. The scale is how much I changes (root mean square) when every component of a held-out
    state is moved at random by its standard deviation: unlike |I(0)| it is never an accident of
    where zero lies. A rollout that is lost drifts infinitely. Worst start judged.

    Args:
        horizon: Steps of the rollouts, or periods of the data ("20 periods").
        limit: Largest allowed drift of any quantity without a limit of its own.
        limits: Largest allowed drift of quantities by name.
        oscillation: Largest allowed oscillation; not judged by default.
        starts: Held-out states to start from, spread over the held-out trajectories.
        per: What a drift is counted in: the unit of time (of a map, the step), or the period that
            the data show.
    """

    def __init__(
        self,
        horizon: int | str = 2000,
        limit: float = 1e-3,
        limits: Mapping[str, float] | None = None,
        oscillation: float | None = None,
        starts: int = 8,
        per: Literal["time", "period"] = "time",
    ):
        positive(limit=limit, starts=starts, **(limits or {}))
        refuse(horizon)
        if oscillation is not None:
            positive(oscillation=oscillation)
        if not isinstance(horizon, str) and horizon < LEAST:
            raise ConfigError(f"A drift needs a horizon of {LEAST} steps, got {horizon}.")
        if per not in ("time", "period"):
            raise ConfigError(f"A drift is per time or per period, got {per!r}.")
        self.horizon, self.limit, self.limits = horizon, limit, limits
        self.oscillation, self.starts, self.per = oscillation, starts, per

    @classmethod
    def examples(cls) -> list[InvariantDrift]:
        """A hundred steps."""
        return [cls(horizon=100, starts=2)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out, look at every quantity, and fit lines."""
        known = _known(evidence)
        unknown = set(self.limits or {}) - set(known)
        if not known:
            return Finding.not_applicable("Nothing is known to be conserved, for the truth is not.")
        if unknown:
            raise ConfigError(f"limits name {sorted(unknown)}; conserved are {sorted(known)}.")
        horizon = max(LEAST, steps_in(self.horizon, simulator, evidence))
        unit, word = self._unit(simulator, evidence)
        begun = begins(evidence, self.starts)
        flocks = {}
        for name, model in models(simulator, evidence).items():
            steps = steps_of(model, simulator, horizon)
            every = max(1, min(kept_every(steps), steps // (4 * BLOCKS)))
            flocks[name] = together(model, starts(evidence, self.starts), steps, every)
        found: dict[str, dict[str, Course]] = {}
        for name, quantity in known.items():
            scale = _scale(quantity, evidence)
            found[name] = {
                who: course_of(quantity, flock, scale, unit) for who, flock in flocks.items()
            }
        metrics = [m for name, by in found.items() for m in self._metrics(name, by, word)]
        why = [] if all(m.passed for m in metrics) else causes.unsymplectic(simulator, evidence)
        said, advice = causes.told(why)
        return Finding.of(
            metrics,
            self._words(found, flocks[""], word, horizon),
            {f"Invariant: {name}": _curve(by, evidence) for name, by in found.items()},
            remedies.ranked(
                advice, remedies.symplectic(simulator), [STRUCTURE], remedies.finer(simulator)
            ),
            meaning=MEANING,
            worst=self._worst(found, flocks[""], begun, simulator.dt, evidence),
            causes=said,
        )

    def _unit(self, simulator: Simulator, evidence: Evidence) -> tuple[float, str]:
        """What a drift is counted in, and how it is called.

        Raises:
            DataError: It is the period, and there is none.
        """
        if self.per == "period":
            found = period(evidence)
            if found is None:
                raise DataError(
                    "The drift is asked for per period, and the held-out data show none twice. "
                    "Judge it per time, or give longer data."
                )
            return found.value, "period"
        return (simulator.dt, "step") if isinstance(simulator.dynamics, Map) else (1.0, "time")

    def _metrics(self, name: str, by: Mapping[str, Course], word: str) -> list[Metric]:
        mine, limit = by[""], (self.limits or {}).get(name, self.limit)
        rates = {who: course.rate for who, course in by.items() if who}
        widths = {who: course.oscillation for who, course in by.items() if who}
        title, kept = f"oscillation of {name}", self.oscillation
        return [
            Metric(f"drift of {name}", mine.rate, limit, "max", f"1/{word}", mine.noise, rates),
            Metric(title, mine.oscillation, kept, noise=mine.width, beside=widths),
        ]

    def _words(
        self,
        found: Mapping[str, Mapping[str, Course]],
        flock: Flock,
        word: str,
        horizon: int,
    ) -> str:
        if bool((flock.lost >= 0).any()):
            first = int(flock.lost[flock.lost >= 0].min())
            return f"A rollout stops being finite at step {first}: nothing is conserved."
        per = "unit of time" if word == "time" else word
        told = [
            f"{name} drifts by {by[''].rate:.2g} of its scale per {per} and oscillates by "
            f"{by[''].oscillation:.2g}"
            for name, by in found.items()
        ]
        return f"Over {horizon} steps " + "; ".join(told) + "."

    def _worst(
        self,
        found: Mapping[str, Mapping[str, Course]],
        flock: Flock,
        begun: Sequence[Begin],
        dt: float,
        evidence: Evidence,
    ) -> Place:
        """The start of the rollout that is lost first, or drifts most, and where it is furthest."""
        lost = torch.where(flock.lost < 0, torch.iinfo(torch.long).max, flock.lost)
        if bool((flock.lost >= 0).any()):
            system = int(lost.argmin())
            step = int(flock.lost[system])
        else:
            name = max(found, key=lambda n: found[n][""].rate / (self.limits or {}).get(n, 1.0))
            course = found[name][""]
            system = course.worst
            step = round(float(course.t[int(course.off[:, system].abs().argmax())]) / dt)
        number = min(system // max(1, flock.lost.numel() // len(begun)), len(begun) - 1)
        return placed(evidence, begun[number], step, dt)


def _known(evidence: Evidence) -> dict[str, Invariant]:
    if evidence.invariants:
        return dict(evidence.invariants)
    energy = getattr(evidence.truth, "energy", None)
    if energy is None or not getattr(evidence.truth, "autonomous", True):
        return {}
    return {"energy": energy}


@torch.no_grad()
def _scale(quantity: Invariant, evidence: Evidence) -> float:
    """How much a quantity changes where every component is moved by its standard deviation."""
    changes = []
    rng = torch.Generator().manual_seed(evidence.seed)
    per = max(1, SAMPLES // len(evidence.held_out))
    for one in evidence.held_out:
        width = one.x.std((0, 1))
        for x in one.x[:: max(1, one.steps // per)]:
            moved = x + width * torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x)
            changes.append(quantity(moved, one.topology) - quantity(x, one.topology))
    seen = torch.cat(changes).double()
    return float(seen[seen.isfinite()].square().mean().sqrt())


def _curve(by: Mapping[str, Course], evidence: Evidence) -> Curve:
    lines = [line(name, one.t, one.off[:, 0]) for name, one in by.items()]
    caption = (
        "From the first start, in the quantity's own scale. A width is a step, a slope a leak."
    )
    return Curve(lines, since(evidence), "(I − I₀) / scale", caption, focus=True)
