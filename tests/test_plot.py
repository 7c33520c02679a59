"""Pictures for notebooks: the right lines under the right names, and no global state."""

import io
import subprocess
import sys

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import simlearn
from simlearn import ConfigError, DataError, Evidence, Simulator, Topology, Trajectory, plot
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4, Leapfrog
from simlearn_checks import Bounded, ForecastError
from simlearn_mechanics import (
    FPUT,
    KeplerLaw,
    KeplerTwoBody,
    MassSpring,
    MassSpringLaw,
    NBody,
    RigidBody,
    SpringChain,
)


def pair(system, dt=0.05, steps=100):
    """A rollout and the truth it is held against."""
    held = next(iter(system.draw(range(1), simlearn.sample_times(steps, dt), 0)))
    scheme = RK4() if isinstance(system, RigidBody) else Leapfrog()
    simulator = Simulator(system.truth(), scheme, dt)
    return simulator.rollout(held.x[0], steps - 1, held.topology), held


def labels(figure):
    """What the legend of the first axes says."""
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts() if text.get_text()]


def test_rollout_draws_each_row_twice_against_time():
    rolled, truth = pair(SpringChain())
    figure = plot.rollout(rolled, truth, {"time": "s", "position": "m"}, rows=[0, 3])
    (axes,) = figure.axes
    assert len(axes.lines) == 4
    assert axes.get_xlabel() == "time since the start / s"
    assert axes.get_ylabel() == "position / m"
    assert [name for name in labels(figure) if name.strip()] == [
        "rollout",
        "truth",
        "row 0",
        "row 3",
    ]
    drawn = axes.lines[0].get_ydata()
    assert torch.equal(torch.as_tensor(drawn), rolled.x[:, 0, 0])


def test_rollout_draws_orbits_where_positions_are_planar():
    rolled, truth = pair(NBody())
    axes = plot.rollout(rolled, truth, rows=["body-1"]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    assert len(axes.lines) == 2
    assert torch.equal(torch.as_tensor(axes.lines[0].get_xdata()), rolled.x[:, 1, 0])
    with pytest.raises(DataError, match="no row 'moon'"):
        plot.rollout(rolled, rows=["moon"])
    with pytest.raises(DataError, match="no row 5"):
        plot.rollout(rolled, rows=[5])


def test_the_truth_is_drawn_as_far_as_the_rollout_goes():
    rolled, truth = pair(MassSpring())
    lines = plot.rollout(rolled.slice(0, 30), truth).axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [30, 30]


def test_a_function_draws_onto_axes_of_your_own():
    rolled, truth = pair(MassSpring())
    own = Figure()
    axes = own.subplots()
    assert plot.phase(rolled, truth, {"momentum": "kg m/s"}, ax=axes) is own
    assert len(axes.lines) == 2
    assert axes.get_ylabel() == "momentum / kg m/s"


def test_energy_is_that_of_the_source():
    rolled, _ = pair(MassSpring())
    figure = plot.energy({"": rolled, "half": rolled.slice(0, 50)}, MassSpringLaw())
    assert labels(figure) == ["this simulator", "half"]
    wanted = torch.stack([MassSpringLaw().energy(x, rolled.topology)[0] for x in rolled.x])
    drawn = torch.as_tensor(figure.axes[0].lines[0].get_ydata())
    assert torch.allclose(drawn, (wanted - wanted[0]) / wanted[0].abs(), rtol=1e-12)
    with pytest.raises(ConfigError, match="MLPField has no energy"):
        plot.energy(rolled, MLPField(dim=2))


def test_directions_are_those_of_the_census():
    held = list(MassSpring().draw(range(3), simlearn.sample_times(50, 0.1), 0))
    axes = plot.directions(held).axes[0]
    assert len(axes.get_xticks()) == 2
    assert float(sum(axes.lines[0].get_ydata())) == pytest.approx(1.0)


def test_training_reads_the_metrics_of_a_run(tmp_path):
    with pytest.raises(DataError, match=r"metrics\.csv"):
        plot.training(tmp_path)
    (tmp_path / "metrics.csv").write_text(
        "epoch,loss,rollout_error\n0,1.0,\n0,,0.5\n1,0.1,\n1,,0.2\n"
    )
    figure = plot.training(tmp_path)
    assert labels(figure) == ["loss", "held-out rollout"]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[1.0, 0.1], [0.5, 0.2]]
    (tmp_path / "metrics.csv").write_text("epoch,step\n0,1\n")
    with pytest.raises(DataError, match="no loss"):
        plot.training(tmp_path)


def test_a_finding_and_a_report_show_all_pictures():
    _, truth = pair(KeplerTwoBody())
    evidence = Evidence((truth,))
    simulator = Simulator(KeplerLaw(), Leapfrog(), 0.05)
    report = simlearn.check(simulator, evidence, [ForecastError(90, limit=1.0), Bounded(90)])
    first = report.items[0].finding
    assert len(plot.finding(first).axes) == len(first.films) + len(first.curves) == 3
    assert len(plot.report(report).axes) == 4
    with pytest.raises(DataError, match="no picture"):
        plot.finding(simlearn.Finding.not_applicable("no"))


@pytest.mark.parametrize(
    "system", [MassSpring(), KeplerTwoBody(), FPUT(), NBody(), RigidBody(), SpringChain(64)]
)
def test_an_animation_moves_and_is_small(system, tmp_path):
    rolled, truth = pair(system, 0.02, 300)
    moving = plot.animation(rolled, truth, tmp_path / "x.gif")
    assert (tmp_path / "x.gif").read_bytes() == moving
    assert len(moving) <= 600_000
    with Image.open(io.BytesIO(moving)) as image:
        assert 1 < image.n_frames <= 61
    assert moving._repr_html_().startswith('<img alt="')


@pytest.mark.parametrize(
    ("system", "columns", "joined", "equal"),
    [
        (MassSpring(), (0, 1), False, False),
        (KeplerTwoBody(), (0, 1), False, True),
        (RigidBody(), (0, 1), False, False),
        (SpringChain(), (None, 0), True, False),
    ],
)
def test_a_film_holds_the_numbers_of_the_trajectories(system, columns, joined, equal):
    rolled, truth = pair(system)
    film = plot.film(rolled, truth)
    assert (film.joined, film.equal) == (joined, equal)
    assert torch.equal(torch.tensor(film.t, dtype=torch.float64), truth.t - truth.t[0])
    for track, one in zip(film.tracks, (truth, rolled), strict=True):
        for seen, column in zip((track.x, track.y), columns, strict=True):
            rows = torch.arange(one.x.shape[1]).double().expand(one.x.shape[:2])
            wanted = rows if column is None else one.x[..., column]
            assert torch.equal(torch.tensor(seen, dtype=torch.float64), wanted.double())


def test_a_film_of_states_with_one_column_moves_against_time_or_the_row():
    t = torch.arange(5, dtype=torch.float64)
    one = Trajectory(t, torch.randn(5, 1, 1), Topology.isolated(1))
    assert plot.film(one, one).tracks[0].x == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    many = Trajectory(t, torch.randn(5, 4, 1), Topology.isolated(4))
    assert plot.film(many, many).joined


def test_a_film_meets_the_data_at_the_times_both_have():
    rolled, truth = pair(MassSpring(), 0.05, 101)
    film = plot.film(rolled.slice(0, 60, 2), truth.slice(0, None, 5))
    assert torch.allclose(torch.tensor(film.t), 0.5 * torch.arange(6))
    shifted = Trajectory(truth.t + 0.02, truth.x, truth.topology)
    with pytest.raises(DataError, match="no two times in common"):
        plot.film(rolled, shifted)
    with pytest.raises(DataError, match="states"):
        plot.film(rolled, pair(KeplerTwoBody())[1])


def test_a_long_film_shows_the_last_turns_and_says_so():
    rolled, truth = pair(MassSpring(), 0.1, 2000)
    film = plot.film(rolled, truth)
    assert film.t[-1] == pytest.approx(199.9)
    assert film.t[0] > 100
    assert "The last part" in film.caption
    assert len(film.t) <= 480


def test_rows_far_outside_are_left_out_and_that_is_said():
    t = torch.linspace(0, 6, 50, dtype=torch.float64)
    radius = torch.tensor([0.0, 1.0, 1.5, 2.0, 40.0])
    x = torch.stack([radius * t.cos()[:, None], radius * t.sin()[:, None]], dim=-1)
    names = ("sun", "a", "b", "c", "far")
    topology = Topology.complete(5, names)
    one = Trajectory(t, torch.cat([x, x], -1), topology)
    film = plot.film(one, one, origin="sun")
    assert film.names == ["a", "b", "c"]
    assert "Seen from sun. 3 of 5 rows." in film.caption
    assert plot.film(one, one, rows=["far"]).names == ["far"]


def test_missing_samples_leave_gaps():
    rolled, truth = pair(MassSpring())
    mask = torch.ones(truth.x.shape[:2], dtype=torch.bool)
    mask[3] = False
    masked = Trajectory(truth.t, truth.x, truth.topology, mask=mask)
    film = plot.film(rolled, masked)
    assert film.tracks[0].x[3][0] != film.tracks[0].x[3][0]
    assert len(plot.animation(rolled, masked)) > 1000


def test_importing_plot_and_the_front_door_draws_nothing():
    code = (
        "import sys, simlearn, simlearn.plot, simlearn.stability.gate, simlearn.cli;"
        "assert not {'matplotlib', 'PIL'} & set(sys.modules), 'imported before it is needed'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_figure_shows_itself_without_pyplot():
    rolled, truth = pair(MassSpring())
    assert plot.rollout(rolled, truth)._repr_png_()[:4] == b"\x89PNG"
