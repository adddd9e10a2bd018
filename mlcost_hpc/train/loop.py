"""The resumable training loop.

::

    with Run("runs/digits") as run:
        run.state(model=model, optimizer=optimizer, data=order)
        for step in run.steps(10_000):
            ...  # one training step

Told to stop by Slurm (or Ctrl-C), it finishes the step, saves, and leaves so that the batch script
requeues the job; started again, it goes on at that step as if nothing had happened.
"""

from __future__ import annotations

import os
import time
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlcost_hpc.errors import CheckpointError, SupersededError, UsageError
from mlcost_hpc.train import attempts, stopping
from mlcost_hpc.train.bundle import Bundle
from mlcost_hpc.train.checkpoint import Checkpointer
from mlcost_hpc.train.ending import Ending, Progress, Stopped
from mlcost_hpc.train.finished import read_finished
from mlcost_hpc.train.interval import estimate_mtbf, parse_policy
from mlcost_hpc.train.journal import Journal
from mlcost_hpc.train.ranks import Ranks, choose_gap, env_rank
from mlcost_hpc.train.requeue import EXIT_BUDGET, EXIT_REQUEUE, EXIT_SUPERSEDED, StopSignal
from mlcost_hpc.train.saver import Saver, Way

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from mlcost_hpc.train.checkpoint import Part
    from mlcost_hpc.train.order import BatchOrder
    from mlcost_hpc.train.snapshot import Snapshot


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
        saves: ``"background"`` (a copy of the state in host memory, written by a thread), ``"blocking"``, or
            ``"auto"``: in the background when the state is large and there is memory for the copy.
        environment: for tests; the process environment otherwise.

    Attributes:
        folder: the run folder.
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
        saves: Way = "auto",
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.folder = Path(environment.get("MLCOST_RUN_DIR") or folder)
        self.score: float | None = None
        self._environment = environment
        self._policy = parse_policy(save_every)
        self._keep = {"keep_last": keep_last, "keep_best": keep_best}
        self._saves: Way = saves
        self._bundle = Bundle()
        self._signal = StopSignal()
        self._is_first = env_rank(environment) == 0
        self._first_step: int | None = None
        self._total = 0
        self._step = 0
        self._began_at = time.monotonic()
        self._wish = self._agreed = _Wish.GO_ON
        self._agree_at = 0
        self._note: str | None = None

    def __enter__(self) -> Self:
        self._earlier: list[attempts.Attempt] = []
        if self._is_first:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                msg = f"the run folder {self.folder} cannot be made: {error.strerror}"
                raise CheckpointError(msg) from error
            self._earlier = attempts.read_attempts(self.folder)
        attempt = attempts.new_attempt(self._environment, self.folder)
        self._journal = Journal(self.folder, attempt, is_first=self._is_first)
        self._journal.update()
        self._ending = Ending(
            self.folder, self._journal, self._signal, environment=self._environment, is_first=self._is_first
        )
        self._signal.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not isinstance(error, Stopped):
                self._end(error)
        except SupersededError as taken:
            self._note = str(taken)
            self._ending.leave("superseded", EXIT_SUPERSEDED, self._progress())
        finally:
            self._signal.__exit__(kind, error, trace)

    def _end(self, error: BaseException | None) -> None:
        if isinstance(error, SupersededError):
            raise error
        if error is None and self._first_step is None:
            self._journal.close("finished")
        elif error is None:
            self._saver.settle()
            self._ending.finish(self._total, self._progress())
        elif self._first_step is not None and self._ending.is_stop_to_blame(error):
            self._saver.settle()
            self._journal.warn(f"the step after {self._step} failed while stopping: {error!r}")
            self._ending.leave(self._ending.ask_why()[0], EXIT_REQUEUE, self._progress())
        else:
            self._journal.close("error", reached_step=self._step, steps_per_second=self._speed())

    @property
    def values(self) -> dict[str, Any]:
        """Small plain values (numbers, text, lists) that belong into the checkpoint."""
        return self._bundle.values

    @property
    def elapsed_s(self) -> float:
        """Seconds this run has held its place, over all attempts (known to the first process only)."""
        return attempts.observed_seconds(self._earlier) + self._journal.elapsed_s

    def state(self, **objects: object) -> None:
        """Name the objects whose state belongs into the checkpoint, before the loop starts.

        Anything with ``state_dict`` and ``load_state_dict`` (models, optimizers, schedulers, scalers, data
        orders, stateful loaders), and random generators of torch, NumPy and Python. The default generators
        are always part of it.
        """
        self._refuse_late_state()
        for name, item in objects.items():
            self._bundle.required.add(name, item)

    def optional_state(self, **objects: object) -> None:
        """Name objects to save only when there is time (a cache); else they start afresh, with a warning."""
        self._refuse_late_state()
        for name, item in objects.items():
            self._bundle.optional.add(name, item)

    def sharded_state(self, **parts: Part) -> None:
        """Name state that the processes write together, see :class:`mlcost_hpc.train.sharded.Sharded`."""
        self._refuse_late_state()
        for name, part in parts.items():
            self._bundle.add_part(name, part)

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

    def batches(self, samples: Any, order: BatchOrder, **options: Any) -> Iterator[Any]:
        """Return the batches from the next step on, to be taken with ``next()``; ``DataLoader`` fetches them.

        Its workers outlive Slurm's signals, and random augmentation repeats exactly after a restart.
        """
        from mlcost_hpc.train.loader import load_batches

        return load_batches(samples, order, start=self.restore(), shield=self._signal.shield, **options)

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
        self._prepare_at = self._step + 1
        self._bundle.restore_generators()
        self._began_at = self._saver.latest_at = time.monotonic()
        self._agree()
        while self._step < total and self._agreed is _Wish.GO_ON:
            yield self._step
            self._step += 1
            self._between_steps()
        self._saver.save_now(self._snapshot())
        if self._agreed is _Wish.BUDGET and self._step < total:
            self._ending.leave("budget", EXIT_BUDGET, self._progress())

    def stop(self, note: str) -> None:
        """End the run after this step as finished: it no longer improves, ..."""
        self._wish, self._note = max(self._wish, _Wish.DONE), note

    def stop_for_budget(self, note: str) -> None:
        """Save after this step and leave with exit code 4: the money is spent, do not requeue."""
        self._wish, self._note = max(self._wish, _Wish.BUDGET), note

    def _refuse_late_state(self) -> None:
        if self._first_step is not None:
            raise UsageError("state must be named before the training loop starts")

    def _restore(self) -> int:
        self._ranks = Ranks(self._environment)
        attempt = self._journal.attempt
        checkpointer = Checkpointer(
            self.folder / "checkpoints",
            ranks=self._ranks,
            owner=f"{attempt.job_id}.{attempt.restart}",
            **self._keep,
        )
        self._saver = Saver(checkpointer, self._ranks, self._policy, self._saves, self._journal, self._mtbf)
        self._bundle.check()
        return self._saver.resume(self._bundle)

    def _stop_if_finished(self, total: int) -> None:
        mark = read_finished(self.folder)
        if mark is None or mark.total_steps < total:
            return
        self._journal.say(f"finished already at step {mark.step}; nothing to do")
        self._journal.close("finished", first_step=mark.step, last_step=mark.step, reached_step=mark.step)
        raise Stopped(0)

    def _between_steps(self) -> None:
        self._journal.beat(self._step, self._speed)
        self._saver.poll()
        if self._step == self._prepare_at:
            self._saver.prepare(self._snapshot)
        if self._step >= min(self._agree_at, self._total):
            self._agree()

    def _agree(self) -> None:
        """Find out, together with the other processes, whether to stop or save, and act on it."""
        wish = _Wish.SIGNAL if self._signal.is_set else self._wish
        is_due = self._step != self._first_step and self._saver.is_due(self._step)
        if self._ranks.world == 1:
            self._act(wish, must_save=is_due)
            return
        gap = choose_gap(self._ranks.world, self._speed(), self._policy.steps_until_due(self._step))
        firsts = (int(is_due), gap) if self._ranks.is_first else (0, 0)
        highest, must_save, gap = self._ranks.highest(wish, *firsts)
        self._agree_at = self._step + gap
        self._act(_Wish(highest), must_save=bool(must_save))

    def _act(self, agreed: _Wish, *, must_save: bool) -> None:
        self._agreed = agreed
        if self._step == self._total:
            return
        if agreed is _Wish.SIGNAL:
            self._save_and_leave()
        elif must_save and agreed is _Wish.GO_ON:
            self._saver.save(self._snapshot())

    def _snapshot(self) -> Snapshot:
        return self._bundle.capture(self._step, self.score)

    def _save_and_leave(self) -> None:
        reason, seconds_left = self._ending.ask_why() if self._ranks.is_first else ("signal", 0.0)
        snapshot = self._snapshot()
        plan = stopping.plan_stop(
            seconds_left,
            required_s=self._saver.expected_s(snapshot.without_optional()),
            optional_s=self._saver.expected_s(snapshot) - self._saver.expected_s(snapshot.without_optional()),
            background_s=self._saver.background_left_s,
        )
        reason, plan = self._ranks.from_first((reason, plan))
        self._saver.save_last(snapshot, plan)
        self._ending.leave(reason, EXIT_REQUEUE, self._progress())

    def _mtbf(self) -> float:
        lost = sum(1 for attempt in self._earlier if attempt.lost_work)
        return estimate_mtbf(lost, attempts.observed_seconds([*self._earlier, self._journal.attempt]))

    def _speed(self) -> float | None:
        if self._first_step is None or self._step <= self._first_step:
            return None
        seconds = time.monotonic() - self._began_at - self._saver.stalled_s
        return round((self._step - self._first_step) / seconds, 6) if seconds > 0 else None

    def _progress(self) -> Progress:
        return Progress(self._step, self._saver.saved_step, self._speed(), self._note)
