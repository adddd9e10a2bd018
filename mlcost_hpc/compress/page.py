"""The report as one HTML file that needs nothing else: summary, a plot a model, the whole table.

Every text is escaped: model names, reasons and file names come from elsewhere.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLOURS = {
    "ok": "#1a7f37",
    "slower": "#bf8700",
    "wrong": "#cf222e",
    "no-op": "#6e7781",
    "not-applicable": "#afb8c1",
    "failed": "#8250df",
}
_WIDTH, _HEIGHT, _EDGE = 420, 260, 44
_NUMBERS = frozenset(
    {
        "shrink",
        "speedup_b1",
        "speedup_text",
        "size_text",
        "quality_text",
        "cost_text",
        "pays_back",
        "before",
        "after",
        "saved",
    }
)
_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 84em; padding: 0 1em;
  color: #1f2328 }
h1 { font-size: 1.5em }
h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse; width: 100%; font-size: 13px }
th, td { text-align: left; padding: 4px 8px; border-bottom: 1px solid #d0d7de; vertical-align: top }
.explained td { border-bottom: 0 }
td { white-space: nowrap }
.why td { color: #59636e; padding-top: 0; white-space: normal }
th.number { text-align: right }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.mark { display: inline-block; width: 9px; height: 9px; border-radius: 5px; margin-right: 5px }
.plots { display: flex; flex-wrap: wrap; gap: 12px }
figure { margin: 0 }
figcaption { font-weight: 600 }
svg text { font: 11px system-ui, sans-serif; fill: #59636e }
"""


def render(
    title: str,
    lines: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    served: Sequence[Mapping[str, Any]] = (),
    served_columns: Mapping[str, str] | None = None,
) -> str:
    """Return the page.

    Args:
        title: name of the batch.
        lines: the summary.
        rows: rows of :func:`mlcost_hpc.compress.report.rows`, for people.
        columns: key -> heading of the table.
        served: costs by hardware, see :func:`mlcost_hpc.compress.report.places`.
        served_columns: key -> heading of that table.
    """
    models = list(dict.fromkeys(str(row["model"]) for row in rows))
    plots = "".join(_plot(model, [row for row in rows if row["model"] == model]) for model in models)
    by_place = ""
    if served and served_columns:
        by_place = f"<h2>A million predictions, by hardware</h2>{_table(served, served_columns)}"
    summary = "".join(f"<li>{escape(line)}</li>" for line in lines)
    legend = " ".join(f"{_mark(status)}{escape(status)}" for status in _COLOURS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Compression of {escape(title)}</h1><ul>{summary}</ul>"
        f"<h2>Size and speed</h2><p>{legend}. Up and to the left is better; rings are on the Pareto front; "
        f'the cross is the original.</p><div class="plots">{plots}</div>'
        f"{by_place}<h2>All tasks</h2>{_table(rows, columns)}"
        "</body></html>\n"
    )


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    head = "".join(
        f'<th class="number">{escape(heading)}</th>' if key in _NUMBERS else f"<th>{escape(heading)}</th>"
        for key, heading in columns.items()
    )
    body = "".join(_table_row(row, columns) for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _table_row(row: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """Return a row; under it, over the whole width, why it is not ok."""
    cells = []
    for key in columns:
        value = row.get(key)
        text = "" if value is None else escape(f"{value:,}" if isinstance(value, int) else str(value))
        if key == "status":
            text = _mark(str(value)) + text
        cells.append(f'<td class="number">{text}</td>' if key in _NUMBERS else f"<td>{text}</td>")
    why = escape(str(row.get("why") or ""))
    under = f'<tr class="why"><td></td><td colspan="{len(columns) - 1}">{why}</td></tr>' if why else ""
    return f"<tr{' class=explained' if why else ''}>{''.join(cells)}</tr>{under}"


def _mark(status: str) -> str:
    return f'<span class="mark" style="background:{_COLOURS.get(status, "#000")}"></span>'


def _plot(model: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a scatter plot: part of the original's size against speed-up at the throughput batch size."""
    points = [row for row in rows if row["shrink_ratio"] and row["speedup"]]
    top: float = max([1.2, *(1.1 * row["speedup"] for row in points)])
    right: float = max([1.05, *(1.05 / row["shrink_ratio"] for row in points)])

    def x(part: float) -> float:
        return _EDGE + part / right * (_WIDTH - 2 * _EDGE)

    def y(speed: float) -> float:
        return _HEIGHT - _EDGE - speed / top * (_HEIGHT - 2 * _EDGE)

    dots = []
    for row in points:
        place = f'cx="{x(1 / row["shrink_ratio"]):.1f}" cy="{y(row["speedup"]):.1f}"'
        colour = _COLOURS.get(str(row["status"]), "#000")
        label = escape(f"{row['recipe']}: {row['status']}, {row['shrink']}, x{row['speedup']}")
        ring = f'<circle {place} r="8" fill="none" stroke="{colour}"/>' if row["pareto"] else ""
        dots.append(f'{ring}<circle {place} r="4.5" fill="{colour}"><title>{label}</title></circle>')
    cross = f'<text x="{x(1) - 4:.1f}" y="{y(1) + 4:.1f}">+</text>'
    axes = (
        f'<path d="M{_EDGE} {_EDGE}V{_HEIGHT - _EDGE}H{_WIDTH - _EDGE}" fill="none" stroke="#afb8c1"/>'
        f'<path d="M{_EDGE} {y(1):.1f}H{_WIDTH - _EDGE}" stroke="#d0d7de" stroke-dasharray="4 3"/>'
        f'<text x="{_EDGE - 6}" y="{y(1) + 4:.1f}" text-anchor="end">x1</text>'
        f'<text x="{_EDGE - 6}" y="{_EDGE + 4}" text-anchor="end">x{top:.1f}</text>'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 10}" text-anchor="middle">size, part of the original</text>'
        f'<text x="{x(1):.1f}" y="{_HEIGHT - _EDGE + 16}" text-anchor="middle">1</text>'
    )
    return (
        f"<figure><figcaption>{escape(model)}</figcaption>"
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(model)}">'
        f"{axes}{cross}{''.join(dots)}</svg></figure>"
    )
