"""A simulator: dynamics, an integrator and a step, and the one rollout that everything uses."""

from simlearn.simulator.compiled import CompiledRollout
from simlearn.simulator.core import LOOK_EVERY, Simulator
from simlearn.simulator.reversible import RebuildWarning

__all__ = ["LOOK_EVERY", "CompiledRollout", "RebuildWarning", "Simulator"]
