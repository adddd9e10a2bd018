"""``mlcost storage``: listings of who holds how many bytes, and what they cost."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc.cli.accounting import (
    book_of,
    kinds_of,
    ledger_option,
    open_up_to_date,
    parse_day,
    rates_option,
)
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.cli.site import today_of, tree_of
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from mlcost_accounting.storage import Held

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.rates import RateBook
    from mlcost_hpc.slurm.api import Reject

_LINES = {
    "account": "account", "project": "project", "owner": "owner", "days": "days",
    "tib_days": "TiB days", "cost": "cost",
}  # fmt: skip
_PLACES = Decimal("0.0001")


@click.group()
def storage() -> None:
    """Take in who holds how much storage, and charge it by the rate card."""


@storage.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--as-of", help="The day it was so (YYYY-MM-DD); else today.")
@rates_option
@ledger_option
@click.pass_obj
def ingest(
    context: Context, files: tuple[Path, ...], as_of: str | None, rates: Path | None, ledger: Path | None
) -> None:
    """Take the listing of a day, FILES of lines path,owner,bytes, in place of the one the day had.

    A listing is charged for its day, and once there is a later one for the days between, 31 at most. Doing
    it again changes nothing. Lines that cannot be read are kept for `mlcost problems`.
    """
    from mlcost_accounting.ledger.rejects import keep_rejects
    from mlcost_accounting.ledger.storage_book import keep_listing
    from mlcost_accounting.ledger.store import open_ledger
    from mlcost_accounting.pricing import digest_of, hold_prices
    from mlcost_accounting.projects import ProjectMap, load_projects
    from mlcost_accounting.storage import PARTITION

    today = today_of(context)
    day = parse_day(as_of) if as_of else today
    if day > today:
        raise UsageError(f"{day} is yet to come")
    lines, rejects = _read(files)
    rules = context.settings.paths.projects
    projects = load_projects(Path(rules)) if rules else ProjectMap()
    with open_ledger(context.ledger_path(ledger), context.settings.zone) as opened:
        kinds = kinds_of(context, book_of(context, rates, opened))
        book = kinds.rater.book
        hold_prices(opened, kinds, digest_of(book, context.catalog))
        opened.refresh()
        keep_rejects(opened, rejects, cluster=PARTITION, seen=int(time.time()), separator="\x1f")
        changed = keep_listing(
            opened, day, lines, lambda account: projects.project_of(account, "", PARTITION, "", ""), book
        )
        opened.refresh()
    click.echo(f"{len(lines)} paths on {day}, {len(rejects)} rejected lines, {changed} days changed")
    _warn_without_price(book)


@storage.command("list")
@click.option("--period", default="this-month", show_default=True, help="A month (YYYY-MM), or any period.")
@click.option("--account", help="Only this account and those below it.")
@ledger_option
@format_option
@click.pass_obj
def list_(
    context: Context, period: str, account: str | None, ledger: Path | None, output_format: Format
) -> None:
    """Show what storage was charged: TiB days (1024^4 bytes for a day) and cost by owner."""
    from mlcost_accounting.ledger.storage_book import storage_lines
    from mlcost_accounting.periods import parse_period
    from mlcost_accounting.storage import TIB

    from mlcost_hpc.money import exact_money

    with open_up_to_date(context, ledger) as books:
        accounts = tree_of(books).below(account) if account else ()
        rows = [
            {
                **line,
                "tib_days": (Decimal(line["byte_days"]) / TIB).quantize(_PLACES),
                "cost": exact_money(line["cost"]),
            }
            for line in storage_lines(books, parse_period(period, today_of(context)), accounts)
        ]
    print_rows(rows, _LINES, output_format, right=("days", "tib_days", "cost"))


def _read(files: tuple[Path, ...]) -> tuple[list[Held], list[Reject]]:
    from mlcost_accounting.storage import read_listing

    raw: list[bytes] = []
    for path in files:
        try:
            raw += path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}") from None
    return read_listing(raw)


def _warn_without_price(book: RateBook | None) -> None:
    if book is None or not any(card.storage_tib_month for card in book.card):
        click.echo("mlcost: kept, not charged: no rate card has a storage_tib_month", err=True)
