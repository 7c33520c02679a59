"""The front door: standard library only, so that `simlearn --help` answers at once.

`main` maps every exception to the exit code table; nothing else in simlearn ends the process.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

COMMANDS = {
    "plugins": ("plugins", "list plugins and components, or show the arguments of one"),
    "data": ("data", "bring your own trajectories (csv, npz, HDF5, Parquet); verify and show any"),
    "generate": ("generate", "draw trajectories from a generator into a dataset file"),
    "fit": ("fit", "train a simulator from a config; the run lands in runs/<name>/"),
    "validate": ("fit", "the training objective on held-out data"),
    "test": ("fit", "the training objective on test data"),
    "predict": ("fit", "rollouts of a trained simulator on the windows of the data"),
    "forecast": ("forecast", "roll a trained simulator out from the data, into a file"),
    "check": ("check", "the gate: judge a trained simulator and write the report"),
    "config": ("config", "validate gate and fit configs: every fault, its line, the nearest name"),
    "doctor": ("doctor", "look at the environment: versions, device, disk, plugins; what to mend"),
}

LONGEST = 2000  # characters of an error
SMALLER = "take a smaller batch, fewer trajectories or a shorter horizon"
USAGE = """simlearn: learn simulators of physical and networked systems, and prove them stable.

usage: simlearn COMMAND [options]

commands:
{commands}

options of every command:
  --debug              show the traceback of an error
  --allow-import PKG   let a config name classes of this package, too (repeatable; also the
                       variable SIMLEARN_ALLOW_IMPORT, names separated by commas)
  --block PLUGIN       do not even import this plugin (repeatable); DISTRIBUTION:PLUGIN is
                       one of those that are called the same
  --strict-plugins     a plugin that does not load is an error
  -h, --help           this text; `simlearn COMMAND --help` shows the options of a command

exit codes:
  0 ok   1 gate failed   2 usage or config   3 data   4 plugin   5 numerical failure
  6 environment   7 checkpoint or archive   70 internal bug   130 interrupted   143 terminated

a first run:
  simlearn fit -c configs/fit/mass-spring.yaml
  simlearn generate -c configs/data/mass-spring.yaml --out test.h5
  simlearn check runs/latest --data test.h5 -c configs/gate/mass-spring.yaml
"""


@dataclass
class Options:
    """Options that every command takes."""

    debug: bool = False
    strict: bool = False
    allow: list[str] = field(default_factory=list)
    block: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code."""
    sys.exit(_flushed(run(sys.argv[1:] if argv is None else argv)))


def _flushed(code: int) -> int:
    """Write what is left; whoever has stopped reading by now changes nothing of what was done."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if not isinstance(error, BrokenPipeError):
                _say(f"the system refused: {error}")
                code = code or 6
    return code


def run(argv: Sequence[str]) -> int:
    """Run a command and return its exit code; no exception leaves this function."""
    options = Options()
    _plain_speech()
    try:
        rest = _common(list(argv), options)
        return _dispatch(rest, options)
    except BaseException as error:
        return _code(error, options)


def _plain_speech() -> None:
    """A terminal that lacks a character gets another one; our warnings are one line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    before = warnings.showwarning

    def show(message, category, filename, *rest):  # type: ignore[no-untyped-def]
        if "simlearn" in filename and issubclass(category, UserWarning):
            _say(f"note: {message}")
        else:
            before(message, category, filename, *rest)

    if before.__name__ != show.__name__:
        warnings.showwarning = show


def _dispatch(rest: list[str], options: Options) -> int:
    if not rest or rest[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
        print(USAGE.format(commands="\n".join(lines)), end="")
        return 0
    if rest[0] == "--version":
        from importlib.metadata import version

        print(f"simlearn {version('simlearn')}")
        return 0
    if rest[0] not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(rest[0], COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}."
        _say(f"there is no command {rest[0]!r}; {hint}")
        return 2
    room = importlib.import_module(f"simlearn.cli.{COMMANDS[rest[0]][0]}")
    code: int = room.run(rest[0], rest[1:], options)
    return code


def _common(argv: list[str], options: Options) -> list[str]:
    """Take the options of every command out of the arguments, wherever they stand."""
    rest: list[str] = []
    while argv:
        word = argv.pop(0)
        name, _, value = word.partition("=")
        if word == "--debug":
            options.debug = True
        elif word == "--strict-plugins":
            options.strict = True
        elif name in ("--allow-import", "--block"):
            value = value or (argv.pop(0) if argv else "")
            if not value:
                from simlearn.component import ConfigError

                raise ConfigError(f"{name} needs a name.")
            (options.allow if name == "--allow-import" else options.block).append(value)
        else:
            rest.append(word)
    options.allow += [p for p in os.environ.get("SIMLEARN_ALLOW_IMPORT", "").split(",") if p]
    if options.block:
        _warn_of_nobody(options.block)
    return rest


def _warn_of_nobody(names: list[str]) -> None:
    """A name that was meant to be left out and is not that of any plugin, misspelt perhaps."""
    from difflib import get_close_matches
    from importlib import metadata

    points = [p for p in metadata.entry_points(group="simlearn") if p.dist is not None]
    known = [p.name for p in points] + [f"{p.dist.name}:{p.name}" for p in points if p.dist]
    for name in sorted({*names}.difference(known)):
        near = get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        _say(f"--block {name} leaves nothing out: no plugin is called so.{hint}")


def _code(error: BaseException, options: Options) -> int:
    """The exit code of an exception, after its one message."""
    if type(error).__name__ == "SIGTERMException":
        _say("terminated")
        return 143
    if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
        _say("interrupted")
        return 130
    from simlearn.cli.blame import said_by_a_parser

    if isinstance(error, SystemExit) and said_by_a_parser(error):
        return int(error.code or 0)
    if options.debug:
        with suppress(OSError):
            traceback.print_exception(error)
    code, message = _classified(error, options)
    _say(message)
    return code


def _classified(error: BaseException, options: Options) -> tuple[int, str]:
    own: BaseException | None = error
    while own is not None and not isinstance(getattr(own, "exit_code", None), int):
        own = own.__cause__  # jsonargparse wraps what a component refuses
    if own is not None:
        return own.exit_code, str(own)  # type: ignore[attr-defined]
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    if type(error).__name__ == "MisconfigurationException":
        return 2, str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return 6, f"out of memory; {SMALLER}"
    if isinstance(error, OSError) and not isinstance(error, ImportError):
        return 6, f"the system refused: {error}"
    what = f"{type(error).__name__}: {error}"
    if "can't allocate memory" in what:  # torch raises no MemoryError
        return 6, f"out of memory; {SMALLER}"
    from simlearn.cli.blame import blamed

    if whose := blamed(error, options.allow):
        return 4, f"{whose} raised {what} (--debug shows where)"
    return 70, f"internal error, please report it with the output of --debug. {what}"


def _say(message: str) -> None:
    with suppress(OSError):  # nobody may be there to read it
        print(f"simlearn: {shown(message)}", file=sys.stderr)


def shown(message: str) -> str:
    """A message without what a terminal would obey, and no longer than people read."""
    return harmless(message if len(message) <= LONGEST else f"{message[: LONGEST - 4]} ...")


def harmless(text: str) -> str:
    """A text, which may hold names of files and columns, as letters that a terminal only shows."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
