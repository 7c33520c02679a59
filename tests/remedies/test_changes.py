"""What each remedy changes: of the config, and of the simulator as it is."""

import copy

import pytest
import torch

import simlearn
from simlearn import Remedy, Simulator
from simlearn.catalog import load
from simlearn.component import ConfigError
from simlearn.dynamics import MLPField, ResidualMap, SeparableEnergy
from simlearn.integrators import RK4, Euler, Leapfrog
from simlearn.remedies.anew import anew
from simlearn.remedies.at_once import at_once
from simlearn.remedies.subject import Subject, Untried
from simlearn_mechanics import EmbeddedOscillator

KNOWN = load()
TRAINING = list(EmbeddedOscillator(columns=4).draw(range(4), simlearn.sample_times(31, 0.1), 0))
PROJECT = Remedy("Project.", "stabilizer", "SubspaceProjection")
DRAWN = {"generator": {"class_path": "EmbeddedOscillator"}, "count": 8, "steps": 31, "dt": 0.1}


def made(dynamics=None, integrator=None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dynamics = dynamics or MLPField(dim=4, width=8)
        return Simulator(dynamics, integrator, 0.1).double()


def subject(simulator=None, **parts):
    """A field of the first order under RK4, but for some parts of its config."""
    config = {
        "model": {
            "simulator": {
                "dynamics": {"class_path": "MLPField", "init_args": {"dim": 4, "width": 8}},
                "integrator": "RK4",
                "dt": 0.1,
            },
            "stabilizers": ["Standardize"],
            "objective": {"class_path": "MultiStep", "init_args": {"horizon": 10}},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}},
            "patience": None,
            **parts.get("model", {}),
        },
        "data": {**DRAWN, **parts.get("data", {})},
        "trainer": {"max_epochs": 10, **parts.get("trainer", {})},
    }
    simulator = simulator or made(integrator=RK4())
    return Subject(simulator, config, KNOWN, 4, lambda: TRAINING)


def difference(action, component="", given=None):
    """What is said, and the changed config."""
    given = given or subject()
    before = copy.deepcopy(given.config)
    told, config = anew(Remedy("Do it.", action, component), given)
    assert given.config == before, "the config of the run was changed"
    return told, config


def test_a_stabilizer_is_added():
    told, config = difference("stabilizer", "NoiseInjection")
    assert told == "add NoiseInjection"
    path = "simlearn_stabilizers.noise.NoiseInjection"
    assert config["model"]["stabilizers"] == ["Standardize", {"class_path": path}]


def test_a_stabilizer_that_is_there_is_made_stronger():
    used = {"class_path": "NoiseInjection", "init_args": {"scale": 0.01, "where": "auto"}}
    told, config = difference(
        "stabilizer", "NoiseInjection", subject(model={"stabilizers": [used]})
    )
    assert told == "NoiseInjection: scale 0.03"
    assert config["model"]["stabilizers"][0]["init_args"] == {"scale": 0.03, "where": "auto"}
    with pytest.raises(Untried, match="no strength given"):
        difference("stabilizer", "Standardize")


def test_a_stable_start_brings_the_optimizer_that_keeps_it():
    told, config = difference("stabilizer", "StableInitialization")
    assert told == "add StableInitialization, optimizer: SGD, lr 0.01"
    assert config["model"]["optimizer"]["class_path"] == "torch.optim.SGD"


def test_an_integrator_takes_the_place_of_the_present_one():
    told, config = difference("integrator", "Leapfrog")
    assert told == "integrator: Leapfrog"
    path = "simlearn.integrators.symplectic.Leapfrog"
    assert config["model"]["simulator"]["integrator"] == {"class_path": path}


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("SeparableEnergy", "Leapfrog"),
        ("Energy", "ImplicitMidpoint"),
        ("HenonNet", None),
        ("MLPField", "RK4"),
    ],
)
def test_dynamics_keep_their_size_and_get_a_scheme_that_suits(name, scheme):
    told, config = difference("dynamics", name)
    simulator = config["model"]["simulator"]
    assert simulator["dynamics"]["init_args"]["dim"] == 4
    if name != "HenonNet":
        assert simulator["dynamics"]["init_args"]["width"] == 8
    found = simulator["integrator"]
    assert (found and found["class_path"].rpartition(".")[2]) == scheme
    assert told == f"dynamics: {name}" + (f" with {scheme}" if scheme else "")


def test_an_objective_looks_further_ahead_as_far_as_the_data_go():
    assert difference("objective", "MultiStep")[0] == "MultiStep: horizon 20"
    far = {"objective": {"class_path": "MultiStep", "init_args": {"horizon": 20, "every": 2}}}
    told, config = difference("objective", "MultiStep", subject(model=far))
    assert told == "MultiStep: horizon 30"
    assert config["model"]["objective"]["init_args"]["every"] == 2
    end = {"objective": {"class_path": "MultiStep", "init_args": {"horizon": 30}}}
    with pytest.raises(Untried, match="as long as the training data"):
        difference("objective", "MultiStep", subject(model=end))
    assert difference("objective", "OneStep")[0] == "objective: OneStep"
    told, config = difference("objective", "MultiStep", subject(model={"objective": None}))
    assert config["model"]["objective"]["init_args"] == {"horizon": 16}


def test_an_optimizer_takes_a_step_of_its_own_size():
    assert difference("optimizer", "AdamW")[0] == "optimizer: AdamW, lr 0.001"
    assert difference("optimizer", "SGD")[0] == "optimizer: SGD, lr 0.01"
    with pytest.raises(Untried, match="already"):
        difference("optimizer", "Adam")


def test_a_smaller_step_samples_drawn_data_as_often():
    told, config = difference("dt")
    assert told == "dt: 0.05, and of the data"
    assert (config["data"]["dt"], config["data"]["steps"]) == (0.05, 61)
    assert config["model"]["objective"]["init_args"]["horizon"] == 20
    file = {"generator": None, "file": "x.h5"}
    with pytest.raises(Untried, match="has the samples it has"):
        difference("dt", "", subject(data=file))
    slopes = {"objective": "DerivativeMatching"}
    assert difference("dt", "", subject(data=file, model=slopes))[0] == "dt: 0.05"


def test_training_is_longer_and_data_are_more():
    assert difference("train")[0] == "max_epochs: 30"
    patient = subject(model={"patience": 5})
    assert difference("train", "", patient)[0] == "max_epochs: 30, patience: 15"
    assert difference("data")[1]["data"]["count"] == 24
    with pytest.raises(Untried, match="only you can bring more"):
        difference("data", "", subject(data={"generator": None, "file": "x.h5"}))


@pytest.mark.parametrize(
    ("action", "name"), [("train", ""), ("objective", "OneStep"), ("optimizer", "SGD")]
)
def test_without_gradient_steps_what_acts_on_them_is_not_tried(action, name):
    with pytest.raises(Untried, match="max_epochs: 0"):
        difference(action, name, subject(trainer={"max_epochs": 0}))


@pytest.mark.parametrize(("action", "name"), [("stabilizer", "Leapfrog"), ("integrator", "Nobody")])
def test_a_remedy_that_names_nothing_of_its_kind_is_refused(action, name):
    with pytest.raises(ConfigError, match=name):
        difference(action, name)


def test_without_a_config_nothing_is_trained():
    given = Subject(made(integrator=RK4()), None, KNOWN, 4, lambda: TRAINING)
    with pytest.raises(Untried, match=r"config\.yaml"):
        anew(Remedy("Train longer.", "train"), given)


def test_a_projection_is_put_around_trained_dynamics():
    """It stays on the plane of the data, and what is off it decays."""
    simulator = made(ResidualMap(dim=4, width=8))
    told, found = at_once(
        Remedy("Project.", "stabilizer", "SubspaceProjection"), subject(simulator)
    )
    assert told == "add SubspaceProjection"
    x = TRAINING[0].x[3]
    normal = torch.linalg.svd(torch.cat([one.x[:, 0] for one in TRAINING])).Vh[2:]
    assert float((simulator.step(x).detach() @ normal.T).abs().max()) > 1e-3
    assert float((found.step(x) @ normal.T).abs().max()) < 1e-12
    left = found.step(x + normal[:1]) @ normal.T
    assert 0 < float(left.norm()) < 0.96
    assert found.provenance["stabilizers"][-1]["class_path"].endswith("SubspaceProjection")
    assert not simulator.provenance
    assert not any(weight.requires_grad for weight in found.parameters())


def test_a_single_precision_simulator_stays_one():
    simulator = made(ResidualMap(dim=4, width=8)).float()
    _, found = at_once(PROJECT, subject(simulator))
    assert {value.dtype for value in found.state_dict().values()} == {torch.float32}


def test_schemes_and_steps_need_no_training():
    simulator = made(SeparableEnergy(dim=2, width=8), Euler())
    told, found = at_once(Remedy("Leap.", "integrator", "Leapfrog"), subject(simulator))
    assert (told, type(found.integrator)) == ("integrator: Leapfrog", Leapfrog)
    told, found = at_once(Remedy("Finer.", "dt"), subject(simulator))
    assert (told, found.dt, simulator.dt) == ("dt: 0.05", 0.05, 0.1)
    for a, b in zip(found.parameters(), simulator.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a is not b


@pytest.mark.parametrize(
    ("remedy", "why"),
    [
        (Remedy("Noise.", "stabilizer", "NoiseInjection"), "training only"),
        (Remedy("Bound.", "stabilizer", "SpectralNorm"), "training only"),
        (Remedy("Longer.", "train"), "training only"),
        (Remedy("Finer.", "dt"), "the step that it was trained with"),
        (Remedy("Leap.", "integrator", "Leapfrog"), "is a map"),
    ],
)
def test_what_a_map_cannot_have_at_once_is_said(remedy, why):
    with pytest.raises(ConfigError, match=why):
        at_once(remedy, subject(made(ResidualMap(dim=4, width=8))))
