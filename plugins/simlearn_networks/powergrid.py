"""The swing equation on the grids of the IEEE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Graph, Topology
from simlearn_networks.common import Time, normal, not_negative, positive
from simlearn_networks.coupling import bonds, of_nodes, pulled
from simlearn_networks.powergrid_case import Case, Grid, grid

CASES = (14, 30, 39, 57, 118, 300)
NODES = ("power over inertia", "damping over inertia", "one over inertia")


class PowerGridLaw(simlearn.VectorField):
    """dδ_i/dt = v_i, dv_i/dt = (P_i − D_i v_i + Σ_j B_ij sin(δ_j − δ_i)) / M_i; x = (δ, v).

    P/M, D/M and 1/M stand in the columns of ``node_attr``, in which the law is linear, and the
    susceptance B of a line in ``edge_attr``. Bergen and Hill 1981 (IEEE Trans. Power Appar. Syst.
    PAS-100, 25), with an inertia at every bus: the synchronous motor model of Nishikawa and Motter
    2015 (New J. Phys. 17, 015012).
    """

    def __init__(self) -> None:
        super().__init__()
        self.dim = 2

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        power, damping, lightness = of_nodes(topology, "PowerGridLaw", *NODES)
        angle, v = x.chunk(2, dim=-1)
        force = pulled(angle, topology, "sum")
        return torch.cat([v, power - damping * v + lightness * force], dim=-1)


class PowerGrid(simlearn.System):
    """A transmission grid of the IEEE after a disturbance; one row a bus, x = (angle, velocity).

    M_i δ_i'' + D_i δ_i' = P_i + Σ_j B_ij sin(δ_j − δ_i) in the frame of the grid's frequency with
    B_ij = |V_i| |V_j| / x_ij, all per unit (structure-preserving model: Bergen and Hill 1981, IEEE
    Trans. Power Appar. Syst. PAS-100, 25; with an inertia at every bus: Nishikawa and Motter 2015,
    New J. Phys. 17, 015012). Lines, transformers, reactances, loads and generation are those of the
    IEEE, as pandapower carries them (extra `powergrid`; nothing is downloaded). Resistances are
    left out, and the slack bus takes what the loads leave. |V| is the set point where a generator
    holds it, else one. Parallel circuits are one line. A series capacitor joins the line that it
    compensates: case 300 has 299 buses here.

    The cases tell no inertia. It is assumed: M_i = 2 H_i / ω, H_i = ``inertia`` |P_i| or ``least``,
    whichever is more; and D_i = ``damping`` M_i. Rows carry the numbers of the buses as names, P/M,
    D/M and 1/M as ``node_attr``, B as ``edge_attr``.

    A trajectory begins near the operating point of the whole grid, at the moment in which the lines
    of ``without`` are lost. Σ M_i (v_i + ``damping`` δ_i) is kept, and without damping the energy.

    Args:
        case: Which grid, by its number of buses: 14, 30, 39, 57, 118 or 300. Good values: 118.
        without: Lines that are lost, each by the numbers of its two buses, as in [[8, 30]]; all
            their circuits. Good values: none, or one.
        outages: How many more lines are lost, at random and others in each trajectory; the grid
            stays whole. Good values: 0 to 2.
        inertia: H of a bus over its power, in s/MW on the base of 100 MVA. Good values: 0.04, the
            estimate of Nishikawa and Motter for generators.
        least: Smallest H, in s; the smaller, the stiffer. Good values: 1 to 4 (they take 0.1).
        damping: D/M at every bus, in 1/s; 0 is none. Good values: 0.5 to 6 (they take a D that is
            6 at 100 MW, and less at larger machines).
        angle: Standard deviation of the angles around the operating point, in radians. Good values:
            0 to 0.3.
        speed: Standard deviation of the velocities, in radians/s. Good values: 0 to 2.

    Raises:
        EnvironmentFault: pandapower is not installed.
        ConfigError: There is no such case, bus or line, or the grid falls apart.
    """

    stack: ClassVar[bool] = False  # the stiffest bus of one would set the steps of all

    def __init__(
        self,
        case: Case = 118,
        without: Sequence[Sequence[int]] | None = None,
        outages: int = 0,
        inertia: float = 0.04,
        least: float = 2.0,
        damping: float = 2.0,
        angle: float = 0.05,
        speed: float = 1.0,
    ):
        if case not in CASES:
            raise ConfigError(f"case is one of {', '.join(map(str, CASES))}, got {case}.")
        positive(least=least)
        not_negative(outages=outages, inertia=inertia, damping=damping, angle=angle, speed=speed)
        self.case, self.without, self.outages = case, without, outages
        self.inertia, self.least, self.damping = inertia, least, damping
        self.angle, self.speed = angle, speed
        self._built: tuple[Grid, Grid, Tensor, Tensor] | None = None

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """The smallest grid, and the same without a line."""
        return [cls(14), cls(14, without=[[4, 5]], outages=1, damping=0.0)]

    def truth(self) -> PowerGridLaw:
        """The swing equation."""
        return PowerGridLaw()

    def network(self) -> Topology:
        """The grid without the lines of ``without``, and what its buses carry."""
        _, left, _, nodes = self._parts()
        return topology_of(left, nodes)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """Near the operating point of the whole grid."""
        _, left, angle, nodes = self._parts()
        off = normal(rng, len(nodes), 2) * torch.tensor([self.angle, self.speed]).double()
        x = torch.stack([angle, torch.zeros_like(angle)], dim=1) + off
        return x, topology_of(self._lose(left, rng), nodes)

    def settled(self) -> Tensor:
        """The state at rest without the lines of ``without``, first bus at angle zero.

        Raises:
            DataError: There is none: the lines that are left cannot carry the power.
        """
        whole, left, _, _ = self._parts()
        angle = torch.from_numpy(left.rest(whole.rest()))
        return torch.stack([angle, torch.zeros_like(angle)], dim=1)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """Σ M (v + damping δ), and without damping the energy."""
        found: dict[str, simlearn.Invariant] = {"momentum": _momentum}
        return found if self.damping else found | {"energy": _energy}

    def units(self) -> Mapping[str, str]:
        """Seconds and radians."""
        return {"time": "s", "position": "rad", "velocity": "rad/s"}

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: the arguments; the grid is read there anew."""
        return {**self.__dict__, "_built": None}

    def _parts(self) -> tuple[Grid, Grid, Tensor, Tensor]:
        """The whole grid, the grid with lines lost, angles of the former, what buses carry."""
        if self._built is None:
            whole = grid(self.case)
            left = whole.without({whole.line(pair) for pair in self.without or ()})
            if not left.whole():
                raise ConfigError(
                    f"Without the lines {[list(pair) for pair in self.without or ()]} the grid "
                    "falls apart. Keep one of them."
                )
            seconds = np.maximum(self.inertia * whole.base * np.abs(whole.power), self.least)
            mass = torch.from_numpy(2 * seconds / whole.frequency)
            power = torch.from_numpy(whole.power)
            damping = torch.full_like(mass, self.damping)
            nodes = torch.stack([power / mass, damping, 1 / mass], dim=1)
            self._built = whole, left, torch.from_numpy(whole.rest()), nodes
        return self._built

    def _lose(self, left: Grid, rng: torch.Generator) -> Grid:
        """The grid without some lines, drawn so that it stays whole."""
        for done in range(self.outages):
            for line in torch.randperm(left.ends.shape[1], generator=rng).tolist():
                fewer = left.without([line])
                if fewer.whole():
                    left = fewer
                    break
            else:
                raise ConfigError(
                    f"The grid of case {self.case} falls apart after {done} outages of "
                    f"{self.outages}. Ask for fewer."
                )
        return left


def topology_of(grid: Grid, nodes: Tensor) -> Topology:
    """A grid and what its buses carry, as one system."""
    ends = torch.from_numpy(grid.ends)
    ends, weight = torch.cat([ends, ends.flip(0)], 1), torch.from_numpy(grid.susceptance).repeat(2)
    order = torch.argsort(ends[0] * len(nodes) + ends[1], stable=True)
    return Topology(
        Graph(ends[:, order].contiguous(), len(nodes)),
        edge_attr=weight[order].unsqueeze(1),
        node_attr=nodes,
        node_type=torch.arange(len(nodes)),
        node_names=tuple(str(bus) for bus in grid.buses),
    )


def _momentum(x: Tensor, topology: Topology) -> Tensor:
    _, damping, lightness = of_nodes(topology, "PowerGrid", *NODES)
    return topology.per_system(((x[:, 1:] + damping * x[:, :1]) / lightness).squeeze(1))


def _energy(x: Tensor, topology: Topology) -> Tensor:
    power, _, lightness = (one[:, 0] for one in of_nodes(topology, "PowerGrid", *NODES))
    own = (x[:, 1] ** 2 / 2 - power * x[:, 0]) / lightness
    return topology.per_system(own + bonds(x[:, :1], topology, "sum"))
