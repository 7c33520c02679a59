"""Dynamics on graphs, the families of graphs that they live on, and checks of their limits."""

from __future__ import annotations

import simlearn
from simlearn_networks.ecology import LotkaVolterra, LotkaVolterraLaw, Population, PopulationLaw
from simlearn_networks.edge_list import EdgeList
from simlearn_networks.epidemics import SIR, SIS, SIRLaw, SISLaw
from simlearn_networks.family import GraphFamily, Links
from simlearn_networks.gene import GeneRegulation, GeneRegulationLaw
from simlearn_networks.grown_graphs import BarabasiAlbert, Grid8, NewmanWattsStrogatz
from simlearn_networks.heat import Heat, HeatLaw
from simlearn_networks.inertial import InertialKuramoto, InertialKuramotoLaw
from simlearn_networks.kinetics import (
    MassAction,
    MassActionLaw,
    MichaelisMenten,
    MichaelisMentenLaw,
)
from simlearn_networks.kuramoto import Kuramoto, KuramotoLaw
from simlearn_networks.meanfield import MeanField
from simlearn_networks.mutualistic import Mutualistic, MutualisticLaw
from simlearn_networks.neurons import FitzHughNagumo, FitzHughNagumoLaw, Neuronal, NeuronalLaw
from simlearn_networks.opinion import Opinion, OpinionLaw
from simlearn_networks.order import OrderParameter
from simlearn_networks.oscillators import (
    CoupledLorenz,
    CoupledLorenzLaw,
    CoupledRoessler,
    CoupledRoesslerLaw,
)
from simlearn_networks.powergrid import PowerGrid, PowerGridLaw
from simlearn_networks.random_graphs import ErdosRenyi, RandomGeometric, RandomPartition
from simlearn_networks.swing import SwingEquation, SwingLaw

_SYSTEMS: list[type] = [
    CoupledLorenz,
    CoupledRoessler,
    FitzHughNagumo,
    GeneRegulation,
    Heat,
    InertialKuramoto,
    Kuramoto,
    LotkaVolterra,
    MassAction,
    MichaelisMenten,
    Mutualistic,
    Neuronal,
    Opinion,
    Population,
    PowerGrid,
    SIR,
    SIS,
    SwingEquation,
]
_LAWS: list[type] = [
    CoupledLorenzLaw,
    CoupledRoesslerLaw,
    FitzHughNagumoLaw,
    GeneRegulationLaw,
    HeatLaw,
    InertialKuramotoLaw,
    KuramotoLaw,
    LotkaVolterraLaw,
    MassActionLaw,
    MichaelisMentenLaw,
    MutualisticLaw,
    NeuronalLaw,
    OpinionLaw,
    PopulationLaw,
    PowerGridLaw,
    SIRLaw,
    SISLaw,
    SwingLaw,
]

__all__ = [
    "SIR",
    "SIS",
    "BarabasiAlbert",
    "CoupledLorenz",
    "CoupledLorenzLaw",
    "CoupledRoessler",
    "CoupledRoesslerLaw",
    "EdgeList",
    "ErdosRenyi",
    "FitzHughNagumo",
    "FitzHughNagumoLaw",
    "GeneRegulation",
    "GeneRegulationLaw",
    "GraphFamily",
    "Grid8",
    "Heat",
    "HeatLaw",
    "InertialKuramoto",
    "InertialKuramotoLaw",
    "Kuramoto",
    "KuramotoLaw",
    "Links",
    "LotkaVolterra",
    "LotkaVolterraLaw",
    "MassAction",
    "MassActionLaw",
    "MeanField",
    "MichaelisMenten",
    "MichaelisMentenLaw",
    "Mutualistic",
    "MutualisticLaw",
    "Neuronal",
    "NeuronalLaw",
    "NewmanWattsStrogatz",
    "Opinion",
    "OpinionLaw",
    "OrderParameter",
    "Population",
    "PopulationLaw",
    "PowerGrid",
    "PowerGridLaw",
    "RandomGeometric",
    "RandomPartition",
    "SIRLaw",
    "SISLaw",
    "SwingEquation",
    "SwingLaw",
]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """Systems, laws and checks; graph families are arguments of systems and need no offer."""
    return [*_SYSTEMS, *_LAWS, MeanField, OrderParameter]
