"""Sends batch scripts to a controller that may be slow or down: tried again, and never sent twice.

sbatch can fail although the job was taken: when the controller answers too late [seen on 22.05: "Socket timed
out on send/recv operation", and the job ran]. So before a script is sent again the queue is asked whether it
is there, by the path of the script, which no other job has. It is asked twice: a controller that comes back
may answer a question before it takes the jobs that have waited longer [seen there as well].
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mlcost_hpc.errors import SlurmAnswerError, SlurmError
from mlcost_hpc.launch.environment import submission_environment
from mlcost_hpc.slurm import commands
from mlcost_hpc.slurm.patience import SILENT, SUBMISSION_S, pauses
from mlcost_hpc.slurm.process import run, run_as_is

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_JOB_ID = re.compile(r"(?P<id>\d+)(;[^;\s]+)?")


_ENOUGH = 2
"""So often the queue must not know a job before it is sent again."""


class UnsentError(SlurmError):
    """The controller did not take a script within the time that it was tried."""


class Sender:
    """Submits scripts with sbatch.

    Args:
        timeout_s: seconds after which a command is given up.
        cluster: name for ``--clusters``; None = the local cluster.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        timeout_s: float = 60.0,
        cluster: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._timeout_s = timeout_s
        self._cluster = cluster
        self._sleep = sleep

    def send(self, script: Path, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> str:
        """Submit a script and return the job's id; its environment is clean.

        Args:
            script: a path that no other job has as its script.
            options: options of sbatch.
            arguments: arguments of the script.

        Raises:
            UnsentError: when the controller stayed silent; says whether the job may be there all the same.
            SlurmError: when sbatch fails otherwise; its own words are in the message.
        """
        argv = commands.sbatch(str(script), options, arguments, self._cluster)
        began, tries = time.monotonic(), 1
        try:
            return self._sbatch(argv)
        except SILENT as error:
            silence: SlurmError = error
        absent = 0
        for pause in pauses(SUBMISSION_S):
            self._sleep(pause)
            try:
                found = self._jobs_of(script)
                if found:
                    return self._only(found)
                absent += 1
                if absent < _ENOUGH:
                    continue
                absent, tries = 0, tries + 1
                job_id = self._sbatch(argv)
            except SILENT as error:
                silence = error
                continue
            return self._only([job_id, *self._late_ones(script, job_id)])
        said = f"{silence}; sbatch was called {_times(tries)} in {time.monotonic() - began:.0f} s"
        try:
            found = self._jobs_of(script)
        except SILENT:
            raise UnsentError(
                f"{said}; look for a job with the script {script} before you submit again"
            ) from None
        if found:
            return self._only(found)
        raise UnsentError(f"{said}; nothing was submitted")

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs.

        Raises:
            SlurmError: when scancel fails.
        """
        if job_ids:
            run(commands.cancel(job_ids, self._cluster), timeout_s=self._timeout_s)

    def _sbatch(self, argv: Sequence[str]) -> str:
        output = run_as_is(argv, timeout_s=self._timeout_s, environ=submission_environment(os.environ))
        answer = output.stdout.split()
        match = _JOB_ID.fullmatch(answer[-1]) if answer else None
        if match is None:
            raise SlurmAnswerError(f"sbatch did not name the job: {output.stdout!r}")
        return match["id"]

    def _jobs_of(self, script: Path) -> list[str]:
        """Return the ids of the jobs that have this script, the oldest first."""
        text = run(commands.own_scripts(self._cluster), timeout_s=self._timeout_s).stdout
        return sorted(jobs_with(text, str(script)), key=int)

    def _late_ones(self, script: Path, job_id: str) -> list[str]:
        """Return jobs that an earlier try has made after all."""
        try:
            return [found for found in self._jobs_of(script) if found != job_id]
        except SILENT:
            return []

    def _only(self, found: Sequence[str]) -> str:
        """Return the first of several jobs; the others do the same work and are cancelled."""
        with suppress(SlurmError):
            self.cancel(found[1:])
        return found[0]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def jobs_with(text: str, script: str) -> set[str]:
    """Return the ids of the jobs that have a script (pure).

    Args:
        text: what :func:`mlcost_hpc.slurm.commands.own_scripts` printed.
        script: absolute path of the script.
    """
    rows = (line.partition("|") for line in text.splitlines())
    return {
        number
        for number, _, command in rows
        if number.isdecimal() and (command == script or command.startswith(f"{script} "))
    }
