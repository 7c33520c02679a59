"""The kit can fail: dynamics with one fault each."""

import itertools

import pytest
import torch

import simlearn
from simlearn.testing import asked

ASPECTS = {a.__name__: a for _, _, aspects in asked.ASKED for a in aspects}
count = itertools.count()


class Field(simlearn.VectorField):
    """Abstract: a broken field says only what is broken about it."""


class AlwaysDouble(Field):
    """Answers in float64."""

    def forward(self, t, x, topology):
        return -x.double()


class NanEverywhere(Field):
    """0 / 0."""

    def forward(self, t, x, topology):
        return x * torch.nan


class Counting(Field):
    """Another answer each time."""

    def forward(self, t, x, topology):
        return -x * next(count)


class Dicing(Field):
    """Draws from the global generator."""

    def forward(self, t, x, topology):
        return -x + 0 * torch.rand(1, dtype=x.dtype)


class Centred(Field):
    """Subtracts the mean over the whole batch."""

    def forward(self, t, x, topology):
        return x.mean(0) - x


class Leaking(Field):
    """A zero that is NaN where any system is."""

    def forward(self, t, x, topology):
        return -x + 0 * x.sum()


class Swallowing(Field):
    """Takes NaN for zero."""

    def forward(self, t, x, topology):
        return -x.nan_to_num()


class Forgetful(Field):
    """A weight that is no parameter and no buffer."""

    def __init__(self):
        super().__init__()
        self.weight = torch.rand(1).double()

    def forward(self, t, x, topology):
        return -self.weight.to(x) * x


class Counted(Field):
    """The first row moves otherwise than the second."""

    def forward(self, t, x, topology):
        return x * torch.arange(len(x)).to(x)[:, None]


class Contracting(simlearn.Map):
    """Claims what it is not."""

    symplectic = True

    def forward(self, t, x, dt, topology):
        return x * (1 - dt)


class Quadratic(simlearn.SplitField):
    """Abstract: |q|²/2 + |p|²/2 with some force."""

    dim = 4

    def drift(self, p, topology):
        return p

    def energy(self, x, topology):
        return topology.per_system((x**2).sum(-1) / 2)


class WrongSign(Quadratic):
    """A force away from the minimum."""

    def kick(self, t, q, topology):
        return q


class Pushed(Quadratic):
    """Claims to be autonomous, but the force knows the time."""

    def kick(self, t, q, topology):
        return -q + t


class Curled(Quadratic):
    """A force with curl feeds every circling orbit."""

    def kick(self, t, q, topology):
        return -q + 0.001 * q.flip(-1) * torch.tensor([1.0, -1.0]).to(q)


@pytest.mark.parametrize(
    ("cls", "aspect", "told"),
    [
        (AlwaysDouble, "runs_in_both_precisions", "float32 in, torch.float64 out"),
        (NanEverywhere, "runs_in_both_precisions", "not finite"),
        (Counting, "is_deterministic", "asked twice"),
        (Dicing, "leaves_the_global_rng_alone", None),
        (Centred, "batch_equals_its_parts", "not close"),
        (Leaking, "nan_stays_in_its_system", "not close"),
        (Swallowing, "nan_stays_in_its_system", "as if nothing were wrong"),
        (Forgetful, "survives_the_archive", "parameters or buffers"),
        (Counted, "permuting_rows_permutes_the_answer", "not close"),
        (Contracting, "map_is_symplectic", "JᵀΩJ"),
        (WrongSign, "force_is_the_gradient_of_the_energy", "not close"),
        (Pushed, "energy_is_constant_along_the_flow", "at t = 0.7"),
        (WrongSign, "energy_is_constant_along_the_flow", "at t = 0.0"),
        (Curled, "energy_does_not_drift", "does not keep its energy"),
    ],
)
def test_it_fails(cls, aspect, told):
    with pytest.raises(AssertionError, match=told):
        ASPECTS[aspect](cls)
