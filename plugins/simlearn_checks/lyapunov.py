"""Do neighbouring orbits part as fast as they should?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Evidence, Finding, Metric, Remedy, Simulator
from simlearn.analysis import growth
from simlearn.analysis.growth import Spectrum
from simlearn_checks import remedies
from simlearn_checks.common import positive
from simlearn_checks.spectra import (
    Wanted,
    curves,
    first_lost,
    lost_orbits,
    structure,
    told,
    words,
)
from simlearn_checks.tangent import LEFT, Setting, ratio, rough, setting, smooth, true_simulator

MOST = 40  # exponents that are computed unless more are asked for
ORBITS = 8  # whose spread tells an error
SIGMAS = 2.0  # standard errors that count as noise
SHARE = 0.15  # of the largest exponent, allowed where nobody says what is
LEAST = 1e-12  # allowed where the largest one is zero
REMEDIES = (
    Remedy(
        "Train through longer rollouts (MultiStep with a larger horizon): growth of errors is "
        "learned along orbits, not at single states.",
        "objective",
        "MultiStep",
    ),
    "If the noise is too large, take more steps or more starts, or allow more by `tolerance`.",
    remedies.NOISE,
    Remedy("Give it data closer to the attractor.", "data"),
)
MEANING = (
    "exponents are what is left of a law once single orbits cannot be compared any more: how long "
    "forecasts hold, how many dimensions an attractor has, how fast volume shrinks. A simulator "
    "may have them right and still be wrong about where orbits go: InvariantMeasure says that."
)


class LyapunovSpectrum(simlearn.Check):
    """The Lyapunov exponents are those of the truth, or of the literature.

    λ_i = lim ln r_ii / t along orbits of the simulator, by QR of the tangent flow (Benettin et al.
    1980), from held-out states. They are held against ``reference``, else against the same number
    computed from the truth where it is known, else only told. Judged is |difference| less its noise
    of two standard errors (over orbits; against the truth over pairs of orbits with one start).
    Noise larger than what is allowed fails, too; 1 / t, the error of an exponent over a time t, is
    counted with it, so orbits that are too short never pass. An orbit that leaves five times the
    region of the data, or the numbers, fails. Told beside: the Kaplan-Yorke dimension, the sum of
    all exponents and what it differs by from the mean divergence of the field, the exponent nearest
    to zero (a flow that does not come to rest has one that is zero, which converges like 3 / t),
    and for Hamiltonian fields how well finite-time exponents pair.

    Args:
        steps: Steps of each orbit.
        transient: Steps before, in which state and tangent vectors settle.
        count: How many exponents, largest first; all, or 40, by default.
        reference: Expected exponents, 1/time.
        tolerance: Allowed difference, 1/time; 0.15 of the largest expected exponent by default.
            Has to be given where that one is zero.
        relative: Allowed difference in parts of each expected exponent, on top.
        starts: Held-out states from which orbits start.
    """

    def __init__(
        self,
        steps: int = 1000,
        transient: int = 200,
        count: int | None = None,
        reference: Sequence[float] | None = None,
        tolerance: float | None = None,
        relative: float = 0.02,
        starts: int = 32,
    ):
        positive(steps=steps, starts=starts)
        if transient < 0 or relative < 0 or (count is not None and count < 1):
            raise ConfigError(
                "LyapunovSpectrum needs transient >= 0, relative >= 0 and count >= 1, got "
                f"{transient}, {relative} and {count}."
            )
        if tolerance is not None:
            positive(tolerance=tolerance)
        if reference is not None and (
            not reference
            or not all(math.isfinite(one) for one in reference)
            or (count is not None and len(reference) != count)
        ):
            raise ConfigError(
                f"The reference must be {count or 'some'} finite exponents, got {list(reference)}."
            )
        if reference is not None and max(reference) == 0 and tolerance is None:
            raise ConfigError("The largest reference is 0: say by `tolerance` what is allowed.")
        self.steps, self.transient, self.count, self.reference = steps, transient, count, reference
        self.tolerance, self.relative, self.starts = tolerance, relative, starts

    @classmethod
    def examples(cls) -> list[LyapunovSpectrum]:
        """Short, told only and against a reference."""
        return [
            cls(steps=40, transient=10, starts=4),
            cls(steps=40, transient=10, starts=4, reference=[0.0, 0.0], tolerance=1.0),
        ]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Follow orbits with their tangent vectors and compare."""
        where = setting(evidence, self.starts)
        if evidence.start().inputs is not None:
            return Finding.not_applicable("The data are driven by control inputs.")
        motion, count = where.motion(simulator), self._count(where)
        trusted = smooth(motion, where, evidence.seed)
        if not trusted.passed:
            return rough(trusted, motion, where, MEANING)
        found = self._spectrum(simulator, where, count, evidence)
        lost = found.lost >= 0
        gone = Metric("share of orbits lost", float(lost.double().mean()), 0.0)
        if bool(lost.all()):
            both = [trusted, gone]
            return Finding.of(
                both, lost_orbits(found), {}, REMEDIES, meaning=MEANING, worst=first_lost(found)
            )
        wanted = self._wanted(simulator, evidence, where, count)
        judged = [] if wanted is None else self._judge(found, wanted, evidence)
        other = [*told(found), *structure(found, simulator, where, self.transient)]
        summary = words(found, wanted) + ("" if not bool(lost.any()) else " " + lost_orbits(found))
        unit = evidence.units.get("time", "")
        return Finding.of(
            [trusted, gone, *judged, *other],
            summary,
            curves(found, wanted, unit),
            REMEDIES,
            meaning=MEANING,
            worst=first_lost(found) if bool(lost.any()) else None,
        )

    def _count(self, where: Setting) -> int:
        n = where.x.shape[1]
        wanted = self.count or (len(self.reference) if self.reference else min(n, MOST))
        if wanted > n:
            raise ConfigError(f"The state has {n} components, so {n} exponents, not {wanted}.")
        return wanted

    def _spectrum(
        self, model: Simulator, where: Setting, count: int, evidence: Evidence, parts: int = 1
    ) -> Spectrum:
        """The spectrum of a simulator with so many steps in each step of the judged one."""
        found = growth.spectrum(
            where.motion(model),
            where.x,
            self.steps * parts,
            count,
            dt=model.dt,
            t0=where.t0,
            transient=self.transient * parts,
            every=parts,
            bound=LEFT * evidence.box(),
            seed=evidence.seed,
        )
        errors = _errors(found, found.each[found.lost < 0], evidence)
        return found if errors is None else replace(found, errors=errors)

    def _wanted(
        self, simulator: Simulator, evidence: Evidence, where: Setting, count: int
    ) -> Wanted | None:
        if self.reference is not None:
            values = torch.tensor(sorted(self.reference, reverse=True), dtype=torch.float64)
            return Wanted(values, "the reference")
        true = true_simulator(simulator, evidence, where)
        if true is None:
            return None
        found = self._spectrum(true, where, count, evidence, ratio(true, simulator))
        if bool((found.lost >= 0).any()):
            raise simlearn.DataError(
                "The truth itself leaves five times the region of the data from held-out states; "
                "give the exponents as `reference`."
            )
        return Wanted(found.exponents, "the truth", found)

    def _judge(self, found: Spectrum, wanted: Wanted, evidence: Evidence) -> list[Metric]:
        """The worst exponent, and whether it is known well enough, in parts of what is allowed."""
        largest = float(wanted.exponents.abs()[0])
        tolerance = self.tolerance or max(SHARE * largest, LEAST)
        allowed = tolerance + self.relative * wanted.exponents.abs()
        noise = SIGMAS * _noise(found, wanted, evidence)
        off = (found.exponents - wanted.exponents).abs()
        worst = int(((off - noise) / allowed).argmax())
        name = f"difference to {wanted.source} beyond noise, worst exponent ({worst + 1})"
        beyond, limit = float((off - noise)[worst].clamp_min(0)), float(allowed[worst])
        error = float(noise[worst]) / SIGMAS
        known = float(((noise + 1 / found.time) / allowed).max())
        return [
            Metric(name, beyond, limit, "max", "1/time", error),
            Metric("noise over what is allowed", known, 1.0),
        ]


def _errors(found: Spectrum, each: Tensor, evidence: Evidence) -> Tensor | None:
    """Standard errors of means over orbits ``[orbits, k]``; None where there are too few.

    Orbits that begin nearer to one another than they are long share parts of their way, so there
    are no more independent ones than fit into the evidence.
    """
    if len(each) < ORBITS:
        return None
    covered = sum(float(one.t[-1].max() - one.t[0].min()) for one in evidence.held_out)
    fit = covered / found.time + len(evidence.held_out)
    return each.std(0) / math.sqrt(min(len(each), fit))


def _noise(found: Spectrum, wanted: Wanted, evidence: Evidence) -> Tensor:
    """Standard errors of the differences; orbit by orbit, for both begin alike."""
    if wanted.found is None:
        return found.errors
    alive = (found.lost < 0) & (wanted.found.lost < 0)
    paired = _errors(found, (found.each - wanted.found.each)[alive], evidence)
    return torch.hypot(found.errors, wanted.found.errors) if paired is None else paired
