"""Why a job cost what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_accounting.calendar import Calendar
from mlcost_accounting.web.visit import HiddenError

if TYPE_CHECKING:
    from starlette.responses import Response

    from mlcost_accounting.web.visit import Visit


def job(visit: Visit) -> Response:
    """Every run of a job with its charges and their arithmetic."""
    name = visit.param("name")
    runs = visit.books.runs_of_job(name)
    if not runs:
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
