"""What is asked of dynamics."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from simlearn import archive, catalog
from simlearn.component import class_path
from simlearn.dynamics.base import Dynamics, Map
from simlearn.state import Topology
from simlearn.testing.cases import (
    derivative,
    examples,
    normal,
    permuted,
    sample,
    shaken,
    simulator_of,
    symplectic_defect,
)


def runs_in_both_precisions(cls: type[Dynamics]) -> None:
    """float64 in, float64 out; float32 in, float32 out; the shape of the state; finite."""
    for one in examples(cls):
        x, topology = sample(one)
        for dtype in (torch.float64, torch.float32):
            answer = derivative(one.to(dtype), x.to(dtype), topology.to("cpu", dtype))
            assert answer.shape == x.shape, f"{list(x.shape)} in, {list(answer.shape)} out"
            assert answer.dtype == dtype, f"{dtype} in, {answer.dtype} out"
            assert answer.isfinite().all(), f"{cls.__name__} is not finite at an ordinary state"


def is_deterministic(cls: type[Dynamics]) -> None:
    """The same seed gives the same weights, and the same state the same answer."""
    for one, other in zip(examples(cls), examples(cls), strict=True):
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b), "two builds under one seed differ in their weights"
        x, topology = sample(one)
        first = derivative(one.double(), x, topology)
        assert torch.equal(first, derivative(one, x, topology)), "asked twice, answered twice"
        assert torch.equal(first, derivative(other.double(), x, topology))


def leaves_the_global_rng_alone(cls: type[Dynamics]) -> None:
    """A forward pass draws nothing from the global generator."""
    for one in examples(cls):
        x, topology = sample(one)
        before = torch.random.get_rng_state()
        derivative(one.double(), x, topology)
        assert torch.equal(before, torch.random.get_rng_state())


def batch_equals_its_parts(cls: type[Dynamics]) -> None:
    """A disjoint union moves as its parts do."""
    for one in examples(cls):
        one = one.double()
        x, alone = sample(one)
        y = x.flip(0) * 0.7
        together = derivative(one, torch.cat([x, y]), alone.repeat(2))
        apart = torch.cat([derivative(one, x, alone), derivative(one, y, alone)])
        torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-12)


def nan_stays_in_its_system(cls: type[Dynamics]) -> None:
    """A NaN in one system of a batch changes no other system, and is not swallowed."""
    for one in examples(cls):
        one = one.double()
        x, alone = sample(one)
        clean = derivative(one, torch.cat([x, x]), alone.repeat(2))
        sick = derivative(one, torch.cat([x, torch.full_like(x, torch.nan)]), alone.repeat(2))
        rows = len(x)
        torch.testing.assert_close(sick[:rows], clean[:rows], rtol=1e-10, atol=1e-12)
        assert not sick[rows:].isfinite().all(), "a state of NaN moves as if nothing were wrong"


def permuting_rows_permutes_the_answer(cls: type[Dynamics]) -> None:
    """The order of the rows is nobody's business."""
    for one in examples(cls):
        one = one.double()
        x, topology = sample(one)
        shifted = torch.arange(topology.rows).roll(1)
        swapped = torch.cat([shifted.new_tensor([1, 0]), torch.arange(2, topology.rows)])
        for order in (shifted, swapped):
            torch.testing.assert_close(
                derivative(one, x[order], permuted(topology, order)),
                derivative(one, x, topology)[order],
                rtol=1e-10,
                atol=1e-12,
            )


def survives_the_archive(cls: type[Dynamics]) -> None:
    """Saved in a simulator and loaded, it gives bit-equal steps."""
    own = catalog.Plugin("under test", "?", "?", cls.__module__, components=[cls])
    for one in examples(cls):
        x, topology = sample(one)
        saved = simulator_of(shaken(one))
        plugins, manager = catalog.load_plugins(entry_points=())
        known = catalog.Catalog([*plugins, own], manager)
        assert known.find(class_path(cls)) is cls, f"{class_path(cls)} names another class"
        with tempfile.TemporaryDirectory() as folder:
            path = archive.save(saved, Path(folder) / "simulator")
            loaded = archive.load(path, known)
        assert loaded.describe() == saved.describe()
        assert torch.equal(loaded.step(x, topology), saved.step(x, topology)), (
            f"{cls.__name__} loaded from an archive steps elsewhere: keep what was learned in "
            "parameters or buffers, and all else in arguments"
        )


def _mapped(one: Map, topology: Topology, x: Tensor) -> Tensor:
    return one(0.0, x, 0.1, topology)


def map_is_symplectic(cls: type[Map]) -> None:
    """JᵀΩJ = Ω to 1e-10 at random weights."""
    for one in examples(cls):
        shaken(one)
        _, topology = sample(one)
        x = normal(topology.rows, one.dim or 4)
        step = functools.partial(_mapped, one, topology)
        defect = symplectic_defect(step, x, torch.ones(topology.rows))
        assert defect < 1e-10, f"|JᵀΩJ − Ω| = {defect:.1e}"
