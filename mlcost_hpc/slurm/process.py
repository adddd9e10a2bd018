"""The one place where a command is run: time limit, environment, and failures turned into our errors."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import (
    SlurmCommandError,
    SlurmDownError,
    SlurmMissingError,
    SlurmNoAccountingError,
    SlurmTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Set per call, never for this process. SLURM_BITSTR_LEN=0 keeps lists of array tasks whole.
_FIXED = {"TZ": "UTC", "LC_ALL": "C", "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}

# A user's own defaults for these commands would change the answers (SQUEUE_PARTITION, SACCT_FORMAT, ...).
_DEFAULTS_OF_USER = ("SACCT_", "SACCTMGR_", "SCANCEL_", "SCONTROL_", "SINFO_", "SQUEUE_", "SBATCH_")

# (words in the complaint, the daemon that is down). The first match counts: munge's failure makes every
# other request fail too, and a dead database is reached through slurmctld's client code.
_DOWN_SIGNS = (
    ("munge encode failed", "munge"),
    ("if munged is up", "munge"),
    ("sackd", "slurm authentication (sackd)"),
    ("slurm_persist_conn_open", "slurmdbd"),
    ("persistinit", "slurmdbd"),
    ("problem talking to the database", "slurmdbd"),
    ("problem talking to database", "slurmdbd"),
    ("unable to contact slurm database", "slurmdbd"),
    ("unable to contact slurm controller", "slurmctld"),
    ("could not establish a configuration source", "slurmctld"),
    ("zero bytes were transmitted", "slurmctld"),
    ("socket timed out on send/recv", "slurmctld"),
    ("connection refused", "slurmctld"),
    ("protocol authentication error", "munge"),
)


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a command that succeeded printed."""

    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Output:
    """Run a Slurm command and return what it printed.

    Bytes that are not UTF-8 (a name cut in the middle of a letter) become replacement marks.

    Args:
        argv: the command, found on PATH.
        timeout_s: seconds after which it is killed, with every process it started.
        environ: environment to start from; None = this process's.
        stdin: what it reads.

    Raises:
        SlurmMissingError: the command is not on PATH.
        SlurmTimeoutError: it did not end in time.
        SlurmDownError: a daemon that it needs does not answer.
        SlurmNoAccountingError: the cluster keeps no accounting.
        SlurmCommandError: it failed otherwise, or printed nothing but a complaint.
    """
    environment = query_environment(os.environ if environ is None else environ)
    return run_as_is(argv, timeout_s=timeout_s, environ=environment, stdin=stdin)


def run_as_is(
    argv: Sequence[str], *, timeout_s: float, environ: Mapping[str, str], stdin: str = ""
) -> Output:
    """Run a Slurm command in exactly this environment: sbatch hands its own on to the job.

    Everything else is as in :func:`run`.
    """
    try:
        # A session of its own, so that a wrapper script and its children can be stopped together.
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
        )
    except FileNotFoundError:
        raise SlurmMissingError(argv[0]) from None
    except OSError as error:
        raise SlurmCommandError(argv, 126, "", f"cannot be started: {error.strerror}") from None
    with process:
        try:
            out, err = process.communicate(stdin.encode(), timeout=timeout_s)
        except BaseException as error:
            _kill_group(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise SlurmTimeoutError(argv, timeout_s) from None
            raise
    stdout, stderr = (text.decode("utf-8", errors="replace") for text in (out, err))
    failure = failure_of(argv, process.returncode, stdout, stderr)
    if failure is not None:
        raise failure
    return Output(stdout=stdout, stderr=stderr)


def query_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which answers are in UTC seconds, in English and as we asked for them.

    ``SLURM_CONF`` and the rest stay: without them the controller may not be found.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_DEFAULTS_OF_USER)}
    return kept | _FIXED


def failure_of(argv: Sequence[str], returncode: int, stdout: str, stderr: str) -> SlurmCommandError | None:
    """Return the error that an outcome means, None when the command did its work.

    Before 23.11 sacct could fail with exit code 0: nothing printed but a complaint is a failure as well.
    """
    if returncode == 0 and (stdout.strip() or not stderr.strip()):
        return None
    said = f"{stderr}\n{stdout}".lower()
    if "accounting storage is disabled" in said:
        return SlurmNoAccountingError(argv, returncode, stdout, stderr)
    for sign, daemon in _DOWN_SIGNS:
        if sign in said:
            return SlurmDownError(argv, returncode, stdout, stderr, daemon=daemon)
    return SlurmCommandError(argv, returncode, stdout, stderr)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, which may outlive it and hold our pipes open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
