"""Saved answers as files: which form a file has is seen from its beginning."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlcost_hpc.cli.main import cli
from mlcost_hpc.errors import UsageError

RECORD = Path(__file__).parents[2] / "records" / "26.05"
BANNER = "Welcome, next maintenance {2026-12-01}\n\n"


def ingest(file: Path | str, ledger: Path, *options: str, stdin: bytes = b"") -> str:
    words = ["ingest", "--from-file", str(file), "--ledger", str(ledger), *options]
    result = CliRunner().invoke(cli, words, catch_exceptions=False, input=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("banner", ["", BANNER])
def test_t29_a_json_document_is_read_like_rows(tmp_path: Path, banner: str) -> None:
    """`sacct --json` of 26.05, plain, compressed and from standard input, after a login banner or not."""
    text = banner.encode() + (RECORD / "json" / "sacct.json").read_bytes()
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text))
    assert ingest(tmp_path / "plain", tmp_path / "l.db").startswith("17 new runs, 0 changed, 0 known, 0 rej")
    assert ingest(tmp_path / "packed", tmp_path / "l.db").startswith("0 new runs")
    assert ingest("-", tmp_path / "l.db", stdin=text).startswith("0 new runs")


def test_t29_json_of_26_05_and_text_are_the_same_runs(tmp_path: Path) -> None:
    """The sluid is the DBIndex, so that a document and rows of one cluster go into one ledger."""
    ingest(RECORD / "json" / "sacct.json", tmp_path / "l.db")
    heading = (
        "jobidraw,jobid,dbindex,user,uid,account,partition,qos,state,submit,eligible,start,end,elapsedraw,"
        "suspended,timelimitraw,alloctres,reqtres,nnodes,nodelist,exitcode,reservation,reservationid,wckey,jobname,comment,"
        "cluster"
    )
    said = ingest(
        RECORD / "sacct.txt",
        tmp_path / "l.db",
        "--fields",
        heading,
        "--delimiter",
        "\x1frec",
        "--time-zone",
        "UTC",
    )
    assert said.startswith("3 new runs")


def test_a_file_without_names_of_fields_and_without_json_is_refused(tmp_path: Path) -> None:
    """Rows that do not say what they are must not be guessed at."""
    (tmp_path / "rows").write_text("1|COMPLETED|ana\n" * 200)
    with pytest.raises(UsageError, match="--fields"):
        ingest(tmp_path / "rows", tmp_path / "l.db")


def test_a_cut_off_document_takes_nothing_in(tmp_path: Path) -> None:
    """Half a document is refused whole."""
    text = (RECORD / "json" / "sacct.json").read_text()
    (tmp_path / "half").write_text(text[: len(text) // 2])
    with pytest.raises(UsageError, match="no whole answer"):
        ingest(tmp_path / "half", tmp_path / "l.db")
