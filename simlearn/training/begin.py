"""Before the first gradient step: the start is solved, told, remembered; stabilizers get ready."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from simlearn.component import ConfigError
from simlearn.dynamics.coupled import Enclosed
from simlearn.training.answers import look

if TYPE_CHECKING:
    from simlearn.state import Trajectory
    from simlearn.training.module import SimulatorModule

KEPT = "simlearn_start"  # where a checkpoint keeps the record of the start


def begin(module: SimulatorModule) -> None:
    """Solve the start, unless a training is resumed.

    Lightning knows of a resume this early only by ``trainer.ckpt_path``, which `simlearn fit` sets;
    with ``Trainer.fit(ckpt_path=...)`` the start is solved, and then replaced by the checkpoint's.

    It runs before stabilizers wrap the dynamics and before the optimizer sees their parameters, so
    that it may put other dynamics in place.
    """
    if module.start is None or module.trainer.ckpt_path is not None:
        return
    found = module.start.solve(module.simulator, module.trainer.datamodule.training)
    module.ledger.estimates, module.ledger.start = dict(found.estimates), dict(found.record)
    if found.record.get("choice") == "network" and module.trainer.max_epochs == 0:
        raise ConfigError(
            f"{type(module.start).__name__} found no closed form that will do: "
            f"{found.record.get('why')}. Give trainer.max_epochs, so that the dynamics of the "
            "config are trained by gradients, or allow a larger error with "
            "model.start.init_args.worst."
        )


def wrap(module: SimulatorModule) -> None:
    """Let the stabilizers wrap the dynamics, once, and cast everything to the asked precision."""
    if not module.wrapped:
        for stabilizer in module.stabilizers:
            module.simulator.take(stabilizer.wrap(module.simulator.dynamics))
        module.wrapped = True
    for part in (module.simulator, module.objective):  # one may learn something of its own
        if isinstance(part, nn.Module):
            part.to(module.number)


def prepare(module: SimulatorModule) -> None:
    """Look at what the dynamics answer; log the start, prepare stabilizers, unless resumed."""
    look(module)
    if module.trainer.ckpt_path is not None:
        return
    _log_start(module)
    for stabilizer in module.stabilizers:
        stabilizer.prepare(module.simulator, module.trainer.datamodule.training)
    _enclose(module.simulator.dynamics, module.trainer.datamodule.training)


def _enclose(part: nn.Module, training: Sequence[Trajectory]) -> None:
    """Give networks that have none yet the range in which they follow, inside wrappers, too."""
    if isinstance(part, Enclosed):
        part.enclose(training)
        return
    for child in part.children():
        _enclose(child, training)


def remember(module: SimulatorModule, checkpoint: dict[str, Any]) -> None:
    """Keep the record of the start in a checkpoint."""
    checkpoint[KEPT] = module.ledger.start


def recall(module: SimulatorModule, checkpoint: Mapping[str, Any]) -> None:
    """Compare what was begun; make the structure that the start found, before weights are loaded.

    Raises:
        ArchiveError: It was begun otherwise, and that is not allowed.
    """
    module.ledger.facts.compare(checkpoint, module.trainer.datamodule)
    if module.start is not None and checkpoint.get(KEPT):
        module.ledger.start = checkpoint[KEPT]
        before = module.simulator.dynamics
        module.start.restore(module.simulator, checkpoint[KEPT])
        if module.simulator.dynamics is not before:
            module.wrapped = False
            wrap(module)


def _log_start(module: SimulatorModule) -> None:
    """Each stage of the start as a row of metrics.csv."""
    if module.logger is None:
        return
    rows = list(_rows(module.ledger.start))
    for row in rows:
        module.logger.log_metrics(row, step=0)
    if rows:
        module.logger.save()


def _rows(record: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    for number, rung in enumerate(record.get("rungs", ())):
        kept = ("cross_validated_error", "beyond_noise", "error", "seconds")
        yield {
            "rung": number,
            **{f"rung_{key}": rung[key] for key in kept if rung.get(key) is not None},
        }
        for stage, one in enumerate(rung.get("stages", ())):
            lost = math.inf if one["error"] is None else one["error"]
            yield {"rung": number, "stage": stage, "stage_error": lost}
    for number, gain in enumerate(record.get("joint", {}).get("gains", ())):
        yield {"joint_iteration": number, "joint_gain": gain}


def told(record: Mapping[str, Any]) -> str:
    """The record of a start for people, one stage a line."""
    lines = [f"  states: {record['states']}"] if "states" in record else []
    lines += [_rung(one) for one in record.get("rungs", ())]
    if "choice" in record:
        lines.append(f"  chosen: {record['choice']}" + _because(record))
    if "joint" in record:
        joint = record["joint"]
        lines.append(
            f"  joint fit through rollouts: {joint['iterations']} iterations, noise of the states "
            f"{', '.join(f'{value:.3g}' for value in joint['state_noise'])}"
        )
    for one in record.get("guard", ()):
        lines.append(f"  guard: {one['blown_up']} rollouts blew up, so the ridge was raised")
    if record.get("blown_up"):
        lines.append(
            f"  guard: {record['blown_up']} rollouts that go on beyond the data blow up, whatever "
            "the ridge; believe short ones only"
        )
    return "".join(f"{line}\n" for line in lines)


def _rung(rung: Mapping[str, Any]) -> str:
    if "stages" in rung:
        count, error = len(rung["stages"]), rung["error"]
        if error is None:
            return f"  {rung['rung']}: whole rollouts are lost after {count} stages"
        return f"  {rung['rung']}: whole rollouts {error:.3%} off the data after {count} stages"
    beyond = rung.get("beyond_noise")
    return (
        f"  {rung['rung']}: error on trajectories left out {rung['cross_validated_error']:.3%}"
        + ("" if beyond is None else f", {beyond:.3%} beyond noise")
        + f"; scales {', '.join(rung['scales'])}"
        + (f" ({rung['note']})" if "note" in rung else "")
    )


def _because(record: Mapping[str, Any]) -> str:
    return f" ({record['why']})" if "why" in record else ""
