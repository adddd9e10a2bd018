"""Which prices the ledger's charges stand under, and bringing them up to date when the prices change."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.ledger.rerate import rerate
from mlcost_accounting.ledger.reservation_charges import charge_reservations
from mlcost_accounting.ledger.storage_book import charge_storage
from mlcost_accounting.ledger.tiers import tiers_text
from mlcost_hpc.rates import RateBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.ledger.store import Ledger
    from mlcost_hpc.catalog import Catalog

_KEY = "prices"
_BOOK = "rate_book"


def digest_of(book: RateBook | None, catalog: Catalog) -> str:
    """Return a text that differs whenever prices or GPU names do."""
    content = msgspec.json.encode((book, dict(catalog.names)), order="deterministic")
    return blake2b(content, digest_size=16).hexdigest()


def hold_prices(
    ledger: Ledger,
    kinds: Kinds,
    digest: str,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> int:
    """Charge everything again when the prices are others than those of the ledger's charges.

    Args:
        ledger: the ledger.
        kinds: the prices.
        digest: :func:`digest_of` them.
        on_progress: called with the number of runs done.

    Returns:
        The number of runs charged again.
    """
    if ledger.meta(_KEY) == digest:
        return 0
    done = rerate(ledger, kinds, on_progress=on_progress)
    book = kinds.rater.book
    with ledger.transaction():
        ledger.set_meta(_KEY, digest)
        ledger.set_meta("currency", book.currency if book else "")
        ledger.set_meta("tiers", tiers_text(book) if book else "")
        if book:
            ledger.set_meta(_BOOK, msgspec.json.encode(book).decode())
        charge_storage(ledger, book)
        charge_reservations(ledger, kinds.rater)
    return done


def kept_book(ledger: Ledger) -> RateBook | None:
    """Return the rate cards under which the ledger's charges stand; None when it has none."""
    text = ledger.meta(_BOOK)
    return None if text is None else msgspec.json.decode(text, type=RateBook)
