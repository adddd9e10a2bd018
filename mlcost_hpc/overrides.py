"""What a job's comment says of a budget that was overridden (pure): written by the launcher, read from Slurm.

The comment is the user's own text and can be changed by them: it says what they admit, and the first version
that the ledger saw is kept.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MARK = "budget_override="
"""How the words begin; rows without it need no closer look."""

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 .,:;()/+#-]+")
_NOT_NAME = re.compile(r"[^A-Za-z0-9._/+#-]+")
_UNIT = re.compile(r"(?<=\d)(?=[A-Za-z])")
_LONGEST_REASON = 200
_WORDS = re.compile(
    rf"{MARK}(?P<budgets>\S+)(?: over=(?P<over>\S+))? by=(?P<user>\S+) because (?P<reason>.*)"
)


class Override(NamedTuple):
    """An override as a comment tells it.

    Attributes:
        budgets: names of the hard budgets that refused.
        over: by how much the job could exceed each, with its unit; empty = not told.
        user: who wanted it.
        reason: why.
    """

    budgets: tuple[str, ...]
    over: tuple[str, ...]
    user: str
    reason: str


def override_comment(override: Override) -> str:
    """Return the words for the job's comment that record an override in Slurm's own accounting.

    Only plain characters are kept: quotation marks, ``=`` and ``|`` mean something to sbatch, to project
    rules and in rows of sacct.
    """
    budgets = ",".join(_NOT_NAME.sub("_", name) for name in override.budgets)
    over = ",".join(_NOT_NAME.sub("", amount) for amount in override.over)
    plain = " ".join(_NOT_PLAIN.sub(" ", override.reason).split())[:_LONGEST_REASON]
    return f"{MARK}{budgets}{f' over={over}' if over else ''} by={override.user} because {plain}"


def parse_override(comment: str) -> Override | None:
    """Return the override that a comment tells of; None when it tells of none."""
    match = _WORDS.search(comment)
    if match is None:
        return None
    return Override(
        budgets=tuple(match["budgets"].split(",")),
        over=tuple(_UNIT.sub(" ", amount, count=1) for amount in (match["over"] or "").split(",") if amount),
        user=match["user"],
        reason=match["reason"].strip(),
    )
