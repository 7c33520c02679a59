"""Noise on the states a simulator starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Simulator, Trajectory
from simlearn.analysis.linear import Convention
from simlearn.analysis.subspace import looks_at_whole, subspace
from simlearn_stabilizers.resimulation import intervals, resimulated

EVERYWHERE, COMPLEMENT = 0.01, 0.1  # sizes of noise over the spread, unless one is given
SLOW = 0.1  # κ dt of data whose own rate is unknown
FASTEST = 0.5  # κ dt above which an automatic κ would spoil slow modes


class NoiseInjection(simlearn.Stabilizer):
    """Adds Gaussian noise to the states a simulator learns from: x + ξ, ξ of size ``scale``.

    Where the data carry energy λ, noise of variance s² changes what linear dynamics learn by
    s²/(λ + s²); where they carry none, it decides alone. Both depend on what the targets do
    (`simlearn.analysis.linear.noisy` gives the matrices):

    - corrected: targets stay those of the data, so the simulator learns to come back in one step.
      Without data a state is dead after a step; slow modes are damped by s²/(λ dt) per time. For
      rollouts and recorded slopes; central differences of a window would see noise on the target
      alone, so take restoring targets there.
    - uncorrected: the whole window moves along; slopes stay. Without data: neutral.
    - restoring: the shift shrinks as exp(−κ t), slopes by κ ξ. Without data: rate −κ.
    - measured: fresh noise on every state, as a sensor would add it; a recorded slope is forgotten
      where the window is long enough to difference. Without data: dead after a step of a rollout,
      neutral for slopes.
    - resimulated: targets are computed anew from the noisy start by the true system. No bias.

    Args:
        scale: Standard deviation of the noise over each column's spread; 0.1 where it falls in the
            complement only, 0.01 elsewhere. Small noise heals slowly. Good values: 0.001 to 0.2.
        target: What the targets do.
        kappa: Restoring rate κ, 1/time; by default the fastest rate of the data, at most 0.5/dt.
        where: Noise everywhere, or only in the complement of the data, where it has no bias on
            what the data teach; auto takes the complement where there is one.
        epochs: Epochs with noise, none afterwards; 0 keeps it. It repairs the bias of directions
            that are learned in the epochs without.
        system: The true system, for resimulated targets.
    """

    def __init__(
        self,
        scale: float | None = None,
        target: Convention = "restoring",
        kappa: float | None = None,
        where: Literal["auto", "everywhere", "complement"] = "auto",
        epochs: int = 0,
        system: simlearn.System | None = None,
    ):
        _refuse(scale, target, kappa, epochs, system)
        if where not in ("auto", "everywhere", "complement"):
            raise ConfigError(f"where is auto, everywhere or complement, got {where!r}.")
        self.scale, self.target, self.kappa, self.where = scale, target, kappa, where
        self.epochs, self.system = epochs, system
        self._on = True
        self._rate, self._size, self._normal = 0.0, None, None
        self._scale = EVERYWHERE if scale is None else scale
        self._whole = False

    _size: Tensor | None
    _normal: Tensor | None

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        if self.where == "complement" or self._normal is not None:
            on = "On what the data teach: none, for models that have a constant term."
        elif self.target == "resimulated":
            on = "On what the data teach: none, the targets are true."
        else:
            on = (
                "Shrinks the response to weak directions of the data, by s²/(λ + s²) where a "
                f"direction has energy λ; s is {self._scale:g} of each column's spread."
            )
        off = _WITHOUT_DATA[self.target]
        if self.target == "restoring" and self._size is not None:
            rate = self._rate if self.kappa is None else self.kappa
            off = f"{off[:-1]} of {rate:.3g} per time, taught by noise of {self._scale:g}."
        return f"{on} {off}"

    def observe(self, simulator: Simulator, training: Sequence[Trajectory]) -> None:
        """Measure the columns, and look for directions without data.

        Raises:
            ConfigError: Noise was asked for in the complement only, and there is none.
        """
        self._whole = looks_at_whole(simulator.dynamics)
        found = subspace(training, self._whole)
        self._size = found.energy.scale
        self._rate = min(found.rate or SLOW / simulator.dt, FASTEST / simulator.dt)
        empty = found.normal.shape[1]
        if self.where == "complement" and not empty:
            raise ConfigError(
                "NoiseInjection was asked for noise in the complement of the data, but they have "
                "energy in every direction. Take where: everywhere, or auto."
            )
        self._normal = found.normal if empty and self.where != "everywhere" else None
        if self.scale is None:
            self._scale = EVERYWHERE if self._normal is None else COMPLEMENT

    def epoch(self, number: int) -> None:
        """Noise ends after so many epochs."""
        self._on = not self.epochs or number < self.epochs

    def perturb(self, window: Trajectory, simulator: Simulator, rng: torch.Generator) -> Trajectory:
        """The window with noise, and with the targets that the convention asks for."""
        if not self._on or not self._scale:
            return window
        if self.target == "measured":
            moved = window.x + torch.stack([self._draw(x, rng) for x in window.x])
            slope = None if window.steps >= 3 else window.derivative
            return dataclasses.replace(window, x=moved, derivative=slope)
        shift = self._draw(window.x[0], rng)
        if self.target == "resimulated":
            assert self.system is not None
            return resimulated(window, shift, self.system)
        left, rate = self._left(intervals(window, simulator.dt))
        moved = window.x + left[: window.steps] * shift
        slope = window.derivative
        if slope is not None:
            slope = slope - rate * left[: window.steps] * shift
        return dataclasses.replace(window, x=moved, derivative=slope)

    def _left(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """What is left of the shift at each state, and the rate at which slopes take it back."""
        begin = torch.zeros_like(step[:1])
        if self.target == "corrected":  # all of it is taken back in the first interval
            return torch.cat([begin + 1, 0 * step]), 1 / step[:1]
        rate = 0.0 if self.target == "uncorrected" else self._rate
        rate = rate if self.kappa is None else self.kappa
        time = torch.cat([begin, step.cumsum(0)])
        return torch.exp(-rate * time), torch.full_like(begin, rate)

    def _draw(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Noise for a state ``[rows, dim]``, on the CPU first."""
        drawn = torch.randn(x.shape, generator=rng, dtype=torch.float64)
        size = self._size
        if size is None:  # nobody has shown it the data: the window is all there is
            size = x.detach().double().cpu().square().mean(0).sqrt()
        wide = drawn.reshape(-1, len(size))
        if self._normal is not None:
            wide = wide @ self._normal @ self._normal.mT
        return (self._scale * wide * size).reshape(x.shape).to(x)


_WITHOUT_DATA = {
    "corrected": "States off the data are dead after one step.",
    "uncorrected": "States off the data are left neutral: errors there neither grow nor shrink.",
    "restoring": "States off the data decay at the restoring rate.",
    "measured": "States off the data are dead after one step of a rollout, neutral for slopes.",
    "resimulated": "States off the data are learned from the true system.",
}


def _refuse(
    scale: float | None,
    target: str,
    kappa: float | None,
    epochs: int,
    system: simlearn.System | None,
) -> None:
    if (scale is not None and not scale >= 0) or epochs < 0 or target not in _WITHOUT_DATA:
        raise ConfigError(
            f"NoiseInjection needs scale >= 0, epochs >= 0 and one of {', '.join(_WITHOUT_DATA)} "
            f"as target; got {scale}, {epochs} and {target!r}."
        )
    if kappa is not None and (target != "restoring" or not kappa >= 0):
        raise ConfigError(
            f"kappa is the rate of restoring targets, at least 0; got {kappa} with {target}."
        )
    if (target == "resimulated") != (system is not None):
        raise ConfigError(
            "Resimulated targets need the true `system`, and no others take one; got target "
            f"{target} and {'a' if system is not None else 'no'} system."
        )
