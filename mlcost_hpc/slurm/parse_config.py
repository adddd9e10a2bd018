"""``scontrol show config``, versions and ``sacct --helpformat`` (pure)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import Version
from mlcost_hpc.slurm.scontrol_text import check_whole
from mlcost_hpc.slurm.values import text_or_empty

if TYPE_CHECKING:
    from collections.abc import Mapping

QUESTION = "scontrol show config"
_DATABASE_HEADING = "SlurmDBD configuration:"
_VERSION = re.compile(r"(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<patch>\d+))?")


def parse_config(text: str) -> Mapping[str, str]:
    """Return the settings of ``scontrol show config``; ``(null)`` becomes an empty text.

    Names are as printed (``KillWait``, ``SLURM_VERSION``), values too (``30 sec``). Sections that follow
    the controller's own (cgroup, MPI) cannot change a setting that was there before.

    Raises:
        SlurmAnswerError: when the answer is cut off or holds no settings.
    """
    check_whole(text, QUESTION)
    settings: dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if equals and name.strip() and " " not in name.strip():
            settings.setdefault(name.strip(), text_or_empty(value.strip()))
    if "SLURM_VERSION" not in settings:
        raise SlurmAnswerError(f"{QUESTION} answered something else than expected: {text.strip()[:120]!r}")
    return settings


def parse_database_config(text: str) -> Mapping[str, str]:
    """Return slurmdbd's own settings of ``sacctmgr show configuration``; none is an empty text.

    They follow the local ones under a heading of their own; without it there are none.
    """
    _, _, own = text.partition(_DATABASE_HEADING)
    settings: dict[str, str] = {}
    for line in own.split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            word = value.strip()
            settings.setdefault(name.strip(), "" if word == "none" else text_or_empty(word))
    return settings


def parse_version(text: str) -> Version:
    """Return the version in ``22.05.8``, ``slurm-wlm 24.11.5`` or ``slurm 26.05.0-0rc1``.

    Raises:
        SlurmAnswerError: when the text holds none.
    """
    match = _VERSION.search(text)
    if match is None:
        raise SlurmAnswerError(f"no Slurm version in {text.strip()[:120]!r}")
    return Version(int(match["major"]), int(match["minor"]), int(match["patch"] or 0))


def parse_helpformat(text: str) -> frozenset[str]:
    """Return the fields that this sacct knows, in lower case."""
    return frozenset(text.lower().split())
