"""``mlcost budget``: what may be spent, where it stands, who is told, and what Slurm enforces."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcost_hpc.cli.accounting import ledger_option, open_up_to_date, parse_day, rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.cli.site import today_of, tree_of
from mlcost_hpc.errors import UsageError
from mlcost_hpc.people import user_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlcost_accounting.budgets.records import Budget, BudgetStatus

    from mlcost_hpc.cli.context import Context

COLUMNS = {
    "name": "budget", "scope": "of", "target": "whose", "period": "period", "kind": "kind",
    "amount": "amount",
    "settled": "settled", "in_flight": "in flight", "committed": "committed", "left": "left",
    "percent": "used %", "forecast": "forecast", "exhausted": "used up", "unit": "unit",
}  # fmt: skip
_FOR_PEOPLE = (
    "name", "whose", "amount", "settled", "in_flight", "committed", "left", "percent",
)  # fmt: skip
_AMOUNTS = ("amount", "settled", "in_flight", "committed", "left", "forecast")


@click.group()
def budget() -> None:
    """Set budgets, see where they stand, tell people, and let Slurm enforce them."""


@budget.command("list")
@ledger_option
@format_option
@click.pass_obj
def list_budgets(context: Context, ledger: Path | None, output_format: Format) -> None:
    """Show where the budgets stand: settled, in flight, committed, left, forecast."""
    from mlcost_accounting.budgets.overview import budget_statuses

    with open_up_to_date(context, ledger) as books:
        statuses = budget_statuses(books, tree_of(books), today_of(context))
        currency = books.meta("currency") or ""
    show_statuses(statuses, currency, output_format)


@budget.command()
@click.argument("name")
@click.option("--account", help="Whose spending counts: an account, with those below it,")
@click.option("--project", help="a project,")
@click.option("--user", help="or a user.")
@click.option("--amount", help="Money for each period.")
@click.option("--gpu-hours", help="GPU-hours for each period, instead of money.")
@click.option("--gpu-model", default="", help="Count only GPUs of this model.")
@click.option(
    "--period", type=click.Choice(["month", "quarter", "year", "total"]), default="month", show_default=True
)
@click.option("--hard/--soft", default=False, help="Refuse what does not fit, or warn.", show_default=True)
@click.option("--alert", "alerts", default="80,100", show_default=True, help="Per cent at which to tell.")
@click.option("--since", help="First day that counts; the first of this month when not given.")
@click.option("--until", help="Last day on which it holds.")
@click.option("--reason", default="", help="Why; kept with the budget.")
@ledger_option
@click.pass_obj
def add(context: Context, /, name: str, ledger: Path | None, **options: Any) -> None:
    """Set a budget."""
    from mlcost_accounting.ledger.budget_book import BudgetBook

    made = _budget_of(context, name, options)
    with open_up_to_date(context, ledger) as books:
        BudgetBook(books).add(made, author=user_name(), reason=options["reason"], now=int(time.time()))
    click.echo(f"budget {name} is set")


@budget.command()
@click.argument("name")
@ledger_option
@click.pass_obj
def remove(context: Context, name: str, ledger: Path | None) -> None:
    """Remove a budget; its record stays in the ledger."""
    from mlcost_accounting.ledger.budget_book import BudgetBook

    with open_up_to_date(context, ledger) as books:
        BudgetBook(books).remove(name, author=user_name(), now=int(time.time()))
    click.echo(f"budget {name} is removed")


@budget.command()
@click.option("--publish", type=click.Path(path_type=Path), help="Write where budgets stand.")
@rates_option
@ledger_option
@format_option
@click.pass_obj
def check(
    context: Context, publish: Path | None, rates: Path | None, ledger: Path | None, output_format: Format
) -> None:
    """Ask Slurm for running and queued jobs, send alerts that are due, publish where budgets stand.

    Meant for a timer, beside `mlcost ingest`; the daemon does the same.
    """
    from mlcost_hpc.cli.budget_round import look_at_budgets

    with open_up_to_date(context, ledger) as books:
        statuses = look_at_budgets(context, books, rates, publish)
        currency = books.meta("currency") or ""
    show_statuses(statuses, currency, output_format)


@budget.command()
@ledger_option
@format_option
@click.pass_obj
def overrides(context: Context, ledger: Path | None, output_format: Format) -> None:
    """Show the jobs that were submitted although a hard budget refused: who, by how much, why.

    Read from the jobs' comments, by `mlcost ingest` from the accounting and by `mlcost budget check` from the
    queue.
    """
    from mlcost_accounting.ledger.override_book import overridden_jobs

    from mlcost_hpc.cli.override_rows import COLUMNS as SHOWN
    from mlcost_hpc.cli.override_rows import override_row

    with open_up_to_date(context, ledger) as books:
        jobs = overridden_jobs(books)
    print_rows([override_row(job) for job in jobs], SHOWN, output_format, right=("over",))


@budget.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@ledger_option
@click.pass_obj
def push(context: Context, names: tuple[str, ...], yes: bool, ledger: Path | None) -> int:
    """Let Slurm enforce hard budgets of accounts (GrpTRESMins), shown first and read back.

    The partitions need billing weights of the same scale: `mlcost rates billing-weights`.
    """
    from mlcost_accounting.budgets.overview import budget_statuses
    from mlcost_accounting.budgets.push import target_of
    from mlcost_accounting.ledger.budget_book import BudgetBook

    from mlcost_hpc.cli.budget_push import push_limit, say_drift

    with open_up_to_date(context, ledger) as books:
        wanted = [BudgetBook(books).find(name) for name in names]
        statuses = budget_statuses(books, tree_of(books), today_of(context), wanted)
    if len(statuses) < len(wanted):
        raise UsageError("a budget that does not hold today cannot be pushed")
    for status in statuses:
        target_of(status)
    say_drift(context)
    return 0 if all(push_limit(context, status, ask=not yes) for status in statuses) else 1


def show_statuses(statuses: Sequence[BudgetStatus], currency: str, output_format: Format) -> None:
    """Print where budgets stand; json and csv have exact amounts, people get a sentence about each too."""
    from mlcost_accounting.budgets.records import lasting

    if output_format != "table":
        print_rows([_row(status, currency, _exact) for status in statuses], COLUMNS, output_format)
        return
    rows = [_row(status, currency, _readable) for status in statuses]
    shown = [
        {**row, "whose": f"{row['scope']} {row['target']}", "amount": f"{row['amount']} {row['unit']}"}
        for row in rows
    ]
    columns = {name: COLUMNS.get(name, name) for name in _FOR_PEOPLE}
    print_rows(shown, columns, "table", right=(*_AMOUNTS, "percent"))
    for status, row in zip(statuses, rows, strict=True):
        sentence = lasting(status) or "It is used up."
        click.echo(f"{row['name']} ({row['kind']}, {row['period']}): {sentence}")


def _row(status: BudgetStatus, currency: str, show: Callable[[int, str], str]) -> dict[str, Any]:
    budget_, usage, exhausted = status.budget, status.usage, status.exhaustion.expected
    amounts = {
        "amount": budget_.amount,
        "settled": usage.settled,
        "in_flight": usage.in_flight,
        "committed": usage.committed,
        "left": status.left,
        "forecast": status.forecast.expected,
    }
    return {
        "name": budget_.name,
        "scope": budget_.scope,
        "target": budget_.target,
        "period": status.period.label,
        "kind": "hard" if budget_.hard else "soft",
        **{name: show(amount, budget_.unit) for name, amount in amounts.items()},
        "percent": f"{status.percent:.1f}",
        "exhausted": exhausted.isoformat() if exhausted else None,
        "unit": currency if budget_.unit == "money" else "GPU-h",
    }


def _exact(amount: int, unit: str) -> str:
    from mlcost_hpc.money import exact_money

    return exact_money(amount) if unit == "money" else f"{Decimal(amount) / 3600:.6f}"


def _readable(amount: int, unit: str) -> str:
    from mlcost_hpc.money import format_money

    return format_money(amount) if unit == "money" else f"{Decimal(amount) / 3600:,.1f}"


def _budget_of(context: Context, name: str, options: dict[str, Any]) -> Budget:
    """Return the budget that options describe.

    Raises:
        UsageError: when they describe none.
    """
    from mlcost_accounting.budgets.records import Budget, parse_amount

    scopes = [scope for scope in ("account", "project", "user") if options[scope]]
    if len(scopes) != 1:
        raise UsageError("give one of --account, --project, --user")
    if bool(options["amount"]) == bool(options["gpu_hours"]):
        raise UsageError("give --amount (money) or --gpu-hours")
    if options["gpu_model"] and not options["gpu_hours"]:
        raise UsageError("--gpu-model goes with --gpu-hours")
    try:
        percents = tuple(sorted({int(word) for word in options["alerts"].split(",") if word.strip()}))
    except ValueError:
        raise UsageError(f"--alert {options['alerts']!r}: write per cent with commas, 50,80,100") from None
    if not percents or percents[0] < 1:
        raise UsageError("--alert needs at least one number above 0")
    unit: Any = "money" if options["amount"] else "gpu-hours"
    return Budget(
        name=name,
        scope=scopes[0],  # type: ignore[arg-type]  # one of the three
        target=options[scopes[0]],
        unit=unit,
        gpu_model=options["gpu_model"],
        period=options["period"],
        amount=parse_amount(options["amount"] or options["gpu_hours"], unit),
        hard=options["hard"],
        alert_percent=percents,
        since=parse_day(options["since"]) if options["since"] else today_of(context).replace(day=1),
        until=parse_day(options["until"]) if options["until"] else None,
    )
