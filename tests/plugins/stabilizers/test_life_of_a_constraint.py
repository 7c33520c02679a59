"""From wrap through training, resume and folding to an archive that knows nothing of it."""

import copy
import warnings

import lightning.pytorch as pl
import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import LinearField, LinearMap, MLPField
from simlearn.integrators import RK4
from simlearn.training.fit import DEFAULTS, finished
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import MultiStep
from simlearn_mechanics import MassSpring
from simlearn_stabilizers.constraints import Bjorck, Orthogonal, SpectralNorm
from simlearn_stabilizers.norms import layer_norms
from simlearn_stabilizers.spectra import Antisymmetric, HurwitzStable, SchurStable

TOPOLOGY = simlearn.Topology.isolated(5)


def norms_at_most(bound):
    return lambda dynamics: max(layer_norms(dynamics).values()) <= bound + 1e-12


def orthogonal(dynamics):
    weights = [m.weight.detach() for m in dynamics.modules() if isinstance(m, torch.nn.Linear)]
    return all(float((torch.linalg.svdvals(w) - 1).abs().max()) < 1e-13 for w in weights)


def spectrum(dynamics):
    return torch.linalg.eigvals(dynamics.linear.weight.detach())


def mlp():
    return MLPField(dim=2, width=8)


CASES = {
    "SpectralNorm": (SpectralNorm(0.7), mlp, norms_at_most(0.7)),
    "Orthogonal": (Orthogonal(), mlp, orthogonal),
    "Bjorck": (Bjorck(), mlp, norms_at_most(1.0)),
    "Antisymmetric": (
        Antisymmetric(0.1),
        lambda: LinearField(2),
        lambda d: float((spectrum(d).real + 0.1).abs().max()) < 1e-14,
    ),
    "HurwitzStable": (
        HurwitzStable(0.05),
        lambda: LinearField(2),
        lambda d: float(spectrum(d).real.max()) <= -0.05 + 1e-12,
    ),
    "SchurStable": (
        SchurStable(0.02),
        lambda: LinearMap(2),
        lambda d: float(spectrum(d).abs().max()) <= 0.98 + 1e-12,
    ),
}
every = pytest.mark.parametrize(("stabilizer", "make", "holds"), CASES.values(), ids=list(CASES))


@pytest.fixture(scope="module")
def data():
    return list(MassSpring().draw(range(6), simlearn.sample_times(30, 0.1), 0))


def simulator(make):
    dynamics = make()
    return Simulator(dynamics, None if isinstance(dynamics, LinearMap) else RK4(), 0.1)


@every
def test_the_guarantee_holds_after_training_and_in_an_archive(
    stabilizer, make, holds, data, seeded, tmp_path
):
    one = simulator(make)
    before = one.dynamics.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    state = torch.random.get_rng_state()
    arguments = {"objective": MultiStep(4), "max_epochs": 12, "progress": False}
    fitted = simlearn.fit(one, data, stabilizers=[stabilizer], held_out=0.3, **arguments)
    assert torch.equal(state, torch.random.get_rng_state()), "wrap drew from the global rng"
    assert holds(fitted.dynamics)
    assert set(fitted.dynamics.state_dict()) == set(before), "nothing of it is left"
    assert set(dict(fitted.dynamics.named_parameters())) <= set(before)
    assert any(p.numel() for p in fitted.parameters())
    assert any(not torch.equal(v, before[n]) for n, v in fitted.dynamics.state_dict().items())
    loaded = simlearn.load(simlearn.save(fitted, tmp_path / "simulator"))
    x = data[0].x[0]
    assert torch.equal(loaded.step(x), fitted.step(x))
    assert holds(loaded.dynamics)
    assert fitted.provenance["stabilizers"][0]["bias"] == stabilizer.bias
    again = simlearn.fit(loaded, data, stabilizers=[stabilizer], **arguments)
    assert holds(again.dynamics), "trained a second time"


@every
def test_folding_leaves_the_dynamics_where_they_were(stabilizer, make, holds, seeded):
    dynamics = stabilizer.wrap(make()).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    before = step(dynamics, x)
    module = SimulatorModule(Simulator(dynamics, None if is_map(dynamics) else RK4(), 0.1))
    data = TrajectoryData.of([simlearn.Trajectory(torch.arange(3.0), x.repeat(3, 1, 1), TOPOLOGY)])
    data.setup("fit")
    folded = finished(module, data).dynamics
    torch.testing.assert_close(step(folded, x), before, rtol=1e-14, atol=1e-15)
    assert holds(folded)
    assert all(value.is_contiguous() for value in folded.state_dict().values()), "as in an archive"


@every
def test_a_copy_and_loaded_weights_are_the_same_and_independent(stabilizer, make, holds, seeded):
    dynamics = stabilizer.wrap(make()).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    twin = copy.deepcopy(dynamics)
    resumed = stabilizer.wrap(make()).double()  # other first weights
    assert not torch.equal(step(resumed, x), step(dynamics, x))
    resumed.load_state_dict(dynamics.state_dict())
    before = step(dynamics, x)
    assert torch.equal(step(twin, x), before)
    assert torch.equal(step(resumed, x), before)
    with torch.no_grad():
        for value in dynamics.parameters():
            value.add_(0.3 * torch.randn_like(value))
    assert not torch.equal(step(dynamics, x), before)
    assert torch.equal(step(twin, x), before)
    assert holds(dynamics), "the guarantee is for any free numbers"


@every
def test_forward_mode_and_vmap_see_the_constrained_weights(stabilizer, make, holds, seeded):
    dynamics = stabilizer.wrap(make()).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    v = torch.randn(3, 5, 2, dtype=torch.float64)

    def push(one):
        return torch.func.jvp(lambda x: dynamics(0.0, x, *rest(dynamics)), (x,), (one,))[1]

    pushed = torch.func.vmap(push)(v)
    h = 1e-6
    for one, tangent in zip(v, pushed, strict=True):
        slope = (step(dynamics, x + h * one) - step(dynamics, x - h * one)) / (2 * h)
        torch.testing.assert_close(tangent, slope, rtol=1e-6, atol=1e-8)
    weights = dict(dynamics.named_parameters())
    slopes = torch.func.grad(
        lambda w: torch.func.functional_call(dynamics, w, (0.0, x, *rest(dynamics))).sum()
    )(weights)
    assert any(bool((slope != 0).any()) for slope in slopes.values())


@every
def test_both_precisions(stabilizer, make, holds, seeded):
    dynamics = stabilizer.wrap(make())
    assert step(dynamics, torch.randn(5, 2)).dtype == torch.float32
    assert holds(dynamics.double())


@pytest.mark.parametrize("name", ["SpectralNorm", "Orthogonal", "HurwitzStable"])
def test_a_training_resumed_from_a_checkpoint_goes_on_as_it_would_have(name, data, tmp_path):
    stabilizer, make, holds = CASES[name]

    def trained(seed, epochs, path=None):
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            module = SimulatorModule(simulator(make), MultiStep(4), [stabilizer])
            trainer = pl.Trainer(**{**DEFAULTS, "max_epochs": epochs})
            source = TrajectoryData.of(data)
            trainer.fit(module, datamodule=source, ckpt_path=path, weights_only=False)
        return trainer, finished, module, source

    whole = trained(1, 6)
    trainer, *_ = trained(1, 3)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed = trained(2, 6, tmp_path / "half.ckpt")  # built with other weights
    ends = [finished(one[2], one[3]).dynamics for one in (whole, resumed)]
    for a, b in zip(*(end.state_dict().values() for end in ends), strict=True):
        assert torch.equal(a, b)
    assert holds(ends[1])


def is_map(dynamics):
    return isinstance(dynamics, simlearn.Map)


def rest(dynamics):
    return (0.1, TOPOLOGY) if is_map(dynamics) else (TOPOLOGY,)


def step(dynamics, x):
    return dynamics(0.0, x, *rest(dynamics)).detach()
