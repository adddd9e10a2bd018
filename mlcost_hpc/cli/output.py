"""Rows as a table for people, or as JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, TypeVar

import click

Format = Literal["table", "json", "csv"]
Row = Mapping[str, Any]
_F = TypeVar("_F", bound=Callable[..., Any])

# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def format_option(command: _F) -> _F:
    """Add ``--format table|json|csv`` to a command."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="table is for people; json and csv are stable, for programs.",
    )(command)


def render_json(rows: Sequence[Row]) -> str:
    """Return the rows as a JSON list; decimals become strings, so that no digit is lost."""
    return json.dumps([dict(row) for row in rows], indent=2, default=_plain) + "\n"


def render_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return the rows as CSV with a header; formulas are made harmless with an apostrophe."""
    lines = [_csv_line(columns)]
    lines += [_csv_line([_cell(row.get(column)) for column in columns]) for row in rows]
    return "".join(lines)


def print_rows(
    rows: Sequence[Row],
    columns: Mapping[str, str],
    output_format: Format,
    *,
    title: str | None = None,
    right: Sequence[str] = (),
) -> None:
    """Print rows in the asked format.

    Args:
        rows: the rows, each a mapping from column key to value. Values are shown as they are: format them
            for people in a column of their own, or give texts.
        columns: key -> heading in the table; json and csv use the keys.
        output_format: ``table``, ``json`` or ``csv``.
        title: heading of the table.
        right: keys of columns that hold numbers.
    """
    if output_format == "json":
        click.echo(render_json([{key: row.get(key) for key in columns} for row in rows]), nl=False)
    elif output_format == "csv":
        click.echo(render_csv(rows, list(columns)), nl=False)
    else:
        _print_table(rows, columns, title, right)


def printable(text: str) -> str:
    """Return a hostile text with control characters (terminal escapes among them) made visible."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _print_table(
    rows: Sequence[Row], columns: Mapping[str, str], title: str | None, right: Sequence[str]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(width=100)
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for key, heading in columns.items():
        table.add_column(heading, justify="right" if key in right else "left", overflow="fold")
    for row in rows:
        values = (row.get(key) for key in columns)
        table.add_row(*(Text("-" if value is None else printable(str(value))) for value in values))
    console.print(table)


def _csv_line(cells: Sequence[object]) -> str:
    """Return one record; the csv module quotes a lone CR only while CRLF ends its lines."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not a value for output")


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
