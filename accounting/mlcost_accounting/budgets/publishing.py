"""The file that tells submitters where budgets stand: what goes into it, and writing it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.budgets import PublishedBudget, PublishedBudgets
from mlcost_hpc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_accounting.budgets.records import BudgetStatus


def publish(statuses: Sequence[BudgetStatus], currency: str, as_of: int | None) -> PublishedBudgets:
    """Return what a submission needs to know of budgets."""
    return PublishedBudgets(
        as_of=as_of,
        currency=currency,
        budgets=tuple(
            PublishedBudget(
                name=status.budget.name,
                scope=status.budget.scope,
                target=status.budget.target,
                unit=status.budget.unit,
                gpu_model=status.budget.gpu_model,
                hard=status.budget.hard,
                accounts=status.accounts,
                period=status.period.label,
                amount=status.budget.amount,
                used=status.usage.used,
                committed=status.usage.committed,
            )
            for status in statuses
        ),
    )


def write_published(path: Path, published: PublishedBudgets) -> None:
    """Replace the file at once, readable for all: readers see the old or the new one, never half.

    Raises:
        ConfigError: when it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(published)))
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: the budgets cannot be published: {error.strerror}") from None
