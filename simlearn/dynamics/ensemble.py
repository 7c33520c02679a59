"""Many fields of one kind with weights of their own, asked together."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from simlearn.component import Component, ConfigError, arguments, describe
from simlearn.dynamics.base import Time, VectorField
from simlearn.dynamics.coupled import Enclosed, GraphCoupled
from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.dynamics.neural import MLPField, Standardizable
from simlearn.randomness import derived
from simlearn.state import Topology, Trajectory

# rows of all members together beyond which layers leave the cache; fields that are linear in their
# coefficients (`columns`) make their features once for all members instead
CHUNK = 2**14


class Ensemble(VectorField):
    """Fields of one kind, each with its own weights: dx/dt is their mean.

    All members are asked in one call, and what they share, such as the splines of a
    `CoupledSeries` or the sum over edges, is done once. Where they were trained on different
    samples of the data (`Bootstrap`, or seeds of their own and `Ensemble.of`), they agree where the
    data taught them and part elsewhere: `significance` makes a test of it.

    Args:
        member: What each member is. Its weights are not taken: every member starts from its own.
        size: Members.
        seed: Of the weights that members start from.

    Raises:
        ConfigError: There are fewer than two members.
    """

    def __init__(self, member: VectorField, size: int = 20, seed: int = 0):
        super().__init__()
        if size < 2:
            raise ConfigError(f"An ensemble has at least 2 members, got size {size}.")
        self.size, self.seed, self.dim = size, seed, member.dim
        with torch.random.fork_rng(devices=[]):
            made = []
            for k in range(size):
                torch.manual_seed(derived(seed, k))
                made.append(_anew(member))
        # stacked weights in the place of one member's: [size, ...]
        self.member: VectorField = copy.deepcopy(made[0])
        self._stack(made)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Networks, splines, and a plain field of second order."""
        series = [one for one in CoupledSeries.examples() if one.dim == 1]
        plain = MLPField(dim=2, width=4, second_order=True)
        return [cls(GraphCoupled(width=4), 3), cls.of([*series, *series]), cls(plain, 2, seed=1)]

    @classmethod
    def of(cls, fields: Sequence[VectorField]) -> Self:
        """The ensemble of fields that are trained already, such as those of sister seeds.

        Raises:
            ConfigError: There are fewer than two, or they are described differently.
        """
        if len(fields) < 2:
            raise ConfigError(f"An ensemble has at least 2 members, got {len(fields)}.")
        told = [describe(one) for one in fields]
        shapes = [{n: v.shape for n, v in one.state_dict().items()} for one in fields]
        for k, (mine, shape) in enumerate(zip(told, shapes, strict=True)):
            if mine != told[0] or shape != shapes[0]:
                raise ConfigError(
                    "Members of an ensemble are of one description and size; field "
                    f"{k} is {mine}, field 0 is {told[0]}. Train them from one config."
                )
        made = cls(fields[0], len(fields))
        made._stack(fields)
        return made

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """The mean of the members."""
        return self.members(t, x, topology).mean(0)

    def members(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt of every member, ``[size, rows, dim]``."""
        return self._asked("forward", t, x, topology)

    def outside(self, x: Tensor, topology: Topology) -> Tensor:
        """Which nodes left the range of any member that knows one, ``[rows]`` bool."""
        if not hasattr(self.member, "outside"):
            return torch.zeros(len(x), dtype=torch.bool, device=x.device)
        return self._asked("outside", x, topology).any(0)

    def seen(self, x: Tensor, topology: Topology) -> Tensor:
        """What networks of each member see of a node, ``[size, rows, features]``.

        The state; and where a field says more by a method ``watched(x, topology)``
        ``[rows, features]``, such as sums over neighbours that a network looks at, that.
        """
        if self.watches:
            return self._asked("watched", x, topology)
        return x.expand(self.size, *x.shape)

    @property
    def watches(self) -> bool:
        """Whether networks of the members see more of a node than its state."""
        return hasattr(self.member, "watched")

    def pick(self, number: int) -> VectorField:
        """One member by itself, with its weights."""
        alone = copy.deepcopy(self.member)
        for stacked, own in zip(_tensors(self.member), _tensors(alone), strict=True):
            own.data = stacked.detach()[number].clone()
        return alone

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Let all members measure the same samples."""
        first = self.pick(0)
        if not isinstance(first, Standardizable):
            return
        first.standardize(x, slope, drive)
        measured = dict(first.named_buffers())
        for name, stacked in self.member.named_buffers():
            stacked.copy_(measured[name].expand_as(stacked))
        self._alike = None

    def enclose(self, training: Sequence[Trajectory]) -> None:
        """Let members whose networks have no range yet take it from the data."""
        for k in range(self.size):
            alone = self.pick(k)
            if not isinstance(alone, Enclosed):
                return
            alone.enclose(training)
            for name, value in alone.named_buffers():
                self.member.get_buffer(name)[k] = value
        self._alike = None

    @property
    def inputs(self) -> int:
        """Control inputs of each row."""
        return getattr(self.member, "inputs", 0)

    @property
    def attributes(self) -> int:
        """Parameters of each system."""
        return getattr(self.member, "attributes", 0)

    def _asked(self, method: str, *given: Any) -> Tensor:
        """What a method of every member says."""
        stacked: dict[str, Tensor] = {f"member.{n}": p for n, p in self.member.named_parameters()}
        shared: dict[str, Tensor] = {}
        for name, value in self.member.named_buffers():
            if name in self._same():
                shared[f"member.{name}"] = value[0]
            else:
                stacked[f"member.{name}"] = value
        ask = _Ask(self.member)

        def one(weights: dict[str, Tensor]) -> Tensor:
            found: Tensor = torch.func.functional_call(ask, {**shared, **weights}, (method, given))
            return found

        rows = given[-1].rows
        chunk = self.size if hasattr(self.member, "columns") else max(1, CHUNK // rows)
        if chunk == 1:
            each = [{name: value[k] for name, value in stacked.items()} for k in range(self.size)]
            return torch.stack([one(weights) for weights in each])
        many = chunk if chunk < self.size else None
        answer: Tensor = torch.vmap(one, chunk_size=many)(stacked)
        return answer

    def _same(self) -> frozenset[str]:
        """Buffers that all members have in common: what follows from them is done once."""
        if self._alike is None:
            self._alike = frozenset(
                name
                for name, value in self.member.named_buffers()
                if bool((value == value[:1]).all())
            )
        return self._alike

    _alike: frozenset[str] | None = None

    def _stack(self, fields: Sequence[VectorField]) -> None:
        """Take the weights of these."""
        many = [list(_tensors(one)) for one in fields]
        for own, *each in zip(_tensors(self.member), *many, strict=True):
            own.data = torch.stack([one.detach() for one in each])
        self._alike = None

    def _load_from_state_dict(self, *given: Any, **more: Any) -> None:
        self._alike = None
        super()._load_from_state_dict(*given, **more)


class _Ask(nn.Module):
    """Any method of a member, as functional_call knows of forward only."""

    def __init__(self, member: nn.Module):
        super().__init__()
        self.member = member

    def forward(self, method: str, given: Sequence[Any]) -> Tensor:
        answer: Tensor = getattr(self.member, method)(*given)
        return answer


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _anew(value: Any) -> Any:
    """A component built again from its arguments, so with weights of its own."""
    if isinstance(value, Component):
        given = {name: _anew(getattr(value, name)) for name in arguments(type(value))}
        return type(value)(**given)
    if isinstance(value, Mapping):
        return {key: _anew(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_anew(item) for item in value)
    return value
