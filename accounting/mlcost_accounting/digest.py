"""The ledger's contents as text that depends on the facts only: not on when and how often they were read."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from mlcost_accounting.ledger.contents import contents

if TYPE_CHECKING:
    from mlcost_accounting.ledger.store import Ledger


def digest(ledger: Ledger) -> str:
    """Return the SHA-256 of the ledger's contents.

    Two ledgers that were fed the same facts in different portions, orders and rhythms have the same one.
    """
    total = sha256()
    for line in contents(ledger):
        total.update(line.encode())
        total.update(b"\n")
    return total.hexdigest()
