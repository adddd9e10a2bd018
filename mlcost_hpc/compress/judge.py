"""The verdict on a candidate: pure, and the only place where a status is decided for something that ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.onnxfile import QUANTIZED_OPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlcost_hpc.compress.plan import Limits
    from mlcost_hpc.compress.records import Latency, Score, Status

SPEED_NOISE = 0.03
"""Ratios of interleaved medians repeat to about 3 %: a speed-up is only called too small beyond that."""

LARGEST_NOISE = 0.06
"""Or beyond two standard errors of the measurement itself, but never beyond this."""


def judge(
    limits: Limits,
    *,
    size_before: int,
    size_after: int,
    changed: Mapping[str, int],
    score: Score,
    latency: Sequence[Latency],
) -> tuple[Status, str]:
    """Return the status of a candidate and the reason.

    What matters most is said first: nothing changed, wrong answers, too slow.
    """
    for verdict in (
        _no_op(limits, size_before, size_after, changed),
        _wrong(limits, score),
        _slower(limits, latency),
    ):
        if verdict is not None:
            return verdict
    return "ok", _praise(size_before / size_after, score, latency)


def _no_op(limits: Limits, before: int, after: int, changed: Mapping[str, int]) -> tuple[Status, str] | None:
    shrink = before / after
    if shrink >= limits.min_shrink:
        return None
    quantized = sum(count for op, count in changed.items() if op in QUANTIZED_OPS and count > 0)
    what = f"{quantized} quantization nodes were put in, but the file" if quantized else "the file"
    return "no-op", f"{what} shrank only {shrink:.2f}x (at least {limits.min_shrink:g}x is asked)"


def _wrong(limits: Limits, score: Score) -> tuple[Status, str] | None:
    if score.relative_error is None or score.largest_difference is None:
        return "wrong", "the outputs hold NaN or infinity, or have other sizes"
    loss = score.loss
    if loss is not None:
        if not loss <= limits.max_loss:
            return (
                "wrong",
                (
                    f"{score.metric} {_percent(score.before)} -> {_percent(score.after)}: "
                    f"lost {100 * loss:.2f} points (at most {100 * limits.max_loss:g})"
                ),
            )
        return None
    if score.agreement is not None and 1 - score.agreement > limits.max_loss:
        return (
            "wrong",
            (
                f"another class for {100 * (1 - score.agreement):.2f} % of {score.data} "
                f"(at most {100 * limits.max_loss:g} %)"
            ),
        )
    if score.relative_error > limits.max_relative_error:
        return (
            "wrong",
            (
                f"the outputs on {score.data} are off by {score.relative_error:.3g} relative "
                f"(at most {limits.max_relative_error:g})"
            ),
        )
    return None


def _slower(limits: Limits, latency: Sequence[Latency]) -> tuple[Status, str] | None:
    worst = min(latency, key=lambda item: item.speedup + noise(item), default=None)
    if worst is None or worst.speedup >= limits.min_speedup * (1 - noise(worst)):
        return None
    others = [item for item in latency if item is not worst]
    also = "".join(f", x{item.speedup:.2f} at batch {item.batch}" for item in others)
    return (
        "slower",
        (
            f"x{worst.speedup:.2f} the speed of the original at batch {worst.batch}{also} "
            f"(at least x{limits.min_speedup:g} is asked)"
        ),
    )


def noise(latency: Latency) -> float:
    """Return by how much a speed-up may be off, as a fraction."""
    return min(LARGEST_NOISE, max(SPEED_NOISE, 2 * latency.uncertainty))


def _praise(shrink: float, score: Score, latency: Sequence[Latency]) -> str:
    parts = [f"{shrink:.2f}x smaller"]
    parts += [f"x{item.speedup:.2f} at batch {item.batch}" for item in latency]
    if score.loss is not None:
        parts.append(f"{score.metric} {_percent(score.before)} -> {_percent(score.after)}")
    elif score.agreement is not None:
        parts.append(f"agrees on {_percent(score.agreement)}")
    return ", ".join(parts)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"
