"""The leading exponents of a training, and the directions it carries along itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from simlearn import ConfigError, Trajectory
from simlearn.analysis.cocycle import orthonormal
from simlearn.analysis.covariant import backward
from simlearn.analysis.flat import random_frame
from simlearn.analysis.growth import DEAD
from simlearn.analysis.training import pushed
from simlearn_training_dynamics.callbacks.copied import Copied
from simlearn_training_dynamics.callbacks.watch import Watch

ROOM = 512 * 2**20  # bytes that may be spent on frames


class TrainingSpectrum(Watch):
    """The k largest Lyapunov exponents of the training map, for small networks.

    k tangent vectors of weights and memory of the optimizer are pushed through every step, I − η H
    of its batch for plain descent, and orthonormalised by QR. Exponents are per step. With
    ``vectors``, Q and R of the last calls are kept and the covariant vectors found on the way back
    (Ginelli et al. 2007): the directions in weight space that the training itself carries along.
    Their mutual angle near zero means that growth and decay are not cleanly apart.

    Cost: k products with the Hessian a step, 2 to 4 gradients each. On one process only. As with
    twins, randomness that cannot be replayed (dropout) is refused.

    Args:
        every: Steps of the optimizer between two rows.
        count: k.
        vectors: Calls of Lightning at the end of the training whose frames are kept, half of them
            for the vectors to settle; 0 for none.

    Raises:
        ConfigError: A number out of range, or several processes, or frames larger than 512 MB.
    """

    def __init__(self, every: int = 100, count: int = 4, vectors: int = 0):
        super().__init__(every)
        if count < 1 or vectors < 0:
            raise ConfigError(
                f"TrainingSpectrum needs count of at least 1 and vectors >= 0, got {count}, "
                f"{vectors}."
            )
        self.count, self.vectors = count, vectors
        self.frame = torch.zeros(0)
        self.total, self.steps = torch.zeros(0), 0
        self.frames: list[Tensor] = []
        self.factors: list[Tensor] = []
        self._before: tuple[Tensor, int] | None = None

    def begin(self, copied: Copied, kept: Mapping[str, Any]) -> None:
        """Draw the first frame, or go on."""
        if copied.trainer.world_size > 1:
            raise ConfigError("TrainingSpectrum works on one process; leave it out of this one.")
        state = copied.state()
        size = state.numel()
        if not self.count <= size or 8 * size * self.count * max(1, self.vectors) > ROOM:
            raise ConfigError(
                f"TrainingSpectrum is for small networks: {self.count} vectors of {size} numbers "
                f"at {max(1, self.vectors)} times are more than {ROOM // 2**20} MB, or more than "
                "there are. Ask for fewer."
            )
        self.frame = random_frame(1, size, self.count, copied.module.seed)[0].to(state)
        self.total, self.steps = state.new_zeros(self.count), 0
        self.frames, self.factors = [], []
        if kept:
            self.frame, self.total = kept["frame"].to(state), kept["total"].to(state)
            self.steps = kept["steps"]
            self.frames = [one.to(state) for one in kept["frames"]]
            self.factors = [one.to(state) for one in kept["factors"]]

    def ahead(self, windows: Sequence[Trajectory]) -> None:
        """The state from which the steps of a call begin."""
        self.copy.follow()
        self._before = self.copy.state(), self.copy.number()

    def behind(self, windows: Sequence[Trajectory]) -> None:
        """Push the frame through them."""
        copied = self.copy
        assert self._before is not None
        (state, number), rule = self._before, copied.rule()
        upper = torch.eye(self.count, dtype=state.dtype, device=state.device)
        for k, (window, place) in enumerate(copied.places(windows, self.before)):
            state, image = pushed(
                rule,
                lambda weights, w=window, p=place: copied.loss(weights, w, p),  # type: ignore[misc]
                state,
                self.frame,
                number + k,
            )
            self.frame, r = orthonormal(image)
            self.total = self.total + r.diagonal().clamp_min(DEAD).log()
            upper = r @ upper
        self.steps += len(windows)
        if self.vectors:
            self.frames = [*self.frames, self.frame][-self.vectors :]
            self.factors = [*self.factors, upper][-self.vectors :]

    def look(self) -> dict[str, float]:
        """All exponents since the start."""
        found = (self.total / max(1, self.steps)).tolist()
        return {f"training_exponent_{k}": value for k, value in enumerate(found, 1)}

    def memory(self) -> dict[str, Any]:
        """Frame, sums, and what the covariant vectors need."""
        names = ("frame", "total", "steps", "frames", "factors")
        return {name: getattr(self, name) for name in names}

    def covariant(self) -> tuple[Tensor, Tensor] | None:
        """Covariant vectors ``[calls, parts · n, k]`` of the first half of the calls, and all R.

        None where too few were kept, or a direction died out, so that nothing can be carried back.
        """
        half = len(self.factors) // 2
        if half < 1:
            return None
        sizes = torch.stack([r.diagonal() for r in self.factors])
        if float(sizes.min()) < 1e-12 * float(sizes.max()):
            return None
        frames = torch.stack(self.frames[: half + 1])[:, None]
        vectors, _ = backward(frames, [r[None] for r in self.factors[1:]], half, 0)
        return vectors[:, 0], sizes

    def told(self) -> dict[str, Any] | None:
        """The exponents over the steps."""
        if not self.rows:
            return None
        last = self.rows[-1]
        names = [name for name in last if name.startswith("training_exponent_")]
        numbers: dict[str, Any] = {"exponents": [last[name] for name in names]}
        caption = (
            f"The {len(names)} largest exponents of the training map, from "
            f"{last[names[0]]:.3g} to {last[names[-1]]:.3g} per step. "
        )
        found = self.covariant() if self.vectors else None
        if found is not None and self.count > 1:
            vectors = found[0]
            cosines = (vectors.mT @ vectors).abs().clamp(max=1.0)
            off = ~torch.eye(self.count, dtype=torch.bool, device=cosines.device)
            angles = cosines[:, off].acos()
            numbers["least_angle"], numbers["median_angle"] = (
                float(angles.min()),
                float(angles.median()),
            )
            caption += (
                f"Covariant vectors meet at angles from {numbers['least_angle']:.2g} rad, half of "
                f"them above {numbers['median_angle']:.2g}."
            )
        lines = {name: f"exponent {name.rpartition('_')[2]}" for name in names[:6]}
        return self.picture(
            "Spectrum of the training", "exponent per step", lines, caption=caption, numbers=numbers
        )
