"""How states move: the kinds, learned fields, known laws."""

from simlearn.dynamics.base import (
    Dynamics,
    HamiltonianField,
    Map,
    SplitField,
    VectorField,
    gradient_of,
)
from simlearn.dynamics.energy import Energy, SeparableEnergy
from simlearn.dynamics.graph import Newtonian, PairField
from simlearn.dynamics.linear import Estimate, Multilinear
from simlearn.dynamics.maps import HenonMap, ResidualMap
from simlearn.dynamics.matrix import LinearField, LinearMap
from simlearn.dynamics.neural import Flattened, MLPField, Standardizable
from simlearn.dynamics.pairforce import PairForce

__all__ = [
    "Dynamics",
    "Energy",
    "Estimate",
    "Flattened",
    "HamiltonianField",
    "HenonMap",
    "LinearField",
    "LinearMap",
    "MLPField",
    "Map",
    "Multilinear",
    "Newtonian",
    "PairField",
    "PairForce",
    "ResidualMap",
    "SeparableEnergy",
    "SplitField",
    "Standardizable",
    "VectorField",
    "gradient_of",
]
