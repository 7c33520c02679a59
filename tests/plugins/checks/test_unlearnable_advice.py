"""What UnlearnableDirections says of a training follows from what the training used."""

import pytest
import torch

import simlearn
from simlearn import Evidence, Simulator, Topology, Trajectory, VectorField
from simlearn.integrators import RK4
from simlearn_checks import UnlearnableDirections


class Growing(VectorField):
    """A circle in two columns; the third, of which the data know nothing, grows."""

    dim = 3

    def forward(self, t, x, topology):
        return torch.stack([x[:, 1], -x[:, 0], 0.3 * x[:, 2]], -1)


def causes(*stabilizers):
    t = 0.1 * torch.arange(60, dtype=torch.float64)
    x = torch.stack([t.sin(), t.cos(), 0 * t], -1)[:, None]
    simulator = Simulator(Growing(), RK4(), 0.1)
    simulator.provenance = {
        "stabilizers": [{"class_path": f"simlearn_stabilizers.{name}"} for name in stabilizers]
    }
    evidence = Evidence((), (Trajectory(t, x, Topology.isolated(1)),))
    report = simlearn.check(simulator, evidence, [UnlearnableDirections(100, anchors=8)])
    return report.items[0].finding.causes


@pytest.mark.parametrize(
    ("stabilizers", "said"),
    [
        ((), True),
        (("Standardize",), True),
        (("NoiseInjection",), False),
        (("SubspaceProjection",), False),
        (("Standardize", "SubspaceProjection"), False),
    ],
)
def test_a_training_that_looked_off_the_data_is_not_told_that_it_did_not(stabilizers, said):
    assert any("no noise, no projection" in cause for cause in causes(*stabilizers)) == said
