"""Rows of ``mlcost report`` and ``mlcost usage``: for people, beside a period before, as Parquet."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mlcost_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HOURS = ("wall_hours", "cpu_hours", "gpu_hours", "node_hours")
_MONEY = ("cost", "storage_cost", "cost_before")
_SUMMED = ("runs", *_HOURS, *_MONEY)


def beside(
    rows: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]], groups: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of a period with what the same groups cost before, and the change in per cent.

    Groups that cost something only before are rows too, with zeros.
    """
    earlier = {tuple(row[name] for name in groups): row for row in before}
    found = []
    for row in rows:
        old = earlier.pop(tuple(row[name] for name in groups), None)
        then = Decimal(old["cost"]) if old else Decimal(0)
        found.append({**row, **_change(Decimal(row["cost"]), then)})
    nothing = {**dict.fromkeys(_HOURS, Decimal("0.0000")), "runs": 0, "refused": 0}
    nothing |= dict.fromkeys(("cost", "storage_cost"), "0.000000")
    found += [{**row, **nothing, **_change(Decimal(0), Decimal(row["cost"]))} for row in earlier.values()]
    return found


def with_total(rows: Sequence[dict[str, Any]], groups: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows for people, with a last line of sums where there is more than one."""
    places = _places(rows)
    shown = [readable(row, places) for row in rows]
    if len(rows) < 2 or not groups:
        return shown
    names = [name for name in _SUMMED if name in rows[0]]
    sums: dict[str, Any] = {
        name: sum((Decimal(row[name] or 0) for row in rows), Decimal(0)) for name in names
    }
    if rows[0]["cost"] is None:
        sums["cost"] = None
    if "cost_before" in sums:
        sums |= _change(sums["cost"], sums["cost_before"])
    return [*shown, readable({**dict.fromkeys(groups, ""), groups[0]: "total", **sums}, places)]


def _places(rows: Sequence[dict[str, Any]]) -> int:
    """Return how many decimals to show: two say nothing of a day on which everything cost cents."""
    total = sum((Decimal(row["cost"] or 0) for row in rows), Decimal(0))
    return 2 if not total or total >= 10 else 4


def readable(row: dict[str, Any], places: int) -> dict[str, Any]:
    """Return a row with grouped numbers, hours and money with so many decimals."""
    shown = dict(row)
    for name in (*_HOURS, *_MONEY):
        if row.get(name) is not None:
            shown[name] = f"{Decimal(row[name]):,.{places}f}"
    shown["runs"] = f"{row['runs']:,}"
    return shown


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as Parquet: amounts as decimal(38, 6), hours as decimal(38, 4), the rest as it is.

    Raises:
        UsageError: when pyarrow is missing or the file cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install pyarrow") from None
    kinds = {name: pa.decimal128(38, 4) for name in _HOURS}
    kinds |= dict.fromkeys(_MONEY, pa.decimal128(38, 6)) | {"runs": pa.int64()}
    fields = [pa.field(name, kinds.get(name, pa.string())) for name in columns]
    read = dict.fromkeys((*_HOURS, *_MONEY), _decimal)
    arrays = [
        pa.array([read.get(name, _same)(row.get(name)) for row in rows], field.type)
        for name, field in zip(columns, fields, strict=True)
    ]
    try:
        parquet.write_table(pa.table(arrays, schema=pa.schema(fields)), path)
        path.chmod(0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None


def _same(value: object) -> object:
    return value


def _decimal(value: object) -> object:
    return None if value is None else Decimal(str(value))


def _change(now: Decimal, before: Decimal) -> dict[str, Any]:
    return {
        "cost_before": f"{before:.6f}",
        "change_percent": f"{100 * (now - before) / before:.1f}" if before else None,
    }
