"""The Slurm adapter: everything that talks to Slurm."""
