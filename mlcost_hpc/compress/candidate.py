"""A candidate file weighed: quickly while a ladder is climbed, thoroughly once it has been chosen."""

from __future__ import annotations

import gzip
import io
import math
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.compress import measure
from mlcost_hpc.compress.evaluate import EVALUATION_BATCH, run_all, score
from mlcost_hpc.compress.judge import judge
from mlcost_hpc.compress.onnxfile import OnnxFacts, changed_ops, inspect
from mlcost_hpc.compress.records import STATUSES, Status
from mlcost_hpc.compress.runtime import open_session
from mlcost_hpc.compress.shared import Shared, call_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    Array = np.ndarray[Any, Any]

    from mlcost_hpc.compress.manifest import Model, Settings
    from mlcost_hpc.compress.records import Latency, Score


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How thoroughly latency is measured.

    Attributes:
        seconds: time to spend on each batch size.
        rounds: blocks in which original and candidate take turns.
        pairs: how often both are opened anew.
        batches: at most so many batch sizes, the largest first.
        repeats: how often a disturbed measurement is done again.
        worth_timing: verdicts on size and answers with which a candidate's speed still matters.
    """

    seconds: float
    rounds: int
    pairs: int
    batches: int
    repeats: int
    worth_timing: frozenset[Status] = frozenset(STATUSES)


QUICK = Effort(seconds=0.4, rounds=5, pairs=1, batches=1, repeats=0, worth_timing=frozenset({"ok"}))
"""Enough to choose a rung."""

THOROUGH = Effort(seconds=2.0, rounds=12, pairs=3, batches=100, repeats=3)
"""For the row of the table."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file and what was found about it.

    Attributes:
        path: the file.
        facts: what is in it.
        changed: operator type -> nodes more or fewer than in the original.
        score: how good its answers are.
        latency: how fast it is; empty where that no longer mattered.
        status: the verdict.
        reason: and why.
        load_s: seconds to load it.
    """

    path: Path
    facts: OnnxFacts
    changed: dict[str, int]
    score: Score
    latency: tuple[Latency, ...]
    status: Status
    reason: str
    load_s: float


def weigh(path: Path, shared: Shared, model: Model, settings: Settings, effort: Effort) -> Candidate:
    """Return a candidate with its verdict.

    Args:
        path: the candidate's file.
        shared: the original and its answers.
        model: limits and metric.
        settings: threads and batch sizes.
        effort: how thoroughly to measure.

    Raises:
        CompressError: it cannot be loaded or gives outputs of another shape.
    """
    facts = inspect(path)
    began = time.perf_counter()
    after = open_session(path, settings.threads)
    load_s = time.perf_counter() - began
    outputs = run_all(after, shared.feeds, call_size(facts, EVALUATION_BATCH))
    untimed = Candidate(
        path=path,
        facts=facts,
        changed=changed_ops(shared.facts, facts),
        score=score(shared.outputs, outputs, shared.feeds, model.spec.metric),
        latency=(),
        status="ok",
        reason="",
        load_s=load_s,
    )
    return timed(untimed, shared, model, settings, effort)


def timed(
    candidate: Candidate, shared: Shared, model: Model, settings: Settings, effort: Effort
) -> Candidate:
    """Return a candidate timed with this effort and judged anew; its answers are as they were found."""
    verdict = partial(
        judge,
        model.limits,
        size_before=shared.facts.size,
        size_after=candidate.facts.size,
        changed=candidate.changed,
        score=candidate.score,
    )
    latency: tuple[Latency, ...] = ()
    if verdict(latency=())[0] in effort.worth_timing:
        latency = measure_all(shared.original, candidate.path, shared, settings, effort)
    status, reason = verdict(latency=latency)
    return replace(candidate, latency=latency, status=status, reason=reason)


def measure_all(
    before: Path, after: Path, shared: Shared, settings: Settings, effort: Effort
) -> tuple[Latency, ...]:
    """Return the latency of two forms of a model at each batch size that it takes."""
    sizes = settings.batches if shared.facts.any_batch and shared.feeds.batched else (1,)
    sizes = tuple(sorted(sizes)[-effort.batches :])
    found = []
    for size in sizes:
        count = call_size(shared.facts, size) if shared.feeds.batched else 1
        inputs = shared.feeds.at(0, count)
        found.append(
            measure.compare(
                partial(_open_pair, before, after, settings.threads, inputs),
                batch=count,
                seconds=effort.seconds,
                rounds=effort.rounds,
                pairs=effort.pairs,
                repeats=effort.repeats,
                clock=measure.clock_of(settings.threads),
            )
        )
    return tuple(found)


def gzip_size(path: Path) -> int:
    """Return the size of a file after gzip at its usual level."""
    counter = _Counter()
    with path.open("rb") as source, gzip.GzipFile(fileobj=counter, mode="wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    return counter.count


def _open_pair(before: Path, after: Path, threads: int, inputs: dict[str, Any]) -> measure.Pair:
    first, second = open_session(before, threads), open_session(after, threads)
    return partial(first.run, None, inputs), partial(second.run, None, inputs)


class _Counter(io.RawIOBase):
    """A file that only counts what is written to it."""

    count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.count += len(data)
        return len(data)


def better(one: Candidate, other: Candidate | None, order: Sequence[Status]) -> bool:
    """Return whether ``one`` is the better of two: by status, then by what that status is about."""
    if other is None:
        return True
    ranks = order.index(one.status), order.index(other.status)
    if ranks[0] != ranks[1]:
        return ranks[0] < ranks[1]
    return _merit(one) > _merit(other)


def speed(candidate: Candidate) -> float | None:
    """Return the speed-up at the largest batch size that was measured; None = not measured."""
    return candidate.latency[-1].speedup if candidate.latency else None


def _merit(candidate: Candidate) -> float:
    """Return what candidates of one status are compared by, higher is better: error, size or speed."""
    if candidate.status == "wrong":
        loss = candidate.score.loss
        error = loss if loss is not None else candidate.score.relative_error
        return -math.inf if error is None else -error
    if candidate.status == "no-op":
        return -float(candidate.facts.size)
    return speed(candidate) or 0.0
