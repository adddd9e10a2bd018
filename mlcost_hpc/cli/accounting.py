"""What the accounting commands share: the ledger, the prices, spans of days, progress."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo

    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.ledger.store import Ledger

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.rates import RateBook

ledger_option = click.option("--ledger", type=click.Path(path_type=Path), help="The ledger (SQLite file).")
rates_option = click.option("--rates", type=click.Path(path_type=Path), help="The rate card (TOML).")


def open_up_to_date(context: Context, path: Path | None) -> Ledger:
    """Return the ledger for reading and writing, with its daily sums computed.

    Raises:
        LedgerError: when there is none yet.
    """
    from mlcost_accounting.ledger.store import open_ledger, read_ledger

    found = context.ledger_path(path)
    read_ledger(found).close()
    ledger = open_ledger(found, context.settings.zone)
    ledger.refresh()
    return ledger


def book_of(context: Context, rates: Path | None, ledger: Ledger) -> RateBook | None:
    """Return the rate cards that hold: the named ones, else those under which the ledger was charged.

    Where neither is there, that is said once on stderr and None is returned: usage without charges.
    """
    from mlcost_accounting.pricing import kept_book

    if rates is not None or context.settings.paths.rates is not None:
        return context.rates(rates)
    kept = kept_book(ledger)
    words = (
        "usage is kept, nothing is charged"
        if kept is None
        else "the prices that the ledger was charged under hold"
    )
    click.echo(f"mlcost: no rate card (--rates, or paths.rates): {words}", err=True)
    return kept


def kinds_of(context: Context, book: RateBook | None) -> Kinds:
    """Return how runs are rated at this site."""
    from mlcost_accounting.bulk import Kinds
    from mlcost_accounting.calendar import Calendar
    from mlcost_accounting.projects import ProjectMap, load_projects
    from mlcost_accounting.rating import Rater

    projects = context.settings.paths.projects
    return Kinds(
        Rater(book, context.catalog, Calendar(context.settings.zone)),
        load_projects(Path(projects)) if projects else ProjectMap(),
    )


def parse_when(text: str, zone: ZoneInfo) -> int:
    """Return the UTC seconds of a date, a date with time (site's zone where none is said), or ``-7d``.

    Raises:
        UsageError: when the text is none of these.
    """
    from mlcost_hpc.errors import UnitError
    from mlcost_hpc.units import parse_time_limit

    word = text.strip()
    try:
        if word.startswith("-"):
            back = parse_time_limit(word[1:])
            if back is not None:
                return int((datetime.now(UTC) - timedelta(seconds=back)).timestamp())
        moment = datetime.fromisoformat(word)
    except (ValueError, UnitError):
        raise UsageError(f"{text!r} is not a time: write 2026-10-01, 2026-10-01T08:00 or -7d") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


def parse_zone(text: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        UsageError: when the text names none.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError(f"{text!r} is not a time zone: write an IANA name such as Europe/Paris") from None


def parse_day(text: str) -> date:
    """Return a day.

    Raises:
        UsageError: when the text is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a day: write YYYY-MM-DD") from None


def span_of_options(
    month: str | None, since: str | None, until: str | None
) -> tuple[date | None, date | None]:
    """Return the first and last day that ``--month`` or ``--since``/``--until`` name; None = no end.

    Raises:
        UsageError: when both ways are used, or the days are in the wrong order.
    """
    from mlcost_accounting.reports import month_days

    if month:
        if since or until:
            raise UsageError("give --month, or --since and --until")
        return month_days(month)
    first, last = (parse_day(since) if since else None), (parse_day(until) if until else None)
    if first and last and first > last:
        raise UsageError(f"--since {first} is after --until {last}")
    return first, last


def span_options(command: Any) -> Any:
    """Add ``--month``, ``--since`` and ``--until`` (days) to a command."""
    for name, text in (
        ("--until", "Last day, included (YYYY-MM-DD)."),
        ("--since", "First day (YYYY-MM-DD)."),
        ("--month", "A month (YYYY-MM)."),
    ):
        command = click.option(name, help=text)(command)
    return command


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; yields a function that is called with how much is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)
