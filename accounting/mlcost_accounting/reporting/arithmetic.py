"""The arithmetic of a run's charge, for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcost_accounting.why import arithmetic, span_of_run
from mlcost_hpc.errors import RateError

if TYPE_CHECKING:
    from mlcost_accounting.rating import Rater


def explain_run(rater: Rater, run: dict[str, Any]) -> list[str]:
    """Return how the charge of a run comes about, line by line.

    Args:
        rater: the prices.
        run: a row of :func:`~mlcost_accounting.ledger.scoped.runs_of_job`.
    """
    if run["started"] is None:
        return ["it never started: nothing to charge"]
    try:
        return arithmetic(rater, span_of_run(run))
    except RateError as error:
        return [str(error)]
