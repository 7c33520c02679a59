"""Stabilizers that bound the norm of every linear layer, or make it orthogonal."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

import simlearn
from simlearn import ConfigError
from simlearn_stabilizers.norms import NewtonSchulz, NormBound, Polished, polar
from simlearn_stabilizers.wrapping import constrained, linear_layers, parametrize


class SpectralNorm(simlearn.Stabilizer):
    """Holds the norm of every linear layer inside a bound, ‖W‖₂ ≤ bound, by exact SVD.

    W becomes W · min(1, bound / ‖W‖₂), the projection of Gouk et al. 2021, where Miyato et al. 2018
    always divide. It holds at every moment of the training, not after convergence only,
    for one SVD a layer and evaluation.

    Args:
        bound: Largest norm of each layer. Good values: 0.5 to 3.
    """

    def __init__(self, bound: float = 1.0):
        if not 0 < bound < torch.inf:
            raise ConfigError(f"SpectralNorm needs a finite bound > 0, got {bound}.")
        self.bound = bound

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            f"Makes every layer stretch by at most {self.bound:g}, so neighbouring states part no "
            "faster than the product of all layers allows: steep forces come out smoother."
        )

    def wrap(self, dynamics: simlearn.Dynamics) -> simlearn.Dynamics:
        """Parametrize every linear layer."""
        return constrained(
            self,
            dynamics,
            linear_layers(dynamics),
            lambda one: parametrize(one, NormBound(self.bound)),
        )


class Orthogonal(simlearn.Stabilizer):
    """Keeps every linear layer orthogonal, WᵀW = I, or semi-orthogonal where it is not square.

    By the Cayley transform of a skew matrix around the polar factor of the first weights, which is
    the orthogonal matrix nearest to them.
    """

    bias = (
        "Takes the scale away from every layer: signals and gradients neither grow nor fade, and "
        "steepness is left to the activations and to the dynamics' own scales."
    )

    def wrap(self, dynamics: simlearn.Dynamics) -> simlearn.Dynamics:
        """Parametrize every linear layer."""
        return constrained(self, dynamics, linear_layers(dynamics), _orthogonal)


class Bjorck(simlearn.Stabilizer):
    """Takes every linear layer to the orthogonal matrix nearest to it, by Newton-Schulz iterations.

    Singular values follow s ← 1.5 s − 0.5 s³ from a start in (0, 1]: the norm is at most 1 after
    any number of iterations, and orthogonality comes with them, slowly where s is small
    (Björck and Bowie 1971; Anil, Lucas and Grosse 2019).

    Args:
        iterations: How many. Good values: 12 to 25.
    """

    def __init__(self, iterations: int = 15):
        if iterations < 1:
            raise ConfigError(f"Bjorck needs at least 1 iteration, got {iterations}.")
        self.iterations = iterations

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            "Bounds the stretch of every layer by 1 and brings it close to a rotation: steepness "
            "is left to the activations and to the dynamics' own scales."
        )

    def wrap(self, dynamics: simlearn.Dynamics) -> simlearn.Dynamics:
        """Parametrize every linear layer."""
        return constrained(
            self,
            dynamics,
            linear_layers(dynamics),
            lambda one: parametrize(one, NewtonSchulz(self.iterations)),
        )


def _orthogonal(layer: nn.Linear) -> None:
    weight = layer.weight
    devices = [] if weight.device.type == "cpu" else [weight.device]
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)  # torch completes a rectangular matrix at random
        weight.copy_(polar(weight))
        # not "householder": weight decay would move the signs that it keeps among its numbers
        orthogonal(layer, "weight", "cayley")
    parametrize(layer, Polished())
