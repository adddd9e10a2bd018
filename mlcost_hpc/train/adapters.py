"""Lightning and Hugging Face Trainer told to stop: save, leave, be requeued. Neither is a dependency.

Both frameworks keep their own checkpoints; what is added is the signal, seen between steps, and the exit code
the batch script waits for.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcost_hpc.train.attempts import new_attempt
from mlcost_hpc.train.ending import Stopped
from mlcost_hpc.train.ranks import Ranks
from mlcost_hpc.train.requeue import EXIT_REQUEUE, StopSignal, ask_for_requeue

if TYPE_CHECKING:
    from collections.abc import Mapping


class Leaving:
    """The part that both adapters share: a signal, and how to leave because of it.

    Args:
        environment: the process environment.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._signal = StopSignal()

    def begin(self) -> None:
        """Start to listen."""
        self._signal.__enter__()

    @property
    def is_asked(self) -> bool:
        """Whether this process was told to stop."""
        return self._signal.is_set

    def end(self, *, is_first: bool, is_saved: bool) -> None:
        """Stop listening; when the run was stopped and saved, leave with the code for a requeue.

        Args:
            is_first: whether this process writes what is written once.
            is_saved: whether the run was saved because any of its processes was told to stop.

        Raises:
            Stopped: the run was stopped.
        """
        self._signal.__exit__(None, None, None)
        if not is_saved:
            return
        if self._signal.received is signal.SIGINT:
            raise Stopped(128 + signal.SIGINT)
        folder = Path(self._environment.get("MLCOST_RUN_DIR") or "run")
        if is_first:
            folder.mkdir(parents=True, exist_ok=True)
            ask_for_requeue(folder, new_attempt(self._environment, folder))
        raise Stopped(EXIT_REQUEUE)


def lightning_callback(checkpoint: str | os.PathLike[str]) -> Any:
    """Return a callback for ``lightning.Trainer(callbacks=[...])``.

    Give the same path to ``trainer.fit(..., ckpt_path=...)`` when it exists. Switch Lightning's own
    requeueing off (``plugins=[SLURMEnvironment(auto_requeue=False)]``): the batch script owns it.

    Args:
        checkpoint: file that is written when the run is told to stop.
    """
    from lightning.pytorch import Callback

    class StopAndRequeue(Callback):  # type: ignore[misc]
        """Sees the signal after a batch, lets all processes save together, leaves after ``fit``."""

        def __init__(self) -> None:
            self._leaving = Leaving()
            self._is_saved = False

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
            self._leaving.begin()

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.strategy.reduce_boolean_decision(self._leaving.is_asked, all=False):
                trainer.save_checkpoint(checkpoint)
                self._is_saved = trainer.should_stop = True

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
            self._leaving.end(is_first=trainer.is_global_zero, is_saved=self._is_saved)

    return StopAndRequeue()


def trainer_callback() -> Any:
    """Return a callback for ``transformers.Trainer(callbacks=[...])``.

    Start with ``trainer.train(resume_from_checkpoint=get_last_checkpoint(output_dir))``.
    """
    from transformers import TrainerCallback

    class StopAndRequeue(TrainerCallback):  # type: ignore[misc]
        """Sees the signal after a step, makes the Trainer save and stop, leaves at its end."""

        def __init__(self) -> None:
            self._leaving = Leaving()
            self._is_asked = self._is_saved = False

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self._ranks = Ranks()
            self._leaving.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
            # The signal may reach the processes a step apart: they stop where the first one hears of it.
            self._is_asked = self._ranks.highest(int(self._leaving.is_asked)) == (1,)
            if self._is_asked:
                control.should_save = control.should_training_stop = True
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self._is_saved = self._is_asked

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self._leaving.end(is_first=state.is_world_process_zero, is_saved=self._is_saved)

    return StopAndRequeue()
