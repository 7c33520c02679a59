"""How states move: the kinds, learned fields, known laws."""

from simlearn.dynamics.base import (
    Dynamics,
    HamiltonianField,
    Map,
    SplitField,
    VectorField,
    gradient_of,
)
from simlearn.dynamics.constrained import ConstrainedEnergy, ConstrainedField
from simlearn.dynamics.coupled import GraphCoupled
from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.dynamics.dissipative import PortHamiltonian, RayleighField
from simlearn.dynamics.energy import Energy, SeparableEnergy
from simlearn.dynamics.ensemble import Ensemble
from simlearn.dynamics.graph import Newtonian, PairField
from simlearn.dynamics.henon import GHNN, HenonNet
from simlearn.dynamics.inertia import MechanicalSeries
from simlearn.dynamics.lagrangian import LagrangianField
from simlearn.dynamics.linear import Estimate, Multilinear
from simlearn.dynamics.maps import HenonMap, ResidualMap
from simlearn.dynamics.matrix import LinearField, LinearMap
from simlearn.dynamics.mechanical import ConstantMassEnergy, MechanicalEnergy
from simlearn.dynamics.metriplectic import Metriplectic
from simlearn.dynamics.neural import Flattened, MLPField, Standardizable
from simlearn.dynamics.pairforce import PairForce
from simlearn.dynamics.pairs import PairEnergy
from simlearn.dynamics.pairterms import EdgeNetwork, Factorised, PairTerm
from simlearn.dynamics.separable import SeparableSeries
from simlearn.dynamics.series import GenericSeries
from simlearn.dynamics.shears import SymplecticMap
from simlearn.dynamics.sympnets import GSympNet, LASympNet

__all__ = [
    "GHNN",
    "ConstantMassEnergy",
    "ConstrainedEnergy",
    "ConstrainedField",
    "CoupledSeries",
    "Dynamics",
    "EdgeNetwork",
    "Energy",
    "Ensemble",
    "Estimate",
    "Factorised",
    "Flattened",
    "GSympNet",
    "GenericSeries",
    "GraphCoupled",
    "HamiltonianField",
    "HenonMap",
    "HenonNet",
    "LASympNet",
    "LagrangianField",
    "LinearField",
    "LinearMap",
    "MLPField",
    "Map",
    "MechanicalEnergy",
    "MechanicalSeries",
    "Metriplectic",
    "Multilinear",
    "Newtonian",
    "PairEnergy",
    "PairField",
    "PairForce",
    "PairTerm",
    "PortHamiltonian",
    "RayleighField",
    "ResidualMap",
    "SeparableEnergy",
    "SeparableSeries",
    "SplitField",
    "Standardizable",
    "SymplecticMap",
    "VectorField",
    "gradient_of",
]
