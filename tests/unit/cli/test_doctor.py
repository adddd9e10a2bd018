"""``mlcost doctor`` over fake commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mlcost_hpc.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

SCONTROL = r"""
case "$*" in
*config) printf '%s\n' 'ClusterName = alpha' 'SLURM_VERSION = 24.11.5' \
  'AccountingStorageType = accounting_storage/slurmdbd' 'PrivateData = jobs' \
  'AccountingStorageTRES = cpu,gres/gpu,gres/gpu:t4' 'AccountingStoreFlags = job_comment';;
*node) echo 'NodeName=t1 CPUAlloc=0 CPUTot=8 RealMemory=1000 AllocMem=0 State=IDLE' \
  'Gres=gpu:t4:2 GresUsed=gpu:0';;
*partition) echo 'PartitionName=t4 State=UP MaxTime=UNLIMITED Nodes=t1';;
esac
"""


SACCTMGR = r"""
case "$*" in
*user*) echo {level};;
*configuration) printf '%s\n' 'PrivateData = none' '' 'SlurmDBD configuration:' 'PrivateData = jobs';;
esac
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Slurm commands on PATH, with a controller that answers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_CLUSTERS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "ann")
    write(folder, "scontrol", SCONTROL)
    write(folder, "sinfo", "echo slurm 24.11.5")
    write(
        folder,
        "sacct",
        'case "$*" in *help*) echo JobIDRaw JobID State Submit Start End ElapsedRaw Cluster;; esac',
    )
    write(folder, "sacctmgr", SACCTMGR.format(level="Operator"))
    return folder


def write(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def doctor(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(["doctor", *options])
    return int(caught.value.code or 0), capsys.readouterr().out


def test_a_cluster_in_order(commands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator on a good cluster is told nothing bad; the command ends with 0."""
    code, text = doctor(capsys, "--format", "json")
    rows = json.loads(text)
    assert code == 0
    assert {row["status"] for row in rows} <= {"ok", "info"}
    assert set(rows[0]) == {"status", "check", "finding", "advice"}
    assert "cluster alpha runs Slurm 24.11.5" in text


def test_a_plain_user_under_private_data(commands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A user without rights is warned that reports show own jobs only."""
    write(commands, "sacctmgr", SACCTMGR.format(level="None"))
    code, text = doctor(capsys)
    assert code == 0
    assert "ann sees own jobs only" in text


def test_a_dead_database(commands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 1 and says which daemon is away, in one row."""
    write(
        commands,
        "sacct",
        "echo 'sacct: error: Problem talking to the database: Connection refused' >&2; exit 1",
    )
    code, text = doctor(capsys, "--format", "csv")
    assert code == 1
    assert "error,accounting,slurmdbd does not answer (sacct said:" in text


def test_no_slurm_at_all(tmp_path: Path, commands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Slurm the finding says what is missing, not a traceback."""
    (commands / "scontrol").unlink()
    code, text = doctor(capsys)
    assert code == 1
    assert "scontrol is not on PATH" in " ".join(text.split())


def test_doctor_changes_nothing(commands: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Only commands that show something are run."""
    log = tmp_path / "log"
    for name in ("scontrol", "sacctmgr"):
        path = commands / name
        path.write_text(path.read_text().replace("#!/bin/sh\n", f'#!/bin/sh\necho "$@" >> {log}\n'))
    doctor(capsys)
    assert all(" show " in f" {line} " for line in log.read_text().splitlines())
