"""Rows that others saved: Open XDMoD's own figures reproduced, files of other tools read whole.

The samples are beside the repository (../shared/cases); without them there is nothing to compare with.
"""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard
from click.testing import CliRunner

from mlcost_hpc.cli.main import cli

ROOT = Path(__file__).parents[3]
CASES = ROOT.parent / "shared" / "cases"
PHILLIPS = CASES / "xdmod-phillips"
FIELDS = (
    "jobid,jobidraw,cluster,partition,qos,account,group,gid,user,uid,submit,eligible,start,end,elapsed,exitcode,"
    "state,nnodes,ncpus,reqcpus,reqmem,reqtres,alloctres,timelimit,nodelist,jobname"
)
HOURS = ("cpu_hours", "gpu_hours", "wall_hours", "node_hours")

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the sample files are not beside the repository")


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def usage_of(ledger: Path, by: str) -> list[dict[str, str]]:
    return list(csv.DictReader(run("usage", "--by", by, "--format", "csv", "--ledger", ledger).splitlines()))


def ingest(ledger: Path, file: Path, *options: str) -> str:
    return run("ingest", "--from-file", file, "--ledger", ledger, *options)


def test_totals_and_days_are_open_xdmods(tmp_path: Path) -> None:
    """4,285 real rows: CPU, GPU, wall and node hours agree in total and on each day, to four decimals."""
    ledger = tmp_path / "ledger.db"
    ingest(ledger, PHILLIPS / "phillips.log", "--fields", FIELDS, "--cluster", "phillips")
    (total,) = usage_of(ledger, "cluster")
    assert [total[name] for name in HOURS] == ["11767.9883", "506.9128", "438.8203", "1344.8686"]
    with (PHILLIPS / "expected-per-day.csv").open() as file:
        expected = {line["day"]: line for line in csv.DictReader(file)}
    days = {line["day"]: line for line in usage_of(ledger, "day")}
    assert days.keys() == expected.keys()
    for day, line in expected.items():
        assert {name: Decimal(days[day][name]) for name in HOURS} == {
            name: Decimal(line[name]) for name in HOURS
        }


def test_compressed_files_are_the_same_rows(tmp_path: Path) -> None:
    """Gzip and zstd copies of a file change nothing in a ledger that has it."""
    plain = (PHILLIPS / "phillips.log").read_bytes()
    (tmp_path / "rows.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "rows.zst").write_bytes(zstandard.ZstdCompressor().compress(plain))
    ledger = tmp_path / "ledger.db"
    for file in (PHILLIPS / "phillips.log", tmp_path / "rows.gz", tmp_path / "rows.zst"):
        said = ingest(ledger, file, "--fields", FIELDS)
    assert said.startswith("0 new runs, 0 changed, 4285 known, 0 rejected")


def test_steps_in_a_long_listing_are_passed_over(tmp_path: Path) -> None:
    """A listing with steps has 29 jobs, and only those are charged."""
    fields = (
        "JobID,JobIDRaw,User,Account,State,Start,End,AveCPU,AveDiskRead,AveDiskWrite,AveRSS,AveVMSize,ElapsedRaw,"
        "ExitCode,Layout,MaxRSS,MaxVMSize,MinCPU,ReqCPUS,ReqMem,ReqNodes,Reservation,Submit,Suspended,SystemCPU,"
        "TimelimitRaw,UserCPU,NodeList,Partition,AllocTRES,Priority,JobName"
    )
    said = ingest(
        tmp_path / "ledger.db", CASES / "sonar" / "sacct-output.txt", "--fields", fields, "--cluster", "fox"
    )
    assert said.startswith("29 new runs, 0 changed, 0 known, 0 rejected")


@pytest.mark.parametrize("name", ["sacct-het-job.psv", "sacct-het-job.trailing-delimiter.psv"])
def test_heterogeneous_jobs_of_another_tool(tmp_path: Path, name: str) -> None:
    """Listings with and without a separator at the line's end are read or refused by name, never in part."""
    text = (CASES / "het" / name).read_text()
    result = CliRunner().invoke(
        cli,
        [
            "ingest",
            "--from-file",
            str(CASES / "het" / name),
            "--cluster",
            "a",
            "--ledger",
            str(tmp_path / "l.db"),
        ],
    )
    assert result.exit_code == 0 or "cannot be accounted" in str(result.exception), text


def test_a_file_that_does_not_name_its_fields_is_refused(tmp_path: Path) -> None:
    """The error says how to name them."""
    result = CliRunner().invoke(
        cli, ["ingest", "--from-file", str(PHILLIPS / "phillips.log"), "--ledger", str(tmp_path / "l.db")]
    )
    assert "--fields" in str(result.exception)
