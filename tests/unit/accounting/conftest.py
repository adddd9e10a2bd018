"""A ledger in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ledger_kit import Books, make_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlcost_hpc.rates import RateBook


@pytest.fixture
def make_books(tmp_path: Path) -> Iterator[Callable[..., Books]]:
    """Return a factory of ledgers, closed after the test."""
    made: list[Books] = []

    def make(book: RateBook | None = None, **options: Any) -> Books:
        books = Books(tmp_path / f"ledger-{len(made)}.db", make_kinds(book, **options))
        made.append(books)
        return books

    yield make
    for books in made:
        books.ledger.close()


@pytest.fixture
def books(make_books: Callable[..., Books]) -> Books:
    """Return a ledger with the plain rate book, days cut in UTC."""
    return make_books()
