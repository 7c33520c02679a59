"""The Duffing oscillator, and a check of its period."""

import simlearn
from simlearn_duffing.oscillator import Duffing, DuffingEnergy
from simlearn_duffing.period import Period

__all__ = ["Duffing", "DuffingEnergy", "Period"]


@simlearn.hookimpl
def simlearn_components():
    return [Duffing, DuffingEnergy, Period]
