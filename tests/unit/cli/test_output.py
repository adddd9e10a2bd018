"""Rows as table, JSON and CSV."""

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.cli.output import print_rows, printable, render_csv, render_json


def test_json_keeps_every_digit_of_a_decimal() -> None:
    """Money goes out as text, not as a binary float."""
    assert json.loads(render_json([{"cost": Decimal("0.100000")}])) == [{"cost": "0.100000"}]


@given(st.text())
def test_a_csv_cell_never_starts_a_formula(text: str) -> None:
    """Whatever a job is named, a spreadsheet does not run it, and nothing of the name is lost."""
    cells = list(csv.reader(io.StringIO(render_csv([{"name": text, "n": 1}], ["name", "n"]), newline="")))
    [cell, _] = cells[1]
    assert cell in (text, f"'{text}")
    if cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        float(cell)


def test_negative_numbers_stay_numbers_in_csv() -> None:
    """A correction of -5.00 is a number, not a formula."""
    assert render_csv([{"cost": "-5.00"}], ["cost"]) == "cost\n-5.00\n"


def test_missing_values_are_empty_cells() -> None:
    """Not known is an empty cell in CSV."""
    assert render_csv([{"a": None}], ["a", "b"]) == "a,b\n,\n"


def test_a_table_shows_terminal_escapes_instead_of_running_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A hostile job name cannot steer the reader's terminal."""
    print_rows([{"name": "\x1b[2Jgone"}], {"name": "job"}, "table")
    assert "\x1b" not in capsys.readouterr().out


def test_rich_markup_in_a_name_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A name like [red] is text."""
    print_rows([{"name": "[red]x[/red]"}], {"name": "job"}, "table")
    assert "[red]x[/red]" in capsys.readouterr().out


@given(st.text())
def test_printable_texts_are_left_alone(text: str) -> None:
    """Only characters that do not print are replaced."""
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text
