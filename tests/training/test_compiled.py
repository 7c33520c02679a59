"""Training in one compiled graph: the numbers of eager mode, or eager mode with a reason."""

import warnings

import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import MLPField, SeparableEnergy
from simlearn.integrators import RK4, ImplicitMidpoint, Leapfrog
from simlearn.training import compiled
from simlearn.training.compiled import Compiled
from simlearn.training.fit import DEFAULTS
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching, MultiStep
from simlearn_mechanics import MassSpring
from simlearn_stabilizers import NoiseInjection


@pytest.fixture(scope="module")
def tracks():
    return list(MassSpring().draw(range(4), simlearn.sample_times(13, 0.1), 0))


def separable(width=4):
    return Simulator(SeparableEnergy(dim=2, width=width), Leapfrog(), 0.1)


EAGER, RECORDED = "no graph", None


def trained(tracks, backend, make=separable, epochs=4, resume=None, batch=12, **module):
    """A module after some epochs on windows in two batches; graph or no graph."""
    import lightning.pytorch as pl

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        simulator = make()
    module.setdefault("objective", MultiStep(2))
    made = SimulatorModule(simulator, **module)
    if backend != EAGER:
        made.compiled = Compiled(backend)
    trainer = pl.Trainer(**{**DEFAULTS, "max_epochs": epochs, "accelerator": "cpu"})
    data = TrajectoryData.of(tracks, batch_size=batch, held_out=0.0)
    trainer.fit(made, datamodule=data, ckpt_path=resume)
    made.trained_by = trainer
    return made


def difference(one, other):
    """Relative distance of all that was learned."""
    a, b = (torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (one, other))
    return float((a - b).norm() / a.norm())


OPTIMIZERS = {
    "Adam": None,
    "decoupled decay": lambda w: torch.optim.AdamW(w, lr=1e-2, weight_decay=0.1),
    "decay in the gradient": lambda w: torch.optim.Adam(w, lr=1e-2, weight_decay=0.1),
    "momentum": lambda w: torch.optim.SGD(w, lr=1e-2, momentum=0.9),
    "line search": lambda w: torch.optim.LBFGS(w, max_iter=3),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_graph_learns_what_eager_mode_learns(tracks, optimizer):
    """To rounding, over several steps, and Lightning counts the same."""
    make = OPTIMIZERS[optimizer]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", module="lightning|torch")
        found = trained(tracks, RECORDED, optimizer=make)
    wanted = trained(tracks, EAGER, optimizer=make)
    assert not found.compiled.broken
    assert len(found.compiled.graphs) == 1
    assert difference(found, wanted) < 1e-12
    assert difference(found, trained(tracks, EAGER, optimizer=make, epochs=1)) > 1e-6
    assert found.ledger.updates == wanted.ledger.updates == 8
    assert found.ledger.evaluations == wanted.ledger.evaluations
    assert found.global_step == wanted.global_step


@pytest.mark.parametrize(
    "settings",
    [
        {"clip": 0.01},
        {"stabilizers": [NoiseInjection(0.1)]},
        {"objective": MultiStep(2, optimize_starts=True)},
        {"objective": DerivativeMatching(), "make": lambda: Simulator(MLPField(2, 6), RK4(), 0.1)},
    ],
    ids=["clipped", "noise", "learned starts", "slopes"],
)
def test_clipping_noise_starts_and_slopes_too(tracks, settings):
    found, wanted = (trained(tracks, backend, **settings) for backend in (RECORDED, EAGER))
    assert not found.compiled.broken
    assert difference(found, wanted) < 1e-12


def test_eager_mode_and_checkpoints_go_on_where_the_graph_ended(tracks, tmp_path):
    """The state is torch's own: half compiled, half eager is the same training."""
    half = trained(tracks, RECORDED, epochs=2)
    half.trained_by.save_checkpoint(tmp_path / "half.ckpt")
    found = trained(tracks, EAGER, resume=str(tmp_path / "half.ckpt"))
    assert difference(found, trained(tracks, EAGER)) < 1e-12


def test_float32_is_trusted_to_its_own_rounding(tracks):
    found, wanted = (trained(tracks, backend, dtype="float32") for backend in ("aot_eager", EAGER))
    assert not found.compiled.broken
    assert difference(found, wanted) < 1e-5


def test_learned_starts_are_of_the_precision_that_is_trained(tracks):
    """They are made from data in float64; beside float32 they would be held to its rounding."""
    found, wanted = (
        trained(tracks, backend, dtype="float32", objective=MultiStep(2, optimize_starts=True))
        for backend in (RECORDED, EAGER)
    )
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    assert float(found.objective.starts.offset.detach().abs().max()) > 0
    assert not found.compiled.broken
    assert difference(found, wanted) < 1e-5


class Moody(simlearn.VectorField):
    """Answers twice as much at every second call: no graph can know."""

    dim = 2

    def __init__(self):
        super().__init__()
        self.weight, self.calls = torch.nn.Parameter(torch.ones(2)), 0

    def forward(self, t, x, topology):
        self.calls += 1
        return x * self.weight * (1 + self.calls % 2)


def test_a_graph_with_other_numbers_is_not_trusted(tracks):
    with pytest.warns(UserWarning, match=r"loss differs .* goes on in eager mode"):
        found = trained(
            tracks,
            RECORDED,
            make=lambda: Simulator(Moody(), RK4(), 0.1),
            objective=DerivativeMatching(scale="none"),
        )
    assert found.compiled.broken
    assert found.ledger.updates > 0, "trained all the same"


def test_a_wrong_update_is_not_trusted(tracks, monkeypatch):
    """Bias corrections left out: loss and gradients are right, the update is not."""
    monkeypatch.setattr("simlearn.training.adam.numbers_of", lambda group, steps: [1e-3, 1.0, 1e-3])
    with pytest.warns(UserWarning, match="update differs"):
        found = trained(tracks, RECORDED)
    assert difference(found, trained(tracks, EAGER)) < 1e-12


def test_without_a_compiler_training_goes_on(tracks):
    """What torch raises where there is no C++ compiler, and any backend that fails."""

    def broken(graph, inputs):
        from torch._inductor.exc import InvalidCxxCompiler

        raise InvalidCxxCompiler

    with pytest.warns(UserWarning, match="not compiled"):
        found = trained(tracks, broken)
    assert difference(found, trained(tracks, EAGER)) == 0


@pytest.mark.parametrize("clip", [None, 0.01], ids=["whole step", "gradients"])
def test_decisions_by_value_are_watched(tracks, clip):
    """An implicit step turns as often as it needs: steps that need another count stay eager.

    At a tolerance of a percent one turn more or less is another gradient, in batches of three
    windows the count differs from batch to batch.
    """
    make = {"make": lambda: Simulator(MLPField(2, 6), ImplicitMidpoint(1e-2), 0.1), "clip": clip}
    make |= {"batch": 3, "epochs": 2}
    found, wanted = (trained(tracks, backend, **make) for backend in (RECORDED, EAGER))
    assert not found.compiled.broken
    assert 0 < found.compiled.misses < found.ledger.updates == 16
    assert difference(found, wanted) < 1e-12


@pytest.mark.filterwarnings("ignore:The training step is not compiled")
def test_too_many_decisions_give_the_graph_up(tracks, monkeypatch):
    monkeypatch.setattr(compiled, "MOST_MISSES", 0)
    make = {"make": lambda: Simulator(MLPField(2, 6), ImplicitMidpoint(1e-2), 0.1), "batch": 3}
    found, wanted = (trained(tracks, backend, epochs=2, **make) for backend in (RECORDED, EAGER))
    assert "differ from step to step" in found.compiled.broken
    assert found.compiled.misses == 1
    assert difference(found, wanted) < 1e-12


def test_a_growing_horizon_is_compiled_anew_and_not_for_ever(tracks, monkeypatch):
    monkeypatch.setattr(compiled, "MOST_GRAPHS", 2)
    lesson = {"objective": MultiStep(5, grow_over=4), "epochs": 6}
    with pytest.warns(UserWarning, match="graph number 3"):
        found = trained(tracks, RECORDED, **lesson)
    lesson["objective"] = MultiStep(5, grow_over=4)
    assert difference(found, trained(tracks, EAGER, **lesson)) < 1e-12


def test_long_windows_stay_eager(tracks, monkeypatch):
    monkeypatch.setattr(compiled, "LONGEST", 2)
    with pytest.warns(UserWarning, match="3 states in a window are more than 2"):
        trained(tracks, RECORDED, epochs=1)


def test_fit_and_the_module_take_the_switch(tracks):
    assert SimulatorModule(separable()).compiled is None
    assert SimulatorModule(separable(), compile=True).compiled.backend == "inductor"


@pytest.mark.slow
def test_the_default_compiler_learns_what_eager_mode_learns(tracks):
    """One real compilation, of the smallest net, through the front door."""
    found, wanted = (
        simlearn.fit(
            simulator,
            tracks,
            objective=DerivativeMatching(),
            max_epochs=5,
            progress=False,
            compile=compile,
        )
        for simulator, compile in zip(twins(), (True, False), strict=True)
    )
    assert difference(found, wanted) < 1e-10


def twins():
    """Two simulators of the same weights."""
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield Simulator(MLPField(2, 4, depth=1), RK4(), 0.1)
