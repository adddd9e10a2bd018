"""What is asked before anything is submitted: do the published budgets allow it?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from mlcost_hpc.budgets import Submission, check_submission, read_published, require_budget
from mlcost_hpc.errors import ConfigError, SlurmError, UsageError
from mlcost_hpc.money import MICROS
from mlcost_hpc.overrides import Override, override_comment
from mlcost_hpc.people import user_name
from mlcost_hpc.slurm.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from mlcost_hpc.config import Settings
    from mlcost_hpc.launch.choose import Candidate

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

    @classmethod
    def of(cls, candidate: Candidate, tasks: int = 1) -> Self:
        """Return what tasks can take that all go to one place."""
        limit = candidate.forecast.time_limit_s
        return cls(candidate.per_hour, limit, candidate.offer.gpu_model, candidate.gpus, tasks)


class Pass(NamedTuple):
    """Leave to submit.

    Attributes:
        comment: words for the job's comment that record an override; empty when there is none.
        said: lines for whoever submits: soft budgets that warn, and what was overridden.
    """

    comment: str = ""
    said: tuple[str, ...] = ()


class BudgetGate(msgspec.Struct, frozen=True, kw_only=True):
    """The published budgets of a site, asked before a submission.

    Attributes:
        published: the file; None = this site has none, and everything passes.
        timeout_s: seconds after which sacctmgr is given up.
    """

    published: Path | None = None
    timeout_s: float = 60.0

    def ask(self, account: str | None, stakes: Sequence[Stake], over_budget: str | None = None) -> Pass:
        """Refuse jobs that a hard budget does not allow all together.

        Args:
            account: the jobs' account; None = the user's default one.
            stakes: what they can take.
            over_budget: why a refusal is to be overridden; None = it is not.

        Raises:
            BudgetError: a hard budget refuses, and nobody overrides it.
            UsageError: an override has no reason.
            ConfigError: the published budgets cannot be read, and nobody overrides that.
        """
        check_reason(over_budget)
        if self.published is None:
            return Pass()
        user = user_name()
        try:
            published = read_published(self.published)
        except ConfigError as error:
            if over_budget is None:
                raise ConfigError(
                    f"{error}; the operator's `mlcost budget check` writes them, "
                    "and --over-budget REASON (over_budget= in Python) submits without them"
                ) from None
            words = override_comment(Override((_UNREAD,), (), user, over_budget))
            return Pass(words, (f"overridden ({over_budget}): {error}",))
        submission = _submission(account or self._default_account(user), user, stakes)
        verdict = check_submission(submission, published)
        if over_budget is None:
            require_budget(verdict)
        if over_budget is None or not verdict.refusals:
            return Pass(said=verdict.warnings)
        overridden = tuple(f"overridden ({over_budget}): {line}" for line in verdict.refusals)
        words = override_comment(Override(verdict.refused_by, verdict.over, user, over_budget))
        return Pass(words, (*verdict.warnings, *overridden))

    def _default_account(self, user: str) -> str:
        """Return a user's default account; empty when Slurm keeps none: account budgets have no say then."""
        argv = [
            "sacctmgr", "--noheader", "--parsable2", "show", "user", f"name={user}", "format=defaultaccount",
        ]  # fmt: skip
        try:
            return run(argv, timeout_s=self.timeout_s).stdout.strip()
        except SlurmError:
            return ""


def gate_of(settings: Settings) -> BudgetGate:
    """Return the gate that the settings say."""
    path = settings.paths.published_budgets
    return BudgetGate(published=Path(path) if path else None, timeout_s=settings.slurm.timeout_s)


def check_reason(over_budget: object) -> None:
    """Say no to an override without a reason.

    Raises:
        UsageError: when it is no text, or nothing but blanks.
    """
    if over_budget is not None and not (isinstance(over_budget, str) and over_budget.strip()):
        raise UsageError(
            "--over-budget (over_budget= in Python) needs a reason: it goes into the job's comment"
        )


def _submission(account: str, user: str, stakes: Sequence[Stake]) -> Submission:
    gpu_seconds: Counter[str] = Counter()
    for stake in stakes:
        if stake.gpus:
            gpu_seconds[stake.gpu_model] += stake.gpus * stake.time_s * stake.tasks
    cost = sum(int(stake.per_hour * stake.time_s * stake.tasks * MICROS / 3600) for stake in stakes)
    return Submission(account=account, user=user, cost=cost, gpu_seconds=gpu_seconds)
