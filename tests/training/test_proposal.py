"""What is proposed for data that come without a config."""

import functools

import pytest
import torch
import yaml

import simlearn
from simlearn import cli
from simlearn.component import DataError
from simlearn.data.generate import sample_times
from simlearn.data.store import Dataset
from simlearn.training.friction import conserved
from simlearn.training.proposal import propose
from simlearn_mechanics import (
    DampedPendulum,
    DoublePendulum,
    DrivenPendulum,
    HenonHeiles,
    KeplerTwoBody,
    MassSpring,
    NBody,
    Pendulum,
    RigidBody,
    SpringChain,
)

BODIES = NBody(4, softening=0.3)  # few and soft: close encounters cost most of a draw


@functools.cache
def drawn_of(system, count, steps, dt, seed):
    return tuple(system.draw(range(count), sample_times(steps, dt), seed))


def dataset(system, count=12, steps=101, dt=0.1, seed=0, **changes):
    drawn = drawn_of(system, count, steps, dt, seed)
    return Dataset(drawn, {"units": dict(system.units()), **changes}, "")


def parts(proposal):
    simulator = proposal.config["model"]["simulator"]
    return simulator["dynamics"]["class_path"], simulator["integrator"]


@pytest.mark.parametrize(
    ("system", "field", "scheme"),
    [
        (Pendulum(), "SeparableEnergy", "Leapfrog"),
        (KeplerTwoBody(), "SeparableEnergy", "Leapfrog"),
        (HenonHeiles(), "SeparableEnergy", "Leapfrog"),
        (DampedPendulum(), "MLPField", "RK4"),
        (DrivenPendulum(), "MLPField", "RK4"),
        (DoublePendulum(), "MLPField", "RK4"),
        (RigidBody(), "MLPField", "RK4"),
        (SpringChain(), "Flattened", "RK4"),
        (BODIES, "PairForce", "Leapfrog"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_the_columns_and_the_energy_say(system, field, scheme):
    """The separable systems keep an energy; friction, torques and coupled kinetic terms do not."""
    assert parts(propose(dataset(system))) == (field, scheme)


@pytest.mark.parametrize(("damping", "kept"), [(0.0, True), (0.002, True), (0.02, False)])
def test_friction_is_seen_from_three_percent_on(damping, kept):
    """Over ten time units a damping γ takes 1 − exp(−10 γ) of the energy."""
    drawn = dataset(DampedPendulum(damping=damping) if damping else Pendulum())
    found, why = conserved(list(drawn))
    assert found is kept
    assert ("no friction seen" in why) is kept


def test_noise_of_five_percent_does_not_hide_the_energy():
    rng = torch.Generator().manual_seed(0)
    noisy = [
        simlearn.Trajectory(
            one.t,
            one.x + 0.05 * one.x.std((0, 1)) * torch.randn(one.x.shape, generator=rng).double(),
            one.topology,
        )
        for one in dataset(Pendulum())
    ]
    assert conserved(noisy)[0]


def test_a_constant_energy_is_found_exactly():
    """For the harmonic oscillator the polynomial is exact: nothing is left."""
    _, why = conserved(list(dataset(MassSpring())))
    assert "(0.00% of the variance left" in why


def test_velocities_of_several_degrees_of_freedom_make_accelerations():
    found = propose(dataset(HenonHeiles(), units={"position": "m", "velocity": "m/s"}))
    dynamics = found.config["model"]["simulator"]["dynamics"]
    assert dynamics["init_args"]["second_order"] is True
    assert any("only accelerations" in reason for reason in found.reasons)


def test_inputs_are_seen():
    found = propose(dataset(DrivenPendulum()))
    assert found.config["model"]["simulator"]["dynamics"]["init_args"]["inputs"] == 1


def test_irregular_times_are_fitted_to_slopes():
    uneven = [
        simlearn.Trajectory(one.t[keep], one.x[keep], one.topology)
        for one in dataset(Pendulum())
        for keep in [[k for k in range(101) if k % 7]]
    ]
    found = propose(Dataset(tuple(uneven), {"units": dict(Pendulum().units())}, ""))
    assert found.config["model"]["objective"]["class_path"] == "DerivativeMatching"
    assert found.config["model"]["simulator"]["dt"] == pytest.approx(0.1)
    assert "patience" not in found.config["model"]
    checks = [one["class_path"] for one in found.gate["suites"]["full"]]
    assert "ForecastError" not in checks, "rollout and data have no times in common"


def test_the_gate_fits_the_data():
    held = dataset(Pendulum(), steps=61)
    found = propose(held)
    checks = {c["class_path"]: c["init_args"] for c in found.gate["suites"]["full"]}
    assert set(checks) == {"Bounded", "ForecastError", "EnergyDrift"}
    assert checks["ForecastError"]["horizon"] < 60
    spread = torch.cat([one.x[..., :1] for one in held]).std()
    assert checks["ForecastError"]["limit"] == pytest.approx(0.1 * float(spread), rel=0.05)


def test_the_limit_of_the_forecast_knows_the_noise():
    """Four times the noise comes on top of a tenth of the spread; smooth data have none."""
    rng = torch.Generator().manual_seed(1)
    smooth = dataset(Pendulum(), dt=0.02)
    noisy = tuple(
        simlearn.Trajectory(
            one.t, one.x + 0.03 * torch.randn(one.x.shape, generator=rng).double(), one.topology
        )
        for one in smooth
    )
    limits = [
        propose(Dataset(drawn, smooth.provenance, "")).gate["suites"]["full"][1]["init_args"][
            "limit"
        ]
        for drawn in (smooth.trajectories, noisy)
    ]
    spread = torch.cat([one.x[..., :1] for one in smooth]).std()
    assert limits[0] == pytest.approx(0.1 * float(spread), rel=0.05)
    assert limits[1] - limits[0] == pytest.approx(0.12, rel=0.1)


def test_nothing_is_proposed_for_nothing():
    with pytest.raises(DataError, match="holds no trajectory"):
        propose(Dataset((), {}, ""))


@pytest.mark.parametrize(
    "system", [Pendulum(), DrivenPendulum(), SpringChain(), BODIES], ids=lambda s: type(s).__name__
)
def test_every_proposal_is_a_config_that_builds(system, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = propose(dataset(system))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(found.config))
    given = ["-c", "c.yaml", "--data.file", "x.h5", "--print_config"]
    assert cli.run(["fit", *given]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["file"] == "x.h5"


def test_fit_without_a_config_says_why_and_writes_it_down(tmp_path, command, capsys):
    """The proposal lands beside the run, to start from, and check takes the gate by itself."""
    for name, seed in (("train", 0), ("held", 1)):
        drawn = dataset(MassSpring(), seed=seed)
        simlearn.write(tmp_path / f"{name}.h5", drawn, drawn.provenance)
    few = ["--trainer.max_epochs", "3", "--data.file"]
    assert command("fit", *few, "train.h5") == 0
    assert "no friction seen" in capsys.readouterr().err
    run = tmp_path / "runs/train"
    assert yaml.safe_load((run / "proposed.yaml").read_text())["trainer"] == {"max_epochs": 40}
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 3
    assert command("check", "runs/train", "--data", "held.h5") in (0, 1)
    assert (run / "report/report.json").exists()
    assert command("fit", "-c", run / "proposed.yaml", *few, "train.h5", "--run", "again") == 0


def test_a_proposal_can_be_looked_at_first(tmp_path, command, capsys):
    drawn = dataset(MassSpring())
    simlearn.write(tmp_path / "train.h5", drawn, drawn.provenance)
    assert command("fit", "--data.file", "train.h5", "--print_config") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["simulator"]["dynamics"]["class_path"].endswith("SeparableEnergy")
    assert [p.name for p in tmp_path.iterdir()] == ["train.h5"]


def test_a_fit_without_config_and_data_asks_for_one_of_them(command, capsys):
    assert command("fit") == 2
    assert "--data.file FILE.h5" in capsys.readouterr().err
    assert command("fit", "--data.file", "none.h5") == 3


def test_a_run_is_resumed_by_its_name_alone(tmp_path, command, capsys):
    drawn = dataset(MassSpring())
    simlearn.write(tmp_path / "train.h5", drawn, drawn.provenance)
    assert command("fit", "--data.file", "train.h5", "--trainer.max_epochs", "2") == 0
    again = ["--run", "train", "--resume", "--trainer.max_epochs", "4"]
    assert command("fit", *again) == 0
    rows = (tmp_path / "runs/train/metrics.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} == {"0", "1", "2", "3"}
    assert not (tmp_path / "runs/train-2").exists()


def test_the_horizon_of_the_gate_fits_what_is_held_out():
    """Of a single trajectory its end is held out; of several lengths a short one may be."""
    single = propose(dataset(Pendulum(), count=1)).gate["suites"]["full"][1]["init_args"]
    assert single["horizon"] <= 0.2 * 100
    drawn = dataset(Pendulum()).trajectories
    mixed = tuple(one.slice(0, 101 - 5 * k) for k, one in enumerate(drawn))
    found = propose(Dataset(mixed, {"units": dict(Pendulum().units())}, ""))
    assert found.gate["suites"]["full"][1]["init_args"]["horizon"] <= 0.6 * 45


def test_redundant_columns_are_kept_on_their_span_and_asked_about(tmp_path):
    """A constant column and a multiple of another: the remedy and the check are proposed."""
    t = 0.05 * torch.arange(120, dtype=torch.float64)
    q, v = t.cos(), -t.sin()
    x = torch.stack([q, v, 2 * q, 0 * t + 1.7], -1)[:, None]
    path = tmp_path / "data.h5"
    tracks = [simlearn.Trajectory(t, x * k, simlearn.Topology.isolated(1)) for k in (1.0, 1.2, 1.4)]
    simlearn.write(path, tracks, {})
    found = propose(simlearn.read(path))
    # scaled copies move the constant, so only the multiple is empty in all of them
    assert found.config["model"]["stabilizers"][-1] == "SubspaceProjection"
    assert found.gate["suites"]["full"][-1]["class_path"] == "UnlearnableDirections"
    assert any("carry no energy" in reason for reason in found.reasons)
