"""Noise on the states a simulator starts from."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch

import simlearn
from simlearn import ConfigError


class NoiseInjection(simlearn.Stabilizer):
    """Adds Gaussian noise to the state each window starts from.

    The start becomes x + scale · size · ξ with ξ ~ N(0, 1).

    The size is the root mean square of each column of the batch, so that ``scale`` is a share.
    With ``target: clean`` the simulator learns to come back to the data, whose later states stay
    as they are: in directions without data it then contracts (for linear dynamics with second
    moment C it learns M C (C + s²)⁻¹ instead of M). With ``target: shifted`` the whole window is
    moved by the same noise, and those directions are left neutral.

    Args:
        scale: Standard deviation of the noise as a share of each column's size. Good values: 0.001
            to 0.05.
        target: Whether later states stay (clean) or move along (shifted).
    """

    def __init__(self, scale: float = 0.01, target: Literal["clean", "shifted"] = "clean"):
        if scale < 0 or target not in ("clean", "shifted"):
            raise ConfigError(
                f"NoiseInjection needs scale >= 0 and target clean or shifted, got {scale} and "
                f"{target!r}."
            )
        self.scale, self.target = scale, target

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        if self.target == "clean":
            return (
                "Shrinks the response to weak directions of the data: by s²/(λ + s²) where a "
                "direction has energy λ "
                f"and s is {self.scale:g} of the column's size; contracts where there are no data."
            )
        return "Leaves directions without data neutral: errors there neither grow nor shrink."

    def perturb(
        self,
        window: simlearn.Trajectory,
        simulator: simlearn.Simulator,
        rng: torch.Generator,
    ) -> simlearn.Trajectory:
        """The window with noise on its first state, or on all of them alike."""
        size = window.x.pow(2).mean((0, 1)).sqrt()
        noise = torch.randn(window.x.shape[1:], generator=rng, dtype=torch.float64).to(window.x)
        shift = noise * size * self.scale
        moved = window.x + shift if self.target == "shifted" else window.x.clone()
        if self.target == "clean":
            moved[0] = moved[0] + shift
        return dataclasses.replace(window, x=moved)
