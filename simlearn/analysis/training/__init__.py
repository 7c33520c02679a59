"""Training as a dynamical system: sharpness, exponents, twins, orbits, minima."""

from simlearn.analysis.training.curvature import Edge, Ritz, edge, hessian_products, lanczos
from simlearn.analysis.training.interpolation import (
    descent_exponent,
    normal_space,
    scalar_exponents,
    sgd_exponent,
)
from simlearn.analysis.training.maps import pushed, training_map
from simlearn.analysis.training.orbit import Path, to_orbit
from simlearn.analysis.training.rules import Adam, Descent, RMSprop, Rule, largest
from simlearn.analysis.training.twin import Twin, directions, twin_exponents

__all__ = [
    "Adam",
    "Descent",
    "Edge",
    "Path",
    "RMSprop",
    "Ritz",
    "Rule",
    "Twin",
    "descent_exponent",
    "directions",
    "edge",
    "hessian_products",
    "lanczos",
    "largest",
    "normal_space",
    "pushed",
    "scalar_exponents",
    "sgd_exponent",
    "to_orbit",
    "training_map",
    "twin_exponents",
]
