"""Stabilizers: what keeps learned dynamics stable, each with the bias it pays for it."""

from __future__ import annotations

import simlearn
from simlearn_stabilizers.constraints import Bjorck, Orthogonal, SpectralNorm
from simlearn_stabilizers.hamiltonian import HamiltonianLayers
from simlearn_stabilizers.jacobian import JacobianPenalty, LogNormBound
from simlearn_stabilizers.lipschitz import ContractingField, LipschitzField, LipschitzMap
from simlearn_stabilizers.lyapunov import LyapunovStableField
from simlearn_stabilizers.noise import NoiseInjection
from simlearn_stabilizers.projection import ProjectedField, ProjectedMap, SubspaceProjection
from simlearn_stabilizers.pushforward import PushForward
from simlearn_stabilizers.roughness import Roughness
from simlearn_stabilizers.spectra import Antisymmetric, HurwitzStable, SchurStable
from simlearn_stabilizers.standardize import Standardize
from simlearn_stabilizers.start import StableInitialization

_DYNAMICS: list[type] = [
    ContractingField,
    HamiltonianLayers,
    LipschitzField,
    LipschitzMap,
    LyapunovStableField,
    ProjectedField,
    ProjectedMap,
]
_STABILIZERS: list[type] = [
    Antisymmetric,
    Bjorck,
    HurwitzStable,
    JacobianPenalty,
    LogNormBound,
    NoiseInjection,
    Orthogonal,
    PushForward,
    Roughness,
    SchurStable,
    SpectralNorm,
    StableInitialization,
    Standardize,
    SubspaceProjection,
]

__all__ = [
    "Antisymmetric",
    "Bjorck",
    "ContractingField",
    "HamiltonianLayers",
    "HurwitzStable",
    "JacobianPenalty",
    "LipschitzField",
    "LipschitzMap",
    "LogNormBound",
    "LyapunovStableField",
    "NoiseInjection",
    "Orthogonal",
    "ProjectedField",
    "ProjectedMap",
    "PushForward",
    "Roughness",
    "SchurStable",
    "SpectralNorm",
    "StableInitialization",
    "Standardize",
    "SubspaceProjection",
]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The stabilizers, and dynamics that are stable by construction."""
    return [*_STABILIZERS, *_DYNAMICS]
