"""The kind of component that judges."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from simlearn.component import Component
from simlearn.simulator import Simulator
from simlearn.stability.evidence import Evidence
from simlearn.stability.finding import Finding


class Check(Component):
    """Judges one property of a simulator. It never trains.

    Attributes:
        asks_training: Whether it looks at the training data; ``simlearn check`` finds them again
            where it was not told.
    """

    asks_training: ClassVar[bool] = False

    @abstractmethod
    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Look, measure, and say.

        Raises:
            DataError: The evidence is too short for the question.
        """
