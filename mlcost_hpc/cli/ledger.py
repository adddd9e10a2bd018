"""``mlcost ledger``: entries, closed periods, and the ledger itself."""

from __future__ import annotations

import time
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.errors import LedgerError, UsageError
from mlcost_hpc.people import user_name

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from mlcost_hpc.cli.context import Context

author_option = click.option("--author", default=user_name, help="Who enters it; else you.")
reason_option = click.option("--reason", required=True, help="Why; it is kept for ever.")


@click.group()
def ledger() -> None:
    """Enter money, close months, look into the ledger."""


@ledger.command()
@click.argument("kind", type=click.Choice(["deposit", "charge", "refund", "pullback"]))
@click.argument("account")
@click.argument("amount")
@reason_option
@author_option
@ledger_option
@click.pass_obj
def enter(
    context: Context, kind: str, account: str, amount: str, reason: str, author: str, ledger: Path | None
) -> None:
    """Enter an amount for an account.

    A deposit or a refund raises its balance, a charge or a pullback lowers it.
    """
    from mlcost_accounting.ledger.transactions import Entry, add_entry

    with open_up_to_date(context, ledger) as opened:
        entry = Entry(
            kind=kind.upper(), account=account, micros=_micros(amount), day=_today(context).toordinal(),
            reason=reason, author=author,
        )  # fmt: skip
        number = add_entry(opened, entry, int(time.time()))
    click.echo(f"entry {number}")


@ledger.command("refund-job")
@click.argument("job_id")
@click.option("--amount", help="How much; else all that the job was charged.")
@click.option("--cluster", help="Only this cluster's job of that number.")
@reason_option
@author_option
@ledger_option
@click.pass_obj
def refund_job(
    context: Context,
    job_id: str,
    amount: str | None,
    cluster: str | None,
    reason: str,
    author: str,
    ledger: Path | None,
) -> None:
    """Give back what a job was charged, in whole or in part; never more."""
    from mlcost_accounting.refunds import refund

    with open_up_to_date(context, ledger) as opened:
        numbers = refund(
            opened,
            context.settings.zone,
            job_id,
            cluster,
            _micros(amount) if amount else None,
            day=_today(context).toordinal(),
            reason=reason,
            author=author,
            now=int(time.time()),
        )
    click.echo(f"entry {', '.join(map(str, numbers))}")


@ledger.command()
@click.argument("number", type=int)
@reason_option
@author_option
@ledger_option
@click.pass_obj
def void(context: Context, number: int, reason: str, author: str, ledger: Path | None) -> None:
    """Take an entry back by another one."""
    from mlcost_accounting.ledger.transactions import void_entry

    with open_up_to_date(context, ledger) as opened:
        done = void_entry(
            opened,
            number,
            day=_today(context).toordinal(),
            reason=reason,
            author=author,
            now=int(time.time()),
        )
    click.echo(f"entry {done}")


@ledger.command()
@click.option("--account", help="Only this account's.")
@ledger_option
@format_option
@click.pass_obj
def entries(context: Context, account: str | None, ledger: Path | None, output_format: Format) -> None:
    """List all entries."""
    from mlcost_accounting.ledger.transactions import list_entries

    from mlcost_hpc.money import exact_money

    with open_up_to_date(context, ledger) as opened:
        rows = [
            {**row, "day": _day(row["day"]), "amount": exact_money(row["micros"])}
            for row in list_entries(opened, account)
        ]
    names = ("id", "kind", "account", "day", "amount", "voids", "reason", "author")
    print_rows(rows, {name: name for name in names}, output_format, right=("id", "amount"))


@ledger.command()
@ledger_option
@format_option
@click.pass_obj
def balance(context: Context, ledger: Path | None, output_format: Format) -> None:
    """Show each account's balance: what was entered, less what its runs cost."""
    from mlcost_accounting.ledger.transactions import balances

    from mlcost_hpc.money import exact_money

    with open_up_to_date(context, ledger) as opened:
        rows = [
            {
                "account": row["account"],
                **{name: exact_money(row[name]) for name in ("entered", "charged", "balance")},
            }
            for row in balances(opened)
        ]
    names = ("account", "entered", "charged", "balance")
    print_rows(rows, {name: name for name in names}, output_format, right=names[1:])


@ledger.command()
@click.argument("month")
@author_option
@ledger_option
@click.pass_obj
def close(context: Context, month: str, author: str, ledger: Path | None) -> None:
    """Close a month (YYYY-MM): its charges become an invoice that never changes.

    What becomes known later about it is a correction in the first open day.
    """
    from mlcost_accounting.ledger.closing import close_period
    from mlcost_accounting.reports import month_days

    first, last = month_days(month)
    with open_up_to_date(context, ledger) as opened:
        close_period(opened, month, first, last, author=author, today=_today(context), now=int(time.time()))
    click.echo(f"{month} is closed")


@ledger.command()
@ledger_option
@format_option
@click.pass_obj
def closed(context: Context, ledger: Path | None, output_format: Format) -> None:
    """List the closed periods."""
    from mlcost_accounting.ledger.closing import list_invoices

    from mlcost_hpc.money import exact_money

    with open_up_to_date(context, ledger) as opened:
        rows: list[dict[str, Any]] = [
            {
                **row,
                "first_day": _day(row["first_day"]),
                "last_day": _day(row["last_day"]),
                "cost": exact_money(row["cost"]),
            }
            for row in list_invoices(opened)
        ]
    names = ("period", "first_day", "last_day", "cost", "currency", "refused", "author")
    print_rows(rows, {name: name for name in names}, output_format, right=("cost", "refused"))


@ledger.command("digest")
@ledger_option
@click.pass_obj
def show_digest(context: Context, ledger: Path | None) -> None:
    """Print a check sum of the ledger's contents: equal facts, equal sum, however they were read."""
    from mlcost_accounting.digest import digest

    with open_up_to_date(context, ledger) as opened:
        click.echo(digest(opened))


@ledger.command("rebuild")
@click.option("--write", is_flag=True, help="Do it; else only say what would change.")
@ledger_option
@click.pass_obj
def rebuild_runs(context: Context, write: bool, ledger: Path | None) -> None:
    """Make runs and charges again from the raw rows, under the prices that the charges stand under.

    For rows that a later release reads better, changed project rules, and tables that were damaged. Closed
    months stay: what differs there becomes a correction. Ends with 1 when raw rows cannot be read.
    """
    from mlcost_accounting.ledger.rebuild import look, rebuild
    from mlcost_accounting.pricing import kept_book

    from mlcost_hpc.cli.accounting import kinds_of, progress

    with open_up_to_date(context, ledger) as opened:
        kinds = kinds_of(context, kept_book(opened))
        kinds.rater.untracked = frozenset(filter(None, (opened.meta("untracked") or "").split(",")))
        with progress("reading raw rows again, runs", None) as show:
            found = (rebuild if write else look)(opened, kinds, show)
    click.echo(
        f"{found.runs} runs read again: {found.facts} not as their raw rows say, "
        f"{found.charges} only in their charges not, {found.restored} missing"
    )
    if found.unreadable:
        raise LedgerError(f"left alone: {'; '.join(found.unreadable[:5])}")
    if not write and found.facts + found.charges + found.restored:
        click.echo("nothing was changed: --write does it")


def _micros(text: str) -> int:
    from mlcost_hpc.money import to_micros

    try:
        return to_micros(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError):
        raise UsageError(f"{text!r} is not an amount: write 1250 or 12.50") from None


def _today(context: Context) -> date:
    return datetime.now(context.settings.zone).date()


def _day(number: int) -> str:
    from datetime import date

    return date.fromordinal(number).isoformat()
