"""Slurm release numbers and the few questions this package asks about them."""

from __future__ import annotations

import re
from typing import NamedTuple

from virtual_cluster.errors import ClusterError


class SlurmVersion(NamedTuple):
    """A release such as 24.11; the patch level does not matter here."""

    year: int
    month: int

    def __str__(self) -> str:
        """Slurm's own spelling: two digits each."""
        return f"{self.year:02d}.{self.month:02d}"

    @property
    def has_preempt_parameters(self) -> bool:
        """Whether ``PreemptParameters`` exists; before, the user-signal switch is a slurmctld parameter."""
        return self >= (23, 2)

    @property
    def can_disable_cgroups(self) -> bool:
        """Whether ``CgroupPlugin=disabled`` exists; before, only plugins that need cgroups touch them."""
        return self >= (23, 11)


def parse_version(text: str) -> SlurmVersion:
    """Read ``slurm-wlm 22.05.8``, ``slurm 24.11.5`` or ``24.11``."""
    match = re.search(r"(\d\d)\.(\d\d)", text)
    if match is None:
        raise ClusterError(f"no Slurm version in {text!r}")
    return SlurmVersion(int(match[1]), int(match[2]))
