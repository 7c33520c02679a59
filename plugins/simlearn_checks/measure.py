"""Does a long rollout visit what the truth visits, as often and at the same pace?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import simlearn
from simlearn import (
    ConfigError,
    Curve,
    DataError,
    Evidence,
    Finding,
    Metric,
    Place,
    Simulator,
    Trajectory,
)
from simlearn.analysis import flat, measure
from simlearn_checks import remedies
from simlearn_checks.batch import Flock, meets, models, together
from simlearn_checks.common import per, positive, row_names
from simlearn_checks.distributions import histograms, power_spectra
from simlearn_checks.starts import evenly, spread
from simlearn_checks.times import refuse, steps_in

FEWEST, LEAST = 3, 16  # segments, and samples of each
COLUMNS = 24  # coordinates that are looked at one by one, evenly spaced
STILL = 1e-6  # of the largest spread: a column below it does not move
DRAWN = 3  # of them have a picture
THIN = 200  # states of a segment whose distances in pairs are taken
FEW = 10  # independent samples in a segment, below which it is told
Name = Literal["wasserstein", "sliced", "hellinger", "mmd", "spectrum"]
DISTANCES: Mapping[str, Callable[[Tensor, Tensor], float]] = {
    "wasserstein": lambda a, b: float(measure.wasserstein(a, b).mean()),
    "sliced": lambda a, b: measure.sliced(a, b),
    "hellinger": lambda a, b: float(measure.hellinger(a, b).mean()),
    "mmd": lambda a, b: measure.mmd(_thin(a), _thin(b)),
    "spectrum": lambda a, b: float(measure.spectral(a, b).mean()),
}
MEANING = (
    "once a forecast is lost, a simulator can still be right on average: the same states as often, "
    "the same frequencies. That is what statistics, climates and risks are made of. Measures that "
    "agree do not make single forecasts right, nor say anything of states that data never reached."
)


@dataclass(frozen=True)
class Pieces:
    """Segments of held-out data, and what rollouts from their beginnings look like later."""

    begins: list[Trajectory]
    truth: Tensor
    spacing: float
    note: str


class InvariantMeasure(simlearn.Check):
    """Long rollouts are as near to held-out data as pieces of the data are to one another.

    Held-out data are cut into segments as long as the horizon. From the beginning of each a rollout
    runs over the transient and then as long as a segment. The mean distance of rollouts to true
    segments, over that of true segments to one another (no rollout is held against the segment it
    started with), is judged: 1 is as good as drawing new data, up to 1.5 cannot be told from it by
    few segments. Distances: "wasserstein" (mean over coordinates), "sliced" (random directions),
    "hellinger" (histograms), "mmd" (Gaussian kernel), "spectrum" (Hellinger distance of normalised
    power spectra, which sees pace). Coordinates are taken in their standard deviations. Data with
    noise of measurement have spectra that no simulator has; leave "spectrum" out there.

    Args:
        horizon: Steps of a segment, or periods of the data ("20 periods"); long against the slowest
            oscillation.
        transient: Steps before a rollout is looked at.
        limit: Largest allowed ratio.
        distances: Those that are judged; the others are told.
        segments: Most segments that are used.
    """

    def __init__(
        self,
        horizon: int | str = 500,
        transient: int = 1000,
        limit: float = 1.5,
        distances: Sequence[Name] = ("wasserstein", "spectrum"),
        segments: int = 12,
    ):
        positive(limit=limit)
        refuse(horizon)
        if transient < 0 or segments < FEWEST:
            raise ConfigError(
                f"InvariantMeasure needs transient >= 0 and at least {FEWEST} segments, got "
                f"{transient} and {segments}."
            )
        if limit < 1:
            raise ConfigError(f"limit is a ratio that is 1 for the truth itself, got {limit}.")
        if not distances or set(distances) - set(DISTANCES):
            raise ConfigError(f"distances are of {sorted(DISTANCES)}, got {list(distances)}.")
        self.horizon, self.transient, self.limit = horizon, transient, limit
        self.distances, self.segments = distances, segments

    @classmethod
    def examples(cls) -> list[InvariantMeasure]:
        """Three hundred steps."""
        return [cls(horizon=300, transient=20, segments=4)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Cut the data, roll out, and hold all against all."""
        if evidence.start().inputs is not None:
            return Finding.not_applicable("The data are driven by control inputs.")
        pieces = self._pieces(simulator, evidence, steps_in(self.horizon, simulator, evidence))
        flocks = {
            name: self._rolled(model, simulator, pieces)
            for name, model in models(simulator, evidence).items()
            if meets(model, pieces.spacing)  # another reference has no samples to compare
        }
        states = {name: flock.systems()[-len(pieces.truth) :] for name, flock in flocks.items()}
        middle = pieces.truth.flatten(0, 1)
        mean, scale = middle.mean(0), middle.std(0)
        moves = (scale > STILL * scale.max()).nonzero()[:, 0]
        if not len(moves):
            raise DataError("The held-out data never move: there is no measure to compare.")
        chosen = moves[spread(len(moves), COLUMNS)].tolist()  # a constant has no distribution
        unit = {
            name: ((x - mean) / scale)[..., chosen]
            for name, x in {**states, "(truth)": pieces.truth}.items()
        }
        metrics = self._metrics(unit, flocks)
        worth = min(float(measure.effective(one).min()) for one in unit["(truth)"].unbind(1))
        metrics.append(Metric("independent samples in a segment, least", worth))
        return Finding.of(
            metrics,
            self._words(metrics, flocks[""], worth) + pieces.note,
            self._curves(states, pieces, chosen, evidence),
            remedies.ranked(
                [remedies.LONGER_ROLLOUTS, remedies.NOISE, remedies.MORE_DATA],
                remedies.finer(simulator),
            ),
            meaning=MEANING,
            worst=self._worst(pieces, flocks[""], unit, chosen),
        )

    def _worst(
        self, pieces: Pieces, flock: Flock, unit: Mapping[str, Tensor], chosen: Sequence[int]
    ) -> Place:
        """The rollout that was lost first, or the column whose values are furthest from true."""
        if bool((flock.lost >= 0).any()):
            lost = torch.where(flock.lost < 0, torch.iinfo(torch.long).max, flock.lost)
            return Place(step=int(lost.min()))
        apart = measure.wasserstein(unit[""].flatten(0, 1), unit["(truth)"].flatten(0, 1))
        row, column = divmod(chosen[int(apart.argmax())], pieces.begins[0].dim)
        several = pieces.begins[0].topology.rows > 1
        return Place(row=row_names(pieces.begins[0])[row] if several else "", column=column)

    def _pieces(self, simulator: Simulator, evidence: Evidence, horizon: int) -> Pieces:
        """Segments that do not overlap.

        Raises:
            DataError: Fewer than three, or too short.
        """
        even = evenly(evidence, simulator.dt)
        evidence, steps, skip = even.evidence, even.steps, even.skip
        first = evidence.start()
        length = horizon // steps * skip
        samples = length // skip
        if samples < LEAST:
            raise DataError(
                f"A segment of {horizon} steps has {samples} samples; {LEAST} are needed. "
                "Take a longer horizon, or data that are sampled more often."
            )
        every = [
            one.slice(k, k + length, skip)
            for one in evidence.held_out
            if one.topology.rows == first.topology.rows
            for k in range(0, one.steps - length + 1, length)
        ]
        if len(every) < FEWEST:
            raise DataError(
                f"{FEWEST} segments of {horizon} steps are needed, the held-out data hold "
                f"{len(every)}. Shorten the horizon in the gate, or generate longer evidence."
            )
        begins = [every[k] for k in spread(len(every), self.segments)]
        truth = torch.cat([flat.states(one) for one in begins], 1)
        return Pieces(begins, truth, steps * simulator.dt, even.note)

    def _rolled(self, model: Simulator, judged: Simulator, pieces: Pieces) -> Flock:
        every = max(1, round(pieces.spacing / model.dt))
        before = math.ceil(self.transient * judged.dt / (every * model.dt))
        return together(model, pieces.begins, every * (before + len(pieces.truth) - 1), every)

    def _metrics(self, unit: Mapping[str, Tensor], flocks: Mapping[str, Flock]) -> list[Metric]:
        truth = list(unit["(truth)"].unbind(1))
        lost = float((flocks[""].lost >= 0).double().mean())
        metrics = [Metric("share of rollouts lost", lost, 0.0)]
        for name, distance in DISTANCES.items():
            found = {
                who: measure.calibrated(distance, list(unit[who].unbind(1)), truth, paired=True)
                for who in flocks
            }
            mine = found.pop("")
            limit = self.limit if name in self.distances else None
            beside = {who: one.ratio for who, one in found.items()}
            title = f"{name}: to truth over truth to truth"
            metrics.append(Metric(title, mine.ratio, limit, noise=mine.noise, beside=beside))
        return metrics

    def _words(self, metrics: Sequence[Metric], flock: Flock, worth: float) -> str:
        lost = flock.lost[flock.lost >= 0]
        if len(lost):
            return (
                f"{len(lost)} of {len(flock.lost)} rollouts stop being finite, the first at step "
                f"{int(lost.min())}: there is no measure to speak of."
            )
        judged = [m for m in metrics if m.limit is not None and m.name.split(":")[0] in DISTANCES]
        told = ", ".join(f"{m.value:.2f} by {m.name.split(':')[0]}" for m in judged)
        good = all(m.passed for m in judged)
        text = (
            f"Rollouts after {self.transient} steps are {told} times as far from held-out data as "
            "these are from one another: "
            + ("as good as new data." if good else "they do not live where the truth does.")
        )
        few = f" A segment holds {worth:.0f} independent samples only; take a longer horizon."
        return text + (few if worth < FEW else "")

    def _curves(
        self,
        states: Mapping[str, Tensor],
        pieces: Pieces,
        chosen: Sequence[int],
        evidence: Evidence,
    ) -> dict[str, Curve]:
        pictures = {}
        unit = evidence.units.get("time", "")
        frequency = "frequency" + (per(f"1/{unit}") if unit else "")
        for k in chosen[:DRAWN]:
            name = f"component {k + 1}"
            pictures[f"Distribution of {name}"] = histograms(states, pieces.truth, k, name)
        spectra = power_spectra(states, pieces.truth, chosen[0], pieces.spacing, frequency)
        pictures[f"Power spectrum of component {chosen[0] + 1}"] = spectra
        return pictures


def _thin(x: Tensor) -> Tensor:
    return x[:: math.ceil(len(x) / THIN)]
