"""What the callbacks cannot follow, they refuse, and say why."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

import simlearn
from simlearn import ConfigError, Simulator, VectorField
from simlearn.integrators import RK4
from simlearn.training.objectives import DerivativeMatching
from simlearn_training_dynamics import callbacks
from simlearn_training_dynamics.callbacks import (
    OrbitalStability,
    SGDExponent,
    Sharpness,
    TrainingExponent,
    TrainingSpectrum,
)


def everyone():
    return [Sharpness(every=4), TrainingExponent(4), OrbitalStability(4), TrainingSpectrum(4)]


class Forgetful(VectorField):
    """A network with dropout, which draws from the global generator, from some call on."""

    def __init__(self, since: int = 0):
        super().__init__()
        self.dim, self.net = 2, nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        self.calls, self.since = 0, since

    def forward(self, t, x, topology):
        self.calls += self.training
        late = self.calls > self.since
        return self.net(nn.functional.dropout(x, 0.3, self.training and late))


REPLAYING = [TrainingExponent, OrbitalStability, TrainingSpectrum]


def forget(tracks, *watches, since=0, accelerator="cpu"):
    simlearn.fit(
        Simulator(Forgetful(since), RK4(), 0.4),
        tracks,
        objective=DerivativeMatching(),
        callbacks=list(watches),
        progress=False,
        max_epochs=9,
        accelerator=accelerator,
    )


@pytest.mark.parametrize("callback", REPLAYING)
@pytest.mark.parametrize("since", [0, 5])
def test_randomness_that_cannot_be_replayed_is_refused_whenever_it_begins(tracks, callback, since):
    with pytest.raises(ConfigError, match=f"{callback.__name__} cannot.*global generator"):
        forget(tracks, callback(every=1), since=since)


def test_what_is_fixed_in_evaluation_is_looked_at_all_the_same(tracks):
    forget(tracks, Sharpness(every=1))


@pytest.mark.gpu
@pytest.mark.parametrize("callback", REPLAYING)
def test_randomness_of_the_gpu_is_refused_as_well(tracks, callback):
    with pytest.raises(ConfigError, match="global generator"):
        forget(tracks, callback(every=1), accelerator="gpu")


class Drawing(Forgetful):
    """Draws in evaluation, too."""

    def forward(self, t, x, topology):
        return self.net(nn.functional.dropout(x, 0.3, True))


def test_whoever_looks_draws_nothing_from_the_training(tracks):
    def trained(*watches):
        torch.manual_seed(3)
        told = {"objective": DerivativeMatching(), "progress": False, "max_epochs": 4}
        simulator = Simulator(Drawing(), RK4(), 0.4)
        return simlearn.fit(simulator, tracks, callbacks=list(watches), **told)

    alone, watched = trained(), trained(Sharpness(every=1))
    for name, value in alone.state_dict().items():
        assert torch.equal(watched.state_dict()[name], value), name


OTHERS = {
    "LBFGS: a step of L-BFGS is a line search": torch.optim.LBFGS,
    "the optimizer is Adagrad": torch.optim.Adagrad,
    "Adam with amsgrad=True": lambda w: torch.optim.Adam(w, amsgrad=True),
    "SGD with maximize=True": lambda w: torch.optim.SGD(w, lr=1e-3, maximize=True),
    "RMSprop with centered=True": lambda w: torch.optim.RMSprop(w, centered=True),
    "groups that differ in more than lr": lambda w: torch.optim.SGD(
        [{"params": [p], "momentum": k / 10} for k, p in enumerate(w)], lr=0.1
    ),
}


@pytest.mark.parametrize("message", OTHERS)
@pytest.mark.parametrize("callback", everyone(), ids=lambda c: type(c).__name__)
def test_optimizers_that_are_no_known_map_are_refused(train, callback, message):
    with pytest.raises(ConfigError, match=message):
        train(callback, optimizer=OTHERS[message])


def test_several_optimizers_and_none_are_refused():
    weights = [nn.Parameter(torch.ones(2))]
    two = [torch.optim.SGD(weights, lr=0.1), torch.optim.SGD(weights, lr=0.1)]
    for optimizers in ([], two):
        with pytest.raises(ConfigError, match=f"this one has {len(optimizers)}"):
            callbacks.optimizers.the_optimizer(optimizers)


def test_groups_may_differ_in_their_rates(train):
    def two(weights):
        first, *rest = weights
        return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 0.3}])

    watched = train(*everyone(), optimizer=two)
    assert set(watched.provenance["training_dynamics"]) >= {"Sharpness", "TrainingExponent"}


class Stranger(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch[0]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_module_of_somebody_else_is_refused():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1)))
    trainer = pl.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, callbacks=[Sharpness()],
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="trainings of simlearn"):
        trainer.fit(Stranger(), loader)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sharpness(every=0),
        lambda: Sharpness(probe=0),
        lambda: Sharpness(tolerance=0.0),
        lambda: TrainingExponent(twins=0),
        lambda: TrainingExponent(size=1.0),
        lambda: OrbitalStability(size=0.0),
        lambda: OrbitalStability(points=5),
        lambda: TrainingSpectrum(count=0),
        lambda: TrainingSpectrum(vectors=-1),
        lambda: SGDExponent(batches=0),
        lambda: SGDExponent(flat=0.0),
    ],
)
def test_senseless_numbers_are_refused(make):
    with pytest.raises(ConfigError, match=r"\d"):
        make()


def test_too_many_vectors_are_refused(train):
    with pytest.raises(ConfigError, match="small networks"):
        train(TrainingSpectrum(count=66))
    with pytest.raises(ConfigError, match="512 MB"):
        train(TrainingSpectrum(count=60, vectors=10**6))


def test_the_exponent_of_stochastic_descent_is_refused_early(train):
    for given in (
        {"optimizer": None},
        {"optimizer": lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9)},
        {"width": 600},
    ):
        with pytest.raises(ConfigError, match="without momentum, at most 2000 weights"):
            train(SGDExponent(), **given)
