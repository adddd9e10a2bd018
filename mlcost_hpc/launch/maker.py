"""Batch scripts of the launcher's kinds of jobs: a command line, a function, an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.launch.folders import literal_path
from mlcost_hpc.launch.script import (
    JobScript,
    Processes,
    build_script,
    refuse_control_characters,
    with_processes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlcost_hpc.launch.array import ArrayOrder
    from mlcost_hpc.launch.choose import Choice
    from mlcost_hpc.launch.render import Templates

TRAIN = "train.sbatch.j2"
ARRAY = "compress_array.sbatch.j2"


class ScriptMaker:
    """Turns choices into batch scripts.

    Args:
        templates: the sbatch templates.
    """

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def script(
        self,
        command: Sequence[str],
        choice: Choice,
        *,
        name: str,
        run_dir: Path,
        processes: Processes = "one",
        comment: str = "",
    ) -> JobScript:
        """Return the batch script, as values, of one job that runs a command line."""
        script = build_script(
            choice,
            template=TRAIN,
            name=name,
            run_dir=str(run_dir),
            output=f"{literal_path(run_dir)}/job.log",
            command=tuple(command),
        )
        refuse_control_characters("comment", comment)
        script = with_processes(msgspec.structs.replace(script, comment=comment), processes)
        return self._completed(script, choice)

    def function_script(self, choice: Choice, *, name: str, run_dir: Path, comment: str = "") -> JobScript:
        """Return the batch script, as values, of one job that runs our worker on a pickled function."""
        from mlcost_hpc.launch.executor import worker_command

        script = self.script(worker_command(run_dir), choice, name=name, run_dir=run_dir, comment=comment)
        return msgspec.structs.replace(script, output=f"{literal_path(run_dir)}/%j_0_log.out")

    def array_script(self, order: ArrayOrder, choice: Choice) -> JobScript:
        """Return the batch script, as values, of an array whose tasks all run one command."""
        options = ((f"value of --{option}", value) for option, value in order.extra.items())
        for what, text in (("dependency", order.dependency), ("comment", order.comment), *options):
            refuse_control_characters(what, text)
        script = build_script(
            choice,
            template=ARRAY,
            name=order.name,
            run_dir=str(order.run_dir),
            output=f"{literal_path(order.run_dir)}/logs/%A_%a.log",
            command=order.command,
        )
        return self._completed(
            msgspec.structs.replace(
                script,
                array=f"0-{order.tasks - 1}" + (f"%{order.throttle}" if order.throttle else ""),
                first_task=order.first,
                dependency=order.dependency,
                comment=order.comment,
                extra=order.extra,
            ),
            choice,
        )

    def _completed(self, script: JobScript, _choice: Choice) -> JobScript:
        """Return a script with what is known about the cluster; here nothing is."""
        return script

    def render(self, script: JobScript) -> str:
        """Return the text of a batch script."""
        return self._templates.render(script)
