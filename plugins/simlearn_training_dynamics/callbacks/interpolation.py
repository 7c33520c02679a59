"""Whether stochastic gradients let a training settle where it has come to rest."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from simlearn import ConfigError, DataError
from simlearn.analysis.training import (
    Descent,
    descent_exponent,
    hessian_products,
    normal_space,
    sgd_exponent,
)
from simlearn_training_dynamics.callbacks.copied import Copied, Place
from simlearn_training_dynamics.callbacks.watch import Watch

MOST = 2000  # weights up to which the Hessian is laid out


class SGDExponent(Watch):
    """The exponent of stochastic gradient descent at the minimum that a training ends in.

    λ = lim (1/k) ln ‖Π (I − η H_b)‖ over batches b, across the set of minima, with the weights held
    where the training left them; beside it the exponent of full gradients, max ln |1 − η h|. Weight
    decay is added to H_b and h. Below zero SGD can settle at this minimum, above zero it is driven
    away (Chemnitz and Engel 2024). The theory is of minima that fit all samples, so look at the
    loss told beside it. η is that of the end; where a schedule ends at zero, nothing is told.

    Cost, once at the end: a product with the Hessian for each weight and one for each batch. For
    networks of at most 2000 weights, trained by SGD without momentum, on one process.

    Args:
        batches: Batches in the product, in the order of epochs to come.
        probe: Windows whose Hessian tells which directions lie across the minima.
        flat: Curvature, over the largest, up to which a direction lies along them.

    Raises:
        ConfigError: A number that is not positive, another optimizer, or too many weights.
    """

    evaluating = True

    def __init__(self, batches: int = 200, probe: int = 4096, flat: float = 1e-4):
        super().__init__(1)
        if batches < 1 or probe < 1 or not 0 < flat < 1:
            raise ConfigError(
                "SGDExponent needs batches and probe of at least 1 and flat between 0 and 1, got "
                f"{batches}, {probe} and {flat}."
            )
        self.batches, self.probe, self.flat = batches, probe, flat
        self.found: dict[str, float] = {}

    def begin(self, copied: Copied, kept: Any) -> None:
        """Refuse early what cannot be done at the end."""
        rule = copied.rule()
        plain = isinstance(rule, Descent) and not rule.momentum and isinstance(rule.rate, float)
        if not plain or copied.n > MOST or copied.trainer.world_size > 1:
            raise ConfigError(
                f"SGDExponent needs torch.optim.SGD without momentum, at most {MOST} weights and "
                f"one process; got {type(copied.optimizer).__name__}, {copied.n} weights and "
                f"{copied.trainer.world_size} processes."
            )

    def look(self) -> dict[str, float]:
        """Nothing on the way."""
        return {}

    def finish(self, trainer: pl.Trainer) -> None:
        """Both exponents, at the last weights."""
        copied = self.copy
        copied.follow()
        weights, rule = copied.state()[0], copied.rule()
        rate, decay = float(rule.rate), rule.decay
        if rate <= 0:  # a schedule that ends at zero: whoever does not move settles anywhere
            return
        windows = copied.probe(self.probe)
        try:
            normal, curved = normal_space(self._hessian(copied, weights, windows), self.flat)
        except DataError:
            return
        batches = self._order(copied)
        exponent, error = sgd_exponent(
            lambda w, k: copied.loss(w, *batches[k]),
            weights,
            rate,
            normal,
            len(batches),
            decay=decay,
        )
        self.found = {
            "sgd_exponent": exponent,
            "sgd_exponent_error": error,
            "gd_exponent": descent_exponent(curved, rate, decay),
            "normal_directions": float(len(curved)),
            "falling_directions": float((curved < 0).sum()),
            "probe_loss": float(copied.mean_loss(weights, windows).detach()),
        }
        for logger in trainer.loggers:
            logger.log_metrics(self.found, step=trainer.global_step)
            logger.save()

    def _hessian(self, copied: Copied, weights: Tensor, windows: Any) -> Tensor:
        _, product = hessian_products(lambda w: copied.mean_loss(w, windows), weights)
        columns = [product(one) for one in torch.eye(copied.n).to(weights)]
        dense = torch.stack(columns)
        return (dense + dense.T) / 2

    def _order(self, copied: Copied) -> list[tuple[Any, Place]]:
        """Batches of epochs to come, with the randomness that they would have."""
        data, module = copied.trainer.datamodule, copied.module
        epoch, update = module.current_epoch, copied.updates
        found: list[tuple[Any, Place]] = []
        while len(found) < self.batches:
            epoch += 1
            for window in data.looked_at(data.batch_size, epoch):
                place = Place(epoch, update + len(found), 0)
                found.append((copied.double(window), place))
        return found[: self.batches]

    def told(self) -> dict[str, Any] | None:
        """Two numbers, in words."""
        if not self.found:
            return None
        found = self.found
        value, error = found["sgd_exponent"], found["sgd_exponent_error"]
        word = "can settle here" if value < 0 else "is driven away from here"
        caption = (
            f"Across {found['normal_directions']:.0f} directions in which the loss bends, "
            f"stochastic gradient descent has the exponent {value:.3g} ± {error:.1g} per step, so "
            f"that it {word}; full gradients have {found['gd_exponent']:.3g}. "
        )
        falling = found["falling_directions"]
        if falling:
            caption += f"In {falling:.0f} of them the loss bends down: this is no minimum yet. "
        caption += f"The loss is {found['probe_loss']:.2g}; the theory is of minima where it is 0."
        return {
            "title": "Exponents at the minimum",
            "caption": caption,
            "x_label": "",
            "y_label": "",
            "lines": [],
            "numbers": dict(found),
        }
