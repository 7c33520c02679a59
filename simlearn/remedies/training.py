"""Training from a config, without the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from simlearn.catalog import Catalog
from simlearn.component import ConfigError, arguments, build
from simlearn.data.module import TrajectoryData
from simlearn.integrators.base import Integrator
from simlearn.remedies.config import Config, arguments_of, name_of, part
from simlearn.simulator import Simulator
from simlearn.training.fit import fit
from simlearn.training.module import SimulatorModule

Train = Callable[[Config, Path | None], Simulator]
PLAIN = ("clip", "patience", "dtype", "seed", "compile")  # arguments of a model that fit takes
PARTS = ("objective", "stabilizers", "start")
OF_THE_MAKER = ("simulator", "optimizer", "scheduler", *PLAIN, *PARTS)


def trainer_of(plugins: Catalog) -> Train:
    """What trains a config as ``simlearn fit`` does, to the same weights, but leaves no run.

    Callbacks are not made: those of a config may stop or change a training, so it is refused.
    """

    def train(config: Config, folder: Path | None) -> Simulator:
        model = config["model"]
        _refuse(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(config.get("seed_everything", 0)))
            simulator = _simulator(model["simulator"], plugins)
        given = {name: _built(model[name], plugins) for name in PARTS if model.get(name)}
        given |= {name: model[name] for name in PLAIN if name in model}
        torch_part = {"optimizer": torch.optim, "scheduler": torch.optim.lr_scheduler}
        for name, module in torch_part.items():
            if model.get(name):
                given[name] = _factory(model[name], module)
        trainer = {"num_sanity_val_steps": 0, **_own(config.get("trainer") or {})}
        data = data_of(config, plugins)
        return fit(simulator, data, progress=False, **given, **trainer)

    return train


def data_of(config: Config, plugins: Catalog) -> TrajectoryData:
    """The data of a config."""
    return TrajectoryData(**_built(config["data"], plugins))


def _simulator(given: Mapping[str, Any], plugins: Catalog) -> Simulator:
    given = arguments_of(given) or given
    scheme: Integrator | None = None
    if given.get("integrator"):
        scheme = _built(given["integrator"], plugins)
    return Simulator(_built(given["dynamics"], plugins), scheme, given.get("dt", 1.0))


def _built(given: Any, plugins: Catalog) -> Any:
    """Parts of a config as components, however they are written."""

    def resolve(path: str) -> type[Any]:
        # a config may name where a class is exported, the catalog knows where it is written
        short = path.rpartition(".")[2]
        return plugins.find(short if short in plugins.offers else path)

    if isinstance(given, str) and given in plugins.offers:
        return build({"class_path": given}, resolve)
    if isinstance(given, Mapping) and "class_path" in given:
        inner = {name: _built(one, plugins) for name, one in arguments_of(given).items()}
        return build({"class_path": given["class_path"], "init_args": inner}, resolve)
    if isinstance(given, Mapping):
        return {name: _built(one, plugins) for name, one in given.items()}
    if isinstance(given, list):
        return [_built(one, plugins) for one in given]
    return given


def _factory(given: Any, module: Any) -> Callable[..., Any]:
    """An optimizer or a schedule of torch with its arguments."""
    name, path = name_of(given) or part(given), part(given)
    if not hasattr(module, name) or (path != name and path != f"{module.__name__}.{name}"):
        raise ConfigError(
            f"{path} is none of {module.__name__}; only the command line makes such ones. Take "
            "`simlearn check --remedy`, or give remedy() a `train` function."
        )
    return partial(getattr(module, name), **arguments_of(given))


def _own(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """What a Trainer may be told when nothing is to be kept."""
    told = ("logger", "callbacks", "default_root_dir")
    return {k: v for k, v in trainer.items() if k not in told and not k.startswith("enable_")}


def _refuse(config: Config) -> None:
    """Refuse what would be left out, and change the training."""
    trainer, model = config.get("trainer") or {}, config["model"]
    usual = arguments(SimulatorModule)
    odd = [n for n in model if n not in OF_THE_MAKER and model[n] != usual[n].default]
    made = [n for n in ("callbacks", "plugins", "profiler") if trainer.get(n)]
    if odd or made:
        named = [*(f"model.{n}" for n in odd), *(f"trainer.{n}" for n in made)]
        raise ConfigError(
            f"{', '.join(named)}: only the command line makes that. Take `simlearn check "
            "--remedy`, or give remedy() a `train` function."
        )
