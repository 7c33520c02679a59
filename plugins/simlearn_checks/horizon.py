"""How long does a forecast hold, and how many rollouts are lost?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

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
from simlearn.analysis import growth
from simlearn.analysis.horizon import Validity, valid_time
from simlearn_checks import causes, remedies
from simlearn_checks.batch import climate, distances, models, together
from simlearn_checks.common import positive
from simlearn_checks.horizon_pictures import error_growth, survival
from simlearn_checks.starts import Even, begins, evenly, grid, starts
from simlearn_checks.tangent import LEFT, ratio, rough, setting, smooth, true_simulator
from simlearn_checks.times import refuse, steps_in

STEPS, TRANSIENT, ANCHORS = 1000, 200, 32  # of the orbits that give the exponent
MEANING = (
    "in a chaotic system any error grows e-fold in a Lyapunov time, so a forecast is worth the "
    "logarithm of how good the simulator is. A small number in Lyapunov times is a poor law; a "
    "small number of time units may be just the system's nature."
)


class ValidPredictionTime(simlearn.Check):
    """Forecasts hold for so many Lyapunov times, in the median over starts.

    The valid prediction time is λ₁ · min {t: ‖e(t)‖ > threshold · rms}, rms the root mean square of
    held-out states about their mean, e the distance to held-out data. About ln(threshold / e₀) is
    what a perfect law with an error e₀ at the start has. Times are cut at the horizon.

    Args:
        horizon: Steps of the forecasts, or periods of the data ("50 periods").
        threshold: Error in units of the rms at which a forecast is lost.
        minimum: Smallest allowed median, in Lyapunov times.
        starts: Held-out states to start from, at most; several inside long trajectories.
        exponent: The largest Lyapunov exponent λ₁, 1/time; computed from the truth where it is
            known, else from the simulator, by default; has to be given for driven systems.
    """

    def __init__(
        self,
        horizon: int | str = 1000,
        threshold: float = 0.4,
        minimum: float = 1.0,
        starts: int = 50,
        exponent: float | None = None,
    ):
        positive(threshold=threshold, minimum=minimum, starts=starts)
        refuse(horizon)
        if exponent is not None:
            positive(exponent=exponent)
        self.horizon, self.threshold, self.minimum = horizon, threshold, minimum
        self.starts, self.exponent = starts, exponent

    @classmethod
    def examples(cls) -> list[ValidPredictionTime]:
        """Forty steps, with the exponent computed and given."""
        return [cls(horizon=40, starts=5), cls(horizon=40, starts=5, exponent=1.0)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Forecast from every start and see when each is lost."""
        even = evenly(evidence, simulator.dt)
        evidence = even.evidence
        samples = self._samples(even, steps_in(self.horizon, simulator, evidence))
        where, at = begins(evidence, self.starts, samples), starts(evidence, self.starts, samples)
        exponent = self.exponent or self._exponent(simulator, evidence)
        if isinstance(exponent, Finding):
            return exponent
        steps = (samples - 1) // even.skip * even.steps
        reach = steps * simulator.dt * exponent
        if reach < self.minimum:
            raise ConfigError(
                f"A horizon of {steps} steps is {reach:.3g} Lyapunov times, less than the "
                f"minimum of {self.minimum:g}: nothing could pass. Take a longer horizon."
            )
        found, curves = self._forecasts(simulator, evidence, at, samples, exponent)
        metrics, mine = self._metrics(found, exponent), found[""]
        worst = int(mine.times.argmin())
        step = round(float(mine.times[worst]) / exponent / simulator.dt)
        begin = at[worst]
        when = float(begin.t[0].min()) + step * simulator.dt
        why: tuple[tuple[str, ...], list[str]] = ((), [])
        if not metrics[0].passed:
            why = self._why(simulator, evidence, begin, exponent)
        return Finding.of(
            metrics,
            self._words(mine, exponent) + even.note,
            curves,
            remedies.ranked(
                why[1], [remedies.LONGER, remedies.LONGER_ROLLOUTS], remedies.finer(simulator)
            ),
            meaning=MEANING,
            worst=Place(even.numbers[where[worst].trajectory], step, when),
            causes=why[0],
        )

    def _forecasts(
        self,
        simulator: Simulator,
        evidence: Evidence,
        at: Sequence[Trajectory],
        samples: int,
        exponent: float,
    ) -> tuple[dict[str, Validity], dict[str, Curve]]:
        """How long forecasts hold, and pictures of it."""
        scale, times, errors = climate(evidence), {}, {}
        found: dict[str, Validity] = {}
        for name, model in models(simulator, evidence).items():
            each, other = _grid(evidence.start(), model.dt)
            if not 0 < other < samples:
                continue  # a reference that meets no sample is left out of the picture
            flock = together(model, at, (samples - 1) // other * each, each)
            error = distances(flock, at, other)
            gap = each * model.dt
            found[name] = valid_time(error, scale, self.threshold, gap, exponent)
            errors[name] = error / scale
            times[name] = gap * exponent * torch.arange(len(error), dtype=torch.float64)
        return found, {
            "Growth of the error": error_growth(times, errors, self.threshold),
            "Forecasts that still hold": survival(found),
        }

    def _why(
        self,
        simulator: Simulator,
        evidence: Evidence,
        begin: Trajectory,
        exponent: float,
    ) -> tuple[tuple[str, ...], list[str]]:
        """Likely causes for the forecast that is lost first."""
        scale, steps = climate(evidence), math.ceil(self.minimum / exponent / simulator.dt)

        def error(one: Trajectory) -> float:
            if one.status != "ok":
                return math.inf
            last = int((begin.t - one.t[-1]).abs().argmin())
            return float((one.x[-1] - begin.x[last]).norm()) / scale

        word = f"the error after {self.minimum:g} Lyapunov times, over the spread of the data,"
        return causes.of_start(simulator, evidence, begin, steps, error, self.threshold, word)

    def _samples(self, even: Even, horizon: int) -> int:
        """How many samples in a row a forecast is compared with, the start among them.

        Raises:
            DataError: The horizon does not reach the first one.
        """
        samples = horizon * even.skip // even.steps
        if not samples:
            raise DataError(
                f"The data are sampled every {even.steps} steps: a horizon of {horizon} "
                "reaches no sample. Take a longer horizon, or data sampled more often."
            )
        return samples + 1

    def _exponent(self, simulator: Simulator, evidence: Evidence) -> float | Finding:
        """The largest exponent of the truth or of the simulator, or why there is none."""
        if evidence.start().inputs is not None:
            return Finding.not_applicable(
                "The data are driven by control inputs, and growth under one that is held fixed is "
                "no Lyapunov exponent. Give `exponent`."
            )
        where = setting(evidence, ANCHORS)
        true = true_simulator(simulator, evidence, where)
        model, parts = (true, ratio(true, simulator)) if true is not None else (simulator, 1)
        motion = where.motion(model)
        trusted = smooth(motion, where, evidence.seed)
        if not trusted.passed:
            return rough(trusted, motion, where, MEANING)
        found = growth.spectrum(
            motion,
            where.x,
            STEPS * parts,
            1,
            dt=model.dt,
            t0=where.t0,
            transient=TRANSIENT * parts,
            every=parts,
            bound=LEFT * evidence.box(),
            seed=evidence.seed,
        )
        value, lost = float(found.exponents[0]), found.lost[found.lost >= 0]
        if len(lost) == len(found.lost):
            told = f"Every orbit leaves the region of the data, the first at step {lost.min()}."
            gone = Metric("share of orbits lost", 1.0, 0.0)
            return Finding.of([gone], told, meaning=MEANING)
        if value * found.time < 3:
            return Finding.not_applicable(
                f"The largest exponent, {value:.2g} over a time of {found.time:g}, cannot be told "
                "from zero: there is no Lyapunov time. Judge by ForecastError, or give `exponent`."
            )
        return value

    def _metrics(self, found: Mapping[str, Validity], exponent: float) -> list[Metric]:
        mine, unit = found[""], "Lyapunov times"
        others = {name: one for name, one in found.items() if name}
        beside = {name: one.median for name, one in others.items()}
        low = {name: one.quartiles[0] for name, one in others.items()}
        title, longer = "median valid prediction time", float(mine.censored.double().mean())
        return [
            Metric(title, mine.median, self.minimum, "min", unit, mine.noise, beside),
            Metric("lower quartile of it", mine.quartiles[0], unit=unit, beside=low),
            Metric("upper quartile of it", mine.quartiles[1], unit=unit),
            Metric("share of starts that outlast the horizon", longer),
            Metric("starts", float(len(mine.times))),
            Metric("largest Lyapunov exponent", exponent, unit="1/time"),
        ]

    def _words(self, mine: Validity, exponent: float) -> str:
        more = "at least " if mine.at_least else ""
        low, high = mine.quartiles
        return (
            f"Forecasts from {len(mine.times)} starts hold for {more}{mine.median:.3g} Lyapunov "
            f"times in the median (quartiles {low:.3g} and {high:.3g}; one Lyapunov time is "
            f"{1 / exponent:.3g}), until their error is {self.threshold:g} of the spread of the "
            "data."
        )


def _grid(one: Trajectory, dt: float) -> tuple[int, int]:
    """Like ``grid``; (0, 0) where steps and samples do not meet."""
    try:
        return grid(one, dt)
    except DataError:
        return 0, 0
