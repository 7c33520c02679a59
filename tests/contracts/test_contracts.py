"""Every component of the catalog keeps the contract of its kind."""

import inspect

import pytest

import simlearn.testing
import simlearn_chaos
import simlearn_checks
import simlearn_ephemeris
import simlearn_mechanics
import simlearn_networks
import simlearn_stabilizers
from simlearn import catalog
from simlearn.component import Component

test_core = simlearn.testing.contract(catalog.CoreComponents())
test_mechanics = simlearn.testing.contract(simlearn_mechanics)
test_chaos = simlearn.testing.contract(simlearn_chaos)
test_networks = simlearn.testing.contract(simlearn_networks)
test_ephemeris = simlearn.testing.contract(simlearn_ephemeris)
test_stabilizers = simlearn.testing.contract(simlearn_stabilizers)
test_checks = simlearn.testing.contract(simlearn_checks)


def below(cls):
    for child in cls.__subclasses__():
        yield child
        yield from below(child)


OURS = sorted(
    {c for c in below(Component) if c.__module__.split(".")[0].startswith("simlearn")},
    key=lambda c: f"{c.__module__}.{c.__qualname__}",
)


@pytest.mark.parametrize("cls", OURS, ids=lambda c: c.__name__)
def test_abstract_or_final(cls):
    """A class can be subclassed, or instantiated, never both."""
    for child in cls.__subclasses__():
        if child.__module__.split(".")[0].startswith("simlearn"):
            assert inspect.isabstract(cls), (
                f"{child.__name__} derives from the final {cls.__name__}"
            )


@pytest.mark.parametrize("cls", OURS, ids=lambda c: c.__name__)
def test_only_optional_methods_are_overridden(cls):
    """A concrete method is overridden only where its kind says so."""
    for name, value in vars(cls).items():
        if name.startswith("_") or inspect.isclass(value):
            continue
        if not callable(getattr(value, "__func__", value)):
            continue
        for parent in cls.__mro__[1:]:
            if not issubclass(parent, Component) or name not in vars(parent):
                continue
            inherited = vars(parent)[name]
            function = getattr(inherited, "__func__", inherited)
            abstract = getattr(function, "__isabstractmethod__", False)
            assert abstract or getattr(function, "__optional__", False), f"{cls.__name__}.{name}"


@pytest.mark.parametrize("cls", OURS, ids=lambda c: c.__name__)
def test_at_most_three_abstract_floors(cls):
    """Above the kind itself."""
    kind = catalog.kind_of(cls)
    if kind is None or inspect.isabstract(cls):
        return
    floors = [c for c in cls.__mro__ if issubclass(c, kind) and inspect.isabstract(c)]
    assert len(floors) <= 4, floors
