"""``mlcost capacity`` and ``mlcost reservations``: what a cluster's nodes cost, and what became of that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mlcost_hpc.cli.accounting import book_of, kinds_of, ledger_option, open_up_to_date, rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.cli.site import today_of
from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlcost_accounting.capacity import Sharing
    from mlcost_accounting.capacity_period import CapacityOfPeriod
    from mlcost_accounting.ledger.store import Ledger

    from mlcost_hpc.cli.context import Context

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_PARTS = ("charged", "idle", "down", "reserved")
_MODES = click.Choice(["none", "proportional", "even"])
_NOBODY = "(nobody)"


def _sharing_option(name: str, what: str) -> Callable[[_Command], _Command]:
    return click.option(
        f"--{name}",
        type=_MODES,
        default="none",
        show_default=True,
        help=f"Who bears {what}: nobody, accounts in proportion to their charges, or all alike.",
    )


@click.command()
@click.option(
    "--period", default="this-month", show_default=True, help="Such as 2026-10, 2026-Q4, last-week."
)
@click.option("--cluster", help="The cluster, where the ledger has several.")
@_sharing_option("idle", "what nobody used or paid")
@_sharing_option("down", "nodes that took no jobs")
@_sharing_option("reserved", "reserved time that nobody used")
@rates_option
@ledger_option
@format_option
@click.pass_obj
def capacity(
    context: Context,
    period: str,
    cluster: str | None,
    idle: Sharing,
    down: Sharing,
    reserved: Sharing,
    rates: Path | None,
    ledger: Path | None,
    output_format: Format,
) -> None:
    """Show what a cluster's nodes cost and what became of it: charged + idle + down + reserved.

    A node costs what a job pays that holds all of it, in its dearest partition. Idle is the rest: nodes that
    nobody held, and what discounts and free states took off. The sum of all rows is the capacity.
    """
    from mlcost_accounting.capacity import share_out
    from mlcost_accounting.capacity_period import capacity_of
    from mlcost_accounting.periods import parse_period

    from mlcost_hpc.money import exact_money

    span = parse_period(period, today_of(context))
    with open_up_to_date(context, ledger) as books:
        rater = kinds_of(context, book_of(context, rates, books)).rater
        found = capacity_of(books, rater, _cluster(books, cluster), span.first, span.last)
        shared = share_out(found.capacity, {"idle": idle, "down": down, "reserved": reserved})
        currency = books.meta("currency") or ""
    rows = [
        {
            "account": account or _NOBODY,
            **{name: exact_money(parts[name]) for name in _PARTS},
            "total": exact_money(sum(parts.values())),
        }
        for account, parts in sorted(shared.items(), key=lambda item: (item[0] == "", item[0]))
    ]
    columns = {name: name for name in ("account", *_PARTS, "total")}
    print_rows(rows, columns, output_format, right=tuple(columns)[1:])
    if output_format == "table":
        _tell(found, currency)


@click.command()
@click.option(
    "--period", default="this-month", show_default=True, help="Such as 2026-10, 2026-Q4, last-week."
)
@ledger_option
@format_option
@click.pass_obj
def reservations(context: Context, period: str, ledger: Path | None, output_format: Format) -> None:
    """Show what reservations cost: their nodes while up, what of it no job paid, what holders pay."""
    from mlcost_accounting.ledger.capacity_sums import reservation_lines
    from mlcost_accounting.periods import parse_period

    from mlcost_hpc.money import exact_money

    span = parse_period(period, today_of(context))
    with open_up_to_date(context, ledger) as books:
        rows = [
            {
                **line,
                **{name: _moment(line[name]) for name in ("started", "ended")},
                **{name: exact_money(line[name]) for name in ("list_price", "unused")},
                "charged": None if line["why"] else exact_money(line["cost"]),
            }
            for line in reservation_lines(books, span.first.toordinal(), span.last.toordinal())
        ]
    columns = {
        "cluster": "cluster", "name": "reservation", "account": "holder", "started": "from", "ended": "to",
        "nodes": "nodes", "list_price": "at list price", "unused": "unused", "charged": "charged",
        "why": "why not",
    }  # fmt: skip
    print_rows(rows, columns, output_format, right=("list_price", "unused", "charged"))


def _cluster(ledger: Ledger, wanted: str | None) -> str:
    from mlcost_accounting.ledger.capacity_sums import clusters_with_nodes

    known = clusters_with_nodes(ledger)
    if wanted is not None or len(known) == 1:
        return wanted or known[0]
    if not known:
        raise UsageError(
            "the ledger knows no cluster's nodes: `mlcost ingest` reads them from a live cluster"
        )
    raise UsageError(f"say which --cluster: {', '.join(known)}")


def _tell(found: CapacityOfPeriod, currency: str) -> None:
    """Say what the sum is, and what time it is of."""
    from mlcost_hpc.money import exact_money

    down = found.down_hours / found.node_hours if found.node_hours else 0
    click.echo(
        f"capacity {exact_money(found.capacity.total)} {currency}: {float(found.node_hours):.2f} node hours "
        f"from {_moment(found.begin)} to {_moment(found.end)}, {float(down):.2%} of them down"
    )


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
