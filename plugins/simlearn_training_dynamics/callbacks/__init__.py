"""Callbacks of Lightning's Trainer that watch a training of simlearn."""

from simlearn_training_dynamics.callbacks.exponent import TrainingExponent
from simlearn_training_dynamics.callbacks.forecast import FinalLoss
from simlearn_training_dynamics.callbacks.interpolation import SGDExponent
from simlearn_training_dynamics.callbacks.orbit import OrbitalStability
from simlearn_training_dynamics.callbacks.sharpness import Sharpness
from simlearn_training_dynamics.callbacks.spectrum import TrainingSpectrum

__all__ = [
    "FinalLoss",
    "OrbitalStability",
    "SGDExponent",
    "Sharpness",
    "TrainingExponent",
    "TrainingSpectrum",
]
