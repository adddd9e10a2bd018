"""The rows of a compression benchmark as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_hpc.compress.records import Result

HEAD = ("model", "recipe", "status", "smaller", "faster", "score before", "after", "why")


def cell(result: Result) -> dict[str, Any]:
    """Return what every benchmark says of a result: the start of a row of its JSON."""
    score = result.score
    return {
        "model": result.model,
        "recipe": result.recipe,
        "status": result.status,
        "reason": result.reason,
        "smaller": result.shrink,
        "faster": {item.batch: item.speedup for item in result.latency},
        "before": score and score.before,
        "after": score and score.after,
        "seconds": result.seconds,
    }


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table, one line a cell of the benchmark, models in their first order."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(_columns(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _columns(row: Mapping[str, Any]) -> tuple[str, ...]:
    faster = "<br>".join(f"x{speedup:.2f} at {batch}" for batch, speedup in row["faster"].items())
    smaller = f"{row['smaller']:.2f}x" if row["smaller"] else "-"
    before, after = (_percent(row[key]) for key in ("before", "after"))
    why = "" if row["status"] == "ok" else str(row["reason"]).replace("|", "\\|")
    return (row["model"], row["recipe"], f"`{row['status']}`", smaller, faster or "-", before, after, why)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
