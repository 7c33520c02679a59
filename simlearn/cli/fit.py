"""``simlearn fit | validate | test | predict``.

LightningCLI, with runs, the closed door and archives.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

from simlearn.cli import Options
from simlearn.cli.parsing import OneMessage, configs_in, prepare
from simlearn.component import ConfigError

RUNS = Path("runs")
OWN = """simlearn's own options:
  --run NAME           name of the run folder runs/NAME; the config's name by default, never
  overwritten --resume [last|PATH] continue a training from its last checkpoint, or from a
  checkpoint file --seeds R            train R sister models, seeds 0 to R - 1, in runs NAME-seed0
  ...
"""


def run(command: str, argv: list[str], options: Options) -> int:
    """Take our own options, choose the run folder, hand the rest to LightningCLI."""
    own, rest = _own(command, argv)
    known = prepare(options)
    files = configs_in(rest)
    if (
        not files
        and not {"--help", "-h", "--print_config"} & set(rest)
        and not any("help" in w for w in rest)
    ):
        raise ConfigError(
            f"simlearn {command} needs a config: simlearn {command} -c configs/fit/NAME.yaml"
        )
    if {"-h", "--help"} & set(rest):
        print(OWN)
    OneMessage.known, OneMessage.files = known, files
    name = own.run or (files[-1].stem if files else "run")
    if Path(name).name != name or name in (".", "..", "latest"):
        raise ConfigError(f"--run is a plain name for a folder below {RUNS}/, got {name!r}.")
    if own.seeds is None:
        return _once(command, rest, own, name, [])
    if own.seeds < 1 or command != "fit":
        raise ConfigError("--seeds wants a positive number and belongs to `simlearn fit`.")
    for seed in range(own.seeds):
        given = [f"--seed_everything={seed}", f"--model.seed={seed}"]
        _once(command, rest, own, f"{name}-seed{seed}", given)
    return 0


def _own(command: str, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    reader = argparse.ArgumentParser(prog=f"simlearn {command}", add_help=False, allow_abbrev=False)
    reader.add_argument("--run")
    reader.add_argument("--resume", nargs="?", const="last")
    reader.add_argument("--seeds", type=int)
    return reader.parse_known_args(argv)


def _quiet() -> None:
    """Lightning says much that a user of simlearn need not know."""
    for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in (
        ".*does not have many workers.*",
        ".*isinstance\\(treespec.*",
        ".*Total length of.*",
        ".*Checkpoint directory.*",
    ):
        warnings.filterwarnings("ignore", text)
    warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")
    warnings.filterwarnings("ignore", category=UserWarning, module="lightning")


def _once(
    command: str, rest: list[str], own: argparse.Namespace, name: str, given: list[str]
) -> int:
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

    from simlearn import archive
    from simlearn.data.module import TrajectoryData
    from simlearn.training.fit import Progress, finished
    from simlearn.training.module import SimulatorModule

    _quiet()
    torch.set_float32_matmul_precision("highest")
    fitting = command == "fit"
    asking = any(w in rest for w in ("-h", "--help", "--print_config")) or any(
        ".help" in w for w in rest
    )
    checkpoint = _checkpoint(own, name)
    folder = RUNS / name if checkpoint or not fitting else _fresh(name)

    class FitParser(OneMessage, LightningArgumentParser):
        """LightningCLI's parser with our errors."""

    class FitCLI(LightningCLI):
        """LightningCLI that leaves an archive behind."""

        def after_fit(self) -> None:
            if not self.trainer.is_global_zero:
                return
            simulator = finished(self.model, self.datamodule)
            target = folder / "simulator"
            if target.exists():
                target.rename(_fresh_path(folder / "simulator-before"))
            archive.save(simulator, target)
            _latest(folder)
            print(f"run: {folder}")

        def before_validate(self) -> None:
            _load_weights(self.model, checkpoint, folder, command)

        before_test = before_predict = before_validate

    callbacks: list[Any] = [Progress()]
    if fitting:
        callbacks.append(
            ModelCheckpoint(dirpath=folder / "checkpoints", save_last=True, filename="{epoch}")
        )
    defaults: dict[str, Any] = {
        "default_root_dir": str(folder),
        "callbacks": callbacks,
        "logger": _logger(folder) if fitting else False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": fitting,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "max_epochs": 100,
    }
    arguments = [command, *rest, *given]
    if checkpoint:
        arguments.append(f"--ckpt_path={checkpoint}")
    if fitting and not asking:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        FitCLI(
            SimulatorModule,
            TrajectoryData,
            args=arguments,
            parser_class=FitParser,
            trainer_defaults=defaults,
            seed_everything_default=0,
            save_config_callback=SaveConfigCallback if fitting else None,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )
    finally:
        if fitting and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return 0


def _logger(folder: Path) -> dict[str, Any]:
    """metrics.csv directly in the run folder; any other logger by config."""
    return {
        "class_path": "lightning.pytorch.loggers.CSVLogger",
        "init_args": {
            "save_dir": str(folder.parent),
            "name": folder.name,
            "version": "",
            "flush_logs_every_n_steps": 1,
        },
    }


def _fresh(name: str) -> Path:
    return _fresh_path(RUNS / name)


def _fresh_path(path: Path) -> Path:
    """The path itself, or with -2, -3, ... appended where it is taken."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _latest(folder: Path) -> None:
    link = RUNS / "latest"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name, target_is_directory=True)
    except OSError as error:
        print(f"simlearn: {link} could not be set to {folder.name}: {error}", file=sys.stderr)


def _checkpoint(own: argparse.Namespace, name: str) -> Path | None:
    if own.resume is None:
        return None
    path = RUNS / name / "checkpoints" / "last.ckpt" if own.resume == "last" else Path(own.resume)
    if not path.is_file():
        from simlearn.component import ArchiveError

        raise ArchiveError(
            f"There is no checkpoint {path}. Name the run with --run, or a checkpoint file."
        )
    return path


def _load_weights(model: Any, checkpoint: Path | None, folder: Path, command: str) -> None:
    """Validation, test and prediction speak of trained weights: the run's archive."""
    if checkpoint is not None:
        return
    from simlearn import archive

    trained = archive.load(folder)
    model.configure_model()
    model.simulator.load_state_dict(trained.state_dict())
