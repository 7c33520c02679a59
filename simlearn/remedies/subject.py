"""What remedies are tried on: a simulator, and the config that trained it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simlearn.catalog import Catalog
from simlearn.component import Component, ConfigError
from simlearn.remedies.config import Config, name_of
from simlearn.simulator import Simulator
from simlearn.state import Trajectory


class Untried(ConfigError):
    """A remedy that cannot be tried here; the message says why."""


@dataclass(frozen=True)
class Subject:
    """What a remedy changes.

    Attributes:
        simulator: The trained simulator.
        config: What trained it; None where nobody knows.
        plugins: Where names are looked up.
        dim: Columns of a state of the data.
        training: Gives the data it was trained on.
    """

    simulator: Simulator
    config: Config | None
    plugins: Catalog
    dim: int
    training: Callable[[], Sequence[Trajectory]]

    def find(self, name: str, kind: type[Component]) -> type[Any]:
        """The component that a remedy names.

        Raises:
            ConfigError: Nothing is called so, or it is of another kind.
        """
        found = self.plugins.find(name, kind)
        if not issubclass(found, kind):
            raise ConfigError(f"{name} is no {kind.__name__}.")
        return found

    def part(self, *keys: str) -> Any:
        """A part of the config; None where it says nothing."""
        here: Any = self.config or {}
        for name in keys:
            here = here.get(name) if isinstance(here, dict) else None
        return here

    def changed(self) -> Config:
        """A copy of the config, to be changed.

        Raises:
            Untried: There is none.
        """
        if self.config is None:
            raise Untried("it needs a training, and no config (config.yaml of a run) says how")
        return copy.deepcopy(self.config)

    def needs_epochs(self) -> None:
        """Refuse what acts on gradient steps only, where there are none.

        Raises:
            Untried: The training has no epoch.
        """
        if self.part("trainer", "max_epochs") == 0:
            raise Untried("the training takes no gradient step (max_epochs: 0)")

    def stabilizers(self) -> list[str]:
        """Names of the stabilizers that it was trained with."""
        given = self.part("model", "stabilizers")
        if self.config is None:
            given = self.simulator.provenance.get("stabilizers")
        return [name_of(one) for one in given or ()]
