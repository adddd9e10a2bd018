"""Why a job cost what it cost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlcost_accounting.calendar import Calendar
from mlcost_accounting.web.visit import HiddenError

if TYPE_CHECKING:
    from starlette.responses import Response

    from mlcost_accounting.web.visit import Visit

_NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
"""How Slurm numbers jobs."""
_LISTED = 1000
"""Most runs in one list: a page that a phone can show."""


def job(visit: Visit) -> Response:
    """Every run of a job with its charges and their arithmetic; of a whole array its tasks."""
    name = visit.param("name")
    runs = visit.books.runs_of_job(name)
    if not runs:
        # The ledger knows tasks and components by their own ids, people the number that sbatch said.
        if (parts := _parts(visit, name)) is not None:
            return parts
        raise HiddenError(f"There is no job {name!r} here, or its costs are not yours to see.")
    calendar = Calendar(visit.site.zone)
    explained = []
    for run in runs:
        charges = visit.books.charges_of_run(run, calendar)
        explained.append(
            {
                **run,
                "charges": charges,
                "total": sum(part["cost"] or 0 for part in charges),
                "credit": sum(part["credit"] for part in charges),
                "arithmetic": [] if run["problem"] else visit.site.arithmetic(run),
            }
        )
    return visit.page("job.html", f"Job {name}", job_id=name, runs=explained, currency=visit.books.currency)


def _parts(visit: Visit, name: str) -> Response | None:
    runs = visit.books.parts_of_job(int(name)) if _NUMBER.fullmatch(name) else []
    if not runs:
        return None
    return visit.page(
        "parts.html",
        f"Job {name}",
        job_id=name,
        runs=runs[:_LISTED],
        count=len(runs),
        cost=sum(run["cost"] for run in runs),
        gpu_s=sum(run["gpu_s"] for run in runs),
        currency=visit.books.currency,
    )
