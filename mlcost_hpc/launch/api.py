"""The launcher for people who know submitit: two lines change.

::

    from mlcost_hpc.launch.api import Executor        # was: import submitit

    executor = Executor(folder="runs")                # was: submitit.AutoExecutor(folder="runs")
    executor.update_parameters(timeout_min=60, gpus_per_node=2, gpu_memory_gb=40)
    job = executor.submit(train, 0.1)
    print(job.result())

The partition and the GPU type are chosen when a job is submitted; what was chosen and why is in
``executor.last``. Settings, rate card and templates come from the settings file, as for ``mlcost submit``.
"""

from __future__ import annotations

import os
import secrets
import time
import warnings
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.config import find_settings_file, load_settings
from mlcost_hpc.errors import UsageError
from mlcost_hpc.launch.array import ArrayOrder, Part, waiting_for
from mlcost_hpc.launch.assemble import NO_RATES, assemble
from mlcost_hpc.launch.budget_gate import Stake, check_reason
from mlcost_hpc.launch.executor import RenderingExecutor, make_folder, send_text
from mlcost_hpc.launch.folders import literal_path
from mlcost_hpc.launch.history import read_history
from mlcost_hpc.launch.need import GIB, Need
from mlcost_hpc.launch.record import state_folder
from mlcost_hpc.launch.script import RANKS
from mlcost_hpc.launch.watch import job_class
from mlcost_hpc.launch.work import parse_work
from mlcost_hpc.slurm.connect import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    import submitit
    from submitit.core import utils as submitit_utils

    from mlcost_hpc.launch.choose import Choice
    from mlcost_hpc.launch.evidence import Evidence
    from mlcost_hpc.launch.launcher import Launcher
    from mlcost_hpc.launch.script import JobScript

_DEFAULTS: dict[str, Any] = {
    # submitit's own names
    "name": "job", "timeout_min": None, "nodes": 1, "tasks_per_node": 1, "gpus_per_node": 0,
    "cpus_per_task": None, "mem_gb": None, "slurm_additional_parameters": {},
    "slurm_account": None, "slurm_qos": None, "slurm_partition": None, "slurm_array_parallelism": None,
    "slurm_comment": "", "slurm_dependency": "",
    # ours
    "gpu_memory_gb": 0, "gpu_types": (), "preemptible": True, "budget": None, "work": None,
    "deadline_min": None, "hour_value": 0, "over_budget": None,
}  # fmt: skip

# Options of sbatch that choose no hardware: they are handed on as they are.
_HANDED_ON = (
    "slurm_constraint", "slurm_exclude", "slurm_mail_type", "slurm_mail_user", "slurm_reservation",
    "slurm_wckey",
)  # fmt: skip
_EXTRA = "slurm_additional_parameters"
_FRESH_S = 60.0


class _Going(NamedTuple):
    """What is being submitted.

    Attributes:
        function: its name, for the record.
        choice: where it goes.
        override: words for the comment where a budget was overridden; else empty.
    """

    function: str
    choice: Choice
    override: str


class Executor(RenderingExecutor):
    """Submits Python functions to the cheapest place that fits.

    Args:
        folder: where pickles, logs and results go; ``%j`` in it is the job's id.
        launcher: the launcher; None = made from the settings file.

    Attributes:
        last: the choice of the latest submission.
    """

    def __init__(self, folder: str | Path, launcher: Launcher | None = None) -> None:
        self._launcher = launcher or launcher_from_settings()
        super().__init__(Path(folder), self._submit_part, self._launcher.sender)
        self.job_class = job_class(self._launcher.slurm)
        self._wishes = dict(_DEFAULTS) | dict.fromkeys(_HANDED_ON)
        self._chosen_at = 0.0
        self.last: Choice | None = None

    @property
    def largest_array(self) -> int:
        """Most tasks of one array at this site; larger ones are sent as several."""
        return self._launcher.max_array_tasks

    def update_parameters(self, **kwargs: Any) -> None:
        """Set what jobs need: submitit's names, and our own (``gpu_memory_gb``, ``preemptible``, ...).

        Raises:
            UsageError: for a name that is not known; lists those that are.
        """
        unknown = sorted(kwargs.keys() - self._wishes.keys())
        if unknown:
            raise UsageError(f"unknown parameters {', '.join(unknown)}; known are {', '.join(self._wishes)}")
        self._wishes.update(kwargs)
        # A wrong value is told now and not at the thousandth submission.
        _ = self.need
        check_reason(self._wishes["over_budget"])
        self.last = None

    @property
    def need(self) -> Need:
        """What the parameters say, as a need.

        Raises:
            UsageError: when one of them cannot be read.
        """
        wish = self._wishes
        time_s, deadline_s = (_seconds(name, wish[name]) for name in ("timeout_min", "deadline_min"))
        gpus = wish["gpus_per_node"] * wish["nodes"]
        cpus = None if wish["cpus_per_task"] is None else wish["cpus_per_task"] * wish["tasks_per_node"]
        return Need(
            gpus=gpus,
            nodes=wish["nodes"],
            # submitit counts the CPUs of a task, a need those of a GPU.
            cpus=cpus if cpus is None or not gpus else max(1, -(-cpus // wish["gpus_per_node"])),
            memory=None if wish["mem_gb"] is None else round(wish["mem_gb"] * GIB),
            gpu_memory=round(wish["gpu_memory_gb"] * GIB),
            gpu_types=tuple(wish["gpu_types"]),
            time_s=None if time_s is None else round(time_s),
            work=None if wish["work"] is None else parse_work(wish["work"], self._launcher.catalog),
            deadline_s=deadline_s,
            hour_value=Decimal(str(wish["hour_value"])),
            preemptible=wish["preemptible"],
            partitions=tuple(filter(None, (wish["slurm_partition"] or "").split(","))),
            account=self._account(),
            qos=self._told_sbatch("qos"),
            budget=None if wish["budget"] is None else Decimal(str(wish["budget"])),
        )

    def _internal_process_submissions(
        self, delayed_submissions: Sequence[submitit_utils.DelayedSubmission]
    ) -> list[submitit.Job[Any]]:
        choice = self._choice()
        # All of them or none: what is sent in parts is asked for as a whole.
        leave = self._launcher.gate.ask(
            self._account(), [Stake.of(choice.best, len(delayed_submissions))], self._wishes["over_budget"]
        )
        for line in leave.said:
            warnings.warn(line, stacklevel=4)
        self._going = _Going(_name_of(delayed_submissions[0].function), choice, leave.comment)
        return super()._internal_process_submissions(delayed_submissions)

    def _told_sbatch(self, option: str) -> Any:
        """Return what sbatch is given for an option: submitit's users write it in either place."""
        return self._wishes[_EXTRA].get(option) or self._wishes[f"slurm_{option}"]

    def _account(self) -> str | None:
        account = self._told_sbatch("account")
        return None if account is None else str(account)

    def _comment(self) -> str:
        """Return the user's own comment and what records an override."""
        own = self._told_sbatch("comment") or ""
        return " ".join(filter(None, (str(own), self._going.override)))

    def _num_tasks(self) -> int:
        return int(self._wishes["nodes"] * self._wishes["tasks_per_node"])

    def _submit_part(self, words: Sequence[str], part: Part) -> str:
        """Submit the worker for a part, write down why it goes where it goes, and return the job id."""
        launcher, choice = self._launcher, self._going.choice
        script = self._job_script(words, part, choice)
        launcher.lay_plan(script, choice)
        text = launcher.render(script).encode()
        job_id = send_text(text, self.base, "%j_submission.sh", launcher.sender)
        record = msgspec.structs.replace(script, command=(self._going.function,))
        launcher.record(record, choice, job_id, array_tasks=part.tasks)
        return job_id

    def _job_script(self, words: Sequence[str], part: Part, choice: Choice) -> JobScript:
        launcher, wish = self._launcher, self._wishes
        # Jobs of one executor share a folder; what a training keeps is each job's own.
        run_dir = self.base / "runs" / f"{time.time_ns():x}-{secrets.token_hex(2)}"
        make_folder(run_dir)
        if part.tasks:
            order = ArrayOrder(
                command=tuple(words), tasks=part.tasks, name=wish["name"], run_dir=run_dir, first=part.first,
                throttle=wish["slurm_array_parallelism"], dependency=wish["slurm_dependency"],
                comment=self._comment(),
            )  # fmt: skip
            script = launcher.array_script(waiting_for(order, part.after), choice)
            output = "%A_%a_0_log.out"
        else:
            script = launcher.script(
                words, choice, name=wish["name"], run_dir=run_dir, comment=self._comment()
            )
            script = msgspec.structs.replace(script, dependency=wish["slurm_dependency"])
            output = "%j_0_log.out"
        handed_on = {key.removeprefix("slurm_"): wish[key] for key in _HANDED_ON}
        extra = {
            key.replace("_", "-"): str(value)
            for key, value in {**handed_on, **wish[_EXTRA]}.items()
            if value is not None and key != "comment"
        }
        return msgspec.structs.replace(
            script,
            template=RANKS if self._num_tasks() > 1 and not part.tasks else script.template,
            tasks_per_node=wish["tasks_per_node"],
            output=f"{literal_path(self.base)}/{output}",
            extra=extra,
        )

    def _choice(self) -> Choice:
        """Return the choice for the present wishes: for a minute the same, then the cluster is asked anew."""
        now = time.monotonic()
        if self.last is None or now - self._chosen_at > _FRESH_S:
            if self._chosen_at and now - self._chosen_at > _FRESH_S:
                self._launcher.look_again()
            need = self.need
            self.last = self._launcher.choose(need, self._evidence(need))
            self._chosen_at = now
        return self.last

    def _evidence(self, need: Need) -> Evidence | None:
        """Return the cluster's past where it decides something: a question to slurmdbd, once an hour."""
        if need.work is None and need.deadline_s is None:
            return None
        launcher = self._launcher
        path = state_folder() / "history" / f"{launcher.market.settings.cluster}.json"
        return launcher.evidence(read_history(launcher.slurm, path))


def _seconds(name: str, minutes: object) -> float | None:
    """Return a number of minutes in seconds, None for None.

    Raises:
        UsageError: when it is no number, or none above 0: a job with no time limit waits for ever.
    """
    if minutes is None:
        return None
    if not isinstance(minutes, (int, float)):
        raise UsageError(f"{name} is a number of minutes, not {minutes!r}")
    if minutes <= 0:
        raise UsageError(f"{name} must be above 0")
    return minutes * 60.0


def _name_of(function: object) -> str:
    """Return ``module:function`` for the record; of other callables the name of their class."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def launcher_from_settings(settings_file: Path | None = None) -> Launcher:
    """Return a launcher made from the settings file that holds, as the command line would.

    Raises:
        ConfigError: when a file is wrong.
    """
    settings = load_settings(find_settings_file(settings_file, os.environ, Path.cwd()))
    if settings.paths.rates is None:
        warnings.warn(NO_RATES, stacklevel=3)
    slurm = settings.slurm
    return assemble(
        settings,
        connect(slurm.backend, timeout_s=slurm.timeout_s, cluster=slurm.cluster).slurm,
        load_catalog(settings.gpu_aliases, Path(settings.paths.catalog) if settings.paths.catalog else None),
    )
