"""What a cluster costs beside what was charged: nothing vanishes between the two (pure).

Charged + idle + down + reserved = capacity, to the micro. Where jobs are charged more than their nodes cost
(a node's cores to one job, its memory to another, each at the larger share) idle is negative, and shown so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from mlcost_accounting.spend import spread

Sharing = Literal["none", "proportional", "even"]


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """A period of a cluster, all in micros.

    Attributes:
        total: what all its nodes cost for all of the period.
        charged: account -> what its runs were charged.
        down: what nodes cost while they were down.
        reserved: what reservations held and nobody used.
    """

    total: int
    charged: Mapping[str, int]
    down: int = 0
    reserved: int = 0

    @property
    def idle(self) -> int:
        """What is left: nodes that were there for jobs and had none; negative when more was charged."""
        return self.total - sum(self.charged.values()) - self.down - self.reserved


def share_out(capacity: Capacity, sharing: Mapping[str, Sharing]) -> dict[str, dict[str, int]]:
    """Return the cost of a period by account, and apart what no account bears.

    Args:
        capacity: the period.
        sharing: ``idle``, ``down``, ``reserved`` -> ``none`` (a line of its own under the empty account),
            ``proportional`` to what accounts were charged, or ``even`` over those with any charge.

    Returns:
        account -> ``charged``, ``idle``, ``down``, ``reserved``; the sum of all is the capacity's total.
    """
    accounts = sorted(capacity.charged)
    rows = {
        account: {"charged": capacity.charged[account], "idle": 0, "down": 0, "reserved": 0}
        for account in accounts
    }
    amounts = {"idle": capacity.idle, "down": capacity.down, "reserved": capacity.reserved}
    for name, amount in amounts.items():
        mode = sharing.get(name, "none")
        if mode == "none" or not accounts:
            apart = rows.setdefault("", {"charged": 0, "idle": 0, "down": 0, "reserved": 0})
            apart[name] += amount
            continue
        weights = [abs(capacity.charged[account]) if mode == "proportional" else 1 for account in accounts]
        for account, part in zip(accounts, spread(amount, weights), strict=True):
            rows[account][name] += part
    return rows
