"""The two nouns that travel: `Topology`, what stays still, and `Trajectory`, what moved.

A state is always ``[rows, dim]``. A vector system is one row and no edges; a batch is a disjoint
union.
"""

from simlearn.state.aggregation import Aggregation
from simlearn.state.graph import Graph
from simlearn.state.operator import Adjacency
from simlearn.state.topology import Topology
from simlearn.state.trajectory import Status, Trajectory

__all__ = ["Adjacency", "Aggregation", "Graph", "Status", "Topology", "Trajectory"]
