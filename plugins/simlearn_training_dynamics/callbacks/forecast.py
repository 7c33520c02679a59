"""The final loss, forecast from the first tenth of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from simlearn import ConfigError, DataError, Trajectory
from simlearn.analysis.training.final_loss import EARLY, LATE, NAMES, Early, shipped
from simlearn_training_dynamics.callbacks.copied import Copied
from simlearn_training_dynamics.callbacks.exponent import TrainingExponent
from simlearn_training_dynamics.callbacks.sharpness import Sharpness
from simlearn_training_dynamics.callbacks.watch import Watch

MOST = 1024  # losses that are remembered


def _planned(copied: Copied) -> int:
    """Steps that a training is to take in all; 0 where it has no end."""
    trainer, data = copied.trainer, copied.trainer.datamodule
    epochs = max(0, trainer.max_epochs or 0)
    if not epochs and trainer.max_steps <= 0:
        return 0
    alone = data.batch_size and data.batch_size * trainer.world_size
    batches, bundle = len(data.looked_at(alone, 0)), copied.module.steps_per_call
    if trainer.max_steps <= 0:
        return epochs * batches
    whole, rest = divmod(trainer.max_steps, -(-batches // bundle))  # it counts calls
    steps = whole * batches + min(batches, rest * bundle)
    return min(steps, epochs * batches) if epochs else steps


class FinalLoss(Watch):
    """Forecasts the final loss after a tenth of the planned steps, and says what that is worth.

    From how far the loss has fallen and how fast it falls still, from exponents (growth of small
    differences and share of the edge of stability, which `TrainingExponent` and `Sharpness` in the
    same config measure), or from both. The forecast is linear in the logarithm and looks at the
    loss of every step, the first one included, as the study did that it was fitted to: trainings of
    2000 steps at a constant learning rate, of networks with one hidden layer of 8 or 24 neurons, to
    the slopes of 64 states of five systems, by gradient descent, Adam or minibatches of 8. The
    skill told beside it was measured there, on systems that each fit had not seen and on trainings
    that did not diverge; for longer trainings, larger networks or losses of rollouts it is not
    known. In that study exponents added nothing to the loss (see
    ``benchmarks/results/training_dynamics.md``); they are here so that you can see for yourself.

    Cost: none of its own. It needs to know the number of steps: ``trainer.max_epochs`` or
    ``trainer.max_steps``. Where a tenth of them shows too little, the archive says why there is no
    forecast.

    Args:
        use: What the forecast looks at.

    Raises:
        ConfigError: The length of the training is not known, or exponents are wanted and not
            measured in time, or steps are compiled in calls of several.
    """

    def __init__(self, use: Literal["loss", "exponents", "both"] = "loss"):
        super().__init__(1)
        if use not in NAMES:
            raise ConfigError(f"FinalLoss uses {', '.join(NAMES)}, got {use!r}.")
        self.use = use
        self.seen: list[tuple[int, float]] = []
        self.stride, self.planned, self.early = 1, 0, 0
        self.found: dict[str, float] = {}
        self.why = ""  # there is no forecast
        self._losses: list[Tensor] = []  # of the steps of a call
        self._hook: RemovableHandle | None = None

    def begin(self, copied: Copied, kept: Mapping[str, Any]) -> None:
        """Count the steps to come, and listen to each."""
        self.planned = _planned(copied)
        if not self.planned:
            raise ConfigError(
                "FinalLoss needs to know how long the training is: give trainer.max_epochs, or "
                "leave it out."
            )
        self.early = max(1, round(EARLY * self.planned))
        if self.use != "loss" and not all(map(self._measured, (TrainingExponent, Sharpness))):
            raise ConfigError(
                f"FinalLoss from {self.use} needs TrainingExponent and Sharpness in "
                "trainer.callbacks, before it, each with `every` at most a tenth of the "
                f"{self.planned} steps, {self.early}."
            )
        if copied.silent():
            raise ConfigError(
                "FinalLoss needs the loss of every step, and compiled steps tell only the last of "
                "a call. Set model.steps_per_call to 1, or leave out model.compile or FinalLoss."
            )
        self.seen = [tuple(one) for one in kept.get("seen", ())]
        self.stride, self.found = kept.get("stride", 1), dict(kept.get("found", {}))
        self.why = kept.get("why", "")
        if copied.trainer.is_global_zero:
            self._hook = copied.optimizer.register_step_post_hook(self._hear)

    def _hear(self, *_: Any) -> None:
        self._losses.append(self.copy.last_loss)

    def _watch(self, kind: type[Any]) -> Any:
        """The first callback of a kind that looks before this one."""
        callbacks: list[pl.Callback] = self.copy.trainer.callbacks
        before = callbacks[: callbacks.index(self)]
        return next((one for one in before if isinstance(one, kind)), None)

    def _measured(self, kind: type[Any]) -> bool:
        found = self._watch(kind)
        return found is not None and found.every <= self.early

    def ahead(self, windows: Sequence[Trajectory]) -> None:
        """Nothing is heard of this call yet."""
        self._losses = []

    def behind(self, windows: Sequence[Trajectory]) -> None:
        """Remember the losses of the first tenth, and of the last steps."""
        losses = torch.stack(self._losses).tolist() if self._losses else []
        for step, loss in enumerate(losses, self.before + 1):
            near = step <= self.early or step > (1 - LATE) * self.planned
            if near and (step - 1) % self.stride == 0:
                self.seen.append((step, loss))
        if len(self.seen) > MOST:
            self.seen, self.stride = self.seen[::2], self.stride * 2

    def look(self) -> dict[str, float]:
        """The forecast, once."""
        if self.found or self.why or self.copy.updates < self.early:
            return {}
        seen = [one for one in self.seen if one[0] <= self.early]
        self.seen, self.stride = [one for one in self.seen if one[0] > self.early], 1
        try:
            early = Early.of([step for step, _ in seen], [loss for _, loss in seen], *self._shown())
            middle, low, high = shipped(self.use).forecast(early, seen[0][1])
        except (ConfigError, DataError) as error:  # a forecast is not worth a training
            self.why = str(error)
            return {}
        forecast = {
            "forecast_loss": middle,
            "forecast_loss_low": low,
            "forecast_loss_high": high,
        }
        first = {"first_loss": seen[0][1], "steps_of_forecast": float(self.early)}
        self.found = {**forecast, **first}
        return forecast

    def _shown(self) -> tuple[float | None, float | None]:
        """Exponent and share of the edge, as far as they are wanted and were measured."""
        if self.use == "loss":
            return None, None
        grown, sharp = self._watch(TrainingExponent).rows, self._watch(Sharpness).rows
        return (
            grown[-1]["training_exponent"] if grown else None,
            sharp[-1]["edge_of_stability"] if sharp else None,
        )

    def memory(self) -> dict[str, Any]:
        """Losses seen, and the forecast."""
        seen = [list(one) for one in self.seen]
        return {"seen": seen, "stride": self.stride, "found": self.found, "why": self.why}

    def finish(self, trainer: pl.Trainer) -> None:
        """What the final loss was, in the mean of its logarithm."""
        if self._hook is not None:
            self._hook.remove()
        if not self.found and not self.why:
            self.why = f"The training ended before step {self.early} of {self.planned}."
        late = [v for s, v in self.seen if s > (1 - LATE) * self.planned and v > 0]
        if self.found and late:
            self.found["final_loss"] = math.exp(sum(map(math.log, late)) / len(late))

    def told(self) -> dict[str, Any]:
        """Forecast, what became of it, and the skill; or why there is none."""
        empty = {"title": "Forecast of the loss", "x_label": "", "y_label": "", "lines": []}
        if not self.found:
            return {**empty, "caption": f"There is no forecast: {self.why}", "numbers": {}}
        found, skill = self.found, shipped(self.use).skill
        end = "the training ended before"
        if "final_loss" in found:
            end = f"it became {found['final_loss']:.2g}"
        caption = (
            f"After {found['steps_of_forecast']:.0f} of {self.planned} steps the final loss was "
            f"forecast from {self.use} as {found['forecast_loss']:.2g}, four times in five between "
            f"{found['forecast_loss_low']:.2g} and {found['forecast_loss_high']:.2g}; {end}. On "
            f"systems it had not seen, such a forecast of small networks that did not diverge is "
            f"off by a factor of {skill['median_factor']:.2g} in the middle and explains "
            f"{skill['r2']:.0%} of the variance of the logarithm."
        )
        return {**empty, "caption": caption, "numbers": {**found, "skill": dict(skill)}}
