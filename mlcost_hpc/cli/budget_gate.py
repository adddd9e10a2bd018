"""What ``mlcost submit`` asks before it sends a job away: do the published budgets allow it?"""

from __future__ import annotations

import getpass
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from mlcost_hpc.cli.output import printable
from mlcost_hpc.errors import ConfigError, SlurmError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from mlcost_hpc.cli.context import Context


_UNREAD = "unread"
"""In the place of budgets' names when none could be read."""


class Stake(NamedTuple):
    """What jobs can take at most.

    Attributes:
        per_hour: price of an hour of one task, currency units.
        time_s: time limit of one task, seconds.
        gpu_model: model of its GPUs; empty without GPUs.
        gpus: GPUs of one task over all nodes.
        tasks: how many tasks.
    """

    per_hour: Decimal
    time_s: int
    gpu_model: str
    gpus: int
    tasks: int = 1


def obey_budgets(
    context: Context,
    *,
    account: str | None,
    per_hour: Decimal,
    time_s: int,
    gpu_model: str,
    gpus: int,
    tasks: int = 1,
    over_budget: str | None = None,
) -> str:
    """Refuse a job or an array that a hard budget does not allow, as :func:`obey_for_all`."""
    stake = Stake(per_hour, time_s, gpu_model, gpus, tasks)
    return obey_for_all(context, account, [stake], over_budget)


def obey_for_all(
    context: Context, account: str | None, stakes: Sequence[Stake], over_budget: str | None = None
) -> str:
    """Refuse jobs that a hard budget does not allow all together, warn of soft ones.

    Args:
        context: the command's context; without ``paths.published_budgets`` nothing is asked.
        account: the jobs' account; None = the user's default one.
        stakes: what they can take.
        over_budget: why a refusal is to be overridden; None = it is not.

    Returns:
        Words for the job's comment that record an override; empty when there is none.

    Raises:
        BudgetError: a hard budget refuses, and nobody overrides it.
        UsageError: an override has no reason.
        ConfigError: the published budgets cannot be read, and nobody overrides that.
    """
    from mlcost_accounting.budgets.overrides import Override, override_comment
    from mlcost_accounting.budgets.submission import (
        Submission,
        check_submission,
        read_published,
        require_budget,
    )

    from mlcost_hpc.money import MICROS

    if over_budget is not None and not over_budget.strip():
        raise UsageError("--over-budget needs a reason: it goes into the job's comment")
    path = context.settings.paths.published_budgets
    if not path:
        return ""
    user = getpass.getuser()
    try:
        published = read_published(Path(path))
    except ConfigError as error:
        if over_budget is None:
            raise ConfigError(
                f"{error}; the operator's `mlcost budget check` writes them, "
                "and --over-budget REASON submits without them"
            ) from None
        click.echo(f"mlcost: overridden ({printable(over_budget)}): {error}", err=True)
        return override_comment(Override((_UNREAD,), (), user, over_budget))
    gpu_seconds: Counter[str] = Counter()
    for stake in stakes:
        if stake.gpus:
            gpu_seconds[stake.gpu_model] += stake.gpus * stake.time_s * stake.tasks
    submission = Submission(
        account=account or _default_account(context, user),
        user=user,
        cost=sum(int(stake.per_hour * stake.time_s * stake.tasks * MICROS / 3600) for stake in stakes),
        gpu_seconds=gpu_seconds,
    )
    verdict = check_submission(submission, published)
    for line in verdict.warnings:
        click.echo(f"mlcost: {line}", err=True)
    if over_budget is None:
        require_budget(verdict)
    if over_budget is None or not verdict.refusals:
        return ""
    for line in verdict.refusals:
        click.echo(f"mlcost: overridden ({printable(over_budget)}): {line}", err=True)
    return override_comment(Override(verdict.refused_by, verdict.over, user, over_budget))


def _default_account(context: Context, user: str) -> str:
    """Return a user's default account; empty when Slurm keeps none: account budgets then have no say."""
    from mlcost_hpc.slurm.process import run

    argv = ["sacctmgr", "--noheader", "--parsable2", "show", "user", f"name={user}", "format=defaultaccount"]
    try:
        return run(argv, timeout_s=context.settings.slurm.timeout_s).stdout.strip()
    except SlurmError:
        return ""
