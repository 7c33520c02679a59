"""jsonargparse, restrained.

Nothing outside the allowed modules is imported, and errors are one message.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonargparse

from simlearn import catalog
from simlearn.catalog import Catalog
from simlearn.cli import Options
from simlearn.cli.allowed import allowed
from simlearn.cli.explaining import explained, unbuildable
from simlearn.component import ConfigError
from simlearn.stability.yamlfile import load_yaml

# what a parser or a constructor raises of what it is given
UNFIT = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RuntimeError)


def prepare(options: Options) -> Catalog:
    """Load the plugins, then close the door for every other module."""
    known = catalog.load(options.block, options.strict, allow=options.allow)
    for plugin in known.failed():
        print(f"simlearn: plugin {plugin.label} did not load: {plugin.reason}", file=sys.stderr)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="jsonargparse")
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=allowed(known),
        instantiate_subclass_spec_in_any=False,
    )
    return known


@contextmanager
def prepared(options: Options) -> Iterator[Catalog]:
    """The same in a process that is not ours: its own settings of jsonargparse come back."""
    settings: dict[str, Any] = jsonargparse._common.parsing_settings
    before = dict(settings)
    try:
        with warnings.catch_warnings():
            yield prepare(options)
    finally:
        settings.clear()
        settings.update(before)


def configs_in(argv: Sequence[str]) -> list[Path]:
    """The files given by -c or --config.

    Raises:
        ConfigError: One is missing or is no YAML mapping; file, line and column are named.
    """
    found = []
    for k, word in enumerate(argv):
        name, _, value = word.partition("=")
        if name in ("-c", "--config"):
            found.append(Path(value or (argv[k + 1] if k + 1 < len(argv) else "")))
        elif word.startswith("-c") and not word.startswith("--") and len(word) > 2:
            found.append(Path(word[2:]))
    for path in found:
        load_yaml(path)
    return found


class OneMessage:
    """Mixin for a jsonargparse parser.

    Errors become one `ConfigError` instead of pages of usage.
    """

    known: Catalog
    files: Sequence[Path] = ()

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise the one message; parsers of nested components let the outermost one speak."""
        if not self.exit_on_error:  # type: ignore[attr-defined]
            return super().error(message, ex)  # type: ignore[misc]
        raise ConfigError(explained(message, type(self).known, type(self).files)) from ex

    def parse_args(self, *given: Any, **more: Any) -> Any:
        """The arguments of a command line."""
        return self._guarded(super().parse_args, given, more)  # type: ignore[misc]

    def parse_path(self, *given: Any, **more: Any) -> Any:
        """The arguments of a config."""
        return self._guarded(super().parse_path, given, more)  # type: ignore[misc]

    def parse_object(self, *given: Any, **more: Any) -> Any:
        """The arguments of a mapping."""
        return self._guarded(super().parse_object, given, more)  # type: ignore[misc]

    def instantiate(self, *given: Any, **more: Any) -> Any:
        """The components that arguments name, built."""
        return self._guarded(super().instantiate, given, more)  # type: ignore[misc]

    def instantiate_classes(self, *given: Any, **more: Any) -> Any:
        """The same; Lightning and jsonargparse call it by either name."""
        return self._guarded(super().instantiate_classes, given, more)  # type: ignore[misc]

    def _guarded(self, work: Callable[..., Any], given: Any, more: Any) -> Any:
        """Not all that jsonargparse and constructors raise goes through `error`."""
        try:
            return work(*given, **more)
        except UNFIT as error:
            if not self.exit_on_error:  # type: ignore[attr-defined]
                raise
            known, files = type(self).known, type(self).files
            if "is not allowed" in str(error):
                raise ConfigError(explained(str(error), known, files)) from error
            raise unbuildable(error, ", ".join(map(str, files)) or "What was given") from error


class Parser(OneMessage, jsonargparse.ArgumentParser):
    """The parser of simlearn's own commands."""


def parser(command: str, description: str, known: Catalog, files: Sequence[Path]) -> Parser:
    """A parser for one command."""
    OneMessage.known, OneMessage.files = known, files
    return Parser(prog=f"simlearn {command}", description=description)
