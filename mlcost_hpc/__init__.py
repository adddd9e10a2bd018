"""mlcost-hpc: run machine-learning work on Slurm cheaply, and say exactly what it cost."""

__version__ = "0.1.0"
