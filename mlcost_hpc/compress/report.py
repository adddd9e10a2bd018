"""The rows of the report: one a task, nothing left out, with what a prediction costs (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from mlcost_hpc.compress.check import Check
from mlcost_hpc.compress.economics import Prices, Served, by_place, economics, pays_back_after
from mlcost_hpc.compress.records import STATUSES, Measurement, Result
from mlcost_hpc.compress.standing import choose_best, pareto_tasks, throughput_latency, throughput_speedup
from mlcost_hpc.compress.verdict import portable

COLUMNS = {
    "model": "model",
    "recipe": "recipe",
    "status": "status",
    "pareto": "best",
    "size_before": "bytes before",
    "size_after": "bytes after",
    "shrink": "smaller",
    "speedup_b1": "x speed, 1",
    "speedup": "x speed, batch",
    "batch": "batch",
    "latency_before_ms": "ms before",
    "latency_after_ms": "ms after",
    "metric": "metric",
    "metric_before": "before",
    "metric_after": "after",
    "agreement": "agreement",
    "relative_error": "relative error",
    "kept_fp32": "fp32 bytes left",
    "gzip_after": "bytes after gzip",
    "load_ms": "ms to load",
    "peak_memory": "peak bytes",
    "node_class": "measured on",
    "checked_on": "checked on",
    "portable": "portable",
    "cost_before": "cost of a million before",
    "cost_after": "cost of a million after",
    "task_cost": "cost of the task",
    "pays_back": "pays back after",
    "currency": "currency",
    "served_at": "a million at each place",
    "seconds": "seconds",
    "reason": "reason",
    "next_step": "next step",
}
"""Column key -> heading; the keys are stable for programs."""

PEOPLE_COLUMNS = {
    "pareto": "",
    "model": "model",
    "recipe": "recipe",
    "status": "status",
    "size_text": "MB",
    "shrink": "smaller",
    "speedup_b1": "batch 1",
    "speedup_text": "batch",
    "quality_text": "quality",
}
"""The same for people: fewer columns, with units; the first marks the model's front."""

PLACE_COLUMNS = {
    "model": "model",
    "recipe": "recipe",
    "place": "served in",
    "speed_of": "at the speed of",
    "before": "a million before",
    "after": "after",
    "saved": "saved",
}
"""What serving costs, by hardware."""

PAGE_COLUMNS = {
    **PEOPLE_COLUMNS,
    "pareto": "best",
    "cost_text": "a million costs",
    "pays_back": "pays back after",
    "checked_on": "checked on",
}
"""Columns of the HTML page."""


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """What a report knows besides the rows themselves.

    Attributes:
        prices: prices of serving; summaries go by the first place. None without a rate card.
        spent: task -> what it cost.
        checks: task -> checks on other processors.
        measurements: task -> later measurements.
    """

    prices: Prices | None = None
    spent: Mapping[str, Decimal] = {}
    checks: Mapping[str, Sequence[Check]] = {}
    measurements: Mapping[str, Sequence[Measurement]] = {}


def rows(
    results: Sequence[Result], order: Mapping[str, int], extras: Extras | None = None
) -> list[dict[str, Any]]:
    """Return the report's rows: models in the plan's order, in each the best first.

    Args:
        results: rows of tasks.
        order: model name -> place in the plan.
        extras: prices, costs and checks.
    """
    known = extras or Extras()
    best = pareto_tasks(results)
    ranked = sorted(
        results,
        key=lambda r: (
            order.get(r.model, len(order)),
            STATUSES.index(r.status),
            -(throughput_speedup(r) or 0.0),
            r.recipe,
        ),
    )
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for result in results:
        spent[result.model] += known.spent.get(result.task, Decimal(0))
    return [
        {
            **_row(result, on_front=result.task in best),
            **_costs(result, known, spent[result.model]),
            "checked_on": _checked(known.checks.get(result.task, ())),
            "portable": _portable(result, known.checks.get(result.task, ())),
            "served_at": "; ".join(_served(item) for item in _places(result, known)),
        }
        for result in ranked
    ]


def places(results: Sequence[Result], extras: Extras) -> list[dict[str, Any]]:
    """Return what serving each model's best candidates costs, by hardware; empty without prices."""
    currency = "" if extras.prices is None else extras.prices.currency
    return [
        {
            "model": result.model,
            "recipe": result.recipe,
            "place": item.place or "anywhere",
            "speed_of": item.node_class + ("" if item.measured_there else " (elsewhere)"),
            "before": f"{item.costs.before:.4f} {currency}",
            "after": f"{item.costs.after:.4f} {currency}",
            "saved": f"{100 * (1 - item.costs.after / item.costs.before):.0f} %"
            if item.costs.before
            else "-",
        }
        for result in choose_best(results, "speed").values()
        for item in _places(result, extras)
    ]


def _places(result: Result, extras: Extras) -> list[Served]:
    if extras.prices is None:
        return []
    return by_place(result, extras.prices, extras.measurements.get(result.task, ()))


def _served(item: Served) -> str:
    where = item.place or "anywhere"
    return f"{where} ({item.node_class}): {item.costs.before:.6f} -> {item.costs.after:.6f}"


def _percent_saved(item: Served) -> str:
    costs = item.costs
    return f"{100 * (1 - costs.after / costs.before):.0f} %" if costs.before else "-"


def _portable(result: Result, checks: Sequence[Check]) -> str:
    known = portable(checks, result.place.node_class if result.place else "")
    return {True: "yes", False: "no", None: ""}[known]


def _costs(result: Result, extras: Extras, spent_on_model: Decimal) -> dict[str, Any]:
    """Return what serving and making a candidate costs; the whole batch of a model must be paid back."""
    found: dict[str, Any] = dict.fromkeys(("cost_before", "cost_after", "pays_back", "currency"))
    spent = extras.spent.get(result.task)
    found["task_cost"] = None if spent is None else f"{spent:.9f}"
    costs = None
    if extras.prices is not None and extras.prices.core_hour:
        costs = economics(result, next(iter(extras.prices.core_hour.values())))
    if costs is None or extras.prices is None:
        return found
    pays_back = pays_back_after(spent_on_model, costs) if spent_on_model and result.status == "ok" else None
    return {
        **found,
        "cost_before": round(costs.before, 6),
        "cost_after": round(costs.after, 6),
        "pays_back": pays_back,
        "currency": extras.prices.currency,
    }


def _checked(checks: Sequence[Check]) -> str:
    words = {True: "same", False: "DIFFERS"}
    return ", ".join(f"{item.node_class} {words[item.passed]}{_by(item)}" for item in checks)


def _row(result: Result, **mark: bool) -> dict[str, Any]:
    single, many, score = result.at_batch(1), throughput_latency(result), result.score
    return {
        "model": result.model,
        "recipe": result.recipe,
        "status": result.status,
        "pareto": "*" if mark["on_front"] else "",
        "size_before": result.size_before,
        "size_after": result.size_after,
        "shrink": _rounded(result.shrink, 2),
        "speedup_b1": _rounded(None if single is None else single.speedup, 2),
        "speedup": _rounded(None if many is None else many.speedup, 2),
        "batch": None if many is None else many.batch,
        "latency_before_ms": _rounded(None if many is None else 1000 * many.before.p50, 4),
        "latency_after_ms": _rounded(None if many is None else 1000 * many.after.p50, 4),
        "metric": None if score is None else score.metric,
        "metric_before": _rounded(None if score is None else score.before, 4),
        "metric_after": _rounded(None if score is None else score.after, 4),
        "agreement": _rounded(None if score is None else score.agreement, 4),
        "relative_error": _rounded(None if score is None else score.relative_error, 5),
        "shrink_ratio": result.shrink,
        "kept_fp32": result.kept_fp32,
        "gzip_after": result.gzip_after,
        "load_ms": _rounded(None if result.load_s is None else 1000 * result.load_s, 2),
        "peak_memory": result.peak_memory,
        "node_class": None if result.place is None else result.place.node_class,
        "seconds": result.seconds,
        "reason": result.reason,
        "next_step": result.next_step,
    }


def for_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with texts for the table."""
    return {
        **row,
        "size_text": _megabytes(row["size_after"]),
        "why": "" if row["status"] == "ok" else "; ".join(filter(None, (row["reason"], row["next_step"]))),
        "shrink": None if row["shrink"] is None else f"{row['shrink']:.2f}x",
        "speedup_b1": None if row["speedup_b1"] is None else f"x{row['speedup_b1']:.2f}",
        "speedup_text": None if row["speedup"] is None else f"x{row['speedup']:.2f} ({row['batch']})",
        "quality_text": _quality(row),
        "cost_text": _cost(row),
    }


def explanations(rows_for_people: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each row that is not ok: why, and what to do."""
    return [
        ": ".join((f"{row['model']} {row['recipe']}", str(row["status"]), str(row["reason"])))
        + (f" -> {row['next_step']}" if row["next_step"] else "")
        for row in rows_for_people
        if row["status"] != "ok"
    ]


def _by(check: Check) -> str:
    return "" if check.relative_error is None else f" ({check.relative_error:.2g})"


def _cost(row: Mapping[str, Any]) -> str | None:
    if row["cost_before"] is None:
        return None
    return f"{row['cost_before']:.4f} → {row['cost_after']:.4f} {row['currency']}"


def _quality(row: Mapping[str, Any]) -> str:
    if row["metric_before"] is not None:
        return f"{row['metric_before']:.4f}→{row['metric_after']:.4f}"
    if row["agreement"] is not None:
        return f"agrees {100 * row['agreement']:.4g} %"
    return "-" if row["relative_error"] is None else f"error {row['relative_error']:.3g}"


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.2f}"


def _rounded(value: float | Decimal | None, places: int) -> float | None:
    return None if value is None else round(float(value), places)
