"""Every error this package raises on purpose, and the exit code each one means on the command line.

The tree:

    MlcostError                 exit 1   something failed
    ├── UsageError              exit 2   the caller asked for something that makes no sense
    │   ├── ConfigError                  a settings file is wrong (names file, key and expected type)
    │   └── UnitError                    a text is not a duration, an amount of memory, a TRES list, ...
    ├── NoOfferError            exit 3   nothing on this cluster fits the need
    ├── BudgetError             exit 4   a budget refuses the submission
    ├── RateError               exit 1   the rate card has no price for something that must be priced
    ├── CheckpointError         exit 1   no checkpoint can be written or read
    │   └── SupersededError              another attempt writes this run's checkpoints now
    ├── LedgerError             exit 1   the ledger cannot be opened, read or written
    ├── CompressError           exit 1   a compression plan or task cannot go on
    ├── GpuError                exit 1   GPU counters cannot be read on this node
    └── SlurmError              exit 1   Slurm did not do what was asked
        ├── SlurmMissingError            a Slurm command is not on PATH
        ├── SlurmCommandError            a command failed; carries command, exit code, stdout and stderr
        │   ├── SlurmDownError           a daemon (slurmctld, slurmdbd, munge) does not answer
        │   └── SlurmNoAccountingError   the cluster keeps no accounting
        ├── SlurmTimeoutError            a command did not end within its time limit
        └── SlurmAnswerError             an answer cannot be read
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class MlcostError(Exception):
    """Base of all errors raised on purpose; ``str()`` is one clear line for a person."""

    exit_code = 1


class UsageError(MlcostError):
    """The caller asked for something that makes no sense."""

    exit_code = 2


class ConfigError(UsageError):
    """A settings file is wrong; the message names file, key and what was expected."""


class UnitError(UsageError):
    """A text is not the duration, amount of memory, TRES list or number it should be."""


class NoOfferError(MlcostError):
    """Nothing on this cluster fits the need; the message names the nearest miss."""

    exit_code = 3


class BudgetError(MlcostError):
    """A budget refuses the submission."""

    exit_code = 4


class RateError(MlcostError):
    """The rate card has no price for something that must be priced."""


class CheckpointError(MlcostError):
    """No checkpoint can be written or read."""


class SupersededError(CheckpointError):
    """Another attempt has taken over the run: this one must not write any more."""


class LedgerError(MlcostError):
    """The ledger cannot be opened, read or written."""


class CompressError(MlcostError):
    """A compression plan or task cannot go on."""


class GpuError(MlcostError):
    """GPU counters cannot be read on this node."""


class SlurmError(MlcostError):
    """Slurm did not do what was asked."""


class SlurmMissingError(SlurmError):
    """A Slurm command is not on PATH."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"{program} is not on PATH: run this on a Slurm login node, or load the site's Slurm module"
        )
        self.program = program


class SlurmCommandError(SlurmError):
    """A Slurm command failed.

    Attributes:
        argv: the command as it was run.
        returncode: its exit code.
        stdout: what it printed.
        stderr: what it complained.
    """

    def __init__(self, argv: Sequence[str], returncode: int, stdout: str, stderr: str) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(self._line())

    def _line(self) -> str:
        words = (self.stderr.strip() or self.stdout.strip() or "no message").splitlines()
        said = "; ".join(word.strip() for word in words if word.strip())
        return f"{self.argv[0]} failed (exit {self.returncode}): {said}"

    def details(self) -> str:
        """Return the command and both outputs in full, for ``-v`` and log files."""
        return "\n".join(
            (
                f"command: {shlex.join(self.argv)}",
                f"exit code: {self.returncode}",
                f"stdout: {self.stdout.rstrip() or '(empty)'}",
                f"stderr: {self.stderr.rstrip() or '(empty)'}",
            )
        )


class SlurmDownError(SlurmCommandError):
    """A daemon that the command needs (slurmctld, slurmdbd, munge) does not answer.

    Attributes:
        daemon: which one, as far as the command's words tell.
    """

    def __init__(
        self, argv: Sequence[str], returncode: int, stdout: str, stderr: str, *, daemon: str
    ) -> None:
        self.daemon = daemon
        super().__init__(argv, returncode, stdout, stderr)

    def _line(self) -> str:
        words = [word.strip() for word in self.stderr.splitlines() if word.strip()]
        return f"{self.daemon} does not answer ({self.argv[0]} said: {words[-1] if words else 'nothing'})"


class SlurmNoAccountingError(SlurmCommandError):
    """The cluster keeps no accounting, so the past cannot be asked about."""

    def _line(self) -> str:
        return (
            "this cluster keeps no accounting (AccountingStorageType is not slurmdbd): no history, no costs"
        )


class SlurmTimeoutError(SlurmError):
    """A command did not end within its time limit (seconds)."""

    def __init__(self, argv: Sequence[str], limit_s: float) -> None:
        self.argv = tuple(argv)
        self.limit_s = limit_s
        super().__init__(f"{self.argv[0]} did not answer within {limit_s:g} s")


class SlurmAnswerError(SlurmError):
    """An answer of Slurm cannot be read; the message quotes the part that was not understood."""
