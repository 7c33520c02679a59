"""Sharpness against the edge of stability."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from simlearn import ConfigError, Trajectory
from simlearn.analysis.training import edge, largest
from simlearn_training_dynamics.callbacks.copied import Copied
from simlearn_training_dynamics.callbacks.watch import Watch


class Sharpness(Watch):
    """Largest curvature of the loss, and how much of it the optimizer can bear.

    The sharpness is the largest eigenvalue of the Hessian H of the loss over all weights, weight
    decay included; under Adam, AdamW or RMSprop that of P^-½ H P^-½ with their preconditioner P as
    it stands. A quadratic loss is stable up to 2/η, with momentum β up to 2 (1 + β)/η, under Adam
    up to (2 + 2 β₁)/((1 − β₁) η), 38/η at β₁ = 0.9. Trainings with full batches rise to that limit
    and hover there: the edge of stability (Cohen et al. 2021, 2022). Beyond it the loss is no
    longer monotone.

    It is measured on a fixed draw of training windows, the probe, without what stabilizers perturb,
    in float64, by Lanczos with warm start. Of minibatches it is the curvature of the whole draw,
    which is smaller than that of a batch. Several processes: the first measures, the others wait.
    While the learning rate is zero, there is nothing to tell.

    Cost: 13 to 19 gradients of the probe a look, which is 6 products with the Hessian; up to
    ``products`` of them, 2 to 3 gradients each, where the curvature changes fast. A probe that is
    larger than a batch costs that much more.

    Args:
        every: Steps of the optimizer between two looks.
        probe: Windows in the draw; all of them where there are fewer.
        products: Products with the Hessian in a look, at most.
        tolerance: Relative residual at which a look ends; the eigenvalue is at least that near.

    Raises:
        ConfigError: A number that is not positive.
    """

    evaluating = True

    def __init__(
        self, every: int = 100, probe: int = 4096, products: int = 30, tolerance: float = 1e-2
    ):
        super().__init__(every)
        if probe < 1 or products < 1 or not tolerance > 0:
            raise ConfigError(
                "Sharpness needs probe, products and tolerance above zero, got "
                f"{probe}, {products} and {tolerance}."
            )
        self.probe, self.products, self.tolerance = probe, products, tolerance
        self.vector: Any = None
        self.spent = 0
        self._windows: list[Trajectory] = []
        self._length = -1

    def begin(self, copied: Copied, kept: Mapping[str, Any]) -> None:
        """Go on from the eigenvector found last."""
        self.vector, self.spent = kept.get("vector"), kept.get("spent", 0)
        self._length = -1

    def look(self) -> dict[str, float]:
        """Sharpness, limit, and their ratio; nothing where the learning rate is zero."""
        copied = self.copy
        if largest(copied.rule().rate) <= 0:  # a warm-up from zero: no step, so no limit
            return {}
        copied.follow()
        length = copied.module.objective.length(copied.trainer.datamodule.training)
        if length != self._length:  # a curriculum has taken its next lesson
            self._windows, self._length = copied.probe(self.probe), length
        state = copied.state()
        start = None if self.vector is None else self.vector.to(state)
        found = edge(
            lambda weights: copied.mean_loss(weights, self._windows),
            state,
            copied.rule(),
            copied.number() or 1,
            start=start,
            most=self.products,
            tolerance=self.tolerance,
            seed=copied.module.seed,
        )
        if found.residual < math.inf:  # else the training is lost, which it says itself
            self.vector = found.vector
        self.spent += found.products
        return {
            "sharpness": found.sharpness,
            "sharpness_limit": found.limit,
            "edge_of_stability": found.share,
            "sharpness_residual": found.residual,
            "hessian_products": float(found.products),
        }

    def memory(self) -> dict[str, Any]:
        """The eigenvector, for a warm start."""
        return {"vector": self.vector, "spent": self.spent}

    def told(self) -> dict[str, Any] | None:
        """Sharpness and its limit over the steps."""
        if not self.rows:
            return None
        late = self.rows[-max(1, len(self.rows) // 4) :]
        share = sorted(row["edge_of_stability"] for row in late)
        middle = share[len(share) // 2]
        lines = {"sharpness": "sharpness", "sharpness_limit": "limit of the optimizer"}
        return self.picture(
            "Sharpness",
            "largest curvature of the loss",
            lines,
            caption=f"In the last quarter the sharpness was {middle:.3g} of what the optimizer can "
            f"bear (from {share[0]:.3g} to {share[-1]:.3g}). At 1 a training is at the edge of "
            "stability; above it the sharpest direction grows.",
            numbers={"share_of_limit": middle, "hessian_products": self.spent},
        )
