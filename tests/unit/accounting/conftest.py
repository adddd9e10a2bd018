"""A ledger in a folder of its own."""

from __future__ import annotations

import os
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


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a shell script first on PATH under the name of a Slurm command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name: str, body: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write
