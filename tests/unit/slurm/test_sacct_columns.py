"""Accounting text by the thousand rows: read at once it says what it says piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from ledger_kit import LAYOUT, NOON, row

from mlcost_hpc.slurm.sacct_columns import parse_columns
from mlcost_hpc.slurm.sacct_frame import FEWEST_ROWS

if TYPE_CHECKING:
    from mlcost_hpc.slurm.sacct_columns import RunColumns

STATES = ("COMPLETED", "CANCELLED by 1001", "NODE_FAIL", "TIMEOUT")


def many_rows(count: int) -> list[str]:
    """Return rows with steps, unknown times, quotes, names left out and one amount that is none."""
    rows = [
        row(
            DBIndex=12670464425943961600 + number, JobID=f"{number}.batch" if number % 97 == 5 else number,
            JobIDRaw=number, User="" if number % 31 == 0 else f"user{number % 7}", UID=number % 7,
            State=STATES[number % 4], JobName=f'"ran" {number % 5}, "twice', Comment=f"tag={number % 3}",
            Suspended="00:01:00" if number % 13 == 0 else "00:00:00", NNodes=number % 3,
            Account="(null)" if number % 11 == 0 else "nlp",
            TimelimitRaw="UNLIMITED" if number % 17 == 0 else 60,
            AllocTRES="" if number % 19 == 0 else f"cpu={number % 4},node=1",
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    rows[7] = row(JobID=8, JobIDRaw=8, AllocTRES="cpu=many")
    rows[8] = row(JobID=9, JobIDRaw=9, Start="Unknown", End="Unknown", ElapsedRaw=0, Submit=NOON)
    return rows


def plain(columns: RunColumns) -> dict[str, list[Any]]:
    """Return columns as lists."""
    return {name: list(column) for name, column in msgspec.structs.asdict(columns).items()}


def test_many_rows_at_once_are_the_rows_one_part_after_another() -> None:
    """What pandas splits is, column by column, what is split line by line, rejects included."""
    rows = many_rows(FEWEST_ROWS + 100)
    whole = parse_columns("".join(f"{line}\n" for line in rows), LAYOUT)
    parts = [
        parse_columns("".join(f"{line}\n" for line in rows[at : at + 500]), LAYOUT)
        for at in range(0, len(rows), 500)
    ]
    joined: dict[str, list[Any]] = {}
    for part in parts:
        for name, column in plain(part.columns).items():
            joined.setdefault(name, []).extend(column)
    assert plain(whole.columns) == joined
    assert list(whole.rejects) == [reject for part in parts for reject in part.rejects]
    assert [reject.why for reject in whole.rejects] == ["'cpu=many' is not a TRES list"]


def test_what_only_a_step_has_is_in_no_column() -> None:
    """Rows passed over leave none of their values to be given a number in a ledger."""
    text = f"{row()}\n{row(JobID='100.0', Account='of-the-step', AllocTRES='cpu=77')}\n"
    columns = parse_columns(text, LAYOUT).columns
    assert list(columns.account.values) == ["nlp"]
    assert "cpu=77" not in columns.allocated.values
