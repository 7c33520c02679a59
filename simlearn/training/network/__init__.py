"""Network dynamics in closed form: one program for all of them."""

from simlearn.training.network.start import NetworkLadder, network_ladder

__all__ = ["NetworkLadder", "network_ladder"]
