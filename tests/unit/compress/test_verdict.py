"""Rows settled with later measurements and other processors' answers; promises kept or broken."""

from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.compress.check import Check
from mlcost_hpc.compress.onnxfile import inspect
from mlcost_hpc.compress.plan import Limits
from mlcost_hpc.compress.promise import broken_promise
from mlcost_hpc.compress.records import Latency, Measurement, Place, Result, Score, Spread, Status
from mlcost_hpc.compress.standing import choose_best, worth_measuring
from mlcost_hpc.compress.verdict import portable, settle


def latency(speed: float) -> Latency:
    before = Spread(p10=0.01, p50=0.01, p90=0.01, calls=9)
    after = Spread(p10=0.01 / speed, p50=0.01 / speed, p90=0.01 / speed, calls=9)
    return Latency(batch=8, before=before, after=after, speedup=speed)


def place(node_class: str = "avx512_vnni", host: str = "n1") -> Place:
    return Place(host=host, processor="p", node_class=node_class, flags=(), threads=1)


def row(status: Status = "ok", speed: float = 2.0, size: int = 250, recipe: str = "r") -> Result:
    return Result(
        task=recipe,
        model="m",
        recipe=recipe,
        status=status,
        reason="as measured by its task",
        size_before=1000,
        size_after=size,
        latency=(latency(speed),),
        score=Score(
            metric="agreement",
            agreement=1.0,
            relative_error=0.01,
            largest_difference=0.1,
            samples=9,
            data="d",
        ),
        place=place(),
    )


def measured(speed: float, node_class: str = "avx512_vnni") -> Measurement:
    return Measurement(
        task="r",
        place=place(node_class, "n2"),
        latency=(latency(speed),),
        load_s=0.1,
        seconds=1.0,
        finished=0.0,
    )


def check(error: float | None, node_class: str = "avx2") -> Check:
    return Check(task="r", node_class=node_class, host="n3", relative_error=error, agreement=1.0)


@pytest.mark.parametrize(
    ("status", "shared", "alone", "after"),
    [("ok", 2.0, 0.8, "slower"), ("slower", 0.9, 1.5, "ok"), ("ok", 2.0, 3.0, "ok")],
)
def test_what_was_measured_alone_decides(status: Status, shared: float, alone: float, after: str) -> None:
    """A speed on a node of one's own takes the place of the one on shared cores, in the verdict too."""
    found = settle(row(status, shared), Limits(), (), [measured(alone)], [])
    assert found.status == after
    assert found.latency[0].speedup == alone
    assert found.place is not None
    assert found.place.host == "n2"
    assert "measured again on n2" in found.notes[-1]


def test_slower_on_another_class_that_serves_is_slower() -> None:
    """A candidate must keep to the limits on every class that serves it; on others it need not."""
    there = [measured(0.5, "avx2")]
    found = settle(row(), Limits(), (), there, [])
    assert (found.status, found.latency[0].speedup) == ("slower", 2.0)
    assert found.reason.startswith("on avx2: x0.50")
    assert settle(row(), Limits(), ("avx512_vnni",), there, []).status == "ok"


def test_other_answers_on_a_class_that_serves_are_wrong() -> None:
    """Right where it was made is not enough; what will not serve does not count."""
    found = settle(row(), Limits(), (), [], [check(0.3)])
    assert found.status == "wrong"
    assert "other answers on avx2: off by 0.3 relative" in found.reason
    assert found.next_step
    assert settle(row(), Limits(), ("avx512_vnni",), [], [check(0.3)]).status == "ok"
    assert settle(row(), Limits(), (), [], [check(0.01)]).status == "ok"
    assert settle(row(), Limits(), (), [], [check(None)]).status == "wrong"


def test_portable_is_only_what_was_tried_elsewhere() -> None:
    """A check on its own class of processors says nothing."""
    assert portable([], "avx512_vnni") is None
    assert portable([check(0.3, "avx512_vnni")], "avx512_vnni") is None
    assert portable([check(0.01)], "avx512_vnni") is True
    assert portable([check(0.01), check(0.2, "avx512")], "avx512_vnni") is False


def test_failed_and_wrong_rows_stay_as_they_are() -> None:
    """A measurement does not mend answers."""
    wrong = row("wrong")
    assert settle(wrong, Limits(), (), [measured(9.0)], [check(0.0)]) == wrong


def test_the_front_is_worth_a_node_of_its_own() -> None:
    """Dominated candidates are not measured again; what was slower on shared cores may be."""
    rows = [
        row("ok", 2.0, 250, "good"),
        row("ok", 1.5, 300, "beaten"),
        row("slower", 0.9, 100, "small"),
        row("wrong", 9.0, 50, "wrong"),
    ]
    assert worth_measuring(rows) == {"good", "small"}
    assert choose_best(rows, "size")["m"].recipe == "good"


def test_a_quantizer_that_quantized_nothing_did_nothing(linear: Path) -> None:
    """Smaller only because the file was tidied up: no success of a recipe that promised smaller numbers."""
    original = inspect(linear)
    tidied = msgspec.structs.replace(original, size=original.size // 2)
    quantized = msgspec.structs.replace(tidied, ops={"MatMulInteger": 2}, float_bytes=0)
    assert "nothing was quantized" in broken_promise(["prune-channels", "int8-static"], original, tidied)
    assert "16 bits" in broken_promise(["fp16"], original, original)
    assert not broken_promise(["int8-dynamic"], original, quantized)
    assert not broken_promise(["optimize"], original, tidied)
    assert not broken_promise(["fp16"], original, msgspec.structs.replace(tidied, float_bytes=0))
