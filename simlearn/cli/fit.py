"""``simlearn fit | validate | test | predict``: our own options, then LightningCLI."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from simlearn.cli import Options
from simlearn.cli.parsing import OneMessage, configs_in, prepare
from simlearn.cli.runs import checkpoint, claim, named
from simlearn.component import ConfigError

OWN = """simlearn's own options, beside those of LightningCLI below:
  --run NAME           name of the run folder runs/NAME; the config's name by default. A new fit
                       never overwrites one: -2, -3 ... is appended. validate, test and predict
                       read it.
  --resume [last|PATH] continue a training from its last checkpoint, or from a checkpoint file
  --seeds R            train R sister models with seeds 0 to R - 1, in runs NAME-seed0 ...
"""
FOLDER = "SIMLEARN_RUN_FOLDER"
ASKING = ("-h", "--help", "--print_config")


def run(command: str, argv: list[str], options: Options) -> int:
    """Take our own options, choose the run folder, hand the rest to LightningCLI."""
    own, rest = _own(command, argv)
    asking = any(word.split("=")[0] in ASKING or ".help" in word for word in rest)
    if not asking and not any(w == "-c" or w.startswith(("-c", "--config")) for w in rest):
        raise ConfigError(
            f"simlearn {command} needs a config: simlearn {command} -c configs/fit/NAME.yaml"
        )
    known = prepare(options)
    files = configs_in(rest)
    OneMessage.known, OneMessage.files = known, files
    if {"-h", "--help"} & set(rest):
        print(OWN)
    name = own.run or (files[0].stem if files else "run")
    if own.seeds is None:
        _once(command, own, name, rest, asking)
        return 0
    if own.seeds < 1 or command != "fit":
        raise ConfigError("--seeds wants a positive number and belongs to `simlearn fit`.")
    for seed in range(own.seeds):
        given = [*rest, f"--seed_everything={seed}", f"--model.seed={seed}"]
        _once(command, own, f"{name}-seed{seed}", given, asking)
    return 0


def _own(command: str, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    reader = argparse.ArgumentParser(prog=f"simlearn {command}", add_help=False, allow_abbrev=False)
    reader.add_argument("--run")
    reader.add_argument("--resume", nargs="?", const="last")
    reader.add_argument("--seeds", type=int)
    return reader.parse_known_args(argv)


def _once(command: str, own: argparse.Namespace, name: str, rest: list[str], asking: bool) -> None:
    folder = named(name)
    resumed = checkpoint(own.resume, folder)
    if command == "fit" and resumed is None:
        # the processes of one training share the folder that the first of them chose
        given = os.environ.get(FOLDER)
        folder = folder if asking else Path(given) if given else claim(folder)
    from simlearn.cli.lightning import Run, execute

    arguments = [*rest, f"--ckpt_path={resumed}"] if resumed else rest
    chosen = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    try:
        execute(Run(command, folder, resumed), arguments, asking)
    finally:
        if chosen is None:
            del os.environ[FOLDER]
