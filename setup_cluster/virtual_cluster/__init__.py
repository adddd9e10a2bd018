"""A real Slurm of several virtual nodes on one machine, for trials and tests.

Standard library only: it runs under the system's Python before any virtual environment exists.
"""
