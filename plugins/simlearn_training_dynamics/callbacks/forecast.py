"""The final loss, forecast from the first tenth of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import lightning.pytorch as pl

from simlearn import ConfigError, DataError, Trajectory
from simlearn.analysis.training.final_loss import EARLY, LATE, NAMES, Early, shipped
from simlearn_training_dynamics.callbacks.copied import Copied
from simlearn_training_dynamics.callbacks.exponent import TrainingExponent
from simlearn_training_dynamics.callbacks.sharpness import Sharpness
from simlearn_training_dynamics.callbacks.watch import Watch

MOST = 1024  # losses that are remembered


class FinalLoss(Watch):
    """Forecasts the final loss after a tenth of the planned steps, and says what that is worth.

    From how far the loss has fallen and how fast it falls still, from exponents (growth of small
    differences and share of the edge of stability, which `TrainingExponent` and `Sharpness` in the
    same config measure), or from both. The forecast is linear in the logarithm and was fitted to
    small trainings on five systems; its skill, told beside it, was measured on systems that each
    fit had not seen. In that study exponents added nothing to the loss (see
    ``benchmarks/results/training_dynamics.md``); they are here so that you can see for yourself.

    Cost: none of its own. It needs to know the number of steps: ``trainer.max_epochs`` or
    ``trainer.max_steps``.

    Args:
        use: What the forecast looks at.

    Raises:
        ConfigError: The length of the training is not known, or exponents are wanted and not
            measured.
    """

    def __init__(self, use: Literal["loss", "exponents", "both"] = "loss"):
        super().__init__(1)
        if use not in NAMES:
            raise ConfigError(f"FinalLoss uses {', '.join(NAMES)}, got {use!r}.")
        self.use = use
        self.seen: list[tuple[int, float]] = []
        self.stride, self.planned = 1, 0
        self.found: dict[str, float] = {}

    def begin(self, copied: Copied, kept: Mapping[str, Any]) -> None:
        """Count the steps to come."""
        trainer = copied.trainer
        if trainer.max_steps > 0:
            self.planned = trainer.max_steps * copied.module.steps_per_call
        elif trainer.max_epochs and trainer.max_epochs > 0:
            data = trainer.datamodule
            alone = data.batch_size and data.batch_size * trainer.world_size
            self.planned = trainer.max_epochs * len(data.looked_at(alone, 0))
        else:
            raise ConfigError(
                "FinalLoss needs to know how long the training is: give trainer.max_epochs, or "
                "leave it out."
            )
        if self.use != "loss" and None in (self._watch(TrainingExponent), self._watch(Sharpness)):
            raise ConfigError(
                f"FinalLoss from {self.use} needs TrainingExponent and Sharpness in "
                "trainer.callbacks, before it, each with `every` at most a tenth of the "
                f"{self.planned} steps."
            )
        self.seen = [tuple(one) for one in kept.get("seen", ())]
        self.stride, self.found = kept.get("stride", 1), dict(kept.get("found", {}))

    def _watch(self, kind: type[Any]) -> Any:
        found = [one for one in self.copy.trainer.callbacks if isinstance(one, kind)]
        return found[0] if found else None

    def behind(self, windows: Sequence[Trajectory]) -> None:
        """Remember the loss, of late steps more than those."""
        module = self.copy.module
        step = module.ledger.updates
        late = step > (1 - LATE) * self.planned or not self.found
        if late and step % self.stride < len(windows):
            self.seen.append((step, float(module.ledger.loss)))
        if len(self.seen) > MOST:
            self.seen, self.stride = self.seen[::2], self.stride * 2

    def look(self) -> dict[str, float]:
        """The forecast, once."""
        step = self.copy.module.ledger.updates
        if self.found or step < EARLY * self.planned:
            return {}
        steps, losses = zip(*self.seen, strict=True)
        exponent = share = None
        if self.use != "loss":
            grown, sharp = self._watch(TrainingExponent).rows, self._watch(Sharpness).rows
            if grown and sharp:
                exponent = grown[-1]["training_exponent"]
                share = sharp[-1]["edge_of_stability"]
        try:
            early = Early.of(steps, losses, exponent, share)
        except DataError:  # fewer steps than tell anything
            self.found = {"forecast_loss": math.nan}
            return {}
        middle, low, high = shipped(self.use).forecast(early, losses[0])
        self.found = {
            "forecast_loss": middle,
            "forecast_loss_low": low,
            "forecast_loss_high": high,
            "first_loss": losses[0],
            "steps_of_forecast": float(step),
        }
        self.seen, self.stride = [], 1
        return {name: value for name, value in self.found.items() if name.startswith("forecast")}

    def memory(self) -> dict[str, Any]:
        """Losses seen, and the forecast."""
        return {"seen": [list(s) for s in self.seen], "stride": self.stride, "found": self.found}

    def finish(self, trainer: pl.Trainer) -> None:
        """What the final loss was, in the mean of its logarithm."""
        late = [v for s, v in self.seen if s > (1 - LATE) * self.planned and v > 0]
        if "forecast_loss_low" in self.found and late:
            self.found["final_loss"] = math.exp(sum(map(math.log, late)) / len(late))

    def told(self) -> dict[str, Any] | None:
        """Forecast, what became of it, and the skill."""
        if "forecast_loss_low" not in self.found:
            return None
        found, skill = self.found, shipped(self.use).skill
        end = "the training ended before"
        if "final_loss" in found:
            end = f"it became {found['final_loss']:.2g}"
        caption = (
            f"After {found['steps_of_forecast']:.0f} of {self.planned} steps the final loss was "
            f"forecast from {self.use} as {found['forecast_loss']:.2g}, four times in five between "
            f"{found['forecast_loss_low']:.2g} and {found['forecast_loss_high']:.2g}; {end}. On "
            f"systems it had not seen, such a forecast is off by a factor of "
            f"{skill['median_factor']:.2g} in the middle and explains {skill['r2']:.0%} of the "
            "variance of the logarithm."
        )
        return {
            "title": "Forecast of the loss",
            "caption": caption,
            "x_label": "",
            "y_label": "",
            "lines": [],
            "numbers": {**found, "skill": dict(skill)},
        }
