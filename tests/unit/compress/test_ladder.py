"""Stepping down with reasons, what `auto` picks, and what failures mean."""

import errno
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlcost_hpc.compress.auto import suitable
from mlcost_hpc.compress.candidate import Candidate, better
from mlcost_hpc.compress.failure import explain, explain_exit
from mlcost_hpc.compress.feeds import random_feeds
from mlcost_hpc.compress.ladder import Climb, Prospects, any_prospects, climb
from mlcost_hpc.compress.methods.base import NotApplicableError, Rung, Subject, Workshop
from mlcost_hpc.compress.onnxfile import OnnxFacts, Port, inspect
from mlcost_hpc.compress.recipes import chain
from mlcost_hpc.compress.records import STATUSES, Latency, Score, Spread, Status
from mlcost_hpc.compress.runtime import LoadError
from mlcost_hpc.errors import CompressError

X = Port(name="x", dtype="float32", shape=(None, 64))


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A workshop with a little data."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Workshop(
        folder=scratch,
        calibration=random_feeds([X], 8, 0),
        training=None,
        teacher=lambda: None,
        threads=1,
        seed=0,
        reduce_range=True,
        processor_flags=frozenset(),
    )


def candidate(subject: Subject, status: Status, speed: float, error: float = 0.0) -> Candidate:
    spread = Spread(p10=1, p50=1, p90=1, calls=1)
    return Candidate(
        path=subject.onnx,
        facts=inspect(subject.onnx),
        changed={},
        score=Score(metric="m", relative_error=error, largest_difference=0, samples=1, data="d"),
        latency=(Latency(batch=1, before=spread, after=spread, speedup=speed),),
        status=status,
        reason="judged",
        load_s=0.0,
    )


def climb_with(
    verdicts: list[tuple[Status, float]],
    linear: Path,
    shop: Workshop,
    deadline: float | None = None,
    prospects: Prospects = any_prospects,
) -> Climb:
    """Climb static int8; each rung gets the next verdict."""
    left = iter(verdicts)
    way = Climb()
    climb(
        chain("int8-static"),
        Subject(onnx=linear),
        shop,
        lambda subject: candidate(subject, *next(left)),
        deadline=time.monotonic() + 600 if deadline is None else deadline,
        result=way,
        prospects=prospects,
    )
    return way


def test_the_ladder_stops_at_the_first_rung_within_the_limits(linear: Path, shop: Workshop) -> None:
    """Two settings break a limit, the third does not: it is taken, and all three are in the row."""
    way = climb_with([("wrong", 2.0), ("slower", 0.9), ("ok", 1.5)], linear, shop)
    assert way.reached
    assert [attempt.status for attempt in way.attempts] == ["wrong", "slower", "ok"]
    assert all(attempt.reason == "judged" for attempt in way.attempts)


def test_the_best_candidate_is_kept_when_no_rung_reaches_the_limits(linear: Path, shop: Workshop) -> None:
    """Slower is better than wrong; of two slower ones the faster is kept."""
    way = climb_with([("wrong", 3), ("slower", 0.8), ("slower", 0.9)], linear, shop)
    assert not way.reached
    assert way.best is not None
    assert (way.best.status, way.best.latency[0].speedup) == ("slower", 0.9)


def test_a_rung_that_cannot_mend_the_verdict_is_not_tried(linear: Path, shop: Workshop) -> None:
    """Layers kept in fp32 help against wrong answers, not against slowness; coarser scales the other way."""
    slow = climb_with([("slower", 0.8)] * 3, linear, shop)
    wrong = climb_with([("wrong", 2.0)] * 5, linear, shop)
    assert [attempt.rung.partition(": ")[2] for attempt in slow.attempts] == [
        "all operators, a scale a channel",
        "heavy operators",
        "heavy operators, a scale a tensor",
    ]
    assert [attempt.rung.partition(": ")[2] for attempt in wrong.attempts] == [
        "all operators, a scale a channel",
        "heavy operators",
        "heavy operators, worst tenth in fp32",
        "heavy operators, worst third in fp32",
        "heavy operators, percentile ranges",
    ]


def test_of_wrong_candidates_the_least_wrong_is_the_best(linear: Path) -> None:
    """A candidate that is fast and far off is no better than one that is slow and nearly right."""
    near, far = (
        candidate(Subject(onnx=linear), "wrong", speed, error) for speed, error in ((1, 0.2), (9, 5))
    )
    assert better(near, far, STATUSES)
    assert not better(far, near, STATUSES)


def test_no_further_rung_is_begun_when_the_time_is_up(linear: Path, shop: Workshop) -> None:
    """What was found so far is kept, and the row says that not everything was tried."""
    way = climb_with([("wrong", 1.0)], linear, shop, deadline=time.monotonic() - 1)
    assert len(way.attempts) == 1
    assert way.best is not None
    assert "the time was up" in shop.notes[-1]


def test_a_rung_that_fails_leads_to_the_next(linear: Path, shop: Workshop) -> None:
    """A setting that a library cannot do is an attempt with its reason, not the end."""
    calls = 0

    def weigh(subject: Subject) -> Candidate:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise LoadError("the runtime does not take it")
        return candidate(subject, "ok", 2.0)

    way = Climb()
    deadline = time.monotonic() + 600
    climb(chain("int8-static"), Subject(onnx=linear), shop, weigh, deadline=deadline, result=way)
    assert [attempt.status for attempt in way.attempts] == ["failed", "ok"]


def test_what_cannot_apply_ends_the_ladder_at_once(linear: Path, shop: Workshop) -> None:
    """Nobody tries six settings of a method that has nothing to work on."""
    way = Climb()
    climb(
        chain("distil"),
        Subject(onnx=linear),
        shop,
        lambda subject: candidate(subject, "ok", 1.0),
        deadline=time.monotonic() + 600,
        result=way,
    )
    assert [attempt.status for attempt in way.attempts] == ["not-applicable"]
    assert isinstance(way.error, NotApplicableError)


def test_a_ladder_without_prospects_is_left_with_the_reason_and_can_be_gone_on_with(
    linear: Path, shop: Workshop
) -> None:
    """The rest waits: gone on with, it starts at the setting that would have been next."""
    asked: list[tuple[int, str]] = []

    def prospects(found: Sequence[Candidate], rung: Rung) -> str:
        asked.append((len(found), rung.name))
        return "it is hopeless" if len(found) == 2 else ""

    way = climb_with([("wrong", 2.0), ("wrong", 2.0), ("ok", 1.5)], linear, shop, prospects=prospects)
    assert asked == [(1, "heavy operators"), (2, "heavy operators, worst tenth in fp32")]
    assert [attempt.status for attempt in way.attempts] == ["wrong", "wrong"]
    assert way.attempts[-1].reason == "judged; its other settings are left: it is hopeless"
    (go_on,) = way.left
    go_on()
    assert way.reached
    assert way.attempts[-1].rung == "int8-static: heavy operators, worst tenth in fp32"


def test_a_ladder_is_climbed_on_when_its_prospects_cannot_be_found_out(linear: Path, shop: Workshop) -> None:
    """A library that fails while it is asked costs no candidate."""

    def prospects(found: Sequence[Candidate], rung: Rung) -> str:
        raise RuntimeError("session failed")

    way = climb_with([("wrong", 2.0), ("ok", 1.5)], linear, shop, prospects=prospects)
    assert [attempt.status for attempt in way.attempts] == ["wrong", "ok"]
    assert "session failed" in shop.notes[-1]


def test_prospects_are_not_asked_for_when_the_last_setting_failed(linear: Path, shop: Workshop) -> None:
    """What did not run says nothing about how fast or right the next setting is."""
    calls = 0

    def weigh(subject: Subject) -> Candidate:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise LoadError("the runtime does not take it")
        return candidate(subject, "no-op" if calls == 1 else "ok", 2.0)

    way = Climb()
    climb(
        chain("int8-static"),
        Subject(onnx=linear),
        shop,
        weigh,
        deadline=time.monotonic() + 600,
        result=way,
        prospects=lambda found, rung: "asked" if len(found) != 1 or rung.name != "heavy operators" else "",
    )
    assert [attempt.status for attempt in way.attempts] == ["no-op", "failed", "ok"]


def facts(**weights: int) -> OnnxFacts:
    return OnnxFacts(
        size=1, opset=17, inputs=(), outputs=(), ops={}, weights=weights, float_bytes=8, parameters=2
    )


@pytest.mark.parametrize(
    ("weights", "first"),
    [
        ({"Conv": 900, "MatMul": 100}, "int8-static"),
        ({"Conv": 300, "Gemm": 900}, "int8-static"),
        ({"Conv": 10, "MatMul": 900}, "int8-dynamic"),
        ({"LSTM": 900}, "int8-dynamic"),
        ({"Gather": 900}, "fp16"),
    ],
)
def test_auto_picks_by_architecture(weights: dict[str, int], first: str) -> None:
    """Static int8 for convolutions, dynamic for matrix products and recurrent layers, fp16 for the rest."""
    assert suitable(facts(**weights))[0] == first
    assert suitable(facts(**weights))[-1] == "fp16"


def test_auto_leaves_dynamic_int8_out_where_it_has_next_to_nothing_to_work_on() -> None:
    """A small last layer behind many convolutions is not worth a try; a tenth of the weights is."""
    assert suitable(facts(Conv=950, Gemm=50)) == ("int8-static", "fp16")
    assert suitable(facts(Conv=900, Gemm=100)) == ("int8-static", "int8-dynamic", "fp16")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (LoadError("ONNX Runtime does not load m.onnx"), "model"),
        (CompressError("d.npz: no array for the model's input"), "data"),
        (ValueError("truth value of an array"), "library"),
    ],
)
def test_failures_are_classed_with_a_next_step(error: Exception, cause: str) -> None:
    """Each class of failure tells the user something to do."""
    said = explain(error)
    assert said.cause == cause
    assert said.reason
    assert said.next_step


def test_exit_codes_say_how_a_task_died() -> None:
    """Killed by the kernel, crashed, or out of time."""
    assert explain_exit(-9, out_of_time=False).cause == "memory"
    assert explain_exit(-11, out_of_time=False).reason == "the process crashed (signal 11)"
    assert explain_exit(0, out_of_time=True).cause == "time"
