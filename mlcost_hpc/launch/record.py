"""What is kept of a submission, and how it is found again by its job id.

``submission.json`` in the run folder holds the need, the choice with every term, and the price. An index in
the user's own state folder leads from a job id to its run folder, whatever the current folder is.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import platformdirs

from mlcost_hpc.errors import MlcostError, UsageError
from mlcost_hpc.launch.choose import Choice
from mlcost_hpc.launch.kept import keep_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILE = "submission.json"
VERSION = 2
"""Raised whenever a record of before could be misread."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A submitted job.

    Attributes:
        job_id: Slurm's id (of the whole array, when it is one).
        cluster: the cluster it went to.
        name: job name.
        run_dir: its folder.
        submitted: UTC, ISO 8601.
        command: what runs: the words of a command line, or one ``module:function``.
        array_tasks: tasks of the array; 0 = no array.
        job: fingerprint of what runs, by which its speed is found again.
        program: fingerprint of its program, arguments left out; empty = not known.
        calibrates: it ran to be measured, not to be finished.
        version: of this record's form.
        currency: of all amounts.
        choice: why it went where it went.
        log: path of the log, with Slurm's ``%`` patterns in arrays.
    """

    job_id: str
    cluster: str
    name: str
    run_dir: Path
    submitted: str
    command: tuple[str, ...]
    choice: Choice
    currency: str
    log: str
    array_tasks: int = 0
    job: str = ""
    program: str = ""
    calibrates: bool = False
    version: int = VERSION


class _Versioned(msgspec.Struct, frozen=True):
    version: int = 1


def fingerprint(command: Sequence[str], folder: Path) -> str:
    """Return by what a job's measured speed is found again: its words, with files by their full path."""
    words = [str(folder / word) if (folder / word).is_file() else word for word in command]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def program_fingerprint(command: Sequence[str], folder: Path) -> str:
    """Return by what runs of the same program with other arguments are found: its words up to the program.

    ``python -u train.py --batch 64`` is ``python -u train.py``, ``python -m pkg.train --lr 1`` ends after the
    module; a command without a file or a module is its first word.
    """
    files = (number for number, word in enumerate(command) if number and (folder / word).is_file())
    modules = (number + 1 for number, word in enumerate(command[:-1]) if word == "-m")
    last = min([*files, *modules], default=0)
    return fingerprint(command[: last + 1], folder)


def recent_run_dirs(cluster: str, most: int, environ: Mapping[str, str] | None = None) -> list[Path]:
    """Return the folders of this user's latest jobs on a cluster, newest first; gone ones are left out."""
    folder = _index(os.environ if environ is None else environ) / cluster
    try:
        entries = [
            (entry.stat().st_mtime, entry.path) for entry in os.scandir(folder) if entry.name.isdecimal()
        ]
    except FileNotFoundError:
        return []
    newest = [Path(path) for _, path in sorted(entries, reverse=True)[:most]]
    run_dirs = [Path(path.read_text(encoding="utf-8").rstrip("\n")) for path in newest]
    return [run_dir for run_dir in run_dirs if (run_dir / FILE).is_file()]


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the user's own folder for what is kept between commands."""
    home = (os.environ if environ is None else environ).get("MLCOST_STATE")
    return Path(home) if home else platformdirs.user_state_path("mlcost")


def is_first_time(what: str, environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether this user is to be told something for the first time; from then on it is not.

    Args:
        what: a short name.
        environ: the environment; None = this process's.
    """
    mark = state_folder(environ) / "told" / what
    if mark.exists():
        return False
    with suppress(OSError):  # then it is told again
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.touch()
    return True


def utc_now() -> str:
    """Return the present as UTC ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_submission(submission: Submission, environ: Mapping[str, str] | None = None) -> None:
    """Write the record into the run folder and the index.

    Raises:
        OSError: a folder cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(submission, enc_hook=_encode), indent=1)
    keep_file(submission.run_dir / FILE, text + b"\n")
    index = _index(os.environ if environ is None else environ) / submission.cluster
    index.mkdir(parents=True, exist_ok=True, mode=0o700)
    keep_file(index / submission.job_id, f"{submission.run_dir}\n".encode())


def read_submission(run_dir: Path) -> Submission:
    """Return the record of a run folder.

    Raises:
        UsageError: when the folder has none.
        MlcostError: when it is damaged, or was written by a version of mlcost with another form of it.
    """
    path = run_dir / FILE
    try:
        text = path.read_bytes()
        written = msgspec.json.decode(text, type=_Versioned).version
        if written != VERSION:
            raise MlcostError(
                f"{path} was written by {'an earlier' if written < VERSION else 'a later'} version of mlcost "
                f"(form {written}; this one reads {VERSION}): only the version that submitted the job can "
                "explain it"
            )
        return msgspec.json.decode(text, type=Submission, dec_hook=_decode)
    except FileNotFoundError:
        raise UsageError(f"{run_dir} is not the folder of a submitted run: it has no {FILE}") from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MlcostError(f"{path} cannot be read: {error}") from None


def find_run_dir(job_id: str, cluster: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the run folder of a job that this user submitted from this machine's file system.

    Args:
        job_id: Slurm's id; a task of an array (``17_3``) leads to the array's folder.
        cluster: the cluster's name.
        environ: the environment; None = this process's.

    Raises:
        UsageError: when the job is not known here.
    """
    main = job_id.partition("_")[0]
    path = _index(os.environ if environ is None else environ) / cluster / main
    if not main.isdecimal() or not path.is_file():
        raise UsageError(
            f"job {job_id} of cluster {cluster} was not submitted with mlcost by this user; "
            "give its folder with --run-dir"
        )
    return Path(path.read_text(encoding="utf-8").rstrip("\n"))


def _index(environ: Mapping[str, str]) -> Path:
    return state_folder(environ) / "jobs"


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind.__name__)
