"""``simlearn fit | validate | test | predict``: our own options, then LightningCLI."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from simlearn.cli import Options
from simlearn.cli.parsing import OneMessage, configs_in, prepare
from simlearn.cli.resuming import owner, refuse_other
from simlearn.cli.runs import FOLDER, checkpoint, first_process, held, named, shared
from simlearn.component import ArchiveError, ConfigError
from simlearn.data.store import read
from simlearn.training import durable
from simlearn.training.proposal import Proposal, propose

OWN = """simlearn's own options, beside those of LightningCLI below:
  --data.file FILE.h5  without -c: field, integrator and training are proposed from the data, said
                       aloud, and written to the run's proposed.yaml, config.yaml and gate.yaml
  --run NAME           name of the run folder runs/NAME; the config's name by default. A new fit
                       never overwrites one: -2, -3 ... is appended. validate, test and predict
                       read it.
  --resume [last|PATH] continue a training from its newest sound checkpoint, or from a checkpoint
                       file, in whose run it goes on; a run that has none yet begins. On a CPU the
                       weights at the end are, bit for bit, those of a training that was never
                       interrupted.
  --allow-drift        continue although config, code, data or a plugin has changed; recorded
  --spill DIR          where a checkpoint goes that cannot be written into the run folder
  --seeds R            train R sister models with seeds 0 to R - 1, in runs NAME-seed0 ...
"""
ASKING = ("-h", "--help", "--print_config")


def run(command: str, argv: list[str], options: Options) -> int:
    """Take our own options, choose the run folder, hand the rest to LightningCLI."""
    own, rest = _own(command, argv)
    if own.run is None and own.seeds is None:
        own.run = owner(own.resume)
    asking = any(word.split("=")[0] in ASKING or ".help" in word for word in rest)
    proposal = None
    configured = any(w == "-c" or w.startswith(("-c", "--config")) for w in rest)
    printing = any(w.startswith("--print_config") for w in rest) and _data_file(rest)
    if not configured and (printing or not asking):
        rest = _own_config(command, own, rest)
        proposal = _proposed(command, rest)
    known = prepare(options)
    files = configs_in(rest)
    OneMessage.known, OneMessage.files = known, files
    if {"-h", "--help"} & set(rest):
        print(OWN)
    name = files[0].stem if files else "run"
    if proposal is not None:
        name = Path(_data_file(rest) or "run").stem
    name = name if own.run is None else own.run
    fit = _Fit(command, own, rest, asking, known.versions(), proposal, known.allow)
    if own.seeds is None:
        _once(fit, name)
        return 0
    if own.seeds < 1 or command != "fit":
        raise ConfigError("--seeds wants a positive number and belongs to `simlearn fit`.")
    for seed in range(own.seeds):
        given = [*rest, f"--seed_everything={seed}", f"--model.seed={seed}"]
        _once(replace(fit, rest=given), f"{name}-seed{seed}")
    return 0


def _own(command: str, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    reader = argparse.ArgumentParser(prog=f"simlearn {command}", add_help=False, allow_abbrev=False)
    reader.add_argument("--run")
    reader.add_argument("--resume", nargs="?", const="last")
    reader.add_argument("--seeds", type=int)
    reader.add_argument("--allow-drift", action="store_true")
    reader.add_argument("--spill", type=Path)
    return reader.parse_known_args(argv)


def _own_config(command: str, own: argparse.Namespace, rest: list[str]) -> list[str]:
    """A run that is read or resumed without a config brings its own."""
    kept = named(own.run) / "config.yaml" if own.run else None
    if kept is not None and kept.is_file() and (command != "fit" or own.resume):
        return ["-c", str(kept), *rest]
    return rest


def _data_file(rest: list[str]) -> str | None:
    """What ``--data.file`` says."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--data.file", dest="file")
    found: str | None = reader.parse_known_args(rest)[0].file
    return found


def _proposed(command: str, rest: list[str]) -> Proposal | None:
    """A config for data that come without one; None where the run brought its own.

    Raises:
        ConfigError: There are no data either.
    """
    if any(word == "-c" for word in rest):
        return None
    file = _data_file(rest)
    if file is None or command != "fit":
        raise ConfigError(
            f"simlearn {command} needs a config: simlearn {command} -c configs/fit/NAME.yaml"
            + (", or data to choose one for: --data.file FILE.h5" if command == "fit" else "")
        )
    found = propose(read(file))
    if first_process():
        print("no config was given; from the columns and a look at the data:", file=sys.stderr)
        for reason in found.reasons:
            print(f"  {reason}", file=sys.stderr)
    return found


def _write_proposal(proposal: Proposal, folder: Path) -> None:
    """The proposal in the run folder, to start from: proposed.yaml, and gate.yaml beside it."""
    head = "".join(f"# {reason}\n" for reason in proposal.reasons)
    body = yaml.safe_dump(proposal.config, sort_keys=False)
    durable.put(folder / "proposed.yaml", (head + body).encode())
    gate = "# Proposed with the config. Limits follow the spread of the data: make them yours."
    body = yaml.safe_dump(proposal.gate, sort_keys=False)
    durable.put(folder / "gate.yaml", f"{gate}\n{body}".encode())


@dataclass(frozen=True)
class _Fit:
    """What is left when our own options are taken out."""

    command: str
    own: argparse.Namespace
    rest: list[str]
    asking: bool
    plugins: dict[str, str]
    proposal: Proposal | None = None
    allow: tuple[str, ...] = ()


def _once(fit: _Fit, name: str) -> None:
    folder, resume = named(name), fit.own.resume
    if fit.asking:
        _execute(fit, folder)
    elif fit.command != "fit":
        found = checkpoint(resume, folder)
        if resume is not None and found is None:
            raise ArchiveError(
                f"There is no checkpoint in {folder}/checkpoints: the run has kept none yet, or "
                "--run names another. Leave --resume out, or name a checkpoint file."
            )
        _execute(fit, folder, found)
    elif resume is None:
        with shared(folder) as claimed, held(claimed):
            _execute(fit, claimed, claimed=True)
    else:
        new = not folder.exists()
        found = None if resume == "last" else checkpoint(resume, folder)
        if first_process():
            refuse_other(resume, folder, chosen=(fit.own.run or fit.own.seeds) is not None)
        with held(folder):
            found = found or checkpoint(resume, folder)
            if first_process():
                told = (
                    f"going on from {found}" if found else f"{folder} has no checkpoint: it begins"
                )
                print(f"simlearn: {told}", file=sys.stderr)
            _execute(fit, folder, found, claimed=new)


def _execute(fit: _Fit, folder: Path, resumed: Path | None = None, claimed: bool = False) -> None:
    rest = fit.rest
    if fit.proposal is not None and fit.asking:
        with tempfile.TemporaryDirectory() as name:
            _write_proposal(fit.proposal, Path(name))
            rest = ["-c", f"{name}/proposed.yaml", *rest]
            _execute(replace(fit, rest=rest, proposal=None), folder)
        return
    if fit.proposal is not None:
        if first_process():
            _write_proposal(fit.proposal, folder)
        rest = ["-c", str(folder / "proposed.yaml"), *rest]
    from simlearn.cli.lightning import Run, execute

    chosen = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    own = {"allow_drift": fit.own.allow_drift, "spill": fit.own.spill, "plugins": fit.plugins}
    own |= {"allow": fit.allow}
    try:
        execute(Run(fit.command, folder, resumed, claimed=claimed, **own), rest, fit.asking)
        if fit.proposal is not None and first_process():
            print(f"proposed: {folder}/proposed.yaml and gate.yaml")
    finally:
        if chosen is None:
            del os.environ[FOLDER]
