"""The kind of component that judges."""

from __future__ import annotations

from abc import abstractmethod

from simlearn.component import Component
from simlearn.simulator import Simulator
from simlearn.stability.evidence import Evidence
from simlearn.stability.finding import Finding


class Check(Component):
    """Judges one property of a simulator. It never trains."""

    @abstractmethod
    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Look, measure, and say.

        Raises:
            DataError: The evidence is too short for the question.
        """
