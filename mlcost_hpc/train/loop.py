"""The resumable training loop.

::

    with Run("runs/digits") as run:
        run.state(model=model, optimizer=optimizer, data=order)
        for step in run.steps(10_000):
            ...  # one training step

Told to stop by Slurm (or Ctrl-C), it finishes the step, saves, and leaves so that the batch script requeues
the job; started again, it goes on at the step it saved as if nothing had happened.
"""

from __future__ import annotations

import os
import signal
import time
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlcost_hpc.errors import CheckpointError, UsageError
from mlcost_hpc.train import attempts, rng
from mlcost_hpc.train.checkpoint import Checkpointer, Restored
from mlcost_hpc.train.finished import read_finished, write_finished
from mlcost_hpc.train.interval import estimate_mtbf, parse_policy
from mlcost_hpc.train.journal import Journal
from mlcost_hpc.train.ranks import Ranks, env_rank
from mlcost_hpc.train.requeue import EXIT_BUDGET, EXIT_REQUEUE, StopSignal, ask_for_requeue
from mlcost_hpc.train.state import States
from mlcost_hpc.train.tree import check_loadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

_TIMEOUT_LEAD_S = 180.0


class Stopped(SystemExit):
    """The run leaves on purpose before its last step; the process ends with this exit code."""


class _Wish(IntEnum):
    """Why to stop at the end of this step; over all processes the highest counts."""

    GO_ON = 0
    DONE = 1
    BUDGET = 2
    SIGNAL = 3


class Run:
    """One training run, over as many attempts as it takes.

    Args:
        folder: where checkpoints and records go when the launcher has not set $MLCOST_RUN_DIR.
        save_every: a number of steps, a time such as ``"10m"``, or ``"auto"``: the interval that loses
            least, from what saves cost and how often stops came without a warning.
        keep_last: how many of the newest checkpoints stay (at least 2).
        keep_best: how many of those with the lowest :attr:`score` stay besides.
        environment: for tests; the process environment otherwise.

    Attributes:
        folder: the run folder.
        values: small plain values (numbers, text, lists) that belong into the checkpoint.
        score: figure of merit of the present state for ``keep_best``, lower is better.

    Raises:
        UsageError: an argument makes no sense.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = "run",
        *,
        save_every: int | str = "auto",
        keep_last: int = 2,
        keep_best: int = 0,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.folder = Path(environment.get("MLCOST_RUN_DIR") or folder)
        self.values: dict[str, Any] = {}
        self.score: float | None = None
        self._environment = environment
        self._policy = parse_policy(save_every)
        self._keep = {"keep_last": keep_last, "keep_best": keep_best}
        self._states = States()
        self._signal = StopSignal()
        self._is_first = env_rank(environment) == 0
        self._ranks: Ranks | None = None
        self._checkpointer: Checkpointer | None = None
        self._first_step: int | None = None
        self._rng_state: dict[str, Any] | None = None
        self._total = 0
        self._step = 0
        self._saved_step = -1
        self._saved_at = self._began_at = time.monotonic()
        self._saving_s = 0.0
        self._wish = _Wish.GO_ON
        self._note: str | None = None

    def __enter__(self) -> Self:
        if self._is_first:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                msg = f"the run folder {self.folder} cannot be made: {error.strerror}"
                raise CheckpointError(msg) from error
        self._earlier = attempts.read_attempts(self.folder) if self._is_first else []
        attempt = attempts.new_attempt(self._environment, self.folder)
        self._journal = Journal(self.folder, attempt, is_first=self._is_first)
        self._journal.update()
        self._signal.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
            elif isinstance(error, Stopped):
                pass
            elif self._signal.is_set and self._first_step is not None:
                # Being stopped breaks things on the way (peers gone, loaders killed): not the script's fault.
                self._journal.warn(f"the step after {self._step} failed while stopping: {error!r}")
                self._leave(self._why_stopped(), EXIT_REQUEUE)
            else:
                self._journal.close("error", reached_step=self._step, steps_per_second=self._speed())
        finally:
            self._signal.__exit__(kind, error, trace)

    def state(self, **objects: object) -> None:
        """Name the objects whose state belongs into the checkpoint.

        Anything with ``state_dict`` and ``load_state_dict`` (models, optimizers, schedulers, scalers, data
        orders, stateful loaders), and random generators of torch, NumPy and Python. The default generators
        are always part of it.

        Raises:
            UsageError: an object has no state, a name is taken, or the loop has already started.
        """
        if self._first_step is not None:
            raise UsageError("run.state() must come before the training loop starts")
        for name, item in objects.items():
            self._states.add(name, item)

    def restore(self) -> int:
        """Put all named objects back to the newest whole checkpoint and return the steps already done.

        :meth:`steps` does this by itself; call it before when a data loader must know where to start. The
        default random generators are put back by :meth:`steps`, right before the first step.

        Raises:
            CheckpointError: the checkpoint does not fit the objects.
            UsageError: an object's state cannot be saved.
        """
        if self._first_step is None:
            self._first_step = self._restore()
        return self._first_step

    def steps(self, total: int) -> Iterator[int]:
        """Yield the numbers (from 0) of the steps still to do; saves and stops happen between them.

        Raises:
            Stopped: (a SystemExit) the run is finished already (exit code 0), was told to stop and has
                saved (85), or its budget is spent (4).
        """
        self._stop_if_finished(total)
        self._step = self.restore()
        self._total = total
        self._journal.update(total_steps=total)
        if self._rng_state is not None:  # at the last moment: making a loader's iterator draws a number
            rng.restore(self._rng_state)
            self._rng_state = None
        self._began_at = self._saved_at = time.monotonic()
        while self._step < total and self._wish is _Wish.GO_ON:
            yield self._step
            self._step += 1
            self._between_steps()
        self._save_or_warn()

    def stop(self, note: str) -> None:
        """End the run after this step as finished, e.g. because it no longer improves."""
        self._wish, self._note = max(self._wish, _Wish.DONE), note

    def stop_for_budget(self, note: str) -> None:
        """Save after this step and leave with exit code 4: the money is spent, do not requeue."""
        self._wish, self._note = max(self._wish, _Wish.BUDGET), note

    def _restore(self) -> int:
        began = time.monotonic()
        self._ranks = Ranks(self._environment)
        self._checkpointer = Checkpointer(
            self.folder / "checkpoints",
            ranks=self._ranks,
            owner=f"{self._journal.attempt.job_id}.{self._journal.attempt.restart}",
            **self._keep,
        )
        self._states.check()
        restored, passed_over = self._checkpointer.restore()
        for path, problem in passed_over:
            self._journal.warn(f"checkpoint {path.name} is damaged ({problem}) and was passed over")
        if restored is None:
            if passed_over:
                self._journal.warn("no whole checkpoint is left; starting from step 0")
            return 0
        self._load(restored)
        seconds = time.monotonic() - began
        self._saved_step = restored.step
        self._journal.update(
            first_step=restored.step,
            last_step=restored.step,
            reached_step=restored.step,
            checkpoint=restored.path.name,
            restore_seconds=round(seconds, 3),
        )
        self._journal.say(f"resumed at step {restored.step} from {restored.path.name} ({seconds:.2f} s)")
        return restored.step

    def _load(self, restored: Restored) -> None:
        self._states.load(restored.shared["states"])
        self.values.update(restored.shared["values"])
        if restored.own is None:
            self._journal.warn("the checkpoint was made by fewer processes; random numbers start afresh here")
        else:
            self._rng_state = restored.own["rng"]

    def _stop_if_finished(self, total: int) -> None:
        mark = read_finished(self.folder)
        if mark is None or mark.total_steps < total:
            return
        self._journal.say(f"finished already at step {mark.step}; nothing to do")
        self._journal.close("finished", first_step=mark.step, last_step=mark.step, reached_step=mark.step)
        raise Stopped(0)

    def _between_steps(self) -> None:
        assert self._ranks is not None  # noqa: S101 - restore() has run
        self._journal.beat(self._step, self._speed())
        wish = _Wish.SIGNAL if self._signal.is_set else self._wish
        is_due = self._policy.is_due(step=self._step, seconds=time.monotonic() - self._saved_at)
        highest, must_save = self._ranks.highest(wish, int(self._ranks.is_first and is_due))
        self._wish = _Wish(highest)
        if self._wish is _Wish.SIGNAL and self._step < self._total:
            self._save_or_warn()
            self._leave(self._why_stopped(), EXIT_REQUEUE)
        elif self._wish is _Wish.BUDGET:
            self._save_or_warn()
            self._leave("budget", EXIT_BUDGET)
        elif must_save and self._step < self._total:
            self._save_or_warn()

    def _save_or_warn(self) -> None:
        """Save; a save that fails costs its work only when the run is killed, so training goes on."""
        assert self._checkpointer is not None  # noqa: S101 - restore() has run
        if self._saved_step == self._step:
            return
        began = time.monotonic()
        check_loadable(self.values, "run.values")
        shared = {"states": self._states.capture(), "values": self.values}
        try:
            self._checkpointer.save(self._step, shared, {"rng": rng.capture()}, score=self.score)
        except CheckpointError as error:
            self._journal.warn(str(error))
        else:
            self._saved_step = self._step
        self._saved_at = time.monotonic()
        seconds = self._saved_at - began
        self._saving_s += seconds
        self._journal.update(
            last_step=max(self._saved_step, 0),
            reached_step=self._step,
            save_seconds=round(seconds, 3),
            steps_per_second=self._speed(),
        )
        self._policy.learn(save_s=seconds, mtbf_s=self._mtbf())

    def _mtbf(self) -> float:
        unwarned = sum(1 for attempt in self._earlier if attempt.unwarned)
        return estimate_mtbf(unwarned, attempts.observed_seconds([*self._earlier, self._journal.attempt]))

    def _speed(self) -> float | None:
        done = self._step - (self._first_step or 0)
        seconds = time.monotonic() - self._began_at - self._saving_s
        return round(done / seconds, 6) if done > 0 and seconds > 0 else None

    def _why_stopped(self) -> attempts.Reason:
        if self._signal.received is signal.SIGINT or "SLURM_JOB_ID" not in self._environment:
            return "signal"
        end = self._environment.get("SLURM_JOB_END_TIME", "")
        if end.isdigit() and time.time() >= int(end) - _TIMEOUT_LEAD_S:
            return "timeout"
        return "preempted"

    def _leave(self, reason: attempts.Reason, code: int) -> None:
        """Close the record and end the process; the batch script does the rest."""
        is_interrupt = self._signal.received is signal.SIGINT
        if code == EXIT_REQUEUE and is_interrupt:
            code = 128 + signal.SIGINT
        self._journal.close(reason, reached_step=self._step, steps_per_second=self._speed())
        self._journal.say(
            f"stopped after step {self._step} ({self._note or reason}); saved: {self._saved_step}"
        )
        if code == EXIT_REQUEUE and self._is_first:
            try:
                ask_for_requeue(self.folder, self._journal.attempt)
            except OSError as error:
                self._journal.warn(f"the wish to be requeued cannot be written: {error}")
        self._signal.release_children()
        raise Stopped(code)

    def _finish(self) -> None:
        if self._first_step is None:
            self._journal.close("finished")
            return
        if self._is_first:
            write_finished(self.folder, step=self._step, total_steps=self._total, note=self._note)
        self._journal.close("finished", reached_step=self._step, steps_per_second=self._speed())
        self._journal.say(f"finished after step {self._step}" + (f" ({self._note})" if self._note else ""))
