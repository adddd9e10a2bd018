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
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.config import find_settings_file, load_settings
from mlcost_hpc.errors import ConfigError, UsageError
from mlcost_hpc.launch.access import current_user
from mlcost_hpc.launch.executor import RenderingExecutor, make_folder
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import GIB, Need
from mlcost_hpc.launch.render import Templates
from mlcost_hpc.launch.watch import job_class
from mlcost_hpc.rates import load_rates
from mlcost_hpc.slurm.connect import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlcost_hpc.launch.choose import Choice

_DEFAULTS: dict[str, Any] = {
    # submitit's own names
    "name": "job", "timeout_min": 60, "nodes": 1, "gpus_per_node": 0, "cpus_per_task": None, "mem_gb": None,
    "slurm_additional_parameters": {},
    "slurm_account": None, "slurm_qos": None, "slurm_partition": None, "slurm_array_parallelism": None,
    # ours
    "gpu_memory_gb": 0, "gpu_types": (), "preemptible": True, "budget": None,
}  # fmt: skip

_EXTRA = "slurm_additional_parameters"
_FRESH_S = 60.0


class Executor(RenderingExecutor):
    """Submits Python functions to the cheapest place that fits.

    Args:
        folder: where pickles, logs and results go.
        launcher: the launcher; None = made from the settings file.

    Attributes:
        last: the choice of the latest submission.
    """

    script_name = "%j_submission.sh"

    def __init__(self, folder: str | Path, launcher: Launcher | None = None) -> None:
        super().__init__(Path(folder), self._script_text)
        self._launcher = launcher or launcher_from_settings()
        self.job_class = job_class(self._launcher.slurm)
        self._wishes = dict(_DEFAULTS)
        self._chosen_at = 0.0
        self.last: Choice | None = None

    def update_parameters(self, **kwargs: Any) -> None:
        """Set what jobs need: submitit's names, and our own (``gpu_memory_gb``, ``preemptible``, ...).

        Raises:
            UsageError: for a name that is not known; lists those that are.
        """
        unknown = sorted(kwargs.keys() - _DEFAULTS.keys())
        if unknown:
            raise UsageError(f"unknown parameters {', '.join(unknown)}; known are {', '.join(_DEFAULTS)}")
        self._wishes.update(kwargs)
        _ = self.need  # a wrong value is told now and not at the thousandth submission
        self.last = None

    @property
    def need(self) -> Need:
        """What the parameters say, as a need.

        Raises:
            UsageError: when the time limit is none.
        """
        wish = self._wishes
        try:
            time_s = round(float(wish["timeout_min"]) * 60)
        except (TypeError, ValueError):
            raise UsageError(f"timeout_min is a number of minutes, not {wish['timeout_min']!r}") from None
        if time_s <= 0:
            raise UsageError("timeout_min must be above 0: a job with no time limit waits for ever")
        gpus = wish["gpus_per_node"] * wish["nodes"]
        cpus = wish["cpus_per_task"]
        return Need(
            gpus=gpus,
            nodes=wish["nodes"],
            # submitit counts the CPUs of a task; a task here has all GPUs of its node.
            cpus=cpus if cpus is None or not gpus else max(1, cpus // wish["gpus_per_node"]),
            memory=None if wish["mem_gb"] is None else round(wish["mem_gb"] * GIB),
            gpu_memory=round(wish["gpu_memory_gb"] * GIB),
            gpu_types=tuple(wish["gpu_types"]),
            time_s=time_s,
            preemptible=wish["preemptible"],
            partitions=tuple(filter(None, (wish["slurm_partition"] or "").split(","))),
            account=wish["slurm_account"],
            qos=wish["slurm_qos"],
            budget=None if wish["budget"] is None else Decimal(str(wish["budget"])),
        )

    def _num_tasks(self) -> int:
        return int(self._wishes["nodes"])

    def _script_text(self, words: Sequence[str], array_tasks: int) -> str:
        launcher, name, choice = self._launcher, self._wishes["name"], self._choice()
        # Jobs of one executor share a folder; what a training keeps is each job's own.
        run_dir = self.folder / "runs" / f"{time.time_ns():x}-{secrets.token_hex(2)}"
        make_folder(run_dir)
        if array_tasks:
            throttle = self._wishes["slurm_array_parallelism"]
            script = launcher.array_script(
                words, array_tasks, choice, name=name, run_dir=run_dir, throttle=throttle
            )
            output = "%A_%a_0_log.out"
        else:
            script = launcher.script(words, choice, name=name, run_dir=run_dir)
            output = "%j_0_log.out"
        folder = str(self.folder).replace("%", "%%")
        extra = {key.replace("_", "-"): str(value) for key, value in self._wishes[_EXTRA].items()}
        return launcher.render(msgspec.structs.replace(script, output=f"{folder}/{output}", extra=extra))

    def _choice(self) -> Choice:
        """Return the choice for the present wishes: for a minute the same, then the cluster is asked anew."""
        now = time.monotonic()
        if self.last is None or now - self._chosen_at > _FRESH_S:
            if self._chosen_at and now - self._chosen_at > _FRESH_S:
                self._launcher.look_again()
            self.last = self._launcher.choose(self.need)
            self._chosen_at = now
        return self.last


def launcher_from_settings(settings_file: Path | None = None) -> Launcher:
    """Return a launcher made from the settings file that holds, as the command line would.

    Raises:
        ConfigError: when there is no rate card, or a file is wrong.
    """
    settings = load_settings(find_settings_file(settings_file, os.environ, Path.cwd()))
    paths = settings.paths
    if paths.rates is None:
        raise ConfigError("no rate card: set paths.rates in the settings file")
    book = load_rates(Path(paths.rates))
    slurm = settings.slurm
    return Launcher(
        connect(slurm.backend, timeout_s=slurm.timeout_s, cluster=slurm.cluster).slurm,
        load_catalog(settings.gpu_aliases, Path(paths.catalog) if paths.catalog else None),
        book.card_now(settings.zone),
        currency=book.currency,
        runs=Path(paths.runs),
        templates=Templates(Path(paths.templates) if paths.templates else None),
        timeout_s=slurm.timeout_s,
        user=current_user(),
    )
