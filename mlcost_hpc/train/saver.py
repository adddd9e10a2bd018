"""When and how to save: beside the training or in its way, how long it takes, and what it has cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from mlcost_hpc.errors import CheckpointError, SupersededError, UsageError
from mlcost_hpc.train.background import BackgroundWriter, Stage
from mlcost_hpc.train.checkpoint import StageablePart
from mlcost_hpc.train.memory import free_memory
from mlcost_hpc.train.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_hpc.train.bundle import Bundle
    from mlcost_hpc.train.checkpoint import Checkpointer
    from mlcost_hpc.train.interval import SavePolicy
    from mlcost_hpc.train.journal import Journal
    from mlcost_hpc.train.ranks import Ranks
    from mlcost_hpc.train.stopping import StopPlan

Way = Literal["auto", "background", "blocking"]

WORTH_A_THREAD = 64 * 1024 * 1024
"""Bytes of state from which a copy and a thread stall the training less than writing it at once."""

_MEMORY_MARGIN = 1.5
_GUESSED_BYTES_PER_S = 200e6


class Saver:
    """Saves snapshots through a checkpointer; a save that fails is a warning, never the end of training.

    The exception is :class:`SupersededError`, out of any method: another attempt has taken over the run.

    Args:
        checkpointer: writes and reads.
        ranks: the processes that train together.
        policy: when to save.
        way: ``"background"``, ``"blocking"``, or ``"auto"`` by the size of the state and free memory.
        journal: where outcomes are recorded.
        mtbf: returns the mean time between unwarned stops, seconds.

    Attributes:
        saved_step: the newest step that is safe; -1 before the first.
        stalled_s: for how long saves have held up the training so far.

    Raises:
        UsageError: ``way`` is none of the three.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        ranks: Ranks,
        policy: SavePolicy,
        way: Way,
        journal: Journal,
        mtbf: Callable[[], float],
    ) -> None:
        if way not in ("auto", "background", "blocking"):
            msg = f'saves must be "auto", "background" or "blocking", not {way!r}'
            raise UsageError(msg)
        self._ranks = ranks
        self._front = checkpointer
        self._back = checkpointer.over(ranks.twin())  # two saves must not mix their communication
        self._policy = policy
        self._way = way
        self._journal = journal
        self._mtbf = mtbf
        self._stage = Stage()
        self._writer = BackgroundWriter()
        self._speed = _GUESSED_BYTES_PER_S
        self._written: int | None = None  # bytes that the save in the background writes
        self._stall_s = 0.0
        self._parts_s = 0.0
        self.saved_step = -1
        self.stalled_s = 0.0
        self.latest_at = time.monotonic()

    def resume(self, bundle: Bundle) -> int:
        """Put everything back to the newest whole checkpoint; return the steps already done.

        Raises:
            CheckpointError: the checkpoint does not fit.
        """
        began = time.monotonic()
        restored, passed_over = self._front.restore(bundle.parts)
        for path, problem in passed_over:
            self._journal.warn(f"checkpoint {path.name} is damaged ({problem}) and was passed over")
        if restored is None:
            if passed_over:
                self._journal.warn("no whole checkpoint is left; starting from step 0")
            return 0
        for warning in bundle.load(restored):
            self._journal.warn(warning)
        seconds = time.monotonic() - began
        self.saved_step = restored.step
        self._journal.update(
            first_step=restored.step,
            last_step=restored.step,
            reached_step=restored.step,
            checkpoint=restored.path.name,
            restore_seconds=round(seconds, 3),
        )
        self._journal.say(f"resumed at step {restored.step} from {restored.path.name} ({seconds:.2f} s)")
        return restored.step

    def is_due(self, step: int) -> bool:
        """Return whether to save after ``step``; never while a save is still being written."""
        return not self._writer.is_busy and self._policy.is_due(
            step=step, seconds=time.monotonic() - self.latest_at
        )

    def prepare(self, capture: Callable[[], Snapshot]) -> None:
        """Get ready after the first step, when optimizers have their state; all processes must call it."""
        if self._way == "blocking":
            return
        snapshot = capture()
        if self._in_background(snapshot):
            self._stage.prepare(tuple(snapshot))

    def save(self, snapshot: Snapshot) -> None:
        """Save in the way that suits the state."""
        if self._in_background(snapshot):
            self._start(snapshot)
        else:
            self.save_now(snapshot)

    def save_now(self, snapshot: Snapshot) -> None:
        """Save and come back when it is done (or has failed, with a warning)."""
        self.settle()
        if self.saved_step == snapshot.step:
            return
        began = time.monotonic()
        error = None
        try:
            self._front.save(
                snapshot.step,
                snapshot.shared,
                snapshot.own,
                optional=snapshot.optional,
                parts=snapshot.parts,
                score=snapshot.score,
            )
        except CheckpointError as problem:
            error = problem
        self.latest_at = time.monotonic()
        seconds = self.latest_at - began
        self.stalled_s += seconds
        self._stall_s = seconds
        self._parts_s = seconds if snapshot.parts else 0.0
        self._written = snapshot.size
        self._note(snapshot.step, seconds, error)

    def save_last(self, snapshot: Snapshot, plan: StopPlan) -> None:
        """Save before being killed, as planned."""
        if not plan.finish_background:
            self._writer.cancel()
            outcome = self._writer.take_outcome()
            if outcome is not None and outcome.error is None:  # it was quicker than the wish to give up
                self._note(outcome.step, outcome.seconds, None)
        self.save_now(snapshot if plan.with_optional else snapshot.without_optional())

    def poll(self) -> None:
        """Note the outcome of a save in the background, if one has ended."""
        outcome = self._writer.take_outcome()
        if outcome is not None:
            self._note(outcome.step, outcome.seconds, outcome.error)

    def settle(self) -> None:
        """Wait for a save in the background and note its outcome."""
        began = time.monotonic()
        self._writer.wait()
        self.stalled_s += time.monotonic() - began
        self.poll()

    def expected_s(self, snapshot: Snapshot) -> float:
        """Return how long it should take to write a snapshot, from what was measured."""
        return max(snapshot.size / self._speed, self._parts_s if snapshot.parts else 0.0)

    @property
    def background_left_s(self) -> float | None:
        """Expected seconds until the save in the background is complete; None when there is none."""
        running = self._writer.running_s
        if running is None or self._written is None:
            return None
        return max(self._written / self._speed - running, 0.0)

    def _in_background(self, snapshot: Snapshot) -> bool:
        if not all(isinstance(part, StageablePart) for part in snapshot.parts.values()):
            return False  # they are written from the live objects
        if self._way == "auto":
            size = snapshot.size
            is_fit = size >= WORTH_A_THREAD and size * _MEMORY_MARGIN < free_memory()
            (is_unfit,) = self._ranks.highest(int(not is_fit))  # all processes must go the same way
            self._way = "blocking" if is_unfit else "background"
        return self._way == "background"

    def _start(self, snapshot: Snapshot) -> None:
        self.settle()
        began = time.monotonic()
        staged = Snapshot(*self._stage.copy(tuple(snapshot)))
        parts = {
            name: part.stage() for name, part in snapshot.parts.items() if isinstance(part, StageablePart)
        }
        self._written = snapshot.size
        self._writer.start(
            staged.step,
            lambda cancelled: self._back.save(
                staged.step,
                staged.shared,
                staged.own,
                optional=staged.optional,
                parts=parts,
                score=staged.score,
                cancelled=cancelled,
            ),
        )
        self.latest_at = time.monotonic()
        self._stall_s = self.latest_at - began
        self.stalled_s += self._stall_s

    def _note(self, step: int, seconds: float, error: Exception | None) -> None:
        if isinstance(error, SupersededError):
            raise error
        if error is not None:
            self._journal.warn(str(error))
            return
        self.saved_step = max(self.saved_step, step)
        if self._written and seconds > 0:
            self._speed = self._written / seconds
        self._journal.update(
            last_step=self.saved_step,
            reached_step=max(step, self._journal.attempt.reached_step),
            save_seconds=round(seconds, 3),
            stall_seconds=round(self._stall_s, 3),
        )
        self._policy.learn(save_s=self._stall_s, write_s=seconds, mtbf_s=self._mtbf())
