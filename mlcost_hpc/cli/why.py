"""``mlcost why``: why a job went where it went, what was expected, and what it really took and cost."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlcost_hpc.cli.context import Context
    from mlcost_hpc.launch.record import Submission


@click.command()
@click.argument("job_id", required=False)
@click.option("--run-dir", type=click.Path(path_type=Path), help="Folder of the run, instead of a job id.")
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table")
@click.pass_obj
def why(context: Context, job_id: str | None, run_dir: Path | None, output_format: str) -> None:
    """Say why a job went where it went, what was expected, and what it took and cost so far.

    Costs are those of the price at submission times the time held; the charge in `mlcost report` follows the
    site's rules about states and minimum times as well.
    """
    import json

    from mlcost_hpc.cli.attempts import attempt_rows, find_submission

    submission = find_submission(context, job_id, run_dir)
    runs = attempt_rows(context.slurm, submission, job_id or submission.job_id)
    account = account_for(submission, runs)
    if output_format == "json":
        click.echo(json.dumps(account, indent=2))
    else:
        from mlcost_hpc.cli.output import printable

        for line in _lines(submission, account):
            click.echo(printable(line))


def account_for(submission: Submission, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return expectation and reality of a job side by side (pure).

    What a run did again, and the wait before it, is put to the stop before it.
    """
    from mlcost_hpc.cli.estimate import candidate_row

    best = submission.choice.best
    held_s = sum(run["elapsed_s"] or 0 for run in runs)
    prices = [_price_in(submission, run["partition"]) for run in runs]
    costs = [_cost(price, run["elapsed_s"] or 0) for price, run in zip(prices, runs, strict=True)]
    stops = [_stop(number, runs, prices) for number in range(len(runs) - 1)]
    last = runs[-1] if runs else None
    ended = last["end"] if last else None
    return {
        "job_id": submission.job_id,
        "name": submission.name,
        "run_dir": str(submission.run_dir),
        "state": last["state"] if last else None,
        "expected": candidate_row(1, best, submission.currency),
        "instead_of": [
            candidate_row(rank, item, submission.currency)
            for rank, item in enumerate(submission.choice.ranked[1:4], start=2)
        ],
        "runs": len(runs),
        "hours": round(held_s / 3600, 4),
        "cost": f"{sum(costs, Decimal(0)):.6f}",
        "to_result_h": _hours_between(submission.submitted, ended),
        "first_wait_s": _seconds_between(submission.submitted, runs[0]["start"]) if runs else None,
        "stops": stops,
        "stops_cost": f"{sum((Decimal(stop['cost']) for stop in stops), Decimal(0)):.6f}",
        "currency": submission.currency,
    }


def _price_in(submission: Submission, partition: str | None) -> Decimal:
    """Return the price of an hour where a run was: a job can be moved, and be given several partitions."""
    choice, best = submission.choice, submission.choice.best
    wanted = (partition, best.offer.gpu_type, best.shape)
    for item in (*choice.ranked, *choice.late):
        if (item.offer.partition, item.offer.gpu_type, item.shape) == wanted:
            return item.per_hour
    return best.per_hour


def _stop(number: int, runs: Sequence[dict[str, Any]], prices: Sequence[Decimal]) -> dict[str, Any]:
    """Return what one stop cost: waiting to run again, which is not billed, and what was held for nothing.

    That is the last save and the work that was lost, at the price of the run that was stopped, and getting
    going again at the price of the next one.
    """
    run, following = runs[number], runs[number + 1]
    done = None if run["reached_step"] is None else run["reached_step"] - (run["first_step"] or 0)
    lost_s = 0.0
    if run["lost_steps"] and done and run["elapsed_s"]:
        lost_s = run["elapsed_s"] * run["lost_steps"] / done
    gap_s = _seconds_between(run["end"], following["start"]) if run["end"] else None
    save_s, restart_s = run["save_s"] or 0.0, following["restart_s"] or 0.0
    cost = _cost(prices[number], lost_s + save_s) + _cost(prices[number + 1], restart_s)
    return {
        "after_run": number + 1,
        "reason": run["reason"] or run["state"],
        "gap_s": gap_s,
        "lost_steps": run["lost_steps"],
        "lost_s": round(lost_s, 1),
        "save_s": round(save_s, 1),
        "restart_s": round(restart_s, 1),
        "minutes": round((lost_s + save_s + restart_s) / 60, 2),
        "cost": f"{cost:.6f}",
    }


def _lines(submission: Submission, account: dict[str, Any]) -> Iterator[str]:
    from mlcost_hpc.cli.explain import hours
    from mlcost_hpc.launch.script import headline

    best, currency = submission.choice.best, submission.currency
    yield f"job {account['job_id']} ({submission.name}), {account['state'] or 'not known to Slurm yet'}"
    yield f"chosen:   {headline(submission.choice)} {currency}"
    for other in account["instead_of"]:
        gpus = f"{other['gpus']} x {other['gpu_model'] or other['gpu_type']}" if other["gpus"] else "no GPUs"
        done = hours(other["to_result_h"])
        yield f"not:      {other['partition']}, {gpus}: {Decimal(other['cost']):.4f}, done in {done}"
    expected = best.forecast
    yield f"{'':10}{'hours':>10}{'cost':>12}{'first wait':>12}{'stops':>8}"
    yield (
        f"{'expected':10}{expected.hours:>10.2f}{expected.cost:>12.4f}"
        f"{hours(expected.wait.seconds / 3600):>12}{expected.running.stops:>8.2f}"
    )
    wait = account["first_wait_s"]
    yield (
        f"{'so far':10}{account['hours']:>10.2f}{Decimal(account['cost']):>12.4f}"
        f"{'-' if wait is None else hours(wait / 3600):>12}{len(account['stops']):>8}"
    )
    for stop in account["stops"]:
        gap = "" if stop["gap_s"] is None else f", back after {hours(stop['gap_s'] / 3600)}"
        lost = f"{stop['lost_steps']} steps lost" if stop["lost_steps"] is not None else "steps not known"
        yield (
            f"stop {stop['after_run']}:   {stop['reason']}{gap}; {lost}; cost {stop['minutes']:.1f} min, "
            f"{Decimal(stop['cost']):.4f} {currency}"
        )
        yield (
            f"          (work again {stop['lost_s']:.0f} s, last save {stop['save_s']:.0f} s, "
            f"getting going again {stop['restart_s']:.0f} s)"
        )
    if account["stops"]:
        minutes = sum(stop["minutes"] for stop in account["stops"])
        yield f"all stops: {minutes:.1f} min, {Decimal(account['stops_cost']):.4f} {currency}"


def _cost(per_hour: Decimal, seconds: float) -> Decimal:
    return per_hour * Decimal(seconds) / 3600


def _seconds_between(start: str | None, end: str | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _hours_between(start: str | None, end: str | None) -> float | None:
    seconds = _seconds_between(start, end)
    return None if seconds is None else round(seconds / 3600, 4)
