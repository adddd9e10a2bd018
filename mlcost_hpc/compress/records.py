"""What one compression task found out: the record that is written once, atomically, and read by every report.

Sizes are bytes, times are seconds, accuracies and agreements are fractions of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Status = Literal["ok", "no-op", "wrong", "slower", "failed", "not-applicable"]
STATUSES: tuple[Status, ...] = ("ok", "slower", "wrong", "no-op", "not-applicable", "failed")
"""All statuses, best first: the order in which a report sorts and a ladder prefers candidates."""

Kind = Literal["prepare", "task", "check", "measure"]
"""What the tasks of an array job do."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How long one call took, over many.

    Attributes:
        p10: 10th percentile, seconds per call.
        p50: median.
        p90: 90th percentile.
        calls: number of calls.
    """

    p10: float
    p50: float
    p90: float
    calls: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Original and candidate, timed in turns in one process.

    Attributes:
        batch: samples per call.
        before: the original.
        after: the candidate.
        speedup: how many times faster the candidate is: median over the rounds, each a block of both; of
            processor time where a call has one thread, else of the wall clock.
        uncertainty: standard error of the speed-up as a part of it, from how the rounds scatter (0.02 = 2 %).
        drift: how much the original's median moved from the first to the second half of the run, by the same
            clock (0.1 = 10 %).
        repeats: how often the whole was measured again because it was disturbed.
    """

    batch: int
    before: Spread
    after: Spread
    speedup: float
    uncertainty: float = 0.0
    drift: float = 0.0
    repeats: int = 0


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How good the candidate's answers are.

    Attributes:
        metric: name of the metric; higher is better.
        before: the original's value; None where there is no metric but closeness.
        after: the candidate's value.
        agreement: part of the samples for which both name the same class; None when there are no classes.
        relative_error: ||candidate - original|| / ||original|| over all outputs; None = not finite: NaN, or
            outputs of other sizes.
        largest_difference: largest absolute difference of any output value; None = not finite.
        samples: number of samples.
        data: what they were: a file's name, or ``random inputs``.
    """

    metric: str
    before: float | None = None
    after: float | None = None
    agreement: float | None = None
    relative_error: float | None
    largest_difference: float | None
    samples: int
    data: str

    @property
    def loss(self) -> float | None:
        """How much of the metric was lost (negative = gained)."""
        return None if self.before is None or self.after is None else self.before - self.after


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One rung of a recipe's ladder: what was tried and why the next one was tried after it."""

    rung: str
    status: Status
    reason: str
    size: int | None = None
    speedup: float | None = None
    loss: float | None = None
    seconds: float = 0.0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task ran and how busy that place was.

    Attributes:
        host: node name.
        processor: the processor's name.
        node_class: what matters for int8 and 16-bit arithmetic, for instance ``avx512_vnni`` or ``avx2``.
        flags: processor flags that matter for speed or for results.
        threads: threads of one inference.
        cores: the cores it was pinned to; empty = not pinned.
        load_before: load average of one minute before measuring.
        load_after: and after.
        partition: Slurm partition; empty outside Slurm.
        job: Slurm job id (``17_3``); empty outside Slurm.
    """

    host: str
    processor: str
    node_class: str
    flags: tuple[str, ...]
    threads: int
    cores: tuple[int, ...] = ()
    load_before: float = 0.0
    load_after: float = 0.0
    partition: str = ""
    job: str = ""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate measured again after its task.

    Attributes:
        task: the task's id.
        place: where.
        latency: one entry a batch size.
        load_s: seconds to load the artefact.
        seconds: wall time of it all.
        finished: when, seconds since 1970.
    """

    task: str
    place: Place
    latency: tuple[Latency, ...]
    load_s: float
    seconds: float
    finished: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The row of one task.

    Attributes:
        task: the task's id (its content hash).
        model: model name.
        recipe: recipe name.
        status: one word that may not lie.
        reason: why this status, in one line.
        next_step: what the user can do about it; empty when nothing need be done.
        cause: class of a failure (``memory``, ``time``, ``disk``, ``data``, ...); empty otherwise.
        size_before: bytes of the original with its external data.
        size_after: bytes of the artefact; None when there is none.
        gzip_after: bytes of the artefact after gzip: what zeros in the weights are worth.
        latency: one entry a batch size.
        score: how good the answers are.
        changed: operator type -> how many nodes the recipe put in (negative: took out).
        kept_fp32: bytes of weights that stayed in 32-bit floats.
        attempts: the ladder as it was climbed.
        load_s: seconds to load the artefact.
        peak_memory: growth of resident memory while the artefact was loaded and run, bytes.
        place: where this was measured.
        artefact: path inside the batch folder; empty when there is none.
        artefact_sha256: its checksum.
        seconds: wall time of the task.
        cpus: CPUs it held.
        versions: library -> version.
        notes: remarks for the reader: what was skipped, which control was run.
        finished: when, seconds since 1970.
    """

    task: str
    model: str
    recipe: str
    status: Status
    reason: str
    next_step: str = ""
    cause: str = ""
    size_before: int | None = None
    size_after: int | None = None
    gzip_after: int | None = None
    latency: tuple[Latency, ...] = ()
    score: Score | None = None
    changed: Mapping[str, int] = {}
    kept_fp32: int | None = None
    attempts: tuple[Attempt, ...] = ()
    load_s: float | None = None
    peak_memory: int | None = None
    place: Place | None = None
    artefact: str = ""
    artefact_sha256: str = ""
    seconds: float = 0.0
    cpus: int = 1
    versions: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    finished: float = 0.0

    @property
    def shrink(self) -> float | None:
        """How many times smaller the artefact is."""
        if not self.size_before or not self.size_after:
            return None
        return self.size_before / self.size_after

    def at_batch(self, batch: int) -> Latency | None:
        """Return what was measured at a batch size."""
        return next((item for item in self.latency if item.batch == batch), None)
