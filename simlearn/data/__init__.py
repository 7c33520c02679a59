"""Where trajectories come from and how they are kept."""
