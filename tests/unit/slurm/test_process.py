"""Running commands: environment, time limit, and what failures mean."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcost_hpc.errors import (
    SlurmCommandError,
    SlurmDownError,
    SlurmMissingError,
    SlurmNoAccountingError,
    SlurmTimeoutError,
)
from mlcost_hpc.slurm.process import failure_of, query_environment, run

Script = Callable[[str, str], Path]

NO_CONTROLLER = "slurm_load_partitions: Unable to contact slurm controller (connect failure)"
NO_DATABASE = (
    "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to "
    "host:localhost:6819: Connection refused\nsacct: error: Sending PersistInit msg: Connection refused\n"
    "sacct: error: Problem talking to the database: Connection refused"
)
NO_MUNGE = (
    "sinfo: error: If munged is up, restart with --num-threads=10\n"
    'sinfo: error: Munge encode failed: Failed to access "/run/munge/munge.socket.2": No such file\n'
    "slurm_load_partitions: Protocol authentication error"
)
NO_CONFIG = (
    "scontrol: error: fetch_config: DNS SRV lookup failed\n"
    "scontrol: fatal: Could not establish a configuration source"
)


def test_answers_are_in_utc_seconds_and_english(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sees a fixed zone, language and time format, and keeps the way to its controller."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("TZ", "Europe/Paris")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/other.conf")
    monkeypatch.setenv("SQUEUE_PARTITION", "mine")
    script(
        "squeue", 'echo "$LC_ALL $TZ $SLURM_TIME_FORMAT $SLURM_CONF [$SQUEUE_PARTITION] $SLURM_BITSTR_LEN"'
    )
    assert run(["squeue"], timeout_s=10).stdout == "C UTC %s /etc/slurm/other.conf [] 0\n"


def test_the_environment_of_this_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are made for the call, not for the program."""
    environ = {"TZ": "Europe/Paris", "SACCT_FORMAT": "jobid", "HOME": "/home/ann"}
    assert query_environment(environ)["TZ"] == "UTC"
    assert "SACCT_FORMAT" not in query_environment(environ)
    assert environ["TZ"] == "Europe/Paris"


def test_a_missing_command(bin_folder: Path) -> None:
    """A machine without Slurm is told so in one line."""
    with pytest.raises(SlurmMissingError, match="sacct is not on PATH"):
        run(["sacct"], timeout_s=10)


def test_a_file_that_cannot_be_run(script: Script) -> None:
    """A command that is there but cannot be started is an error with its name."""
    script("sacct", "").write_text("#!/nonexistent/interpreter\n")
    script("sinfo", "").write_bytes(b"\x00\x01")
    with pytest.raises(SlurmMissingError):
        run(["sacct"], timeout_s=10)
    with pytest.raises(SlurmCommandError, match="cannot be started"):
        run(["sinfo"], timeout_s=10)


@pytest.mark.parametrize("end", ["wait", "exit 0"])
def test_a_hanging_command_is_killed_with_its_children(script: Script, tmp_path: Path, end: str) -> None:
    """The time limit holds although a child of the command, or what it left behind, keeps the pipes open."""
    pid_file = tmp_path / "pid"
    script("squeue", f"/bin/sleep 600 & echo $! > {pid_file}; {end}")
    begin = time.monotonic()
    with pytest.raises(SlurmTimeoutError, match=r"squeue did not answer within 0\.5 s"):
        run(["squeue"], timeout_s=0.5)
    assert time.monotonic() - begin < 60
    _wait_until_gone(int(pid_file.read_text()))


def test_a_failure_carries_everything(script: Script) -> None:
    """Command, exit code and both outputs are there for a person to read."""
    script("scontrol", "echo half; echo 'scontrol: error: bad thing' >&2; exit 3")
    with pytest.raises(SlurmCommandError) as caught:
        run(["scontrol", "show", "node x"], timeout_s=10)
    error = caught.value
    assert str(error) == "scontrol failed (exit 3): scontrol: error: bad thing"
    assert (error.argv, error.returncode, error.stdout) == (("scontrol", "show", "node x"), 3, "half\n")
    assert "command: scontrol show 'node x'" in error.details()


def test_a_complaint_and_nothing_else_is_a_failure(script: Script) -> None:
    """Older sacct fails with exit code 0; that is not an empty month."""
    script("sacct", "echo 'sacct: error: something' >&2")
    with pytest.raises(SlurmCommandError, match="something"):
        run(["sacct"], timeout_s=10)


def test_a_warning_beside_an_answer_is_no_failure(script: Script) -> None:
    """Complaints do not spoil an answer."""
    script("sacct", "echo row; echo 'sacct: warning' >&2")
    assert run(["sacct"], timeout_s=10).stdout == "row\n"


def test_an_empty_answer_is_an_answer(script: Script) -> None:
    """No jobs is no failure."""
    script("squeue", "")
    assert run(["squeue"], timeout_s=10).stdout == ""


def test_bytes_that_are_no_text(script: Script) -> None:
    """A name cut in the middle of a letter does not break the reading, and line ends stay as they are."""
    script("squeue", "printf 'a\\303|b\\r\\n'")
    assert run(["squeue"], timeout_s=10).stdout == "a\ufffd|b\r\n"


def test_input_is_passed_on(script: Script) -> None:
    """A command can read what it is given."""
    script("sbatch", "read line; echo got $line")
    assert run(["sbatch"], timeout_s=10, stdin="script\n").stdout == "got script\n"


@pytest.mark.parametrize(
    ("stderr", "daemon"),
    [
        (NO_CONTROLLER, "slurmctld"),
        (NO_DATABASE, "slurmdbd"),
        (NO_MUNGE, "munge"),
        (NO_CONFIG, "slurmctld"),
        ("slurm_load_jobs error: Socket timed out on send/recv operation", "slurmctld"),
        ("scontrol: error: Zero Bytes were transmitted or received", "slurmctld"),
    ],
)
def test_which_daemon_is_down(stderr: str, daemon: str) -> None:
    """Slurm's own words tell which daemon does not answer."""
    error = failure_of(["sinfo"], 1, "", stderr)
    assert isinstance(error, SlurmDownError)
    assert error.daemon == daemon
    assert str(error).startswith(f"{daemon} does not answer (sinfo said: ")
    assert "\n" not in str(error)


@pytest.mark.parametrize(("stdout", "stderr"), [("", "Slurm accounting storage is disabled")])
def test_a_cluster_without_accounting(stdout: str, stderr: str) -> None:
    """No database is not a broken one."""
    error = failure_of(["sacct"], 1, stdout, stderr)
    assert isinstance(error, SlurmNoAccountingError)
    assert "keeps no accounting" in str(error)


def _wait_until_gone(pid: int) -> None:
    """Wait until a process has ended (a zombie that nobody has waited for yet counts)."""
    stat = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if stat.read_text().rpartition(")")[2].split()[0] in "ZX":
                return
        except FileNotFoundError:
            return
    pytest.fail(f"process {pid} is still running")
